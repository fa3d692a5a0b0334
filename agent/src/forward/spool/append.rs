//! The writing side of a spool: groups of frames in one write, rolling, the bound, the cursor.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::cursor::CursorFile;
use super::disk::{DiskFile, write_all};
use super::record::{self, Mark};
use super::segment::{self, Item, Payloads, SEGMENT_HEADER, SegmentReader};
use super::{Limits, Segment, Spool, SpoolError};
use crate::config::WhenFull;
use crate::forward::ledger::{Book, Entry, Reason};
use crate::signal::Frame;

/// Where an appended frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) start: Mark,
    pub(crate) end: Mark,
    pub(crate) segment: u64,
    /// The end of its record in the segment.
    pub(crate) offset: u64,
}

/// The only writer of a spool's directory.
#[derive(Debug)]
pub(crate) struct Appender {
    spool: Arc<Spool>,
    cursor: CursorFile,
    active: Option<Active>,
    limits: Limits,
    book: Arc<Book>,
    headers: Vec<u8>,
    header_ends: Vec<usize>,
    /// Something was written since the last [`Appender::sync`].
    dirty: bool,
    new_names: bool,
    /// Whether [`Appender::sync`] will be called; closed segments then wait for it.
    syncs: bool,
    closed: Vec<Arc<dyn DiskFile>>,
}

#[derive(Debug)]
struct Active {
    file: Arc<dyn DiskFile>,
    len: u64,
}

impl Appender {
    /// `active` is the last segment, when it can be written on.
    pub(super) fn new(
        spool: Arc<Spool>,
        cursor: CursorFile,
        active: Option<(Arc<dyn DiskFile>, u64)>,
        limits: Limits,
        book: Arc<Book>,
    ) -> Self {
        Self {
            spool,
            cursor,
            active: active.map(|(file, len)| Active { file, len }),
            limits,
            book,
            headers: Vec::new(),
            header_ends: Vec::new(),
            dirty: false,
            new_names: false,
            syncs: false,
            closed: Vec::new(),
        }
    }

    pub(crate) fn spool(&self) -> &Arc<Spool> {
        &self.spool
    }

    /// Takes over another bound or policy, and whether there is an fsync interval.
    pub(crate) fn configure(&mut self, limits: Limits, syncs: bool) {
        self.limits = limits;
        self.syncs = syncs;
        if !syncs {
            self.closed.clear();
        }
    }

    /// Writes frames in one go. When it returns without an error they are all in the page cache and
    /// can be read, and `placed` says where; with an error none is.
    pub(crate) fn append(
        &mut self,
        frames: &[Frame],
        now_ms: u64,
        placed: &mut Vec<Placed>,
    ) -> Result<(), SpoolError> {
        placed.clear();
        if frames.is_empty() {
            return Ok(());
        }
        let mut at = self.spool.state().end;
        self.headers.clear();
        self.header_ends.clear();
        let mut bytes = 0;
        for frame in frames {
            let before = self.headers.len();
            record::encode(&mut self.headers, &self.spool.marker, frame, at, now_ms);
            self.header_ends.push(self.headers.len());
            bytes += (self.headers.len() - before + frame.payload.len()) as u64;
            let end = Mark {
                seq: at.seq + 1,
                total: at.total + frame.records(),
            };
            placed.push(Placed {
                start: at,
                end,
                segment: 0,
                offset: bytes,
            });
            at = end;
        }
        let (segment, offset) = match self.prepare(bytes) {
            Ok(place) => place,
            Err(error) => {
                placed.clear();
                return Err(error);
            }
        };
        if let Err(error) = self.write(frames, segment, offset) {
            placed.clear();
            return Err(error);
        }
        for place in placed.iter_mut() {
            place.segment = segment;
            place.offset += offset;
        }
        self.publish(at, offset + bytes, bytes);
        Ok(())
    }

