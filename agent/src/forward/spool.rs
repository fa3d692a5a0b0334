//! The spool: an append-only log of frames on disk, one for each destination.
//!
//! Owns the log's files, its bound, its recovery, and the delivery cursor. Knows neither senders
//! nor receivers. One [`Appender`] writes (its thread is the only one that writes to the
//! directory), any number of [`Tail`]s read.
//!
//! # Promises
//! - A frame for which [`Appender::append`] returned is in the page cache: it survives the death of
//!   the process, and with an fsync interval a power cut up to that interval.
//! - Reading and recovery hold one record at a time, whatever the backlog.
//! - Damage costs the damaged records only. Each loss is counted: every record carries the number
//!   of records before it, so a reader knows how many a gap held.
//!
//! # Format, version 1 (little endian)
//! ```text
//! <data_dir>/spool/lock                      held by flock; the holder's pid as text
//! <data_dir>/spool/<route>-<id>/about.json   route and URL, for people
//! …/cursor                                   see the module `cursor`: two slots of 4096 bytes
//! …/<20 digits>.seg                          segments; the digits are the first frame's number
//!
//! segment header, 40 bytes
//!    0  8  "GUIDSPOL"
//!    8  4  version
//!   12  4  CRC-32 of the other 36 bytes
//!   16  8  marker: random, the same in all segments, in all records and in the cursor
//!   24  8  number of the first frame
//!   32  8  records before it, since the spool was made
//!
//! record, 64 bytes + counts + payload
//!    0  8  marker
//!    8  4  CRC-32 of bytes 12 to the end of the counts
//!   12  4  length of the counts
//!   16  4  length of the payload
//!   20  4  CRC-32 of the payload
//!   24  4  length of the payload before compression
//!   28  1  kind: 1 remote write, 2 OTLP metrics, 3 OTLP logs, 4 OTLP traces
//!   29  3  zero
//!   32  8  number of this frame
//!   40  8  records before it, since the spool was made
//!   48  8  when it was appended, milliseconds since the epoch
//!   56  8  records in it
//!   64     counts, for each guid: length (1), guid, records (4)
//!          payload
//! ```
//! Numbers only grow; a segment's last record may be torn (the process died in the write, nobody
//! was told that it is kept) and is cut off when the log is opened.

pub(crate) mod append;
pub(crate) mod cursor;
pub(crate) mod disk;
pub mod inspect;
pub(crate) mod lock;
pub(crate) mod progress;
pub(crate) mod record;
pub(crate) mod recover;
pub(crate) mod segment;
pub(crate) mod tail;
#[cfg(test)]
mod tests;

pub(crate) use append::{Appender, Placed};
pub(crate) use recover::open;
pub(crate) use tail::{Read, Tail};

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use self::cursor::Saved;
use self::disk::Disk;
use self::progress::Progress;
use self::record::{Mark, Marker};
use super::ledger::Holdings;
use crate::config::WhenFull;

/// Why a spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// A call on a file failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Two agents on one directory.
    #[error("{path} is in use by another guidon (pid {holder})")]
    InUse {
        /// The spool's directory.
        path: PathBuf,
        /// The process that holds it, as it wrote itself down.
        holder: String,
    },
    /// Written by a newer program.
    #[error("{path} has format version {version}, newer than this program reads")]
    Newer {
        /// The segment.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The bound is reached and the policy is to refuse.
    #[error("{path} has reached its bound of {max_bytes} bytes")]
    Full {
        /// The spool's directory.
        path: PathBuf,
        /// The bound.
        max_bytes: u64,
    },
}

impl SpoolError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// A spool's bound and what happens there. May change while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) max_bytes: u64,
    pub(crate) when_full: WhenFull,
}

impl Limits {
    /// Segments are a part of the bound, so that dropping the oldest costs little. Small ones are
    /// also delivered and removed before the kernel starts to write them to the disk.
    pub(crate) fn segment_bytes(self) -> u64 {
        const LARGEST: u64 = 16 << 20;
        const SMALLEST: u64 = 4 << 10;
        (self.max_bytes / 8).clamp(SMALLEST, LARGEST)
    }
}

/// One file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The number in its file name.
    pub(crate) name: u64,
    /// The place of its first record.
    pub(crate) first: Mark,
    /// Bytes that readers may look at.
    pub(crate) len: u64,
}

/// What the appender, the sender and readers share.
#[derive(Debug)]
pub(crate) struct Spool {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    marker: Marker,
    state: Mutex<State>,
    end_seq: AtomicU64,
    bytes: AtomicU64,
    appended: Notify,
}

#[derive(Debug)]
pub(crate) struct State {
    /// Oldest first; the last one is written to.
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) end: Mark,
    pub(crate) progress: Progress,
}

impl Spool {
    /// The state, for short: held for no input or output.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number the next frame will get; everything below can be read.
    pub(crate) fn end_seq(&self) -> u64 {
        self.end_seq.load(Ordering::Acquire)
    }

    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Woken at each append.
    pub(crate) fn appended(&self) -> &Notify {
        &self.appended
    }

    pub(crate) fn marker(&self) -> Marker {
        self.marker
    }

    /// What the ledger's audit asks for.
    pub(crate) fn holdings(&self) -> Holdings {
        let state = self.state();
        Holdings {
            spooled: state.progress.waiting(state.end),
            in_flight: state.progress.in_flight(),
            bytes: self.bytes(),
        }
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.dir.join(segment::file_name(segment))
    }

    /// What is to be kept in the cursor file now.
    fn saved(&self) -> Saved {
        let state = self.state();
        Saved {
            marker: self.marker,
            written: state.end,
            delivery: state.progress.snapshot(),
        }
    }
}
