//! Memory gauges of all cgroups in one go: a cgroup iterator (kernel 6.1) that writes them into
//! mapped pages. It yields no text.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use core::{
    ffi::c_void,
    mem::{MaybeUninit, size_of},
    ptr::{read_volatile, write_volatile},
};
use guidon_common::{MEMORY_ABSENT, MemoryRecord};

use crate::{
    globals::{
        MEMORY_CONTROLLER, MEMORY_NODES, MEMORY_ZONES, OFF_CGROUP_SUBSYS, OFF_MEMCG_NODE_LRU,
        OFF_MEMCG_NODES, OFF_MEMCG_USAGE,
    },
    maps::{MEMORY, MEMORY_CURSOR, MemoryCursor},
    slots::note,
    walk::{id_of_cgroup, iterator_argument},
};

/// `NR_LRU_LISTS`, unchanged since 2.6.28; the agent checks it all the same.
const LISTS: usize = 5;
/// Bounds for the verifier; the agent turns LRU sizes off on bigger hosts.
const MAX_NODES: u32 = 16;
const MAX_ZONES: u32 = 8;
/// `struct bpf_iter_meta` is part of the programs' interface.
const META_SESSION: usize = 8;

/// One cgroup, the end of the iteration being a null one.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/cgroup")]
pub extern "C" fn memory_gauges(context: *mut c_void) -> i32 {
    let meta = iterator_argument(context, 0);
    let cgroup = iterator_argument(context, 1);
    if cgroup.is_null() {
        return 0;
    }
    // SAFETY: within the iteration's description.
    let session = unsafe { read_volatile(meta.add(META_SESSION).cast::<u64>()) };
    let Some(record) = next_record(session) else {
        note(|health| unsafe { &raw mut (*health).memory_dropped }, 1);
        return 0;
    };
    // SAFETY: the iterator's item is a cgroup.
    let id = unsafe { id_of_cgroup(cgroup) };
    // SAFETY: `cgroup.subsys` is an array of pointers.
    let controller = unsafe {
        read_volatile(
            cgroup
                .add((OFF_CGROUP_SUBSYS.load() + 8 * MEMORY_CONTROLLER.load()) as usize)
                .cast::<*const u8>(),
        )
    };
    let (usage, lru) = if controller.is_null() {
        (MEMORY_ABSENT, [0; LISTS])
    } else {
        (read(controller, OFF_MEMCG_USAGE.load()), lru_of(controller))
    };
    // SAFETY: a map value.
    unsafe { write(record, session, id, usage, &lru) };
    0
}

/// Records are numbered here and not by the iteration, which counts removed cgroups that it does
/// not show. One iteration runs at a time: the agent sees to it.
#[inline(always)]
fn next_record(session: u64) -> Option<*mut MemoryRecord> {
    let cursor = MEMORY_CURSOR.get_ptr_mut(0)?;
    // SAFETY: a map value.
    if unsafe { read_volatile(&raw const (*cursor).session) } != session {
        // SAFETY: a map value.
        unsafe { write_volatile(cursor, MemoryCursor { session, next: 0 }) };
    }
    // SAFETY: a map value.
    let position = unsafe { read_volatile(&raw const (*cursor).next) };
    // SAFETY: a map value.
    unsafe { write_volatile(&raw mut (*cursor).next, position + 1) };
    MEMORY.get_ptr_mut(position as u32)
}

/// # Safety
/// `record` points to a map value.
#[inline(always)]
unsafe fn write(record: *mut MemoryRecord, session: u64, id: u64, usage: u64, lru: &[u64; LISTS]) {
    // SAFETY: by contract of this function.
    unsafe {
        write_volatile(&raw mut (*record).session, session);
        write_volatile(&raw mut (*record).id, id);
        write_volatile(&raw mut (*record).usage_pages, usage);
        let lists: *mut u64 = (&raw mut (*record).lru_pages).cast();
        write_volatile(lists, lru[0]);
        write_volatile(lists.add(1), lru[1]);
        write_volatile(lists.add(2), lru[2]);
        write_volatile(lists.add(3), lru[3]);
        write_volatile(lists.add(4), lru[4]);
    }
}

/// A controller's memory is of a type that the cgroup's array of controllers does not tell, so the
/// verifier has no loads for it.
#[inline(always)]
fn read(base: *const u8, offset: u32) -> u64 {
    let mut value = 0_u64;
    // SAFETY: the helper checks the address.
    unsafe {
        bpf_probe_read_kernel(
            (&raw mut value).cast(),
            size_of::<u64>() as u32,
            base.wrapping_add(offset as usize).cast(),
        )
    };
    value
}

/// LRU sizes summed over nodes and zones; all 0 when the agent set no nodes.
#[inline(always)]
fn lru_of(controller: *const u8) -> [u64; LISTS] {
    let mut sums = [0_u64; LISTS];
    let mut node = 0;
    while node < MAX_NODES && node < MEMORY_NODES.load() {
        let lists = read(controller, OFF_MEMCG_NODES.load() + 8 * node) as *const u8;
        let mut zone = 0;
        while !lists.is_null() && zone < MAX_ZONES && zone < MEMORY_ZONES.load() {
            let mut sizes = MaybeUninit::<[u64; LISTS]>::uninit();
            let bytes = size_of::<[u64; LISTS]>() as u32;
            let from = lists.wrapping_add((OFF_MEMCG_NODE_LRU.load() + zone * bytes) as usize);
            // SAFETY: the helper checks the address, and fills with zeros when it is bad.
            unsafe { bpf_probe_read_kernel(sizes.as_mut_ptr().cast(), bytes, from.cast()) };
            // SAFETY: filled by the helper in any case.
            let sizes = unsafe { sizes.assume_init() };
            sums[0] += sizes[0];
            sums[1] += sizes[1];
            sums[2] += sizes[2];
            sums[3] += sizes[3];
            sums[4] += sizes[4];
            zone += 1;
        }
        node += 1;
    }
    sums
}
