//! What `GET /containers/{id}/logs?timestamps=1` streams, cut into the messages of Docker's log.
//!
//! A message is a line, or a piece of one longer than 16 KiB. Without a terminal each stands in a
//! frame of its own, behind eight bytes: the stream, three zeros, the length (big-endian). With a
//! terminal there are no frames, only text; where a message ends, its newline says, or another
//! timestamp behind 16 KiB. Before the text of each message stands its time, RFC 3339 with nine
//! fraction digits, and a space.

use memchr::{memchr, memchr_iter};

use crate::receive::logs::json_file::{Stream, rfc3339_nanoseconds};
use crate::receive::logs::lines::MAX_LINE;

/// Docker cuts a line into pieces of this many bytes.
pub(super) const PIECE: usize = 16 << 10;

/// `2026-11-27T20:15:26.343763424Z` and a space.
const TIMESTAMP: usize = 31;

const HEADER: usize = 8;

/// A line or a piece of one, as the log driver has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) stream: Stream,
    /// Nanoseconds since the Unix epoch.
    pub(super) time_ns: u64,
    /// With its newline, if it has one.
    pub(super) text: &'a [u8],
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum StreamError {
    /// The daemon's own words in between.
    #[error("docker: {0}")]
    Told(String),
    #[error("no frame of a log: stream {stream}, {length} bytes")]
    Frame { stream: u8, length: usize },
}

/// Cuts bytes into messages.
#[derive(Debug)]
pub(super) struct Decoder {
    is_tty: bool,
    buffer: Vec<u8>,
    /// Up to here the buffer is done.
    start: usize,
    /// The last message of a terminal was a piece.
    within_line: bool,
    malformed: u32,
}

impl Decoder {
    pub(super) fn new(is_tty: bool) -> Self {
        Self {
            is_tty,
            buffer: Vec::new(),
            start: 0,
            within_line: false,
            malformed: 0,
        }
    }

    /// More bytes of the answer.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Messages without a time since the last call; they were passed over.
    pub(super) fn take_malformed(&mut self) -> u32 {
        std::mem::take(&mut self.malformed)
    }

    /// The next whole message.
    pub(super) fn next(&mut self) -> Result<Option<Message<'_>>, StreamError> {
        loop {
            let (stream, from, to) = match self.bounds()? {
                Some(bounds) => bounds,
                None => return Ok(None),
            };
            self.start = to;
            if let Some((time_ns, at)) = timed(&self.buffer[from..to]) {
                let text = &self.buffer[from + at..to];
                return Ok(Some(Message {
                    stream,
                    time_ns,
                    text,
                }));
            }
            self.malformed += 1;
        }
    }

    /// After the end of the answer: what a terminal's last line without a newline leaves.
    pub(super) fn last(&mut self) -> Option<Message<'_>> {
        if !self.is_tty {
            return None;
        }
        let rest = self.start..self.buffer.len();
        self.start = rest.end;
        let (time_ns, at) = timed(&self.buffer[rest.clone()])?;
        Some(Message {
            stream: Stream::Stdout,
            time_ns,
            text: &self.buffer[rest][at..],
        })
    }

    /// Where the next message, with its time, begins and ends.
    fn bounds(&mut self) -> Result<Option<(Stream, usize, usize)>, StreamError> {
        if self.is_tty {
            let end = self.end_of_text();
            return Ok(end.map(|end| (Stream::Stdout, self.start, self.start + end)));
        }
        let Some((header, rest)) = self.buffer[self.start..].split_at_checked(HEADER) else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let stream = match header[0] {
            0 | 1 => Stream::Stdout,
            2 => Stream::Stderr,
            3 if rest.len() >= length => {
                let words = String::from_utf8_lossy(&rest[..length]);
                return Err(StreamError::Told(words.trim().to_owned()));
            }
            3 if length <= MAX_LINE => return Ok(None),
            stream => return Err(StreamError::Frame { stream, length }),
        };
        if length > MAX_LINE + TIMESTAMP {
            let stream = header[0];
            return Err(StreamError::Frame { stream, length });
        }
        let from = self.start + HEADER;
        Ok((rest.len() >= length).then_some((stream, from, from + length)))
    }

    /// The length of the next message in a terminal's text.
    fn end_of_text(&mut self) -> Option<usize> {
        const FULL: usize = TIMESTAMP + PIECE;
        let rest = &self.buffer[self.start..];
        let line = memchr(b'\n', rest).map(|at| at + 1);
        if line.is_none_or(|line| line > FULL) {
            if rest.get(FULL..).is_some_and(|rest| timed(rest).is_some()) {
                self.within_line = true;
                return Some(FULL);
            }
            // Another timestamp may be on its way.
            if line.is_none() && rest.len() < FULL + TIMESTAMP {
                return None;
            }
        }
        if self.within_line {
            // Docker before 23 and its driver `local` leave out the newline behind the last piece.
            let text = &rest[..line.unwrap_or(rest.len())];
            let next = memchr_iter(b'\r', text).find(|&at| timed(&rest[at + 1..]).is_some());
            if let Some(at) = next {
                self.within_line = false;
                return Some(at + 1);
            }
        }
        match line {
            None if rest.len() <= MAX_LINE => None,
            end => {
                self.within_line = false;
                Some(end.unwrap_or(rest.len()))
            }
        }
    }
}

