//! Reading counters from the mapped pages.
//!
//! The kernel's words only ever grow, over all owners of a slot. What a slot's owner counted is
//! their sum over the CPUs, less the *base*: that sum when the slot was last given to the pool.
//! Nothing is zeroed: a program that has just loaded a word would store the old sum plus its own
//! amount over the zero. One that is late by the same margin with a base costs its own amount at
//! most, and the [keeper](super::keeper) lets none be late.

use std::{
    io,
    mem::offset_of,
    os::fd::BorrowedFd,
    sync::atomic::{AtomicU64, Ordering},
};

use guidon_common::{CounterRecord, DELAY_BUCKETS, DelayRecord};

use super::{Counters, Slot, sys::Pages};

const WORDS: usize = CounterRecord::WORDS;

/// Records of a fixed number of words, one per slot and CPU, and a base per slot.
#[derive(Debug)]
struct Records<const N: usize> {
    live: Pages,
    base: Pages,
    cpus: usize,
}

impl<const N: usize> Records<N> {
    fn new(map: BorrowedFd<'_>, slots: usize, cpus: usize) -> io::Result<Self> {
        let record = N * size_of::<u64>();
        Ok(Self {
            live: Pages::of_map(map, slots * cpus * record)?,
            base: Pages::zeroed(slots * record)?,
            cpus,
        })
    }

    fn base(&self, slot: usize) -> Option<&[AtomicU64]> {
        self.base.words().get(slot * N..(slot + 1) * N)
    }

    /// Sums over the CPUs; `None` for a slot that does not exist.
    fn totals(&self, slot: usize) -> Option<[u64; N]> {
        let records = self
            .live
            .words()
            .get(slot * self.cpus * N..(slot + 1) * self.cpus * N)?;
        let mut totals = [0_u64; N];
        for record in records.chunks_exact(N) {
            for (total, word) in totals.iter_mut().zip(record) {
                *total = total.wrapping_add(word.load(Ordering::Relaxed));
            }
        }
        Some(totals)
    }

    fn since_base(&self, slot: usize) -> [u64; N] {
        let (Some(mut totals), Some(base)) = (self.totals(slot), self.base(slot)) else {
            return [0; N];
        };
        for (total, base) in totals.iter_mut().zip(base) {
            *total = total.wrapping_sub(base.load(Ordering::Relaxed));
        }
        totals
    }

    fn rebase(&self, slot: usize) {
        let (Some(totals), Some(base)) = (self.totals(slot), self.base(slot)) else {
            return;
        };
        for (base, total) in base.iter().zip(totals) {
            base.store(total, Ordering::Relaxed);
        }
    }
}

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
            counters: Records::new(counters, slots, cpus)?,
            delays: delays
                .map(|delays| Records::new(delays, slots, cpus))
                .transpose()?,
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
