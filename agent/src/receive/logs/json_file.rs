//! Docker's json-file lines: `{"log":"…\n","stream":"stdout","attrs":{…},"time":"RFC3339Nano"}`.
//!
//! The daemon writes them in one shape, so that shape is read by hand; anything else that is JSON
//! with the same keys (another version, another daemon) goes through a JSON parser. Text comes out
//! unescaped in a buffer of the caller's.

use memchr::{memchr, memchr2};

/// Where a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// One line's fields besides its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub stream: Stream,
    /// Nanoseconds since the Unix epoch.
    pub time_ns: u64,
}

/// Why a line is no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a json-file log line")]
pub struct Malformed;

/// Parses one line (without its newline); appends the unescaped text, its own trailing newline
/// included, to `text`. On an error `text` is as it was.
pub fn parse(line: &[u8], text: &mut Vec<u8>) -> Result<Entry, Malformed> {
    let before = text.len();
    parse_written_shape(line, text)
        .or_else(|| {
            text.truncate(before);
            parse_any_shape(line, text)
        })
        .ok_or_else(|| {
            text.truncate(before);
            Malformed
        })
}

fn parse_written_shape(line: &[u8], text: &mut Vec<u8>) -> Option<Entry> {
    let mut rest = unescape(line.strip_prefix(b"{\"log\":\"")?, text)?;
    rest = rest.strip_prefix(b",\"stream\":\"")?;
    let (stream, mut rest) = if let Some(rest) = rest.strip_prefix(b"stdout\"") {
        (Stream::Stdout, rest)
    } else {
        (Stream::Stderr, rest.strip_prefix(b"stderr\"")?)
    };
    rest = rest.strip_prefix(b",\"time\":\"")?;
    let end = memchr(b'"', rest)?;
    let time_ns = rfc3339_nanoseconds(&rest[..end])?;
    (&rest[end..] == b"\"}").then_some(Entry { stream, time_ns })
}

fn parse_any_shape(line: &[u8], text: &mut Vec<u8>) -> Option<Entry> {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        #[serde(borrow, default)]
        log: std::borrow::Cow<'a, str>,
        #[serde(borrow)]
        stream: std::borrow::Cow<'a, str>,
        #[serde(borrow)]
        time: std::borrow::Cow<'a, str>,
    }
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let stream = if line.stream == "stderr" {
        Stream::Stderr
    } else {
        Stream::Stdout
    };
    let time_ns = rfc3339_nanoseconds(line.time.as_bytes())?;
    text.extend_from_slice(line.log.as_bytes());
    Some(Entry { stream, time_ns })
}

/// Appends a JSON string's text up to its closing quote; returns what stands behind the quote.
fn unescape<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let at = memchr2(b'"', b'\\', rest)?;
        text.extend_from_slice(&rest[..at]);
        if rest[at] == b'"' {
            return Some(&rest[at + 1..]);
        }
        let plain = match *rest.get(at + 1)? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 8,
            b'f' => 12,
            b'u' => {
                let unit = hex4(rest.get(at + 2..at + 6)?)?;
                // The daemon escapes only single units; pairs take the careful path.
                let character = char::from_u32(u32::from(unit))?;
                let mut utf8 = [0; 4];
                text.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
                rest = &rest[at + 6..];
                continue;
            }
            _ => return None,
        };
        text.push(plain);
        rest = &rest[at + 2..];
    }
}

fn hex4(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0u16, |value, &digit| {
        Some(value << 4 | u16::try_from((digit as char).to_digit(16)?).ok()?)
    })
}

