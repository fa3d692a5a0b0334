//! Inlets, lanes, batches, spool, senders, ledger.
//!
//! Does not know who produced a frame.

pub mod ledger;

pub use ledger::{Ledger, Stage};

use crate::signal::Frame;

/// Why a frame was not taken. The caller still owns the data and tells its sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A queue or the spool is full; worth trying again after this long.
    #[error("{what} is full")]
    Full {
        what: String,
        retry_after: std::time::Duration,
    },
    /// The spool cannot be written.
    #[error("spool {destination}: {error}")]
    Spool { destination: String, error: String },
    /// The agent is shutting down.
    #[error("shutting down")]
    Closing,
}

/// Where frames enter. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Inlet {}

impl Inlet {
    /// Takes a frame; returns when it is as durable as the configuration promises. Books it as
    /// `received` or `collected` only when taken.
    pub async fn accept(&self, _frame: Frame, _stage: Stage) -> Result<(), Refused> {
        Err(Refused::Closing)
    }
}
