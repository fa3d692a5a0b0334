//! eBPF: load, attach, mapped counters, event stream, and what each program costs.
//!
//! The only room with `unsafe`. Knows neither metric names nor guids. Dropping [`Kernel`] detaches
//! everything; nothing is pinned.
//!
//! # Slots
//! A cgroup has a *slot*, a line of counters per CPU that the kernel programs write and the agent
//! maps. It is handed out in the kernel when the cgroup is made, before a process can run in it.
//! Cgroups made below one that is marked as a container share its slot. Slot 0 is everything else:
//! the host, cgroups that found the pool empty, and what a released cgroup's packets or dirty
//! pages still cause. How a slot returns to the pool without ever mixing up two owners is told in
//! [`keeper`]; who deletes what, in [`shared`].
//!
//! # Limits
//! - CPU time is that of the fair scheduling class (tasks under real-time or deadline policies are
//!   charged without the event on older kernels).
//! - Packets without a full socket (forwarded ones, some resets) belong to no cgroup.
//! - Where blkio is a cgroup v1 hierarchy, its directory is joined by path once the agent has seen
//!   both births; block I/O in the moments before counts to slot 0.
//! - UDP peers on `127.0.0.1` and `::1` are told by port alone: network namespaces all have these
//!   addresses, so the last sender from that port in any of them is the answer.
//!
//! # Needs
//! Linux 5.11 with BTF and a cgroup2 mount (unified or hybrid); the memory gauges 6.1. Capabilities
//! `CAP_BPF` and `CAP_PERFMON`, and for packets `CAP_NET_ADMIN`; `CAP_SYS_ADMIN` in place of all,
//! and for [`Options::statistics`].

mod book;
mod btf;
mod counters;
mod epoch;
mod events;
mod facts;
mod host;
mod keeper;
mod load;
mod memory;
mod programs;
mod records;
mod shared;
mod sys;
mod tree;

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use guidon_common::{CgroupId, DELAY_BUCKETS, PROTOCOL_TCP, PROTOCOL_UDP, PeerKey};

pub(crate) use self::sys::register;
pub use self::{btf::BtfError, events::Events};
use self::{memory::MemoryGauges, programs::Programs, shared::Shared};

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
    /// CPU time in ns, exactly what the kernel charges.
    pub cpu_ns: u64,
    /// Switches because the task waited; 0 when the run-queue option is off.
    pub switches_voluntary: u64,
    /// Switches because somebody else was given the CPU; 0 when the option is off.
    pub switches_involuntary: u64,
    /// Received bytes, from the IP header on.
    pub receive_bytes: u64,
    /// Received packets as on the wire.
    pub receive_packets: u64,
    /// Sent bytes, from the IP header on.
    pub transmit_bytes: u64,
    /// Sent packets as on the wire.
    pub transmit_packets: u64,
    /// Tasks (processes and threads) made.
    pub forks: u64,
    /// Programs executed.
    pub execs: u64,
    /// Tasks gone.
    pub exits: u64,
    /// Processes chosen by the OOM killer.
    pub oom_kills: u64,
    /// TCP buffers sent again.
    pub tcp_retransmits: u64,
    /// TCP connections opened actively.
    pub tcp_connects: u64,
    /// TCP connections opened passively.
    pub tcp_accepts: u64,
    /// TCP connection attempts that came to nothing (the kernel's AttemptFails).
    pub tcp_failures: u64,
    /// Bytes read from block devices.
    pub read_bytes: u64,
    /// Requests to block devices that read.
    pub read_operations: u64,
    /// Time from issue to completion of reads, summed, in ns.
    pub read_ns: u64,
    /// Bytes written to block devices.
    pub write_bytes: u64,
    /// Requests to block devices that wrote.
    pub write_operations: u64,
    /// Time from issue to completion of writes, summed, in ns.
    pub write_ns: u64,
    /// Run-queue delay: `buckets[i]` counts waits of [2^i, 2^(i+1)) ns (bucket 0 also 0 ns; the
    /// last one everything longer). All zero when the option is off.
    pub run_queue_buckets: [u64; RUN_QUEUE_BUCKETS],
    /// Sum of the run-queue delays in ns.
    pub run_queue_ns: u64,
}

/// Number of log2 buckets of the run-queue delay.
pub const RUN_QUEUE_BUCKETS: usize = DELAY_BUCKETS;

/// A cgroup of the cgroup2 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    /// Inode number of its directory.
    pub id: CgroupId,
    /// The cgroup above.
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
    /// It was made; no process can have run in it before it had its slot.
    Born(Cgroup),
    /// Its directory was removed; sockets may still send for it.
    Removed {
        /// Which one.
        id: CgroupId,
        /// The slot it counts to.
        slot: Slot,
    },
    /// Nothing can count to it any more: its counters are final. Told some seconds after the
    /// removal at the latest, see [`Kernel::recycle`].
    Released {
        /// Which one.
        id: CgroupId,
        /// The slot it counted to; its own only if it was not inherited.
        slot: Slot,
    },
}

