//! From messages to records: what is done already left out, pieces joined, positions kept.
//!
//! Pure. The Engine API knows no offsets, only times, so a position is a time: everything since
//! then is asked for again, and of each stream what was done is passed over. Of lines with the very
//! same time their number is kept. Standard output and error are written side by side and may stand
//! a little out of order, so the question reaches back further than the newest line.

use super::messages::{Message, PIECE};
use crate::receive::logs::json_file::Stream;
use crate::receive::logs::lines::{MAX_LINE, Records};

/// How far lines of two streams may stand out of order.
const DISORDER_NS: u64 = 1_000_000_000;

/// A stream whose newest line is this much newer than where reading goes on has seen the clock set
/// back since: its times tell nothing, and lines that come twice are better than none.
const CLOCK_SET_BACK_NS: u64 = 60_000_000_000;

/// The messages of a stream up to a time, and with that time so many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Mark {
    time_ns: u64,
    count: u32,
}

impl Mark {
    /// One more message.
    fn step(&mut self, time_ns: u64) {
        if self.time_ns != time_ns {
            *self = Self { time_ns, count: 0 };
        }
        self.count = self.count.saturating_add(1);
    }

    /// Whether a message is among those up to `other`.
    fn is_within(&self, other: &Self) -> bool {
        (self.time_ns, self.count) <= (other.time_ns, other.count)
    }
}

/// How much of a container's log is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Position {
    /// Nothing older is left, but for a little disorder.
    since_ns: u64,
    stdout: Mark,
    stderr: Mark,
}

impl Position {
    /// Everything from this time on.
    pub(super) fn from(time_ns: u64) -> Self {
        let mark = Mark { time_ns, count: 0 };
        Self {
            since_ns: time_ns,
            stdout: mark,
            stderr: mark,
        }
    }

    /// From when on messages must be asked for.
    pub(super) fn ask_since_ns(&self) -> u64 {
        self.since_ns.saturating_sub(DISORDER_NS)
    }
}

/// The beginning of a line whose end is not there yet.
#[derive(Debug)]
struct Pending {
    text: Vec<u8>,
    /// When it began.
    time_ns: u64,
    /// Its newest piece.
    upto: Mark,
}

#[derive(Debug)]
struct OneStream {
    /// What was done before this answer began.
    before: Mark,
    /// The newest message of this answer.
    seen: Mark,
    done: Mark,
    pending: Option<Pending>,
}

impl OneStream {
    fn resume(mark: Mark, since_ns: u64) -> Self {
        let is_sound = mark.time_ns <= since_ns.saturating_add(CLOCK_SET_BACK_NS);
        Self {
            before: if is_sound { mark } else { Mark::default() },
            seen: Mark::default(),
            done: mark,
            pending: None,
        }
    }

    fn finish(&mut self, stream: Stream, cut: bool, observed_ns: u64, into: &mut Records) {
        if let Some(line) = self.pending.take() {
            into.push(Some(stream), line.time_ns, observed_ns, &line.text, cut);
            self.done = line.upto;
        }
    }
}

/// Turns the messages of one answer into records.
#[derive(Debug)]
pub(super) struct Joiner {
    stdout: OneStream,
    stderr: OneStream,
    /// All pieces of a line have the time of the first.
    pieces_share_time: bool,
    newest_ns: u64,
}

impl Joiner {
    /// Goes on at a position; the answer must begin no later than [`Position::ask_since_ns`].
    pub(super) fn resume(position: &Position, pieces_share_time: bool) -> Self {
        Self {
            stdout: OneStream::resume(position.stdout, position.since_ns),
            stderr: OneStream::resume(position.stderr, position.since_ns),
            pieces_share_time,
            newest_ns: position.since_ns,
        }
    }

    /// How much is done once the records made so far are kept.
    pub(super) fn position(&self) -> Position {
        let pending = [&self.stdout, &self.stderr].map(|stream| stream.pending.as_ref());
        let oldest = pending
            .iter()
            .flatten()
            .map(|pending| pending.time_ns)
            .min();
        Position {
            since_ns: oldest.map_or(self.newest_ns, |oldest| oldest.min(self.newest_ns)),
            stdout: self.stdout.done,
            stderr: self.stderr.done,
        }
    }

    /// Whether the beginning of a line waits for its end.
    pub(super) fn is_pending(&self) -> bool {
        self.stdout.pending.is_some() || self.stderr.pending.is_some()
    }

