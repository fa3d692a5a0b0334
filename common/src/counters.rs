//! Layout of the mapped counter pages.
//!
//! A counter record belongs to one slot and one CPU and is found at `slot * cpus + cpu`. Groups
//! that different contexts write (scheduler, network, block layer) lie on cache lines of their
//! own.

use core::mem::{align_of, size_of};

/// Number of log2 buckets of the run-queue delay histogram.
pub const DELAY_BUCKETS: usize = 32;

/// Written by the scheduler and process-life programs.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub struct TaskCounters {
    /// CPU time in ns, as the kernel charges it.
    pub cpu_ns: u64,
    /// Switches because the task waited for something.
    pub switches_voluntary: u64,
    /// Switches because somebody else was given the CPU.
    pub switches_involuntary: u64,
    /// Time ready to run but not running, in ns.
    pub run_queue_ns: u64,
    /// Tasks (processes and threads) made.
    pub forks: u64,
    /// Programs executed.
    pub execs: u64,
    /// Tasks gone.
    pub exits: u64,
    /// Processes chosen by the OOM killer.
    pub oom_kills: u64,
}

/// Written by the packet and TCP programs.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub struct NetworkCounters {
    /// Bytes from the IP header on.
    pub receive_bytes: u64,
    /// Packets on the wire (segments of an aggregated buffer count one by one).
    pub receive_packets: u64,
    /// Bytes from the IP header on.
    pub transmit_bytes: u64,
    /// Packets on the wire.
    pub transmit_packets: u64,
    /// Retransmitted buffers.
    pub tcp_retransmits: u64,
    /// Connections opened actively.
    pub tcp_connects: u64,
    /// Connections opened passively.
    pub tcp_accepts: u64,
    /// Connection attempts that came to nothing (the kernel's AttemptFails).
    pub tcp_failures: u64,
}

/// Written by the block layer program.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub struct BlockCounters {
    /// Bytes read.
    pub read_bytes: u64,
    /// Requests that read, completed.
    pub read_operations: u64,
    /// From issue to completion, summed, in ns.
    pub read_ns: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Requests that wrote, completed.
    pub write_operations: u64,
    /// From issue to completion, summed, in ns.
    pub write_ns: u64,
    /// Fills the cache line.
    pub spare: [u64; 2],
}

/// The counters of one slot on one CPU.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct CounterRecord {
    /// First cache line.
    pub task: TaskCounters,
    /// Second cache line.
    pub network: NetworkCounters,
    /// Third cache line.
    pub block: BlockCounters,
}

impl CounterRecord {
    /// Number of 64-bit words.
    pub const WORDS: usize = size_of::<Self>() / 8;
}

/// The run-queue delay histogram of one slot on one CPU.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub struct DelayRecord {
    /// `buckets[i]` counts waits of `[2^i, 2^(i+1))` ns; the first one also 0, the last one
    /// everything longer.
    pub buckets: [u64; DELAY_BUCKETS],
}

/// Memos of one CPU about which cgroup has which slot.
pub const MEMOS: u32 = 64;

/// What a CPU remembers of a look into the table of slots, found at `cpu * MEMOS + id % MEMOS`.
///
/// A program that interrupts another one while that writes a memo may leave a mixture of two: then
/// `check` does not fit, and the memo is nobody's.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
pub struct SlotMemo {
    /// The cgroup2 id.
    pub id: u64,
    /// The slot in the lower half, the epoch it was looked up in in the upper one.
    pub slot: u64,
    /// `id ^ slot`.
    pub check: u64,
    /// Fills half a cache line.
    pub spare: u64,
}

/// What the kernel programs could not do.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub struct HealthRecord {
    /// Events that found the ring buffer full.
    pub events_lost: u64,
    /// Cgroups born without a slot because none was free.
    pub slot_misses: u64,
    /// Slots that programs took from the pool.
    pub slots_taken: u64,
    /// Slots that programs gave back because the cgroup could not be entered.
    pub slots_returned: u64,
    /// Cgroups that the memory iterator had no record for.
    pub memory_dropped: u64,
    /// Fills the cache line.
    pub spare: [u64; 3],
}

/// `MemoryRecord::usage_pages` of a cgroup without a memory controller.
pub const MEMORY_ABSENT: u64 = u64::MAX;

/// Memory gauges of one cgroup, written by the cgroup iterator.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub struct MemoryRecord {
    /// The iteration that wrote this record: records of older ones are stale.
    pub session: u64,
    /// Cgroup id in the iterated hierarchy.
    pub id: u64,
    /// Charged pages, [`MEMORY_ABSENT`] without a memory controller.
    pub usage_pages: u64,
    /// Pages by LRU list, in the kernel's order: inactive anon, active anon, inactive file,
    /// active file, unevictable.
    pub lru_pages: [u64; 5],
}

const _: () = {
    assert!(size_of::<TaskCounters>() == 64 && align_of::<TaskCounters>() == 64);
    assert!(size_of::<NetworkCounters>() == 64 && align_of::<NetworkCounters>() == 64);
    assert!(size_of::<BlockCounters>() == 64 && align_of::<BlockCounters>() == 64);
    assert!(size_of::<CounterRecord>() == 192 && align_of::<CounterRecord>() == 64);
    assert!(size_of::<DelayRecord>() == 256 && align_of::<DelayRecord>() == 64);
    assert!(size_of::<SlotMemo>() == 32 && align_of::<SlotMemo>() == 32);
    assert!(MEMOS.is_power_of_two());
    assert!(size_of::<HealthRecord>() == 64 && align_of::<HealthRecord>() == 64);
    assert!(size_of::<MemoryRecord>() == 64 && align_of::<MemoryRecord>() == 64);
};
