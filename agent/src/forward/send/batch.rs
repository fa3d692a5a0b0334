//! Putting frames together until they are worth a request.

use std::time::Duration;

use tokio::time::Instant;

use crate::forward::lane::writer::now_ms;
use crate::forward::options::Tuning;
use crate::forward::spool::record::Mark;
use crate::forward::spool::tail::Queued;

/// Frames that follow one another, and what they amount to.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    tuning: &'a Tuning,
    frames: Vec<Queued>,
    records: u64,
    bytes: usize,
    raw_bytes: u64,
    deadline: Option<Instant>,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(tuning: &'a Tuning) -> Self {
        Self {
            tuning,
            frames: Vec::new(),
            records: 0,
            bytes: 0,
            raw_bytes: 0,
            deadline: None,
        }
    }

    /// Adds a frame, or gives it back when the batch would become too large. The first always fits.
    pub(crate) fn push(&mut self, queued: Queued) -> Result<(), Queued> {
        let records = self.records + queued.frame.records();
        let bytes = self.bytes + queued.frame.payload.len();
        let raw_bytes = self.raw_bytes + u64::from(queued.frame.raw_len);
        let tuning = self.tuning;
        let too_large = records > tuning.max_records
            || bytes > tuning.max_bytes
            || raw_bytes > tuning.max_raw_bytes;
        if too_large && !self.frames.is_empty() {
            return Err(queued);
        }
        if self.deadline.is_none() {
            let age = Duration::from_millis(now_ms().saturating_sub(queued.appended_ms));
            self.deadline = Some(Instant::now() + tuning.linger.saturating_sub(age));
        }
        self.records = records;
        self.bytes = bytes;
        self.raw_bytes = raw_bytes;
        self.frames.push(queued);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether it is large enough to go without waiting for more.
    pub(crate) fn is_enough(&self) -> bool {
        self.records >= self.tuning.enough_records || self.bytes >= self.tuning.enough_bytes
    }

    /// When it goes, however small. `None` while it is empty.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Where the next frame has to start.
    pub(crate) fn last_end(&self) -> Option<Mark> {
        self.frames.last().map(|last| last.end)
    }

    pub(crate) fn into_frames(self) -> Vec<Queued> {
        self.frames
    }
}
