//! The books: received + collected = sent + spooled + in flight + dropped, per signal, always.

/// The `stage` label of `guidon_records_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    Received,
    Collected,
    Sent,
    Dropped,
}

/// The counters of the contract.
#[derive(Debug, Default)]
pub struct Ledger {}
