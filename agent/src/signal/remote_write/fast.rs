//! The fast path of one series: labels in front, each plainly a name then a value, in order.
//!
//! Finds the guid label's place in one pass. Anything unusual, wrong or only rare, is `None`: the
//! careful path looks again. Names are compared as their first eight bytes, big-endian.

use super::{Content, SeriesLimits};
use crate::signal::schema::{self, EXEMPLAR, HISTOGRAM};
use crate::signal::wire::{Cursor, is_ascii};

/// `guid`, padded with zeros, as a big-endian word.
const GUID_WORD: u64 = u64::from_be_bytes(*b"guid\0\0\0\0");

/// Where the guid label goes; offsets in the series.
#[derive(Debug)]
pub(super) struct Plain {
    /// The guid label's place.
    pub(super) place: usize,
    /// What stands behind it: `place` itself, or the end of the sender's own guid label.
    pub(super) resume: usize,
    /// The value of the sender's own guid label.
    pub(super) own: Option<(usize, usize)>,
    pub(super) content: Content,
}

/// A label that is plainly a name, then a value; offsets in the series.
struct Label {
    name_at: usize,
    name_len: usize,
    value_at: usize,
    end: usize,
    /// The first eight bytes of the name, zeros behind its end.
    word: u64,
}

/// Scans the series at `from..to` of a request.
#[inline]
pub(super) fn scan(raw: &[u8], from: usize, to: usize, limits: &SeriesLimits) -> Option<Plain> {
    let body = raw.get(from..to)?;
    let mut at = 0;
    let mut labels = 0;
    let (mut previous_at, mut previous_len, mut previous_word) = (0, 0, 0);
    let mut place = None;
    let mut own = None;
    let mut resume = 0;
    while let Some(0x0a) = body.get(at) {
        let label = match short_label(body, at) {
            Some(label) => label,
            None => long_label(body, at)?,
        };
        let (name_at, name_len) = (label.name_at, label.name_len);
        if name_len > limits.name_bytes || label.end - label.value_at > limits.value_bytes {
            return None;
        }
        if label.word <= previous_word {
            // The rest of the names decides, where their beginnings are the same.
            let name = body.get(name_at..name_at + name_len);
            let previous = body.get(previous_at..previous_at + previous_len);
            if label.word < previous_word || name <= previous {
                return None;
            }
        }
        if place.is_none() && label.word >= GUID_WORD {
            place = Some(at);
            resume = at;
            // `guid` with zero bytes behind it has the same word.
            if label.word == GUID_WORD && name_len == 4 {
                resume = label.end;
                own = Some((label.value_at, label.end));
            }
        }
        (previous_at, previous_len, previous_word) = (name_at, name_len, label.word);
        labels += 1;
        at = label.end;
    }
    if labels == 0 || labels + usize::from(own.is_none()) > limits.labels {
        return None;
    }
    let region = body.get(..at)?;
    if !is_ascii(region) && !valid_utf8(region) {
        return None;
    }
    let content = content(raw, from + at, to)?;
    Some(Plain {
        place: place.unwrap_or(at),
        resume: if place.is_some() { resume } else { at },
        own,
        content,
    })
}

/// A label of less than 128 bytes that does not end the series: as nearly all are. The fewer tests,
/// the faster: everything before the value is one chunk.
#[inline(always)]
fn short_label(body: &[u8], at: usize) -> Option<Label> {
    let &[_, len, 0x0a, name_len, ref name @ ..] = body.get(at..)?.first_chunk::<12>()? else {
        return None;
    };
    if (len | name_len) >= 0x80 || name_len == 0 {
        return None;
    }
    let name: &[u8; 8] = name.first_chunk()?;
    let (end, name_len) = (at + 2 + usize::from(len), usize::from(name_len));
    let value_at = at + 4 + name_len + 2;
    let &[0x12, value_len] = body.get(value_at - 2..)?.first_chunk::<2>()? else {
        return None;
    };
    if value_len == 0 || value_at + usize::from(value_len) != end || end > body.len() {
        return None;
    }
    Some(Label {
        name_at: at + 4,
        name_len,
        value_at,
        end,
        word: word(u64::from_be_bytes(*name), name_len),
    })
}

