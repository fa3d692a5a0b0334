//! The books: received + collected = sent + spooled + in flight + dropped, per signal, always.
//!
//! Each destination keeps its own [`Book`]; a record that goes to two destinations is booked in
//! both, on both sides of the equation, so the sum over destinations that the contract exports
//! (`guidon_records_total{signal,stage,reason,guid}`) closes too. What a spool holds when it is
//! opened is its opening balance: stage `received`, reason `recovered`. A record that the log was
//! known to hold and cannot give back is `dropped`, reason `spool_corrupt`.
//!
//! `spooled` and `in flight` are not computed from the counters: a spool tells what it holds by
//! its own marks, so [`Ledger::audit`] can really find a difference.
//!
//! Limits: at most [`MAX_GUIDS`] guids a book; more, and guids without traffic for a day, are
//! booked under the empty guid.

mod book;
mod entry;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

pub use book::MAX_GUIDS;
pub(crate) use book::{Book, Holdings};
pub use entry::{Entry, Reason, Stage};

use super::destination::DestinationId;
use crate::signal::Signal;

/// All books of the agent.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Books are never removed: a counter must not go backwards when a destination goes.
    books: Mutex<BTreeMap<DestinationId, Arc<Book>>>,
}

/// One line of `guidon_records_total`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct RecordRow {
    /// `metrics`, `logs` or `traces`.
    pub signal: &'static str,
    /// `received`, `collected`, `sent` or `dropped`.
    pub stage: &'static str,
    /// Why; empty where there is nothing to say.
    pub reason: &'static str,
    /// Whose; empty for none, unknown, or long silent ones.
    pub guid: String,
    /// How many.
    pub records: u64,
}

/// What one destination's queue or spool holds: `guidon_spool_records` and friends.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SpoolRow {
    /// `metrics`, `logs` or `traces`.
    pub signal: &'static str,
    /// The URL without credentials, or `local`.
    pub destination: String,
    /// Records on disk that are not delivered.
    pub records: u64,
    /// Bytes on disk, delivered ones that are not yet removed included.
    pub bytes: u64,
    /// Records on the line, or in memory where nothing is spooled.
    pub in_flight: u64,
    /// Records that were handed to the network more than once, as far as known.
    pub resent: u64,
}

/// The equation for one destination.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Audit {
    /// `metrics`, `logs` or `traces`.
    pub signal: &'static str,
    /// The URL without credentials, or `local`.
    pub destination: String,
    /// Taken from receivers, the opening balance included.
    pub received: u64,
    /// Taken from collectors.
    pub collected: u64,
    /// Delivered.
    pub sent: u64,
    /// On disk, waiting.
    pub spooled: u64,
    /// On the line, or waiting in memory.
    pub in_flight: u64,
    /// Lost, each with a reason.
    pub dropped: u64,
}

impl Audit {
    /// Whether the books close. While frames move, the figures are read one after the other and may
    /// differ by what moved meanwhile.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.received + self.collected == self.sent + self.spooled + self.in_flight + self.dropped
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} {}: received {} + collected {} {} sent {} + spooled {} + in flight {} + dropped {}",
            self.signal,
            self.destination,
            self.received,
            self.collected,
            if self.closes() { "=" } else { "!=" },
            self.sent,
            self.spooled,
            self.in_flight,
            self.dropped
        )
    }
}

impl Ledger {
    /// The book of a destination, opened when it is new.
    pub(crate) fn book(&self, id: &DestinationId) -> Arc<Book> {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(books.entry(id.clone()).or_default())
    }

    /// The counters, summed over destinations, sorted, without zeros.
    #[must_use]
    pub fn records(&self) -> Vec<RecordRow> {
        let mut sums: BTreeMap<(Signal, Entry, String), u64> = BTreeMap::new();
        for (id, book) in self.all() {
            book.visit(&mut |guid, entry, records| {
                *sums
                    .entry((id.signal(), entry, guid.to_owned()))
                    .or_default() += records;
            });
        }
        sums.into_iter()
            .map(|((signal, entry, guid), records)| RecordRow {
                signal: signal.as_str(),
                stage: entry.stage().as_str(),
                reason: entry.reason(),
                guid,
                records,
            })
            .collect()
    }

    /// What each destination holds.
    #[must_use]
    pub fn spools(&self) -> Vec<SpoolRow> {
        self.all()
            .into_iter()
            .map(|(id, book)| {
                let holdings = book.holdings();
                SpoolRow {
                    signal: id.signal().as_str(),
                    destination: id.label(),
                    records: holdings.spooled,
                    bytes: holdings.bytes,
                    in_flight: holdings.in_flight,
                    resent: book.resent(),
                }
            })
            .collect()
    }

    /// The equation of each destination.
    #[must_use]
    pub fn audit(&self) -> Vec<Audit> {
        self.all()
            .into_iter()
            .map(|(id, book)| {
                let mut audit = Audit {
                    signal: id.signal().as_str(),
                    destination: id.label(),
                    received: 0,
                    collected: 0,
                    sent: 0,
                    spooled: 0,
                    in_flight: 0,
                    dropped: 0,
                };
                book.visit(&mut |_, entry, records| {
                    *match entry.stage() {
                        Stage::Received => &mut audit.received,
                        Stage::Collected => &mut audit.collected,
                        Stage::Sent => &mut audit.sent,
                        Stage::Dropped => &mut audit.dropped,
                    } += records;
                });
                let holdings = book.holdings();
                audit.spooled = holdings.spooled;
                audit.in_flight = holdings.in_flight;
                audit
            })
            .collect()
    }

    fn all(&self) -> Vec<(DestinationId, Arc<Book>)> {
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        books
            .iter()
            .map(|(id, book)| (id.clone(), Arc::clone(book)))
            .collect()
    }
}
