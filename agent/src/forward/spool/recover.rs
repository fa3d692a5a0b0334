//! Opening a spool: finding out what an earlier process left, with constant memory.
//!
//! Only segment headers and the last segment are read; damage further up is found and counted when
//! delivery comes by, which is exact because each record says how many records came before it.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::append::Appender;
use super::cursor::{CursorFile, Saved};
use super::disk::{Disk, DiskFile};
use super::progress::{Progress, Snapshot};
use super::record::{Mark, Marker};
use super::segment::{self, Item, Payloads, SegmentHeader, SegmentReader};
use super::{Limits, Segment, Spool, SpoolError, State};
use crate::forward::ledger::{Book, Entry, Reason};

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Recovered {
    /// Records that wait for delivery: the opening balance.
    pub(crate) backlog: u64,
    /// Records that the last process had on the line: they are delivered again.
    pub(crate) resent: u64,
    /// Bytes of a torn record that were cut off.
    pub(crate) torn_bytes: u64,
    /// Bytes of the last segment that hold no record.
    pub(crate) damaged_bytes: u64,
    /// Both slots of the cursor were damaged: everything in the log is delivered again.
    pub(crate) cursor_lost: bool,
}

/// Opens a spool's directory, making it where there is none, and books the opening balance. The
/// caller holds the lock.
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    limits: Limits,
    book: Arc<Book>,
) -> Result<(Appender, Recovered), SpoolError> {
    let failed = |action| move |error| SpoolError::io(action, dir, error);
    disk.make_dir(dir).map_err(failed("make"))?;
    let (mut cursor, saved) =
        CursorFile::open(&*disk, dir).map_err(failed("open the cursor in"))?;
    let mut found = Vec::new();
    for (name, len) in disk.list(dir).map_err(failed("list"))? {
        if let Some(name) = segment::parse_file_name(&name) {
            found.push((name, len));
        }
    }
    found.sort_unstable();

    let mut report = Recovered {
        cursor_lost: saved.is_none() && !found.is_empty(),
        ..Recovered::default()
    };
    let marker = match &saved {
        Some(saved) => saved.marker,
        None => marker_of(&*disk, dir, &found)?.unwrap_or_else(rand::random),
    };
    let end_known = saved
        .as_ref()
        .map_or(Mark::default(), |saved| saved.written);
    let log = Log::read(&*disk, dir, &found, marker, end_known, &mut report)?;

    let mut state = State {
        end: log.end,
        progress: Progress::restore(match saved {
            Some(saved) => saved.delivery,
            None => Snapshot {
                low: log.segments.front().map_or(log.end, |first| first.first),
                ..Snapshot::default()
            },
        }),
        segments: log.segments,
    };
    if state.progress.low() > state.end {
        // Not from a crash: the cursor is written after the log. Believe the cursor.
        state.end = state.progress.low();
    }
    report.backlog = state.progress.waiting(state.end);
    let snapshot = state.progress.snapshot();
    report.resent = snapshot
        .attempted
        .total
        .min(state.end.total)
        .saturating_sub(snapshot.low.total);
    cursor
        .reserve(&Saved {
            marker,
            written: state.end,
            delivery: snapshot,
        })
        .map_err(failed("write the cursor in"))?;
    balance(&book, &report);
    let spool = Arc::new(Spool {
        disk,
        dir: dir.to_owned(),
        marker,
        end_seq: AtomicU64::new(state.end.seq),
        bytes: AtomicU64::new(state.segments.iter().map(|segment| segment.len).sum()),
        state: Mutex::new(state),
        appended: Notify::new(),
    });
    Ok((
        Appender::new(spool, cursor, log.active, limits, book),
        report,
    ))
}

/// Books the difference between what the book expects here and what is here.
fn balance(book: &Book, report: &Recovered) {
    let expected = book.balance();
    if report.backlog >= expected {
        book.add_unnamed(Entry::Recovered, report.backlog - expected);
    } else {
        let lost = expected - report.backlog;
        book.add_unnamed(Entry::Dropped(Reason::SpoolCorrupt), lost);
    }
    book.add_resent(report.resent);
}

