#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod damage;
mod faults;
mod faulty;
mod inspection;
mod model;
mod property;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use self::faulty::FaultyDisk;
use super::record::Mark;
use super::recover::Recovered;
use super::tail::Queued;
use super::{Appender, Limits, Read, SpoolError, Tail, open};
use crate::config::WhenFull;
use crate::forward::DestinationId;
use crate::forward::destination::Route;
use crate::forward::ledger::{Book, Entry, Ledger};
use crate::signal::{Frame, Kind};

pub(super) const DIR: &str = "/spool";

/// A log frame of `records` records and `len` payload bytes that tell which frame it is.
pub(super) fn frame(guid: &str, number: u64, records: u32, len: usize) -> Frame {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(len.max(8), number as u8);
    Frame {
        kind: Kind::OtlpLogs,
        raw_len: payload.len() as u32,
        payload: Bytes::from(payload),
        counts: vec![(guid.parse().unwrap(), records)],
    }
}

pub(super) fn number(frame: &Frame) -> u64 {
    u64::from_le_bytes(*frame.payload.first_chunk().unwrap())
}

pub(super) const fn limits(max_bytes: u64) -> Limits {
    Limits {
        max_bytes,
        when_full: WhenFull::DropOldest,
    }
}

/// An open spool with its book.
pub(super) struct Rig {
    pub(super) disk: Arc<FaultyDisk>,
    pub(super) ledger: Ledger,
    pub(super) book: Arc<Book>,
    pub(super) log: Appender,
    pub(super) report: Recovered,
}

impl Rig {
    pub(super) fn open(disk: &Arc<FaultyDisk>, limits: Limits) -> Self {
        Self::try_open(disk, limits).unwrap()
    }

    pub(super) fn try_open(disk: &Arc<FaultyDisk>, limits: Limits) -> Result<Self, SpoolError> {
        let ledger = Ledger::default();
        let book = ledger.book(&DestinationId::local(Route::Logs));
        let (log, report) = open(
            Arc::clone(disk) as _,
            Path::new(DIR),
            limits,
            Arc::clone(&book),
        )?;
        let spool = Arc::clone(log.spool());
        book.held_by(move || spool.holdings());
        Ok(Self {
            disk: Arc::clone(disk),
            ledger,
            book,
            log,
            report,
        })
    }

    pub(super) fn append(&mut self, frames: &[Frame]) -> Result<(), SpoolError> {
        self.log.append(frames, 7, &mut Vec::new())?;
        for frame in frames {
            self.book.add(Entry::Received, &frame.counts);
        }
        Ok(())
    }

    /// Appends frames one by one, numbered from `from`.
    pub(super) fn append_numbers(&mut self, numbers: std::ops::Range<u64>, len: usize) {
        for number in numbers {
            self.append(&[frame("app", number, 10, len)]).unwrap();
        }
    }

    /// Reads everything from the oldest that is not delivered.
    pub(super) fn read(&self) -> VecDeque<Read> {
        let (low, end) = {
            let state = self.log.spool().state();
            (state.progress.low(), state.end)
        };
        let mut tail = Tail::new(Arc::clone(self.log.spool()), low);
        let mut found = VecDeque::new();
        while tail.at() < end {
            tail.read(end, 100, &mut found).unwrap();
        }
        found
    }

    /// The numbers of the frames that can be read, and the records in gaps.
    pub(super) fn readable(&self) -> (Vec<u64>, u64) {
        let mut numbers = Vec::new();
        let mut missing = 0;
        for read in self.read() {
            match read {
                Read::Record(queued) => {
                    assert_eq!(queued.appended_ms, 7);
                    numbers.push(number(&queued.frame));
                }
                Read::Gap { from, to } => missing += to.total - from.total,
            }
        }
        (numbers, missing)
    }

    /// Delivers up to `count` frames, as a sender does; returns their numbers.
    pub(super) fn deliver(&mut self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        for read in self.read().into_iter().take(count) {
            match read {
                Read::Record(queued) => numbers.push(self.deliver_one(&queued)),
                Read::Gap { from, to } => self.pass(from, to),
            }
        }
        self.log.commit();
        numbers
    }

    fn deliver_one(&self, queued: &Queued) -> u64 {
        let mut state = self.log.spool().state();
        state.progress.take(queued.start, queued.end);
        state.progress.settle(queued.end);
        drop(state);
        self.book.add(Entry::Sent, &queued.frame.counts);
        number(&queued.frame)
    }

    fn pass(&self, from: Mark, to: Mark) {
        self.log.spool().state().progress.done(from, to);
        let lost = Entry::Dropped(crate::forward::ledger::Reason::SpoolCorrupt);
        self.book.add_unnamed(lost, to.total - from.total);
    }

    pub(super) fn expect_books_to_close(&self) {
        for audit in self.ledger.audit() {
            assert!(audit.closes(), "{audit}");
        }
    }

    pub(super) fn dropped(&self, reason: &str) -> u64 {
        let rows = self.ledger.records();
        let rows = rows
            .iter()
            .filter(|row| row.stage == "dropped" && row.reason == reason);
        rows.map(|row| row.records).sum()
    }
}
