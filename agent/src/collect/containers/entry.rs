//! One container: its cgroups and slots, what was counted in cgroups that are gone, its files.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use guidon_common::CgroupId;

use super::files::{Files, Limits, Stats};
use super::metrics::Places;
use super::network::Network;
use crate::collect::rows::Totals;
use crate::collect::scan;
use crate::directory;
use crate::kernel::{Counters, Slot};

/// A container, from the birth of its cgroup until its final sample was taken.
#[derive(Debug)]
pub(super) struct Entry {
    /// The runtime's id.
    pub(super) id: String,
    /// The path of its cgroup: the `id` label.
    pub(super) path: String,
    /// What the directory says of it.
    pub(super) known: Option<Arc<directory::Container>>,
    /// Unix milliseconds when the agent learnt of it, and when its cgroup was made (as far as known).
    pub(super) seen_ms: i64,
    pub(super) born_ms: i64,
    /// Its live cgroups with a slot of their own, or none; inherited ones are not kept here.
    pub(super) members: Vec<Member>,
    /// Whether some slot counts, or counted, for it.
    pub(super) has_slots: bool,
    /// Counted in cgroups of it that were released.
    pub(super) gone: Counters,
    /// Counted by the kernel's own accounting before the programs were attached.
    pub(super) base: Base,
    /// Unix milliseconds when its cgroup was removed; absent: alive.
    pub(super) ended_ms: Option<i64>,
    /// Rounds since it ended.
    pub(super) rounds_ended: u8,
    /// Time of the latest sample sent, in Unix milliseconds.
    pub(super) sent_ms: i64,
    pub(super) files: Files,
    pub(super) limits: Limits,
    pub(super) stats: Stats,
    pub(super) network: Network,
    /// The cgroup's id in the memory controller's hierarchy.
    pub(super) memory_id: Option<CgroupId>,
    pub(super) places: Places,
    pub(super) passes: u32,
    pub(super) usage: Usage,
    /// The latest walk that found it, where cgroups are found by walking.
    pub(super) walk: u64,
}

/// A live cgroup of a container.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) cgroup: CgroupId,
    /// Where it counts; absent: to another member's slot, or nowhere.
    pub(super) slot: Option<Slot>,
    /// Below the container's cgroup: the path from there, starting with `/`; empty for its own.
    pub(super) below: String,
    /// Its directory was removed; it is not released yet.
    pub(super) removed: bool,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Base {
    pub(super) cpu_ns: u64,
    pub(super) oom_kills: u64,
}

/// Totals that rates are made of, at the latest round and the one before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) now: Totals,
    pub(super) before: Option<Totals>,
    pub(super) memory_bytes: Option<u64>,
}

impl Entry {
    /// Whether nothing can count to it any more.
    pub(super) fn is_released(&self) -> bool {
        self.members.is_empty()
    }

    /// Looks up the cgroup's id in the memory controller's hierarchy: its directory's inode number.
    pub(super) fn find_memory_id(&mut self) {
        let directory = self.files.memory_directory();
        let metadata = directory.and_then(|directory| std::fs::metadata(directory).ok());
        self.memory_id = metadata.map(|metadata| CgroupId(metadata.ino()));
    }

    /// Processes in its cgroup and those below.
    pub(super) fn processes(&mut self, buffer: &mut Vec<u8>) -> Option<u64> {
        let mut count = self.files.processes(buffer)?;
        let directory = self.files.process_directories().next()?;
        for below in self
            .members
            .iter()
            .map(|member| &member.below)
            .filter(|below| !below.is_empty())
        {
            let path = directory.join(&below[1..]).join("cgroup.procs");
            if scan::read_path(&path, buffer).is_ok() {
                count += scan::lines(buffer).count() as u64;
            }
        }
        Some(count)
    }

    /// The container has a new cgroup. One that was started again before its end was told goes on
    /// with its counters.
    pub(super) fn begin(&mut self, born_ms: i64) {
        let again = self.ended_ms.take().is_some() || !self.members.is_empty();
        if again {
            self.files.close();
            self.network.close();
            self.network.retry();
            self.memory_id = None;
            self.rounds_ended = 0;
            self.born_ms = born_ms;
        }
    }

    /// The container's cgroup was removed: its files are of no more use.
    pub(super) fn end(&mut self, now_ms: i64) {
        if self.ended_ms.is_none() {
            self.ended_ms = Some(now_ms);
            self.files.close();
            self.network.close();
        }
    }
}

/// `into += other`, for all counters.
pub(super) fn add(into: &mut Counters, other: &Counters) {
    into.cpu_ns += other.cpu_ns;
    into.switches_voluntary += other.switches_voluntary;
    into.switches_involuntary += other.switches_involuntary;
    into.receive_bytes += other.receive_bytes;
    into.receive_packets += other.receive_packets;
    into.transmit_bytes += other.transmit_bytes;
    into.transmit_packets += other.transmit_packets;
    into.forks += other.forks;
    into.execs += other.execs;
    into.exits += other.exits;
    into.oom_kills += other.oom_kills;
    into.tcp_retransmits += other.tcp_retransmits;
    into.tcp_connects += other.tcp_connects;
    into.tcp_accepts += other.tcp_accepts;
    into.tcp_failures += other.tcp_failures;
    into.read_bytes += other.read_bytes;
    into.read_operations += other.read_operations;
    into.read_ns += other.read_ns;
    into.write_bytes += other.write_bytes;
    into.write_operations += other.write_operations;
    into.write_ns += other.write_ns;
    into.run_queue_ns += other.run_queue_ns;
    for (sum, other) in into
        .run_queue_buckets
        .iter_mut()
        .zip(&other.run_queue_buckets)
    {
        *sum += other;
    }
}