/// RFC 3339 with up to nine fraction digits to nanoseconds since the Unix epoch; absent where the
/// text is something else, or before 1970.
#[must_use]
pub fn rfc3339_nanoseconds(text: &[u8]) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        text.get(range)?.iter().try_fold(0i64, |value, byte| {
            byte.is_ascii_digit()
                .then(|| value * 10 + i64::from(byte - b'0'))
        })
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if text.len() < 20 || separators.iter().any(|&(at, byte)| text[at] != byte) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let mut at = 19;
    let mut fraction_ns = 0i64;
    if text[at] == b'.' {
        let mut unit = 100_000_000;
        at += 1;
        while let Some(digit) = text.get(at).filter(|byte| byte.is_ascii_digit()) {
            fraction_ns += i64::from(digit - b'0') * unit;
            unit /= 10;
            at += 1;
        }
    }
    let offset_seconds = match (text.get(at)?, &text[at + 1..]) {
        (b'Z', []) => 0,
        (&sign @ (b'+' | b'-'), [_, _, b':', _, _]) => {
            let seconds = number(at + 1..at + 3)? * 3_600 + number(at + 4..at + 6)? * 60;
            if sign == b'+' { seconds } else { -seconds }
        }
        _ => return None,
    };
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second
        - offset_seconds;
    u64::try_from(
        seconds
            .checked_mul(1_000_000_000)?
            .checked_add(fraction_ns)?,
    )
    .ok()
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, counting years from March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(line: &str) -> Result<(String, Entry), Malformed> {
        let mut text = Vec::new();
        parse(line.as_bytes(), &mut text).map(|entry| (String::from_utf8(text).unwrap(), entry))
    }

    #[test]
    fn a_line_as_the_daemon_writes_it() {
        let (text, entry) = parsed(
            r#"{"log":"a \"b\" \u003c\\ \t\n","stream":"stderr","time":"2026-11-22T16:48:36.95Z"}"#,
        )
        .unwrap();
        assert_eq!(text, "a \"b\" <\\ \t\n");
        assert_eq!(
            entry,
            Entry {
                stream: Stream::Stderr,
                time_ns: 1_795_366_116_950_000_000
            }
        );
    }

    #[test]
    fn attributes_other_orders_and_pairs_take_the_careful_path() {
        let time = "\"time\":\"1970-01-01T00:00:01Z\"";
        for (line, text) in [
            (
                format!(r#"{{"log":"x\n","stream":"stdout","attrs":{{"k":"v"}},{time}}}"#),
                "x\n",
            ),
            (format!(r#"{{{time},"log":"y","stream":"stdout"}}"#), "y"),
            (
                format!(r#"{{"log":"\ud83d\ude00","stream":"stdout",{time}}}"#),
                "😀",
            ),
            (format!(r#"{{"stream":"stdout",{time}}}"#), ""),
        ] {
            let (found, entry) = parsed(&line).unwrap();
            assert_eq!(found, text, "{line}");
            assert_eq!(
                entry,
                Entry {
                    stream: Stream::Stdout,
                    time_ns: 1_000_000_000
                }
            );
        }
    }

    #[test]
    fn a_malformed_line_leaves_the_text_alone() {
        let mut text = b"kept".to_vec();
        for line in [
            "",
            "{",
            r#"{"log":"half"#,
            "plain",
            r#"{"log":"x","stream":"stdout"}"#,
        ] {
            assert_eq!(parse(line.as_bytes(), &mut text), Err(Malformed), "{line}");
            assert_eq!(text, b"kept");
        }
    }

    #[test]
    fn times_with_offsets_and_leap_days() {
        for (text, nanoseconds) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01T01:00:00.000000001+01:00", Some(1)),
            ("2024-02-29T12:00:00Z", Some(1_709_208_000_000_000_000)),
            ("2000-03-01T00:00:00-00:30", Some(951_870_600_000_000_000)),
            ("1969-12-31T23:59:59Z", None),
            ("2024-13-01T00:00:00Z", None),
            ("2024-01-01T00:00:00", None),
            ("2024-01-01 00:00:00Z", None),
        ] {
            assert_eq!(rfc3339_nanoseconds(text.as_bytes()), nanoseconds, "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_json_parser(log in any::<String>(), stderr in any::<bool>()) {
            let stream = if stderr { "stderr" } else { "stdout" };
            let line = serde_json::json!({
                "log": log, "stream": stream, "time": "1970-01-01T00:00:01Z",
            });
            // The daemon's order of keys.
            let written = format!(
                "{{\"log\":{},\"stream\":{},\"time\":{}}}", line["log"], line["stream"], line["time"],
            );
            for text in [written, line.to_string()] {
                prop_assert_eq!(parsed(&text).unwrap().0, log.clone());
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut text = Vec::new();
            let _ = parse(&line, &mut text);
            let mut shaped = b"{\"log\":\"".to_vec();
            shaped.extend(&line);
            let _ = parse(&shaped, &mut text);
            let _ = rfc3339_nanoseconds(&line);
        }
    }
}