/// Memory gauges of one cgroup, from the iterator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Id in the memory controller's hierarchy (equals the cgroup2 id on pure v2).
    pub id: CgroupId,
    /// Charged memory.
    pub usage_bytes: u64,
    /// Absent where the kernel does not keep LRU sizes (MGLRU).
    pub lru: Option<Lru>,
}

/// LRU sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lru {
    /// Anonymous pages not used lately.
    pub inactive_anon: u64,
    /// Anonymous pages in use.
    pub active_anon: u64,
    /// Page cache not used lately.
    pub inactive_file: u64,
    /// Page cache in use.
    pub active_file: u64,
    /// Locked pages.
    pub unevictable: u64,
}

/// One kernel program: attached, or why not; and what it costs.
#[derive(Debug, Clone)]
pub struct ProgramStatus {
    /// Its name in the kernel.
    pub name: &'static str,
    /// Absent: attached.
    pub off_because: Option<String>,
    /// Times it ran, where the kernel keeps statistics (see [`Options::statistics`]).
    pub run_count: u64,
    /// Time of those runs in ns.
    pub run_ns: u64,
}

/// The state of the kernel side.
#[derive(Debug, Clone)]
pub struct Status {
    /// Every program of the object that the options ask for.
    pub programs: Vec<ProgramStatus>,
    /// All slots, the host's included.
    pub slots: u32,
    /// Slots without an owner.
    pub slots_free: u32,
    /// Times a cgroup got no slot and was counted to slot 0.
    pub slot_misses: u64,
    /// Events the ring buffer had no room for.
    pub events_lost: u64,
    /// Cgroups that the memory iterator had no record for, summed over its runs.
    pub memory_dropped: u64,
}

