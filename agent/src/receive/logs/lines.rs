//! From bytes of a log file to records: lines split, json-file entries read, pieces joined.
//!
//! Pure: takes bytes and a state, gives records and the next state, so that what was not taken by
//! the inlet can simply be read again from the state before.

use memchr::memchr;

use super::followed::{Identity, Position};
use super::json_file::{self, Stream};
use super::records::{Line, push_record};

/// Longest line, in bytes; what is longer leaves in pieces that say so.
pub const MAX_LINE: usize = 1 << 20;

/// How a file's lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Docker's json-file driver; lines over 16 KiB come in pieces.
    JsonFile,
    /// Text.
    Plain,
}

/// The beginning of a line whose end is not there yet.
#[derive(Debug, Clone, Default, PartialEq)]
struct Pending {
    text: Vec<u8>,
    time_ns: u64,
}

/// How far one file has been turned into records.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    pub position: Position,
    stdout: Option<Pending>,
    stderr: Option<Pending>,
}

/// Records made, and lines that were not what their format says.
#[derive(Debug, Default)]
pub struct Records {
    /// Encoded `ScopeLogs.log_records`.
    pub encoded: Vec<u8>,
    pub count: u32,
    pub malformed: u32,
    text: Vec<u8>,
    scratch: Vec<u8>,
}

impl Records {
    /// Forgets the records, keeps the buffers.
    pub fn clear(&mut self) {
        self.encoded.clear();
        self.count = 0;
        self.malformed = 0;
    }

    /// Makes a record of a line, without the end of line.
    pub(super) fn push(
        &mut self,
        stream: Option<Stream>,
        time_ns: u64,
        observed_ns: u64,
        text: &[u8],
        cut: bool,
    ) {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let text = String::from_utf8_lossy(text);
        let line = Line {
            stream,
            time_ns,
            observed_ns,
            text: &text,
            cut,
        };
        push_record(&mut self.encoded, &mut self.scratch, &line);
        self.count += 1;
    }
}

impl Progress {
    /// At the start of a file.
    #[must_use]
    pub fn start_of(file: Identity, offset: u64) -> Self {
        Self {
            position: Position {
                file,
                stdout: offset,
                stderr: offset,
            },
            stdout: None,
            stderr: None,
        }
    }

    /// Going on at a stored position.
    #[must_use]
    pub fn at(position: Position) -> Self {
        Self {
            position,
            stdout: None,
            stderr: None,
        }
    }

