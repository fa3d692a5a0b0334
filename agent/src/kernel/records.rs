//! Words that the kernel counts in, and where each owner of a slot began.
//!
//! The kernel's words only ever grow, over all owners of a slot. What a slot's owner counted is
//! their sum over the CPUs, less the *base*: that sum when the slot was last given to the pool.
//! Nothing is zeroed: a program that has just loaded a word would store the old sum plus its own
//! amount over the zero. One that is late by the same margin with a base costs its own amount at
//! most, and the [keeper](super::keeper) lets none be late. `tests/loom.rs` holds it to its word.

use super::sys::{AtomicU64, Ordering, Pages};

/// Records of a fixed number of words, one per slot and CPU, and a base per slot.
#[derive(Debug)]
pub(super) struct Records<const N: usize> {
    live: Pages,
    base: Pages,
    cpus: usize,
}

impl<const N: usize> Records<N> {
    /// Over mapped words: those of the kernel, and as many zeros as there are for one CPU.
    pub(super) fn new(live: Pages, base: Pages, cpus: usize) -> Self {
        Self { live, base, cpus }
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

    /// What a slot's owner counted; zeros for a slot that does not exist.
    pub(super) fn since_base(&self, slot: usize) -> [u64; N] {
        let (Some(mut totals), Some(base)) = (self.totals(slot), self.base(slot)) else {
            return [0; N];
        };
        for (total, base) in totals.iter_mut().zip(base) {
            *total = total.wrapping_sub(base.load(Ordering::Relaxed));
        }
        totals
    }

    /// Makes a slot read as zero from here on. For when nothing can count to it.
    pub(super) fn rebase(&self, slot: usize) {
        let (Some(totals), Some(base)) = (self.totals(slot), self.base(slot)) else {
            return;
        };
        for (base, total) in base.iter().zip(totals) {
            base.store(total, Ordering::Relaxed);
        }
    }
}
