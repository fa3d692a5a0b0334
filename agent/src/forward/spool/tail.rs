//! Reading a spool in order from any place, up to what is written. Blocking calls.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::Spool;
use super::record::Mark;
use super::segment::{Item, Payloads, SEGMENT_HEADER, SegmentReader};
use crate::signal::Frame;

/// A frame out of the log, or out of the lane that leads round it.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    pub(crate) frame: Frame,
    pub(crate) start: Mark,
    pub(crate) end: Mark,
    pub(crate) appended_ms: u64,
    /// The segment it lies in and the end of its record there: a hint where the next one is.
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

/// What a reader found.
#[derive(Debug)]
pub(crate) enum Read {
    Record(Queued),
    /// Records that the log should hold and does not.
    Gap {
        from: Mark,
        to: Mark,
    },
}

/// A reading place in a spool.
#[derive(Debug)]
pub(crate) struct Tail {
    spool: Arc<Spool>,
    at: Mark,
    open: Option<Open>,
    /// Segments up to this name have nothing for the present place.
    read_through: Option<u64>,
    hint: Option<(u64, u64)>,
    damaged_bytes: u64,
}

#[derive(Debug)]
struct Open {
    name: u64,
    reader: SegmentReader,
    /// Opened at a hint that has not proved right yet.
    on_trust: bool,
}

impl Tail {
    pub(crate) fn new(spool: Arc<Spool>, at: Mark) -> Self {
        Self {
            spool,
            at,
            open: None,
            read_through: None,
            hint: None,
            damaged_bytes: 0,
        }
    }

    /// Like [`Tail::new`], with a hint as for [`Tail::seek`].
    pub(crate) fn starting(spool: Arc<Spool>, at: Mark, hint: Option<(u64, u64)>) -> Self {
        Self {
            hint,
            ..Self::new(spool, at)
        }
    }

    /// The place of the next record.
    pub(crate) fn at(&self) -> Mark {
        self.at
    }

    /// Goes to another place. The hint says in which segment and at which offset that is, if known;
    /// a wrong hint costs time only.
    pub(crate) fn seek(&mut self, at: Mark, hint: Option<(u64, u64)>) {
        if at != self.at {
            self.at = at;
            self.open = None;
            self.read_through = None;
            self.hint = hint;
        }
    }

    /// Bytes without a record that were passed over since the last call.
    pub(crate) fn take_damaged_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.damaged_bytes)
    }

    /// Reads on, below `until`, until about `max_bytes` of payload were found. What lies below the
    /// oldest segment by the will of the bound is passed over silently.
    pub(crate) fn read(
        &mut self,
        until: Mark,
        max_bytes: usize,
        out: &mut VecDeque<Read>,
    ) -> io::Result<()> {
        let mut bytes = 0;
        while self.at < until && bytes < max_bytes {
            let found = self.open_segment()?;
            let Some(open) = self.open.as_mut().filter(|_| found) else {
                self.gap(until, out);
                return Ok(());
            };
            let item = open.reader.next(Payloads::From(self.at.seq))?;
            match item {
                None => {
                    if !self.next_segment() {
                        self.gap(until, out);
                        return Ok(());
                    }
                }
                Some(Item::Damage { bytes }) => self.damaged_bytes += bytes,
                Some(Item::Record { header, frame }) => {
                    let at = self.at;
                    let trusted = !std::mem::take(&mut open.on_trust);
                    if !trusted && header.start != at {
                        // A wrong hint: look from the start of the segment.
                        self.open = None;
                        self.hint = None;
                        continue;
                    }
                    if header.start.seq < at.seq {
                        continue;
                    }
                    let (segment, offset) = (open.name, open.reader.offset());
                    if header.start >= until {
                        self.gap(until, out);
                        // It was read for nothing: come back to it.
                        self.open = None;
                        self.hint = Some((segment, offset - header.record_len()));
                        return Ok(());
                    }
                    self.gap(header.start, out);
                    self.at = header.end();
                    bytes += frame.payload.len();
                    out.push_back(Read::Record(Queued {
                        frame,
                        start: header.start,
                        end: self.at,
                        appended_ms: header.appended_ms,
                        segment,
                        offset,
                    }));
                }
            }
        }
        Ok(())
    }

    /// Gives up on the present segment, which cannot be read: the next one, or else the end.
    pub(crate) fn skip_segment(&mut self, until: Mark, out: &mut VecDeque<Read>) {
        let to = {
            let state = self.spool.state();
            let next = state
                .segments
                .iter()
                .find(|segment| segment.first > self.at);
            next.map_or(until, |next| next.first.min(until))
        };
        self.open = None;
        self.hint = None;
        self.gap(to, out);
    }

    fn gap(&mut self, to: Mark, out: &mut VecDeque<Read>) {
        if to > self.at {
            out.push_back(Read::Gap { from: self.at, to });
            self.at = to;
        }
    }

    /// Goes to the segment behind the open one, if there is one.
    fn next_segment(&mut self) -> bool {
        let Some(open) = &self.open else {
            return false;
        };
        let name = open.name;
        let last = self.spool.state().segments.back().map(|last| last.name);
        if last.is_none_or(|last| last <= name) {
            return false;
        }
        self.read_through = Some(name);
        self.open = None;
        true
    }

    /// Opens the segment with the present place. `false` when no segment is left.
    fn open_segment(&mut self) -> io::Result<bool> {
        let segment = {
            let state = self.spool.state();
            let low = state
                .segments
                .front()
                .map_or(state.end, |oldest| oldest.first);
            if self.at < low && state.progress.low() >= low {
                self.at = low;
                self.open = None;
            }
            let open = self.open.as_ref().and_then(|open| {
                let index = state
                    .segments
                    .binary_search_by_key(&open.name, |segment| segment.name);
                index.ok()
            });
            let index = open.unwrap_or_else(|| {
                let through = self.read_through;
                let unread = state
                    .segments
                    .partition_point(|segment| Some(segment.name) <= through);
                let holds = state
                    .segments
                    .partition_point(|segment| segment.first <= self.at);
                unread.max(holds.saturating_sub(1))
            });
            if open.is_none() {
                self.open = None;
            }
            state
                .segments
                .get(index)
                .map(|segment| (segment.name, segment.len))
        };
        let Some((name, len)) = segment else {
            return Ok(false);
        };
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                let file = self.spool.disk.open(&self.spool.path(name))?;
                let hint = self.hint.take().filter(|&(segment, _)| segment == name);
                let offset = hint.map_or(SEGMENT_HEADER, |(_, offset)| offset);
                Open {
                    name,
                    reader: SegmentReader::new(file, self.spool.marker, offset, len),
                    on_trust: hint.is_some(),
                }
            }
        };
        self.open.insert(open).reader.extend(len);
        Ok(true)
    }
}
