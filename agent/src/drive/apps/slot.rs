//! One guid's place: whose turn it is, what is wanted, how it went.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

use crate::drive::DriveError;
use crate::drive::store::Desired;

/// Pause before the first repetition, and the longest one; each is drawn between half and the
/// whole of a value that doubles.
const BACKOFF: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Held by whoever changes the app.
    pub(super) turn: tokio::sync::Mutex<()>,
    note: Mutex<Note>,
}

#[derive(Debug, Default)]
struct Note {
    desired: Option<Arc<Desired>>,
    last_error: Option<String>,
    progress: Option<String>,
    /// When to look whether the app is as it should be; absent: it is, as far as is known.
    due: Option<Instant>,
    failures: u32,
}

impl Slot {
    /// For what was found on disk: whether it is true is not known yet.
    pub(super) fn stored(desired: Desired) -> Self {
        let slot = Self::default();
        slot.want(Arc::new(desired));
        slot.doubt();
        slot
    }

    pub(super) fn desired(&self) -> Option<Arc<Desired>> {
        self.note().desired.clone()
    }

    pub(super) fn want(&self, desired: Arc<Desired>) {
        self.note().desired = Some(desired);
    }

    pub(super) fn forget(&self) {
        *self.note() = Note::default();
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.note().last_error.clone()
    }

    pub(super) fn current_progress(&self) -> Option<String> {
        self.note().progress.clone()
    }

    pub(super) fn progress(&self, line: Option<String>) {
        self.note().progress = line;
    }

    pub(super) fn succeeded(&self) {
        let mut note = self.note();
        note.last_error = None;
        note.due = None;
        note.failures = 0;
    }

    /// Whether this error is news.
    pub(super) fn failed(&self, error: &DriveError) -> bool {
        let error = error.to_string();
        let mut note = self.note();
        let doubled = BACKOFF.saturating_mul(1 << note.failures.min(10));
        let pause = doubled.min(BACKOFF_MAX);
        note.failures += 1;
        note.due = Some(Instant::now() + pause.mul_f64(rand::rng().random_range(0.5..1.0)));
        let news = note.last_error.as_ref() != Some(&error);
        note.last_error = Some(error);
        news
    }

    /// The app may not be as it should be: look as soon as possible.
    pub(super) fn doubt(&self) {
        self.note().due = Some(Instant::now());
    }

    /// When to look; absent: no reason to.
    pub(super) fn due(&self) -> Option<Instant> {
        self.note().due
    }

    /// Whether somebody is changing the app right now.
    pub(super) fn is_busy(&self) -> bool {
        self.turn.try_lock().is_err()
    }

    fn note(&self) -> MutexGuard<'_, Note> {
        // Every change of a note is one assignment or harmless alone.
        self.note.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
