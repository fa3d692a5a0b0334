//! Reading the local bus: the spool of a signal that has no destination. Readers do not consume;
//! what the bound takes is gone for all of them, and a cursor into it says so.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::spool::record::Mark;
use super::spool::{Read, Spool, Tail};
use crate::signal::Frame;

/// A place on the bus: behind the frames that were read. Text for the outside by `Display` and
/// `FromStr`; whoever holds one need not understand it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    spool: u64,
    at: Mark,
    /// Where that is, for speed only.
    hint: (u64, u64),
}

/// A text that is not a [`Cursor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of the local bus")]
pub struct InvalidCursor;

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The spool is not open: its directory cannot be used at present.
    #[error("the local bus is not available")]
    Unavailable,
    /// The disk failed.
    #[error("the local bus cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// What [`Reader::read`] returns.
#[derive(Debug, Clone)]
pub struct Page {
    /// Frames in order, each with the cursor that leads behind it.
    pub frames: Vec<(Cursor, Frame)>,
    /// Where to read on.
    pub next: Cursor,
    /// Records between the cursor and here that are gone: taken by the bound, or damaged.
    pub missed: u64,
    /// The cursor is not from this log (the data directory was cleared, say): this page starts at the
    /// oldest frame there is.
    pub restarted: bool,
}

/// A way to read one signal's bus. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reader {
    opened: watch::Receiver<Option<Arc<Spool>>>,
}

impl Reader {
    pub(crate) fn new(opened: watch::Receiver<Option<Arc<Spool>>>) -> Self {
        Self { opened }
    }

    /// The place behind the newest frame, to read only what comes. `None` while the bus is not open.
    #[must_use]
    pub fn end(&self) -> Option<Cursor> {
        let spool = self.opened.borrow().clone()?;
        let end = spool.state().end;
        Some(Cursor::new(&spool, end, (0, 0)))
    }

    /// Reads frames behind a cursor, or from the oldest, up to about `max_bytes` of payload (at
    /// least one frame, if there is one). Waits at most so long for the first.
    pub async fn read(
        &self,
        cursor: Option<Cursor>,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<Page, BusError> {
        let deadline = Instant::now() + wait;
        let spool = self.spool(deadline).await?;
        let (at, hint, restarted) = {
            let state = spool.state();
            let low = state.progress.low();
            match cursor {
                None => (low, None, false),
                Some(cursor) if cursor.spool == marker(&spool) && cursor.at <= state.end => {
                    (cursor.at, Some(cursor.hint), false)
                }
                Some(_) => (low, None, true),
            }
        };
        loop {
            let appended = spool.appended().notified();
            if at.seq < spool.end_seq() {
                return self.page(&spool, at, hint, max_bytes, restarted).await;
            }
            if tokio::time::timeout_at(deadline, appended).await.is_err() {
                return Ok(Page {
                    frames: Vec::new(),
                    next: Cursor::new(&spool, at, hint.unwrap_or_default()),
                    missed: 0,
                    restarted,
                });
            }
        }
    }

    async fn spool(&self, deadline: Instant) -> Result<Arc<Spool>, BusError> {
        let mut opened = self.opened.clone();
        let spool = tokio::time::timeout_at(deadline, opened.wait_for(Option::is_some)).await;
        match spool {
            Ok(Ok(spool)) => spool.clone().ok_or(BusError::Unavailable),
            Ok(Err(_)) | Err(_) => Err(BusError::Unavailable),
        }
    }

    async fn page(
        &self,
        spool: &Arc<Spool>,
        at: Mark,
        hint: Option<(u64, u64)>,
        max_bytes: usize,
        restarted: bool,
    ) -> Result<Page, BusError> {
        let reading = Arc::clone(spool);
        let found = tokio::task::spawn_blocking(move || {
            let until = reading.state().end;
            let mut tail = Tail::starting(reading, at, hint);
            let mut found = VecDeque::new();
            tail.read(until, max_bytes.max(1), &mut found)
                .map(|()| (found, tail.at()))
        });
        let (found, end) = found.await.map_err(|_| BusError::Unavailable)??;
        let mut page = Page {
            frames: Vec::with_capacity(found.len()),
            next: Cursor::new(spool, end, (0, 0)),
            missed: 0,
            restarted,
        };
        let mut expected = at;
        for read in found {
            match read {
                Read::Record(queued) => {
                    page.missed += queued.start.total.saturating_sub(expected.total);
                    expected = queued.end;
                    let hint = (queued.segment, queued.offset);
                    page.next = Cursor::new(spool, queued.end, hint);
                    page.frames.push((page.next, queued.frame));
                }
                Read::Gap { .. } => {}
            }
        }
        if end > expected {
            page.missed += end.total.saturating_sub(expected.total);
            page.next = Cursor::new(spool, end, (0, 0));
        }
        Ok(page)
    }
}

fn marker(spool: &Spool) -> u64 {
    u64::from_be_bytes(spool.marker())
}

impl Cursor {
    fn new(spool: &Spool, at: Mark, hint: (u64, u64)) -> Self {
        Self {
            spool: marker(spool),
            at,
            hint,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spool, at, hint } = self;
        write!(
            formatter,
            "{spool:016x}-{:x}-{:x}-{:x}-{:x}",
            at.seq, at.total, hint.0, hint.1
        )
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let mut parts = text.split('-');
        let mut next = || {
            let part = parts.next().ok_or(InvalidCursor)?;
            u64::from_str_radix(part, 16).map_err(|_| InvalidCursor)
        };
        let cursor = Self {
            spool: next()?,
            at: Mark {
                seq: next()?,
                total: next()?,
            },
            hint: (next()?, next()?),
        };
        match parts.next() {
            None => Ok(cursor),
            Some(_) => Err(InvalidCursor),
        }
    }
}