    /// Finds room: keeps the bound, rolls to a new segment when the present one is full.
    fn prepare(&mut self, bytes: u64) -> Result<(u64, u64), SpoolError> {
        let never_fits = bytes + 2 * SEGMENT_HEADER > self.limits.max_bytes;
        while self.spool.bytes() + bytes + SEGMENT_HEADER > self.limits.max_bytes {
            let refuse = never_fits || self.limits.when_full == WhenFull::Refuse;
            if refuse || !self.drop_oldest()? {
                return Err(SpoolError::Full {
                    path: self.spool.dir.clone(),
                    max_bytes: self.limits.max_bytes,
                });
            }
        }
        let segment_bytes = self.limits.segment_bytes();
        let room =
            |active: &Active| active.len == SEGMENT_HEADER || active.len + bytes <= segment_bytes;
        if !self.active.as_ref().is_some_and(room) {
            self.roll()?;
        }
        let name = self.spool.state().segments.back().map(|last| last.name);
        match (&self.active, name) {
            (Some(active), Some(name)) => Ok((name, active.len)),
            _ => Err(SpoolError::io(
                "find the active segment of",
                &self.spool.dir,
                std::io::ErrorKind::NotFound.into(),
            )),
        }
    }

    /// Starts a new segment.
    fn roll(&mut self) -> Result<(), SpoolError> {
        let first = self.spool.state().end;
        let path = self.spool.path(first.seq);
        let make = || {
            let file = self.spool.disk.create(&path)?;
            // The name can be taken: by a file that a failed roll left, or that holds nothing valid.
            // Not otherwise: ext4 takes a file that was cut to nothing for one that is being replaced,
            // and writes all of it to the disk when it is closed.
            if file.len()? > 0 {
                file.truncate(0)?;
            }
            let header = segment::encode_header(&self.spool.marker, first);
            write_all(&*file, &mut [IoSlice::new(&header)], 0)?;
            Ok(file)
        };
        let file = make().map_err(|error| {
            // Best effort: an empty file holds nothing and is taken over by the next roll.
            let _ = self.spool.disk.remove(&path);
            SpoolError::io("make", &path, error)
        })?;
        let mut state = self.spool.state();
        state.segments.retain(|segment| segment.name != first.seq);
        state.segments.push_back(Segment {
            name: first.seq,
            first,
            len: SEGMENT_HEADER,
        });
        drop(state);
        self.spool
            .bytes
            .fetch_add(SEGMENT_HEADER, Ordering::Relaxed);
        let closed = self.active.replace(Active {
            file,
            len: SEGMENT_HEADER,
        });
        if self.syncs {
            self.closed.extend(closed.map(|active| active.file));
        }
        self.new_names = true;
        Ok(())
    }

    fn write(&mut self, frames: &[Frame], segment: u64, offset: u64) -> Result<(), SpoolError> {
        let Some(active) = &self.active else {
            return Ok(());
        };
        let mut slices = Vec::with_capacity(frames.len() * 2);
        let mut from = 0;
        for (frame, &end) in frames.iter().zip(&self.header_ends) {
            slices.push(IoSlice::new(&self.headers[from..end]));
            slices.push(IoSlice::new(&frame.payload));
            from = end;
        }
        self.dirty = true;
        let Err(error) = write_all(&*active.file, &mut slices, offset) else {
            return Ok(());
        };
        // Nothing torn stays behind. Where even that fails the segment is left alone: readers stop
        // at its published length, and recovery passes over the rest.
        if active.file.truncate(offset).is_err() {
            self.active = None;
        }
        Err(SpoolError::io("write", &self.spool.path(segment), error))
    }

    fn publish(&mut self, end: Mark, len: u64, bytes: u64) {
        if let Some(active) = &mut self.active {
            active.len = len;
        }
        let mut state = self.spool.state();
        state.end = end;
        if let Some(last) = state.segments.back_mut() {
            last.len = len;
        }
        drop(state);
        self.spool.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.spool.end_seq.store(end.seq, Ordering::Release);
        self.spool.appended.notify_waiters();
    }

