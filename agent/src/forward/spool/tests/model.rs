//! A spool as anybody would write it in memory, to compare with.

use std::collections::VecDeque;

/// One frame: its number and its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) records: u32,
}

/// The frames that are not delivered.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) waiting: VecDeque<Entry>,
}

impl Model {
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.waiting.iter().map(|entry| entry.number).collect()
    }

    pub(super) fn records(&self) -> u64 {
        self.waiting
            .iter()
            .map(|entry| u64::from(entry.records))
            .sum()
    }

    pub(super) fn deliver(&mut self, count: usize) -> Vec<u64> {
        let count = count.min(self.waiting.len());
        self.waiting
            .drain(..count)
            .map(|entry| entry.number)
            .collect()
    }
}
