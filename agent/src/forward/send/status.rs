//! How a destination does, for people: the last failure, since when, how often. Logs that it
//! goes away and that it is back, not each attempt, and not each time where it comes and goes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::forward::destination::DestinationId;

/// A pause between two lines in the log about the same destination's failures.
const REPEAT: Duration = Duration::from_secs(60);

/// Kept by the sender, read by anybody.
#[derive(Debug, Default)]
pub(crate) struct Status {
    requests: AtomicU64,
    retries: AtomicU64,
    trouble: Mutex<Trouble>,
}

#[derive(Debug, Default)]
struct Trouble {
    failing_since: Option<Instant>,
    logged: Option<Instant>,
    /// This failure was logged, so its end will be.
    said: bool,
    last_error: Option<String>,
    last_refusal: Option<String>,
    refusal_logged: Option<Instant>,
    unlogged: u64,
}

/// What [`Status`] shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Health {
    pub(crate) requests: u64,
    pub(crate) retries: u64,
    pub(crate) failing_for: Option<Duration>,
    pub(crate) last_error: Option<String>,
    pub(crate) last_refusal: Option<String>,
}

impl Status {
    fn trouble(&self) -> std::sync::MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn delivered(&self, id: &DestinationId) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut trouble = self.trouble();
        if let Some(since) = trouble.failing_since.take()
            && std::mem::take(&mut trouble.said)
        {
            let seconds = since.elapsed().as_secs_f64();
            tracing::info!(destination = %id, seconds, "the receiver takes data again");
        }
    }

    pub(crate) fn failed(&self, id: &DestinationId, words: &str) {
        self.retries.fetch_add(1, Ordering::Relaxed);
        let mut trouble = self.trouble();
        let since = *trouble.failing_since.get_or_insert_with(Instant::now);
        if trouble.last_error.as_deref() != Some(words) {
            trouble.last_error = Some(words.to_owned());
        }
        if trouble
            .logged
            .is_none_or(|logged| logged.elapsed() >= REPEAT)
        {
            trouble.logged = Some(Instant::now());
            trouble.said = true;
            let seconds = since.elapsed().as_secs_f64();
            tracing::warn!(destination = %id, error = words, seconds, "the receiver takes no data, trying again");
        }
    }

    pub(crate) fn refused(&self, words: &str) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.trouble().last_refusal = Some(words.to_owned());
    }

    /// Whether refused records may be logged now: how many since the last time.
    pub(crate) fn may_log_refusal(&self, records: u64, every: Duration) -> Option<u64> {
        let mut trouble = self.trouble();
        trouble.unlogged += records;
        if trouble
            .refusal_logged
            .is_some_and(|logged| logged.elapsed() < every)
        {
            return None;
        }
        trouble.refusal_logged = Some(Instant::now());
        Some(std::mem::take(&mut trouble.unlogged))
    }

    pub(crate) fn health(&self) -> Health {
        let trouble = self.trouble();
        Health {
            requests: self.requests.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            failing_for: trouble.failing_since.map(|since| since.elapsed()),
            last_error: trouble.last_error.clone(),
            last_refusal: trouble.last_refusal.clone(),
        }
    }
}