    /// Drops the oldest segment and books what nobody has delivered. Returns whether there was one.
    fn drop_oldest(&mut self) -> Result<bool, SpoolError> {
        let segments = self.spool.state().segments.len();
        if segments == 0 || (segments == 1 && !self.close_active()?) {
            return Ok(false);
        }
        let (oldest, lost) = {
            let mut state = self.spool.state();
            let next = state.segments.get(1).map_or(state.end, |next| next.first);
            let Some(oldest) = state.segments.pop_front() else {
                return Ok(false);
            };
            (oldest, state.progress.forget_below(next))
        };
        self.book_lost(&oldest, &lost);
        self.spool.bytes.fetch_sub(oldest.len, Ordering::Relaxed);
        self.save_cursor();
        let path = self.spool.path(oldest.name);
        match self.spool.disk.remove(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(SpoolError::io("remove", &path, error)),
        }
    }

    /// Rolls so that the only segment can be dropped; `false` when it holds nothing.
    fn close_active(&mut self) -> Result<bool, SpoolError> {
        let empty = {
            let state = self.spool.state();
            state
                .segments
                .back()
                .is_none_or(|last| last.first.seq == state.end.seq)
        };
        if empty {
            return Ok(false);
        }
        self.roll()?;
        Ok(true)
    }

    /// Books the records of lost ranges under their guids; what cannot be read is booked without.
    fn book_lost(&self, segment: &Segment, lost: &[(Mark, Mark)]) {
        let owed: u64 = lost
            .iter()
            .map(|(from, to)| to.total.saturating_sub(from.total))
            .sum();
        let mut booked = 0;
        if let Ok(file) = self.spool.disk.open(&self.spool.path(segment.name)) {
            let mut reader = SegmentReader::new(file, self.spool.marker, 0, segment.len);
            while let Ok(Some(item)) = reader.next(Payloads::Skip) {
                if let Item::Record { header, frame } = item
                    && lost
                        .iter()
                        .any(|&(from, to)| header.start >= from && header.end() <= to)
                {
                    self.book
                        .add(Entry::Dropped(Reason::SpoolFull), &frame.counts);
                    booked += frame.records();
                }
            }
        }
        self.book.add_unnamed(
            Entry::Dropped(Reason::SpoolCorrupt),
            owed.saturating_sub(booked),
        );
        if owed > 0 {
            tracing::debug!(records = owed, "oldest segment dropped, spool is full");
        }
    }

    /// Keeps the delivery state, and removes segments that are done with.
    pub(crate) fn commit(&mut self) {
        if !self.save_cursor() {
            // A segment that the cursor still points into must stay, or its records would be
            // counted as lost after a restart.
            return;
        }
        loop {
            let done = {
                let mut state = self.spool.state();
                let low = state.progress.low();
                match state.segments.get(1) {
                    Some(next) if next.first.seq <= low.seq => state.segments.pop_front(),
                    _ => None,
                }
            };
            let Some(done) = done else {
                return;
            };
            self.spool.bytes.fetch_sub(done.len, Ordering::Relaxed);
            let path = self.spool.path(done.name);
            if let Err(error) = self.spool.disk.remove(&path) {
                tracing::warn!(path = %path.display(), %error, "cannot remove a delivered segment");
            }
        }
    }

    fn save_cursor(&mut self) -> bool {
        match self.cursor.save(&self.spool.saved()) {
            Ok(written) => {
                self.dirty |= written;
                true
            }
            Err(error) => {
                tracing::debug!(dir = %self.spool.dir.display(), %error, "cannot write the cursor");
                false
            }
        }
    }

    /// Makes what was written survive a power cut.
    pub(crate) fn sync(&mut self) -> Result<(), SpoolError> {
        self.save_cursor();
        if !self.dirty {
            return Ok(());
        }
        let failed = |error| SpoolError::io("sync", &self.spool.dir, error);
        let active = self.active.iter().map(|active| &active.file);
        for file in self.closed.iter().chain(active) {
            file.sync().map_err(failed)?;
        }
        self.cursor.sync().map_err(failed)?;
        if self.new_names {
            self.spool.disk.sync_dir(&self.spool.dir).map_err(failed)?;
        }
        self.closed.clear();
        self.new_names = false;
        self.dirty = false;
        Ok(())
    }
}