    /// Takes the next message.
    pub(super) fn take(&mut self, message: &Message<'_>, observed_ns: u64, into: &mut Records) {
        let Message {
            stream: name,
            time_ns,
            text,
        } = *message;
        let stream = match name {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        self.newest_ns = time_ns;
        stream.seen.step(time_ns);
        if stream.seen.is_within(&stream.before) {
            return;
        }
        // From here on all is new, whatever its time: the clock may be set back meanwhile.
        stream.before = Mark::default();
        let waiting_ns = stream.pending.as_ref().map(|pending| pending.time_ns);
        if self.pieces_share_time && waiting_ns.is_some_and(|waiting_ns| waiting_ns != time_ns) {
            stream.finish(name, false, observed_ns, into);
        }
        let line = stream.pending.get_or_insert_with(|| Pending {
            text: Vec::new(),
            time_ns,
            upto: Mark::default(),
        });
        line.text.extend_from_slice(text);
        line.upto = stream.seen;
        // Only pieces that more follow are full; Docker before 23 and its driver `local` leave out
        // the newline behind the last one.
        let is_complete = text.ends_with(b"\n") || text.len() < PIECE;
        if is_complete || line.text.len() >= MAX_LINE {
            stream.finish(name, !is_complete, observed_ns, into);
        }
    }

    /// Nothing more comes for now: what waits for its end leaves as it is.
    pub(super) fn finish(&mut self, observed_ns: u64, into: &mut Records) {
        self.stdout.finish(Stream::Stdout, false, observed_ns, into);
        self.stderr.finish(Stream::Stderr, false, observed_ns, into);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value;
    use opentelemetry_proto::tonic::logs::v1::ScopeLogs;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    fn message(stream: Stream, time_ns: u64, text: &str) -> Message<'_> {
        Message {
            stream,
            time_ns,
            text: text.as_bytes(),
        }
    }

    fn texts(records: &Records) -> Vec<String> {
        let scope = ScopeLogs::decode(records.encoded.as_slice()).unwrap();
        let records = scope.log_records.into_iter();
        records
            .map(|record| match record.body.unwrap().value.unwrap() {
                any_value::Value::StringValue(text) => text,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn joined(joiner: &mut Joiner, messages: &[Message<'_>]) -> Vec<String> {
        let mut records = Records::default();
        for message in messages {
            joiner.take(message, 1, &mut records);
        }
        texts(&records)
    }

    #[test]
    fn pieces_are_joined_whether_or_not_the_last_one_has_a_newline() {
        let full = "x".repeat(PIECE);
        let out = |time_ns, text| message(Stream::Stdout, time_ns, text);
        let mut joiner = Joiner::resume(&Position::default(), true);
        let found = joined(
            &mut joiner,
            &[
                out(1, &full),
                message(Stream::Stderr, 1, "aside\n"),
                out(1, "a"),
                out(2, &full),
                out(3, "b\n"),
                out(4, &full),
                out(4, "c\n"),
            ],
        );
        let long = |end| format!("{full}{end}");
        assert_eq!(
            found,
            ["aside", &long("a"), &full, "b", &long("c")].map(str::to_owned)
        );
        // As journald keeps them: each piece has a time of its own.
        let mut joiner = Joiner::resume(&Position::default(), false);
        let found = joined(&mut joiner, &[out(1, &full), out(2, "a\n")]);
        assert_eq!(found, [long("a")]);
    }

    #[test]
    fn a_line_without_an_end_is_asked_for_again_until_it_is_final() {
        let full = "x".repeat(PIECE);
        let mut joiner = Joiner::resume(&Position::default(), true);
        let pieces = [
            message(Stream::Stdout, 5, &full),
            message(Stream::Stderr, 9 + DISORDER_NS, "later\n"),
        ];
        assert_eq!(joined(&mut joiner, &pieces), ["later"]);
        assert!(joiner.is_pending());
        assert!(joiner.position().ask_since_ns() <= 5);
        let mut again = Joiner::resume(&joiner.position(), true);
        assert_eq!(joined(&mut again, &pieces), Vec::<String>::new());
        let mut records = Records::default();
        again.finish(1, &mut records);
        assert_eq!(texts(&records), [full]);
        assert!(again.position().ask_since_ns() > 5);
    }

    #[test]
    fn what_was_there_before_the_first_run_is_passed_over() {
        let mut joiner = Joiner::resume(&Position::from(10), true);
        let out = |time_ns, text| message(Stream::Stdout, time_ns, text);
        let found = joined(&mut joiner, &[out(9, "old\n"), out(10, "new\n")]);
        assert_eq!(found, ["new"]);
    }

    #[test]
    fn a_clock_set_back_loses_nothing() {
        let late = CLOCK_SET_BACK_NS * 3;
        let out = |time_ns, text| message(Stream::Stdout, time_ns, text);
        let mut joiner = Joiner::resume(&Position::default(), true);
        let err = message(Stream::Stderr, 5, "e\n");
        joined(&mut joiner, &[out(late, "a\n"), err]);
        let mut again = Joiner::resume(&joiner.position(), true);
        assert_eq!(joined(&mut again, &[err, out(6, "b\n")]), ["b"]);
        // Also while it is followed.
        assert_eq!(joined(&mut again, &[out(2, "c\n")]), ["c"]);
    }

    proptest! {
        /// Asked again after any number of messages, from the position they left, with two streams
        /// a little out of order and many messages of the same time, each line comes once.
        #[test]
        fn asking_again_neither_loses_nor_doubles(
            steps in prop::collection::vec((0u64..3, any::<bool>(), 0u64..5), 0..40),
            cuts in prop::collection::vec(0usize..40, 0..6),
        ) {
            let mut clock = 10 * DISORDER_NS;
            let mut newest = [0; 2];
            let lines: Vec<(Stream, u64, String)> = steps
                .iter()
                .enumerate()
                .map(|(number, &(step, stdout, late))| {
                    clock += step * DISORDER_NS / 4;
                    let newest = &mut newest[usize::from(stdout)];
                    // Within a stream times do not fall.
                    *newest = (clock - late * DISORDER_NS / 5).max(*newest);
                    let stream = if stdout { Stream::Stdout } else { Stream::Stderr };
                    (stream, *newest, format!("{number}\n"))
                })
                .collect();
            let mut position = Position::default();
            let mut found = Vec::new();
            for cut in cuts.into_iter().chain([lines.len()]) {
                let mut joiner = Joiner::resume(&position, true);
                let since = position.ask_since_ns();
                let mut records = Records::default();
                for (stream, time_ns, text) in &lines[..cut.min(lines.len())] {
                    if *time_ns >= since {
                        joiner.take(&message(*stream, *time_ns, text), 1, &mut records);
                    }
                }
                found.extend(texts(&records));
                position = joiner.position();
            }
            let mut numbers: Vec<usize> = found.iter().map(|text| text.parse().unwrap()).collect();
            numbers.sort_unstable();
            prop_assert_eq!(numbers, (0..lines.len()).collect::<Vec<_>>());
        }
    }
}