    /// Whether the beginning of a line waits for its end.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.stdout.is_some() || self.stderr.is_some()
    }

    /// Turns the complete lines of `bytes`, which stand at `offset` of the file, into records.
    /// Returns how many bytes are done: the rest has no newline yet. With `is_full` (the bytes are
    /// all that fits the reader's buffer) a line without an end leaves as a piece.
    pub fn read(
        &mut self,
        format: Format,
        bytes: &[u8],
        offset: u64,
        is_full: bool,
        observed_ns: u64,
        into: &mut Records,
    ) -> usize {
        let mut done = 0;
        while let Some(length) = memchr(b'\n', &bytes[done..]) {
            let line = &bytes[done..done + length];
            let (start, end) = (offset + done as u64, offset + (done + length + 1) as u64);
            match format {
                Format::JsonFile => self.json_line(line, start, end, observed_ns, into),
                Format::Plain => self.plain_line(line, start, end, false, observed_ns, into),
            }
            done += length + 1;
        }
        if done == 0 && is_full {
            let end = offset + bytes.len() as u64;
            match format {
                // No line of the daemon's is as long as the buffer: this is something else.
                Format::JsonFile => into.malformed += 1,
                Format::Plain => self.plain_line(bytes, offset, end, true, observed_ns, into),
            }
            self.position.stdout = self.position.stdout.max(end);
            self.position.stderr = self.position.stderr.max(end);
            done = bytes.len();
        }
        done
    }

    /// Nothing more comes of this file: what waits for its end leaves as it is, as a piece where
    /// the line goes on in the next file (`goes_on`). `rest` is text without a newline at `offset`.
    pub fn finish(
        &mut self,
        format: Format,
        rest: &[u8],
        offset: u64,
        goes_on: bool,
        observed_ns: u64,
        into: &mut Records,
    ) {
        let end = offset + rest.len() as u64;
        if !rest.is_empty() {
            match format {
                Format::JsonFile => self.json_line(rest, offset, end, observed_ns, into),
                Format::Plain => self.plain_line(rest, offset, end, false, observed_ns, into),
            }
        }
        for (stream, pending) in [
            (Stream::Stdout, self.stdout.take()),
            (Stream::Stderr, self.stderr.take()),
        ] {
            if let Some(pending) = pending {
                into.push(
                    Some(stream),
                    pending.time_ns,
                    observed_ns,
                    &pending.text,
                    goes_on,
                );
            }
        }
        self.position.stdout = self.position.stdout.max(end);
        self.position.stderr = self.position.stderr.max(end);
    }

    fn plain_line(
        &mut self,
        line: &[u8],
        start: u64,
        end: u64,
        cut: bool,
        observed_ns: u64,
        into: &mut Records,
    ) {
        if start >= self.position.stdout {
            into.push(None, 0, observed_ns, line, cut);
            self.position.stdout = end;
            self.position.stderr = end;
        }
    }

    fn json_line(
        &mut self,
        line: &[u8],
        start: u64,
        end: u64,
        observed_ns: u64,
        into: &mut Records,
    ) {
        let mut text = std::mem::take(&mut into.text);
        text.clear();
        match json_file::parse(line, &mut text) {
            Ok(entry) => {
                let (pending, done) = match entry.stream {
                    Stream::Stdout => (&mut self.stdout, &mut self.position.stdout),
                    Stream::Stderr => (&mut self.stderr, &mut self.position.stderr),
                };
                // Below the stream's own offset the line was done before a restart.
                if start >= *done {
                    let is_complete = text.ends_with(b"\n");
                    match pending {
                        Some(waiting) => {
                            waiting.text.extend_from_slice(&text);
                            if is_complete || waiting.text.len() >= MAX_LINE {
                                let (time_ns, text) = (waiting.time_ns, &waiting.text);
                                into.push(
                                    Some(entry.stream),
                                    time_ns,
                                    observed_ns,
                                    text,
                                    !is_complete,
                                );
                                *pending = None;
                                *done = end;
                            }
                        }
                        None if is_complete => {
                            into.push(Some(entry.stream), entry.time_ns, observed_ns, &text, false);
                            *done = end;
                        }
                        None => {
                            *pending = Some(Pending {
                                text: text.clone(),
                                time_ns: entry.time_ns,
                            });
                            *done = start;
                        }
                    }
                }
            }
            Err(json_file::Malformed) if !line.is_empty() => into.malformed += 1,
            Err(json_file::Malformed) => {}
        }
        into.text = text;
        // A stream with nothing pending is done up to here, whichever stream the line was of.
        if self.stdout.is_none() {
            self.position.stdout = self.position.stdout.max(end);
        }
        if self.stderr.is_none() {
            self.position.stderr = self.position.stderr.max(end);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value;
    use opentelemetry_proto::tonic::logs::v1::ScopeLogs;
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    const FILE: Identity = Identity {
        device: 1,
        inode: 2,
    };

    fn texts(records: &Records) -> Vec<(i32, String)> {
        let scope = ScopeLogs::decode(records.encoded.as_slice()).unwrap();
        assert_eq!(scope.log_records.len(), records.count as usize);
        scope
            .log_records
            .into_iter()
            .map(|record| match record.body.unwrap().value.unwrap() {
                any_value::Value::StringValue(text) => (record.severity_number, text),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn entry(log: &str, stream: &str) -> String {
        let log = serde_json::to_string(log).unwrap();
        format!("{{\"log\":{log},\"stream\":\"{stream}\",\"time\":\"2026-01-01T00:00:00Z\"}}\n")
    }

    #[test]
    fn pieces_of_a_long_line_are_joined_per_stream() {
        let file = entry("long ", "stdout")
            + &entry("aside\n", "stderr")
            + &entry("line\n", "stdout")
            + &entry("next\n", "stdout");
        let mut progress = Progress::start_of(FILE, 0);
        let mut records = Records::default();
        let done = progress.read(Format::JsonFile, file.as_bytes(), 0, false, 1, &mut records);
        assert_eq!(done, file.len());
        assert_eq!(
            texts(&records),
            [
                (17, "aside".into()),
                (9, "long line".into()),
                (9, "next".into())
            ]
        );
        assert_eq!(progress.position.start(), file.len() as u64);
    }

    #[test]
    fn after_a_restart_within_a_joined_line_nothing_is_lost_or_doubled() {
        let file = entry("long ", "stdout") + &entry("aside\n", "stderr");
        let more = entry("line\n", "stdout");
        let mut progress = Progress::start_of(FILE, 0);
        let mut records = Records::default();
        progress.read(Format::JsonFile, file.as_bytes(), 0, false, 1, &mut records);
        assert_eq!(texts(&records), [(17, "aside".into())]);
        assert!(progress.is_pending());

        let mut again = Progress::at(progress.position);
        assert_eq!(again.position.start(), 0);
        records.clear();
        let whole = file + &more;
        again.read(
            Format::JsonFile,
            whole.as_bytes(),
            0,
            false,
            1,
            &mut records,
        );
        assert_eq!(texts(&records), [(9, "long line".into())]);
    }

    #[test]
    fn a_line_without_an_end_waits_and_is_final_when_the_file_is() {
        for (format, file) in [
            (
                Format::JsonFile,
                entry("a\n", "stdout") + &entry("b", "stdout"),
            ),
            (Format::Plain, "a\nb".to_owned()),
        ] {
            let mut progress = Progress::start_of(FILE, 0);
            let mut records = Records::default();
            let done = progress.read(format, file.as_bytes(), 0, false, 1, &mut records);
            assert_eq!(records.count, 1, "{format:?}");
            progress.finish(
                format,
                &file.as_bytes()[done..],
                done as u64,
                false,
                1,
                &mut records,
            );
            assert_eq!(texts(&records).last().unwrap().1, "b", "{format:?}");
            assert_eq!(progress.position.start(), file.len() as u64);
        }
    }

    #[test]
    fn a_line_that_goes_on_in_the_next_file_leaves_as_a_piece() {
        let file = entry("first piece ", "stdout");
        let mut progress = Progress::start_of(FILE, 0);
        let mut records = Records::default();
        let done = progress.read(Format::JsonFile, file.as_bytes(), 0, false, 1, &mut records);
        let end = done as u64;
        progress.finish(Format::JsonFile, &[], end, true, 1, &mut records);
        let scope = ScopeLogs::decode(records.encoded.as_slice()).unwrap();
        assert_eq!(
            scope.log_records[0].attributes.len(),
            2,
            "its stream, and that it was cut"
        );
        assert_eq!(progress.position.start(), end);
    }

    #[test]
    fn a_plain_line_beyond_the_buffer_leaves_in_pieces() {
        let mut progress = Progress::start_of(FILE, 0);
        let mut records = Records::default();
        assert_eq!(
            progress.read(Format::Plain, b"xxxx", 0, true, 1, &mut records),
            4
        );
        assert_eq!(
            progress.read(Format::Plain, b"yy\nz", 4, true, 1, &mut records),
            3
        );
        let found: Vec<String> = texts(&records).into_iter().map(|(_, text)| text).collect();
        assert_eq!(found, ["xxxx", "yy"]);
    }

    #[test]
    fn what_is_no_entry_is_counted_and_passed_over() {
        let file = format!("garbage\n{}", entry("fine\n", "stdout"));
        let mut progress = Progress::start_of(FILE, 0);
        let mut records = Records::default();
        progress.read(Format::JsonFile, file.as_bytes(), 0, false, 1, &mut records);
        assert_eq!((records.count, records.malformed), (1, 1));
    }

    proptest! {
        /// Cut anywhere into chunks, with a restart from the stored position after each chunk, the
        /// records are those of one read.
        #[test]
        fn chunks_and_restarts_make_no_difference(
            lines in prop::collection::vec(("[a-z\"\\\\]{0,12}", any::<bool>(), any::<bool>()), 0..20),
            cuts in prop::collection::vec(1usize..200, 0..10),
        ) {
            let file: String = lines
                .iter()
                .map(|(text, complete, stdout)| {
                    let text = format!("{text}{}", if *complete { "\n" } else { "" });
                    entry(&text, if *stdout { "stdout" } else { "stderr" })
                })
                .collect();
            let bytes = file.as_bytes();
            let mut whole = Records::default();
            let mut progress = Progress::start_of(FILE, 0);
            progress.read(Format::JsonFile, bytes, 0, false, 1, &mut whole);
            progress.finish(Format::JsonFile, &[], bytes.len() as u64, false, 1, &mut whole);

            let mut pieces = Records::default();
            let mut progress = Progress::start_of(FILE, 0);
            let mut end = 0;
            for cut in cuts.into_iter().chain([bytes.len()]) {
                end = (end + cut).min(bytes.len());
                progress = Progress::at(progress.position);
                let start = progress.position.start() as usize;
                if start < end {
                    let chunk = &bytes[start..end];
                    progress.read(Format::JsonFile, chunk, start as u64, false, 1, &mut pieces);
                }
            }
            progress.finish(Format::JsonFile, &[], bytes.len() as u64, false, 1, &mut pieces);
            let (mut whole, mut pieces) = (texts(&whole), texts(&pieces));
            // Streams may interleave otherwise after a restart; within one the order holds.
            whole.sort_by_key(|&(severity, _)| severity);
            pieces.sort_by_key(|&(severity, _)| severity);
            prop_assert_eq!(whole, pieces);
        }
    }
}