/// Why the kernel side cannot run at all (single programs that cannot are in [`Status`]).
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The build found no BPF toolchain, or was told to do without.
    #[error(
        "this build has no kernel programs: build it with the BPF toolchain (`cargo xtask setup`)"
    )]
    NotBuilt,
    /// The process lacks capabilities.
    #[error("missing capabilities: {}", missing.join(", "))]
    NotPermitted {
        /// Their names.
        missing: Vec<&'static str>,
    },
    /// Pure cgroup v1: the programs know cgroups by their cgroup2 id.
    #[error("no cgroup2 hierarchy is mounted (pure cgroup v1)")]
    NoUnifiedHierarchy,
    /// The kernel was built without `CONFIG_DEBUG_INFO_BTF`, or sysfs is not there.
    #[error("the kernel does not describe its types in /sys/kernel/btf/vmlinux")]
    NoTypes(#[source] std::io::Error),
    /// The kernel's type information cannot be read.
    #[error("the kernel's type information is broken")]
    Types(#[from] BtfError),
    /// A file in procfs, sysfs or the cgroup tree cannot be read.
    #[error("cannot read {}", path.display())]
    Host {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The counters would not fit an array.
    #[error("{slots} slots are too many on {cpus} cpus")]
    TooManySlots {
        /// As asked for.
        slots: u32,
        /// Possible CPUs.
        cpus: u32,
    },
    /// The object or its maps were refused.
    #[error("the kernel refused the object")]
    Load(#[source] Box<aya::EbpfError>),
    /// The object lacks a map: it does not belong to this build.
    #[error("the object has no map {map}")]
    NoMap {
        /// Its name.
        map: &'static str,
    },
    /// An operation on a map failed.
    #[error("cannot use map {map}")]
    Map {
        /// Its name.
        map: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A program that the room is nothing without cannot run.
    #[error("kernel program {program} cannot run: {reason}")]
    Essential {
        /// Its name.
        program: &'static str,
        /// Why.
        reason: String,
    },
    /// The slot keeper's thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// The loaded kernel side. Shared freely; dropping it detaches all programs.
#[derive(Debug)]
pub struct Kernel {
    programs: Mutex<Programs>,
    memory: Option<MemoryGauges>,
    slots: u32,
    /// Ports of [`Kernel::heed_datagrams_to`].
    heeded: Mutex<HashSet<u16>>,
    shared: Arc<Shared>,
    _statistics: Option<OwnedFd>,
}

impl Kernel {
    /// Loads and attaches; cgroups that exist already get their slots (see [`Kernel::cgroups`]).
    /// Blocks for some 300 ms.
    ///
    /// # Errors
    /// See [`KernelError`].
    pub fn load(options: &Options) -> Result<(Self, Events), KernelError> {
        load::load(options, false)
    }

    /// As [`Kernel::load`], with programs beside that do nothing on the same events: what they
    /// cost is what a program costs at all. For the bench.
    ///
    /// # Errors
    /// See [`KernelError`].
    pub fn load_beside_empty(options: &Options) -> Result<(Self, Events), KernelError> {
        load::load(options, true)
    }

    /// Every live cgroup below the root that is known, parents before children. After lost events:
    /// the truth.
    #[must_use]
    pub fn cgroups(&self) -> Vec<Cgroup> {
        self.shared.book().cgroups()
    }

    /// Reads one slot's counters from the mapped pages: no system call.
    pub fn read(&self, slot: Slot, into: &mut Counters) {
        self.shared.pages.read(slot, into);
    }

    /// Cgroups made below this one inherit its slot from now on.
    pub fn mark_container(&self, id: CgroupId) {
        if let Err(error) = self.shared.maps.containers.set(&id.0, &1, sys::ANY) {
            tracing::warn!(cgroup = id.0, %error, "cannot mark a container");
        }
    }

    /// The cgroup is no container's: its counts go to slot 0 from now on, with those of cgroups
    /// that inherited from it, and its slot returns to the pool.
    pub fn demote(&self, id: CgroupId) {
        self.shared.demote(id);
    }

    /// The final values of a released cgroup's slot were read: the slot returns to the pool. Does
    /// nothing for a slot that is still counting, as an inherited one is.
    ///
    /// Where something keeps the last reference to a removed cgroup (on cgroup v2 a page of its page
    /// cache does), its release is told after five seconds all the same, and what its sockets still
    /// send after that counts to slot 0.
    pub fn recycle(&self, slot: Slot) {
        self.shared.recycle(slot);
    }

    /// Refreshes and returns the memory gauges of all cgroups but the root: one `read` in all.
    /// Empty where the iterator cannot run (see [`Kernel::status`]).
    pub fn memory(&self, into: &mut Vec<Memory>) {
        into.clear();
        if let Some(gauges) = &self.memory {
            gauges.collect(into);
        }
    }

    /// The cgroup2 id of a cgroup of the memory controller's hierarchy, [`Memory::id`].
    #[must_use]
    pub fn of_memory(&self, id: CgroupId) -> Option<CgroupId> {
        let book = self.shared.book();
        match &self.shared.hierarchies.memory {
            Some(_) => book.by_memory_id(id),
            None => book.knows(id).then_some(id),
        }
    }

    /// From now on the senders of datagrams to this local port are remembered for
    /// [`Kernel::peer`].
    pub fn heed_datagrams_to(&self, port: u16) -> std::io::Result<()> {
        let ports = &self.shared.maps.udp_ports;
        let mut heeded = self.heeded.lock().unwrap_or_else(PoisonError::into_inner);
        heeded.insert(port);
        let word = u32::from(port >> 5);
        let bits = heeded
            .iter()
            .filter(|heeded| u32::from(**heeded >> 5) == word)
            .fold(0, |bits, heeded| bits | 1_u32 << (heeded & 31));
        ports.set(&word, &bits, sys::ANY)
    }

    /// The cgroup of the local socket bound to this address (the other end of a connection that
    /// came from this node), for TCP, and for UDP if it sent to a port of
    /// [`Kernel::heed_datagrams_to`].
    #[must_use]
    pub fn peer(&self, address: SocketAddr, udp: bool) -> Option<CgroupId> {
        let maps = &self.shared.maps;
        let ip = address.ip().to_canonical();
        let exact = match ip {
            IpAddr::V4(ip) => ip == std::net::Ipv4Addr::LOCALHOST,
            IpAddr::V6(ip) => ip == std::net::Ipv6Addr::LOCALHOST,
        };
        let found = if udp && exact {
            let half = if ip.is_ipv4() { 0 } else { 1 << 16 };
            maps.loopback_peers.get(&(half | u32::from(address.port())))
        } else {
            maps.peers.get(&peer_key(ip, address.port(), udp))
        };
        // Id 0 is nobody's: an array has all its entries from the start.
        found.ok().flatten().filter(|id| *id != 0).map(CgroupId)
    }

    /// Programs, slots, losses.
    #[must_use]
    pub fn status(&self) -> Status {
        let health = self.shared.health();
        Status {
            programs: self
                .programs
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .status(),
            slots: self.slots,
            slots_free: self.shared.free_slots(),
            slot_misses: health.slot_misses,
            events_lost: health.events_lost,
            memory_dropped: health.memory_dropped,
        }
    }
}

/// The key of a socket in the kernel's table.
fn peer_key(ip: IpAddr, port: u16, udp: bool) -> PeerKey {
    let octets = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    let mut address = [0; 4];
    for (word, bytes) in address.iter_mut().zip(octets.chunks_exact(4)) {
        *word = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    let protocol = if udp { PROTOCOL_UDP } else { PROTOCOL_TCP };
    PeerKey {
        address,
        port,
        protocol,
        zero: 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn peers_are_looked_up_by_the_bytes_the_kernel_sees() {
        let plain = peer_key("10.1.2.3".parse().unwrap(), 80, false);
        assert_eq!(
            plain.address,
            [0, 0, PeerKey::MAPPED, u32::from_ne_bytes([10, 1, 2, 3])]
        );
        assert_eq!((plain.port, plain.protocol), (80, PROTOCOL_TCP));
        let long = peer_key("2001:db8::1".parse().unwrap(), 80, true);
        assert_eq!(long.address[0].to_ne_bytes(), [0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!(long.address[3].to_ne_bytes(), [0, 0, 0, 1]);
    }

    #[test]
    fn the_kernel_can_be_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Kernel>();
        fn moved<T: Send>() {}
        moved::<Events>();
    }
}
