//! eBPF: load, attach, mapped counters, event stream, and what each program costs.
//!
//! The only room with `unsafe`. Knows neither metric names nor guids. Dropping [`Kernel`] detaches
//! everything; nothing is pinned.

use std::net::SocketAddr;

use guidon_common::CgroupId;

/// A counter slot. Slot 0 is the host: everything that has no slot of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot(pub u32);

/// What to load.
#[derive(Debug, Clone)]
pub struct Options {
    /// Counter slots; absent: by the host's size.
    pub slots: Option<u32>,
    /// Run-queue delay histogram and context switches.
    pub run_queue: bool,
    /// Turn the kernel's program statistics on.
    pub statistics: bool,
}

/// Counters of one slot, summed over CPUs. All monotonic over the life of a slot's owner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    pub cpu_ns: u64,
    pub switches_voluntary: u64,
    pub switches_involuntary: u64,
    pub receive_bytes: u64,
    pub receive_packets: u64,
    pub transmit_bytes: u64,
    pub transmit_packets: u64,
    pub forks: u64,
    pub execs: u64,
    pub exits: u64,
    pub oom_kills: u64,
    pub tcp_retransmits: u64,
    pub tcp_connects: u64,
    pub tcp_accepts: u64,
    pub tcp_failures: u64,
    pub read_bytes: u64,
    pub read_operations: u64,
    pub read_ns: u64,
    pub write_bytes: u64,
    pub write_operations: u64,
    pub write_ns: u64,
    /// Run-queue delay: `buckets[i]` counts waits of [2^i, 2^(i+1)) ns (bucket 0 also 0 ns; the
    /// last one everything longer); their sum in ns. All zero when the option is off.
    pub run_queue_buckets: [u64; RUN_QUEUE_BUCKETS],
    pub run_queue_ns: u64,
}

/// Number of log2 buckets of the run-queue delay.
pub const RUN_QUEUE_BUCKETS: usize = 32;

/// A cgroup of the cgroup2 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    pub id: CgroupId,
    pub parent: CgroupId,
    /// Relative to the cgroup2 root, starting with `/`.
    pub path: String,
    /// The slot its counters go to.
    pub slot: Slot,
    /// Whether the slot was inherited from a parent marked as a container.
    pub inherited: bool,
}

/// What happened to cgroups of the cgroup2 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Born(Cgroup),
    /// Its directory was removed; sockets may still send for it.
    Removed {
        id: CgroupId,
        slot: Slot,
    },
    /// Nothing can count to it any more: its counters are final.
    Released {
        id: CgroupId,
        slot: Slot,
    },
}

/// Memory gauges of one cgroup, from the iterator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Id in the memory controller's hierarchy (equals the cgroup2 id on pure v2).
    pub id: CgroupId,
    pub usage_bytes: u64,
    /// Absent where the kernel does not keep LRU sizes (MGLRU).
    pub lru: Option<Lru>,
}

/// LRU sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lru {
    pub inactive_anon: u64,
    pub active_anon: u64,
    pub inactive_file: u64,
    pub active_file: u64,
    pub unevictable: u64,
}

/// One kernel program: attached, or why not; and what it costs.
#[derive(Debug, Clone)]
pub struct ProgramStatus {
    pub name: &'static str,
    /// Absent: attached.
    pub off_because: Option<String>,
    /// Runs and nanoseconds, where the kernel keeps them.
    pub run_count: u64,
    pub run_ns: u64,
}

/// The state of the kernel side.
#[derive(Debug, Clone)]
pub struct Status {
    pub programs: Vec<ProgramStatus>,
    pub slots: u32,
    pub slots_free: u32,
    /// Times a cgroup got no slot and was counted to slot 0.
    pub slot_misses: u64,
    /// Events the ring buffer had no room for.
    pub events_lost: u64,
}

/// Why the kernel side cannot run at all (single programs that cannot are in [`Status`]).
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    #[error(
        "this build has no kernel programs: build it with the BPF toolchain (`cargo xtask setup`)"
    )]
    NotBuilt,
}

/// The loaded kernel side.
#[derive(Debug)]
pub struct Kernel {}

impl Kernel {
    /// Loads and attaches; cgroups that exist already get their slots (see [`Kernel::cgroups`]).
    pub fn load(_options: &Options) -> Result<(Self, Events), KernelError> {
        Err(KernelError::NotBuilt)
    }

    /// Every live cgroup that has an entry, parents before children. After lost events: the truth.
    #[must_use]
    pub fn cgroups(&self) -> Vec<Cgroup> {
        Vec::new()
    }

    /// Reads one slot's counters from the mapped pages: no system call.
    pub fn read(&self, _slot: Slot, _into: &mut Counters) {}

    /// Cgroups made below this one inherit its slot from now on.
    pub fn mark_container(&self, _id: CgroupId) {}

    /// The cgroup is no container's: its counts go to slot 0 from now on and its slot returns to
    /// the pool.
    pub fn demote(&self, _id: CgroupId) {}

    /// The final values of a released cgroup's slot were read: the slot returns to the pool.
    pub fn recycle(&self, _slot: Slot) {}

    /// Refreshes and returns the memory gauges of all cgroups: one `read` in all.
    pub fn memory(&self, into: &mut Vec<Memory>) {
        into.clear();
    }

    /// The cgroup of the local socket bound to this address (the other end of a connection that
    /// came from this node), for TCP and UDP.
    #[must_use]
    pub fn peer(&self, _address: SocketAddr, _udp: bool) -> Option<CgroupId> {
        None
    }

    /// Programs, slots, losses.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            programs: Vec::new(),
            slots: 0,
            slots_free: 0,
            slot_misses: 0,
            events_lost: 0,
        }
    }
}

/// The event stream. Cancel-safe.
#[derive(Debug)]
pub struct Events {}

impl Events {
    /// Appends what happened; returns at least one event, or `lost = true` when the ring buffer
    /// overflowed since the last call (then re-read [`Kernel::cgroups`]).
    pub async fn next(&mut self, _into: &mut Vec<Event>) -> bool {
        std::future::pending().await
    }

    /// Appends what is already there, without waiting.
    pub fn drain(&mut self, _into: &mut Vec<Event>) -> bool {
        false
    }
}