/// The time before a message's text, and where the text begins.
fn timed(message: &[u8]) -> Option<(u64, usize)> {
    let time = message.get(..TIMESTAMP)?.strip_suffix(b" ")?;
    Some((rfc3339_nanoseconds(time)?, TIMESTAMP))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIME: &str = "1970-01-01T00:00:01.000000002Z ";

    fn frame(stream: u8, payload: &str) -> Vec<u8> {
        let mut frame = vec![stream, 0, 0, 0];
        frame.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
        frame.extend(payload.as_bytes());
        frame
    }

    /// All messages, with bytes coming in chunks of this size; and how many were malformed.
    fn messages(is_tty: bool, bytes: &[u8], chunk: usize) -> (Vec<(Stream, u64, String)>, u32) {
        let owned = |message: Message<'_>| {
            let text = String::from_utf8_lossy(message.text).into_owned();
            (message.stream, message.time_ns, text)
        };
        let mut decoder = Decoder::new(is_tty);
        let mut found = Vec::new();
        for chunk in bytes.chunks(chunk) {
            decoder.push(chunk);
            while let Some(message) = decoder.next().unwrap() {
                found.push(owned(message));
            }
        }
        found.extend(decoder.last().map(owned));
        (found, decoder.take_malformed())
    }

    #[test]
    fn frames_are_messages_of_their_stream() {
        let mut bytes = frame(1, &format!("{TIME}out\n"));
        bytes.extend(frame(1, "no time\n"));
        bytes.extend(frame(2, &format!("{TIME}piece")));
        for chunk in [1, 7, 1000] {
            let (found, malformed) = messages(false, &bytes, chunk);
            let at = 1_000_000_002;
            let expected = [
                (Stream::Stdout, at, "out\n".to_owned()),
                (Stream::Stderr, at, "piece".to_owned()),
            ];
            assert_eq!((found.as_slice(), malformed), (&expected[..], 1));
        }
    }

    #[test]
    fn the_daemons_own_words_and_what_is_no_frame_end_the_stream() {
        let mut decoder = Decoder::new(false);
        decoder.push(&frame(3, "Error grabbing logs: broken\n"));
        let told = StreamError::Told("Error grabbing logs: broken".to_owned());
        assert_eq!(decoder.next(), Err(told));
        let mut decoder = Decoder::new(false);
        decoder.push(b"HTTP/1.1 200");
        assert!(matches!(decoder.next(), Err(StreamError::Frame { .. })));
    }

    #[test]
    fn a_terminals_text_is_cut_at_newlines_and_between_pieces() {
        let full = "x".repeat(PIECE);
        // As Docker 20.10 writes it with the driver `local`: no newline after the short piece.
        let text = format!("{TIME}one\r\n{TIME}{full}{TIME}{full}{TIME}end\r{TIME}two\r\n{TIME}");
        let text = format!("{text}{full}{TIME}end\r\n{TIME}{full}\n{TIME}last");
        for chunk in [1000, 4096, 1 << 20] {
            let (found, malformed) = messages(true, text.as_bytes(), chunk);
            let texts: Vec<&str> = found.iter().map(|(_, _, text)| text.as_str()).collect();
            let long = format!("{full}\n");
            let expected = [
                "one\r\n", &full, &full, "end\r", "two\r\n", &full, "end\r\n", &long, "last",
            ];
            assert_eq!((texts.as_slice(), malformed), (&expected[..], 0));
        }
    }

    #[test]
    fn a_terminals_text_without_end_is_not_kept_forever() {
        let mut decoder = Decoder::new(true);
        for _ in 0..100 {
            decoder.push(&[b'x'; PIECE]);
            assert_eq!(decoder.next(), Ok(None));
            assert!(decoder.buffer.len() <= MAX_LINE + 2 * PIECE);
        }
        assert_eq!(decoder.take_malformed(), 1);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            is_tty in any::<bool>(),
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut decoder = Decoder::new(is_tty);
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next() {}
            decoder.last();
        }
    }
}
