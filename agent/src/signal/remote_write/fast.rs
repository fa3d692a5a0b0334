//! The fast path of one series: labels in front, each plainly a name then a value, in order.
//!
//! Finds the guid label's place in one pass. Anything unusual, wrong or only rare, is `None`: the
//! careful path looks again. Names are compared as their first eight bytes, big-endian.

use super::{Content, SeriesLimits};
use crate::signal::schema::{self, EXEMPLAR, HISTOGRAM};
use crate::signal::wire::Cursor;

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

/// Scans the series at `from..to` of a request.
#[inline]
pub(super) fn scan(raw: &[u8], from: usize, to: usize, limits: &SeriesLimits) -> Option<Plain> {
    let body = raw.get(from..to)?;
    let mut at = 0;
    let mut labels = 0;
    let mut previous: &[u8] = &[];
    let mut previous_word = 0;
    let mut place = None;
    let mut own = None;
    let mut resume = 0;
    while let Some(&[0x0a, first_len, ref behind @ ..]) = body.get(at..) {
        let (len, label_at) = length(first_len, behind, at + 1)?;
        let end = label_at + len;
        let label = body.get(label_at..end)?;
        let &[0x0a, name_len @ 1..0x80, ref behind_name @ ..] = label else {
            return None;
        };
        let name_len = usize::from(name_len);
        let name = behind_name.get(..name_len)?;
        let &[0x12, first_len, ref behind_value @ ..] = label.get(2 + name_len..)? else {
            return None;
        };
        let (value_len, value_at) = length(first_len, behind_value, 2 + name_len + 1)?;
        if value_at + value_len != len || value_len == 0 {
            return None;
        }
        if name_len > limits.name_bytes || value_len > limits.value_bytes {
            return None;
        }
        let word = word(body, label_at + 2, name_len)?;
        if word < previous_word || (word == previous_word && name <= previous) {
            return None;
        }
        if place.is_none() && word >= GUID_WORD {
            place = Some(at);
            resume = at;
            // `guid` with zero bytes behind it has the same word.
            if word == GUID_WORD && name_len == 4 {
                resume = end;
                own = Some((label_at + value_at, end));
            }
        }
        previous = name;
        previous_word = word;
        labels += 1;
        at = end;
    }
    if labels == 0 || labels + usize::from(own.is_none()) > limits.labels {
        return None;
    }
    let region = body.get(..at)?;
    if !region.is_ascii() && !valid_utf8(region) {
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

/// A length of one or two bytes, and the offset of what it measures. `at` is its own offset,
/// `behind` what follows its first byte.
#[inline(always)]
fn length(first: u8, behind: &[u8], at: usize) -> Option<(usize, usize)> {
    if first < 0x80 {
        return Some((usize::from(first), at + 1));
    }
    match behind.first() {
        Some(&second @ 1..0x80) => {
            Some((usize::from(first & 0x7f) | usize::from(second) << 7, at + 2))
        }
        _ => None,
    }
}

/// The first eight bytes of a name, zeros behind its end.
#[inline(always)]
fn word(body: &[u8], at: usize, len: usize) -> Option<u64> {
    // Only the last label of a series without content can be too short for this.
    let bytes = body.get(at..)?.first_chunk::<8>()?;
    let word = u64::from_be_bytes(*bytes);
    Some(if len < 8 {
        word & !(u64::MAX >> (8 * len))
    } else {
        word
    })
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
    while let Some(&[tag, first_len, ref behind @ ..]) = window.get(at..) {
        let (len, start) = length(first_len, behind, at + 1)?;
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
