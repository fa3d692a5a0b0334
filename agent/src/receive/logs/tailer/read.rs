//! What is new of one file becomes records, and when it is looked at next.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{CHUNK, PENDING_WAIT, SWEEP_BYTES, Tail, Thread, UNKNOWN_WAIT};
use crate::receive::logs::followed::Look;
use crate::receive::logs::lines::{Format, Progress, Records};
use crate::receive::logs::records::push_resource_logs;
use crate::receive::logs::targets::Source;
use crate::receive::logs::watch::FolderWatch;

/// A file that was quiet for so long is watched instead of looked at.
const QUIET: Duration = Duration::from_secs(1);
/// A quiet file that cannot be watched is looked at less and less often, down to this.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// A watched file is looked at all the same, for file systems that tell of no change.
const WATCHED_REST: Duration = Duration::from_secs(30);

/// What a look at a file found; a sweep found the most of what its looks did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Found {
    Nothing,
    Text,
    /// Text, and there is more that was left for the next sweep.
    More,
}

impl Thread {
    /// Reads what is new of one file into the request.
    pub(super) fn read(&mut self, path: &Arc<Path>) -> Found {
        let Some(tail) = self.tails.get_mut(path) else {
            return Found::Nothing;
        };
        let Some(source) = tail.source.clone() else {
            tail.is_gone = tail.opened.elapsed() > UNKNOWN_WAIT;
            return Found::Nothing;
        };
        if tail.next_look > Instant::now() {
            return Found::Nothing;
        }
        self.records.clear();
        let found = tail.read_on(&source, &mut self.chunk, &mut self.records);
        let found = found.unwrap_or_else(|error| {
            self.statistics.count_error();
            tracing::debug!(path = %path.display(), %error, "log file cannot be read");
            Found::Nothing
        });
        if found == Found::Nothing {
            tail.rest(path, &mut self.watch);
        }
        self.statistics
            .malformed
            .fetch_add(u64::from(self.records.malformed), Ordering::Relaxed);
        if self.records.count > 0 {
            push_resource_logs(&mut self.request, &source.resource, &self.records.encoded);
            let guid = source.guid.as_ref().unwrap_or(&self.options.host);
            match self.counts.iter_mut().find(|(known, _)| known == guid) {
                Some((_, count)) => *count += self.records.count,
                None => self.counts.push((guid.clone(), self.records.count)),
            }
        }
        found
    }
}

impl Tail {
    /// Reads on until the end, or as much as a sweep may.
    fn read_on(
        &mut self,
        source: &Source,
        buffer: &mut [u8],
        into: &mut Records,
    ) -> io::Result<Found> {
        let observed_ns = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
            });
        let format = source.format;
        let mut bytes_read = 0;
        while bytes_read < SWEEP_BYTES {
            // A look at the end may go over to the next file, which must not happen before the
            // inlet took everything of this one.
            if self.has_untaken() && self.followed.lag() == 0 {
                return Ok(match self.followed.is_replaced() {
                    true => Found::More,
                    false => Found::Text,
                });
            }
            if self.reading.is_pending() && self.followed.lag() == 0 && self.followed.is_replaced()
            {
                // The line's other pieces are in the next file, or nowhere.
                let end = self.followed.offset();
                self.reading
                    .finish(format, &[], end, true, observed_ns, into);
                return Ok(Found::More);
            }
            match self.followed.look(buffer)? {
                Look::Bytes { offset, length } => {
                    let bytes = &buffer[..length];
                    let done = self.take(source, bytes, offset, observed_ns, into);
                    self.followed.advance(done);
                    bytes_read += done;
                    if length == CHUNK {
                        return Ok(Found::More);
                    }
                    if done < length {
                        break;
                    }
                }
                Look::Idle => {
                    let is_stale = self.last_text.elapsed() > PENDING_WAIT;
                    if self.reading.is_pending() && (source.is_final || is_stale) {
                        let end = self.followed.offset();
                        self.reading
                            .finish(format, &[], end, false, observed_ns, into);
                    }
                    break;
                }
                Look::Rotated | Look::Truncated => {
                    if let Some(file) = self.followed.identity() {
                        self.reading = Progress::start_of(file, 0);
                        self.taken = self.reading.clone();
                        self.text_end = 0;
                    }
                }
                Look::Gone => {
                    self.is_gone = true;
                    break;
                }
            }
        }
        Ok(match bytes_read {
            0 => Found::Nothing,
            SWEEP_BYTES.. => Found::More,
            _ => Found::Text,
        })
    }

    /// Turns what stands at `offset` into records; tells how many bytes are done with.
    fn take(
        &mut self,
        source: &Source,
        bytes: &[u8],
        offset: u64,
        observed_ns: u64,
        into: &mut Records,
    ) -> usize {
        let is_full = bytes.len() == CHUNK;
        let done = self
            .reading
            .read(source.format, bytes, offset, is_full, observed_ns, into);
        // The beginning of a line is read again and again until its end is there.
        let text_end = offset + bytes.len() as u64;
        if text_end != self.text_end {
            self.text_end = text_end;
            self.last_text = Instant::now();
        }
        if done == bytes.len() || is_full || !self.is_over(source) {
            return done;
        }
        let (format, at) = (source.format, offset + done as u64);
        self.reading
            .finish(format, &bytes[done..], at, false, observed_ns, into);
        bytes.len()
    }

    /// Whether nobody writes the current file any more, so that a last line without a newline is
    /// complete.
    fn is_over(&self, source: &Source) -> bool {
        match source.format {
            // The daemon ends each entry with a newline; only a torn one lacks it.
            Format::JsonFile => source.is_final && self.last_text.elapsed() > PENDING_WAIT,
            Format::Plain => self.last_text.elapsed() > PENDING_WAIT,
        }
    }

    /// Nothing was new: says when to look again.
    fn rest(&mut self, path: &Arc<Path>, watch: &mut FolderWatch) {
        let quiet = self.last_text.elapsed();
        let waits_for_end = self.reading.is_pending() || self.text_end > self.followed.offset();
        let rest = if quiet < QUIET || waits_for_end {
            (quiet / 4).min(LONGEST_REST)
        } else if self.is_watched {
            WATCHED_REST
        } else {
            self.is_watched = watch.watch_file(path);
            // What was written before it was watched is found by another look at once.
            match self.is_watched {
                true => Duration::ZERO,
                false => LONGEST_REST,
            }
        };
        self.next_look = Instant::now() + rest;
    }

    /// Something happened to the file.
    pub(super) fn stir(&mut self) {
        self.is_watched = false;
        self.next_look = Instant::now();
    }
}
