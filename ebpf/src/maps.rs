//! Every map of the programs. Sizes here are the smallest that work: the agent sets the real ones
//! before loading, except where said otherwise.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, bpf_map_type::BPF_MAP_TYPE_TASK_STORAGE},
    btf_maps::{Array, HashMap, LruHashMap, Queue, RingBuf},
    helpers::generated::bpf_task_storage_get,
    macros::btf_map,
};
use core::ffi::c_void;
use guidon_common::{
    CounterRecord, DelayRecord, EventHeader, HealthRecord, MemoryRecord, PeerKey, SlotEntry,
    SlotMemo,
};

const MAPPED: usize = BPF_F_MMAPABLE as usize;

/// Counters, at `slot * CPUS + cpu`.
#[btf_map]
pub static COUNTERS: Array<CounterRecord, 1, MAPPED> = Array::new();

/// Run-queue delay histograms, at `slot * CPUS + cpu`; one record when they are off.
#[btf_map]
pub static DELAYS: Array<DelayRecord, 1, MAPPED> = Array::new();

/// One record of losses.
#[btf_map]
pub static HEALTH: Array<HealthRecord, 1, MAPPED> = Array::new();

/// Memory gauges, in the iteration's order.
#[btf_map]
pub static MEMORY: Array<MemoryRecord, 1, MAPPED> = Array::new();

/// Where the next one of [`MEMORY`] goes.
#[btf_map]
pub static MEMORY_CURSOR: Array<MemoryCursor, 1> = Array::new();

/// The only entry of [`MEMORY_CURSOR`].
#[repr(C)]
pub struct MemoryCursor {
    /// The iteration it is about.
    pub session: u64,
    pub next: u64,
}

/// cgroup2 id to slot. Programs add entries, only the agent deletes them: whoever's deletion
/// succeeds owns the slot.
#[btf_map]
pub static SLOTS: HashMap<u64, SlotEntry, 1> = HashMap::new();

/// What CPUs remember of [`SLOTS`], at `cpu * MEMOS + id % MEMOS`.
#[btf_map]
pub static SLOT_MEMOS: Array<SlotMemo, 1> = Array::new();

/// One number that the agent raises before it gives slots out again whose entries it deleted from
/// [`SLOTS`]: memos of other epochs are void.
#[btf_map]
pub static EPOCH: Array<u32, 1> = Array::new();

/// A bit for each UDP port that the agent listens on: only who sends to one of them is remembered.
#[btf_map]
pub static UDP_PORTS: Array<u32, 2048> = Array::new();

/// cgroup2 ids of containers: cgroups made below them inherit their slot.
#[btf_map]
pub static CONTAINERS: HashMap<u64, u32, 1> = HashMap::new();

/// blkio cgroup id to slot, where that controller has a cgroup v1 hierarchy.
#[btf_map]
pub static BLOCK_SLOTS: HashMap<u64, u32, 1> = HashMap::new();

/// Slots without an owner.
#[btf_map]
pub static FREE: Queue<u32, 1> = Queue::new();

/// Life of cgroups. 512 KiB hold the births, removals and releases of some 2,000 containers.
#[btf_map]
pub static EVENTS: RingBuf<EventHeader, { 512 * 1024 }> = RingBuf::new();

/// Threads chosen by the OOM killer on kernels that tell only their pid.
#[btf_map]
pub static VICTIMS: LruHashMap<u32, u32, 1024> = LruHashMap::new();

/// Local sockets to cgroup2 ids.
#[btf_map]
pub static PEERS: LruHashMap<PeerKey, u64, 16384> = LruHashMap::new();

/// cgroup2 id of the last sender from `127.0.0.1` (lower half) and `::1` (upper half) by UDP port.
#[btf_map]
pub static LOOPBACK_PEERS: Array<u64, 131072> = Array::new();

/// What a CPU entered last into [`PEERS`], by the low bits of the port.
#[btf_map]
pub static PEER_MEMOS: aya_ebpf::btf_maps::PerCpuArray<PeerMemo, 256> =
    aya_ebpf::btf_maps::PerCpuArray::new();

/// An entry of [`PEER_MEMOS`].
#[repr(C)]
pub struct PeerMemo {
    pub id: u64,
    pub epoch: u64,
    pub key: PeerKey,
    pub spare: u32,
}

/// What is remembered about a task for its run-queue delay.
#[repr(C)]
pub struct Waited {
    /// The kernel's sum of its delays when it last got a CPU.
    pub run_delay: u64,
}

/// Task storage, which aya has no type for; the fields are the map definition in BTF.
#[repr(C)]
pub struct TaskStorage<T> {
    r#type: *const [i32; BPF_MAP_TYPE_TASK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; BPF_F_NO_PREALLOC as usize],
}

// SAFETY: the pointers are a definition for the loader; nobody follows them.
unsafe impl<T> Sync for TaskStorage<T> {}

impl<T> TaskStorage<T> {
    const fn new() -> Self {
        Self {
            r#type: core::ptr::null(),
            key: core::ptr::null(),
            value: core::ptr::null(),
            max_entries: core::ptr::null(),
            map_flags: core::ptr::null(),
        }
    }

    /// The task's value; null if it has none and `flags` does not ask for one.
    ///
    /// # Safety
    /// `task` is a pointer the kernel handed to the program as a task.
    #[inline(always)]
    pub unsafe fn get(&self, task: *const u8, flags: u64) -> *mut T {
        let map: *mut c_void = core::ptr::from_ref(self).cast_mut().cast();
        // SAFETY: by contract of this function.
        unsafe { bpf_task_storage_get(map, task.cast_mut().cast(), core::ptr::null_mut(), flags) }
            .cast()
    }
}

/// Tasks that run-queue delays are measured for.
#[btf_map]
pub static TASKS: TaskStorage<Waited> = TaskStorage::new();
