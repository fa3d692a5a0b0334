//! The lane in memory between those who write frames and the sender: a bounded queue, by frames and
//! bytes, that never waits. Knows nothing of what the frames are for. `tests/loom.rs` holds it to its word.

use super::spool::tail::Queued;
use super::sync::{ArrayQueue, AtomicBool, AtomicU64, AtomicUsize, Notify, Ordering};

/// A bounded queue of frames; any number of threads push, one task pops.
#[derive(Debug)]
pub(crate) struct HotLane {
    queue: ArrayQueue<Queued>,
    bytes: AtomicUsize,
    max_bytes: usize,
    closed: AtomicBool,
    notify: Notify,
    disk_below: AtomicU64,
}

impl HotLane {
    /// Room for so many frames and, whatever their number, about so many bytes.
    pub(crate) fn new(frames: usize, max_bytes: usize) -> Self {
        Self {
            queue: ArrayQueue::new(frames.max(1)),
            bytes: AtomicUsize::new(0),
            max_bytes,
            closed: AtomicBool::new(false),
            notify: Notify::new(),
            disk_below: AtomicU64::new(0),
        }
    }

    /// Puts a frame in, or gives it back when there is no room. One frame always fits.
    pub(crate) fn push(&self, queued: Queued) -> Result<(), Queued> {
        let bytes = queued.frame.payload.len();
        let before = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        if before > 0 && before + bytes > self.max_bytes {
            self.bytes.fetch_sub(bytes, Ordering::AcqRel);
            return Err(queued);
        }
        match self.queue.push(queued) {
            Ok(()) => {
                self.notify.notify_one();
                Ok(())
            }
            Err(queued) => {
                self.bytes.fetch_sub(bytes, Ordering::AcqRel);
                Err(queued)
            }
        }
    }

    /// The oldest frame.
    pub(crate) fn pop(&self) -> Option<Queued> {
        let queued = self.queue.pop()?;
        self.bytes
            .fetch_sub(queued.frame.payload.len(), Ordering::AcqRel);
        Some(queued)
    }

    /// Returns after the next push, or at once if there was one since the last return. Only the one
    /// task that pops may wait.
    pub(crate) async fn pushed(&self) {
        self.notify.notified().await;
    }

    /// Frames below this number may be on disk only: they found no room here, or are from before.
    pub(crate) fn disk_below(&self) -> u64 {
        self.disk_below.load(Ordering::Acquire)
    }

    /// Says that a frame below this number is on disk only, and wakes the task that waits.
    pub(crate) fn set_disk_below(&self, seq: u64) {
        self.disk_below.fetch_max(seq, Ordering::AcqRel);
        self.notify.notify_one();
    }

    /// From now on nobody pops. Whoever pushes sees [`HotLane::is_closed`] afterwards and has to
    /// take out what it put in.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}
