//! Whether a connection is in use: requests begin and end on any thread, one task asks.
//! `tests/loom.rs` holds it to its word.

use super::sync::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Requests of a connection. Times are milliseconds since it was opened.
#[derive(Debug)]
pub(super) struct Activity {
    under_way: AtomicUsize,
    /// When the last one ended.
    ended_ms: AtomicU64,
    begun: AtomicBool,
}

/// What a connection without a request under way is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Idle {
    /// Its first request, since it was opened.
    First,
    /// Another one, since then.
    Since(u64),
}

impl Activity {
    /// Without any.
    pub(super) fn new() -> Self {
        Self {
            under_way: AtomicUsize::new(0),
            ended_ms: AtomicU64::new(0),
            begun: AtomicBool::new(false),
        }
    }

    /// A request begins.
    pub(super) fn begin(&self) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.begun.store(true, Ordering::Relaxed);
    }

    /// A request ends.
    pub(super) fn end(&self, now_ms: u64) {
        // Of requests that end side by side the later one counts.
        self.ended_ms.fetch_max(now_ms, Ordering::Relaxed);
        // Pairs with the load in `idle`: who sees that none is left sees when they ended.
        self.under_way.fetch_sub(1, Ordering::Release);
    }

    /// What it waits for; `None` while it is busy.
    pub(super) fn idle(&self) -> Option<Idle> {
        if self.under_way.load(Ordering::Acquire) > 0 {
            return None;
        }
        Some(match self.begun.load(Ordering::Relaxed) {
            true => Idle::Since(self.ended_ms.load(Ordering::Relaxed)),
            false => Idle::First,
        })
    }
}
