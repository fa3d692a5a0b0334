//! What following logs counts about itself.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::forward::Refused;

/// Counters of the tailer.
#[derive(Debug, Default)]
pub struct Statistics {
    pub files: AtomicU64,
    pub streams: AtomicU64,
    pub unreadable: AtomicU64,
    pub lines: AtomicU64,
    pub malformed: AtomicU64,
    pub lag_bytes: AtomicU64,
    pub refused: AtomicU64,
    pub errors: AtomicU64,
}

impl Statistics {
    pub(super) fn count_error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was not taken; the first time, that is said.
    pub(super) fn count_refused(&self, error: &Refused) {
        if self.refused.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(%error, "log lines wait where they are until they are taken");
        }
    }

    /// What came of saving positions.
    pub(super) fn saved(&self, outcome: std::io::Result<()>) {
        if let Err(error) = outcome {
            self.count_error();
            tracing::warn!(%error, "log positions cannot be saved, a crash would repeat lines");
        }
    }
}