fn marker_of(
    disk: &dyn Disk,
    dir: &Path,
    found: &[(u64, u64)],
) -> Result<Option<Marker>, SpoolError> {
    for &(name, _) in found {
        let path = dir.join(segment::file_name(name));
        let read = || segment::read_header(&*disk.open(&path)?);
        if let SegmentHeader::Valid { marker, .. } =
            read().map_err(|error| SpoolError::io("read", &path, error))?
        {
            return Ok(Some(marker));
        }
    }
    Ok(None)
}

/// What the segments say.
struct Log {
    segments: VecDeque<Segment>,
    end: Mark,
    active: Option<(Arc<dyn DiskFile>, u64)>,
}

impl Log {
    fn read(
        disk: &dyn Disk,
        dir: &Path,
        found: &[(u64, u64)],
        marker: Marker,
        end_known: Mark,
        report: &mut Recovered,
    ) -> Result<Self, SpoolError> {
        let mut log = Self {
            segments: VecDeque::with_capacity(found.len()),
            end: end_known,
            active: None,
        };
        let mut end_found = false;
        // From the newest to the oldest: the first one with a record has the log's end.
        for &(name, len) in found.iter().rev() {
            let path = dir.join(segment::file_name(name));
            let failed = |error| SpoolError::io("read", &path, error);
            let file = disk.open(&path).map_err(failed)?;
            let first = match segment::read_header(&*file).map_err(failed)? {
                SegmentHeader::Valid { marker: own, first } if own == marker => Some(first),
                SegmentHeader::Newer(version) => return Err(SpoolError::Newer { path, version }),
                SegmentHeader::Valid { .. } | SegmentHeader::Damaged => None,
            };
            let newest = log.segments.is_empty();
            let first = match first {
                Some(first) if end_found => first,
                _ => {
                    let scan = scan(file, marker, len).map_err(failed)?;
                    if let Some((_, end)) = scan.marks {
                        log.end = log.end.max(end);
                        end_found = true;
                    }
                    if newest {
                        report.torn_bytes = len.saturating_sub(scan.end);
                        report.damaged_bytes = scan.damaged;
                        if first.is_some() {
                            log.active = Some(reopen(disk, &path, scan.end)?);
                        }
                    }
                    // Without a readable first record it counts as empty: its records are a gap.
                    let after = log.segments.front().map_or(log.end, |next| next.first);
                    first
                        .or(scan.marks.map(|(first, _)| first))
                        .unwrap_or(after)
                }
            };
            let len = match (&log.active, newest) {
                (Some((_, end)), true) => *end,
                _ => len,
            };
            log.segments.push_front(Segment { name, first, len });
        }
        if log.active.is_none()
            && let Some(last) = log.segments.back()
            && last.name >= log.end.seq
        {
            // The next segment will need this name.
            log.end.seq = last.name + 1;
        }
        Ok(log)
    }
}

/// What a look at each record of a segment found.
struct Scan {
    marks: Option<(Mark, Mark)>,
    /// The end of the last record.
    end: u64,
    /// Bytes before that which hold no record.
    damaged: u64,
}

fn scan(file: Arc<dyn DiskFile>, marker: Marker, len: u64) -> io::Result<Scan> {
    let mut reader = SegmentReader::new(file, marker, 0, len);
    let mut scan = Scan {
        marks: None,
        end: segment::SEGMENT_HEADER,
        damaged: 0,
    };
    let mut damaged = 0;
    while let Some(item) = reader.next(Payloads::From(0))? {
        match item {
            Item::Record { header, .. } => {
                let first = scan.marks.map_or(header.start, |(first, _)| first);
                scan.marks = Some((first, header.end()));
                scan.end = reader.offset();
                scan.damaged += std::mem::take(&mut damaged);
            }
            Item::Damage { bytes } => damaged += bytes,
        }
    }
    Ok(scan)
}

/// Opens the last segment for writing on, without what is torn.
fn reopen(disk: &dyn Disk, path: &Path, end: u64) -> Result<(Arc<dyn DiskFile>, u64), SpoolError> {
    let reopen = || {
        let file = disk.create(path)?;
        if file.len()? > end {
            file.truncate(end)?;
        }
        Ok(file)
    };
    let file = reopen().map_err(|error| SpoolError::io("open", path, error))?;
    Ok((file, end))
}