/// The same for any label, with lengths of one or two bytes.
#[inline(never)]
fn long_label(body: &[u8], at: usize) -> Option<Label> {
    let (len, label_at) = length(body, at + 1)?;
    let end = label_at + len;
    let body = body.get(..end)?;
    let Some(0x0a) = body.get(label_at) else {
        return None;
    };
    let (name_len, name_at) = length(body, label_at + 1)?;
    let name = body.get(name_at..name_at + name_len)?;
    let Some(0x12) = body.get(name_at + name_len) else {
        return None;
    };
    let (value_len, value_at) = length(body, name_at + name_len + 1)?;
    if name_len == 0 || value_len == 0 || value_at + value_len != end {
        return None;
    }
    let mut first = [0; 8];
    for (to, from) in first.iter_mut().zip(name) {
        *to = *from;
    }
    Some(Label {
        name_at,
        name_len,
        value_at,
        end,
        word: u64::from_be_bytes(first),
    })
}

/// Zeros behind a name's end.
#[inline(always)]
fn word(first: u64, len: usize) -> u64 {
    if len < 8 {
        first & !(u64::MAX >> (8 * len))
    } else {
        first
    }
}

/// A length of one or two bytes at `at`, and the offset of what it measures.
#[inline(always)]
fn length(body: &[u8], at: usize) -> Option<(usize, usize)> {
    match *body.get(at..)? {
        [first @ ..0x80, ..] => Some((usize::from(first), at + 1)),
        [first, second @ 1..0x80, ..] => {
            let len = usize::from(first & 0x7f) | usize::from(second) << 7;
            Some((len, at + 2))
        }
        _ => None,
    }
}

/// Whether the strings of plain labels are UTF-8.
#[cold]
fn valid_utf8(region: &[u8]) -> bool {
    let mut cursor = Cursor::new(region);
    let mut strings = || {
        while !cursor.is_empty() {
            cursor.tag().ok()?;
            let (from, to) = cursor.len_bounds().ok()?;
            let mut label = Cursor::window(region, from, to);
            while !label.is_empty() {
                label.tag().ok()?;
                let (from, to) = label.len_bounds().ok()?;
                std::str::from_utf8(region.get(from..to)?).ok()?;
            }
        }
        Some(())
    };
    strings().is_some()
}

/// Validates and counts what stands behind the labels.
#[inline]
fn content(raw: &[u8], from: usize, to: usize) -> Option<Content> {
    let mut content = Content::default();
    let mut at = from;
    let window = raw.get(..to)?;
    while let Some(&tag) = window.get(at) {
        let (len, start) = length(window, at + 1)?;
        let end = start + len;
        let item = window.get(start..end)?;
        match tag {
            0x12 => {
                if !plain_sample(item) {
                    return None;
                }
                content.samples += 1;
            }
            0x1a => {
                schema::check(&mut Cursor::window(raw, start, end), raw, &EXEMPLAR, 3).ok()?;
                content.exemplars += 1;
            }
            0x22 => {
                schema::check(&mut Cursor::window(raw, start, end), raw, &HISTOGRAM, 3).ok()?;
                content.histograms += 1;
            }
            _ => return None,
        }
        at = end;
    }
    (at == to).then_some(content)
}

/// Whether a sample is at most a value and a timestamp, in order.
#[inline(always)]
fn plain_sample(item: &[u8]) -> bool {
    // A value, and a timestamp of the present, which takes six bytes: all but the last go on.
    if let &[0x09, .., 0x10, a, b, c, d, e, last] = item
        && item.len() == 16
    {
        return a & b & c & d & e & !last & 0x80 != 0;
    }
    let behind_value = match item {
        [0x09, _, _, _, _, _, _, _, _, behind @ ..] => behind,
        _ => item,
    };
    match behind_value {
        [] => true,
        [0x10, varint @ ..] => match varint {
            [more @ .., last] => {
                *last < 0x80 && more.len() < 9 && more.iter().all(|&byte| byte >= 0x80)
            }
            [] => false,
        },
        _ => false,
    }
}
