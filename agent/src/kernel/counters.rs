//! Reading counters from the mapped pages.

use std::{io, mem::offset_of, os::fd::BorrowedFd};

use guidon_common::{CounterRecord, DELAY_BUCKETS, DelayRecord};

use super::{Counters, Slot, records::Records, sys::Pages};

const WORDS: usize = CounterRecord::WORDS;

/// The counters of all slots.
#[derive(Debug)]
pub(super) struct CounterPages {
    counters: Records<WORDS>,
    /// Absent when run-queue delays are off.
    delays: Option<Records<DELAY_BUCKETS>>,
}

impl CounterPages {
    /// Maps the arrays.
    pub(super) fn new(
        counters: BorrowedFd<'_>,
        delays: Option<BorrowedFd<'_>>,
        slots: u32,
        cpus: u32,
    ) -> io::Result<Self> {
        const { assert!(size_of::<DelayRecord>() == DELAY_BUCKETS * size_of::<u64>()) };
        let (slots, cpus) = (slots as usize, cpus as usize);
        Ok(Self {
            counters: map(counters, slots, cpus)?,
            delays: delays.map(|map| self::map(map, slots, cpus)).transpose()?,
        })
    }

    /// What the slot's owner counted so far.
    pub(super) fn read(&self, slot: Slot, into: &mut Counters) {
        let words = self.counters.since_base(slot.0 as usize);
        macro_rules! word {
            ($group:ident . $counter:ident) => {
                words[offset_of!(CounterRecord, $group.$counter) / size_of::<u64>()]
            };
        }
        *into = Counters {
            cpu_ns: word!(task.cpu_ns),
            switches_voluntary: word!(task.switches_voluntary),
            switches_involuntary: word!(task.switches_involuntary),
            receive_bytes: word!(network.receive_bytes),
            receive_packets: word!(network.receive_packets),
            transmit_bytes: word!(network.transmit_bytes),
            transmit_packets: word!(network.transmit_packets),
            forks: word!(task.forks),
            execs: word!(task.execs),
            exits: word!(task.exits),
            oom_kills: word!(task.oom_kills),
            tcp_retransmits: word!(network.tcp_retransmits),
            tcp_connects: word!(network.tcp_connects),
            tcp_accepts: word!(network.tcp_accepts),
            tcp_failures: word!(network.tcp_failures),
            read_bytes: word!(block.read_bytes),
            read_operations: word!(block.read_operations),
            read_ns: word!(block.read_ns),
            write_bytes: word!(block.write_bytes),
            write_operations: word!(block.write_operations),
            write_ns: word!(block.write_ns),
            run_queue_buckets: self.delays.as_ref().map_or([0; DELAY_BUCKETS], |delays| {
                delays.since_base(slot.0 as usize)
            }),
            run_queue_ns: word!(task.run_queue_ns),
        };
    }

    /// Makes the slot read as zero from here on. Only the keeper calls this, when nothing can
    /// count to the slot.
    pub(super) fn rebase(&self, slot: Slot) {
        self.counters.rebase(slot.0 as usize);
        if let Some(delays) = &self.delays {
            delays.rebase(slot.0 as usize);
        }
    }
}

/// Maps an array with `N` words for each slot and CPU.
fn map<const N: usize>(map: BorrowedFd<'_>, slots: usize, cpus: usize) -> io::Result<Records<N>> {
    let record = N * size_of::<u64>();
    let live = Pages::of_map(map, slots * cpus * record)?;
    Ok(Records::new(live, Pages::zeroed(slots * record)?, cpus))
}
