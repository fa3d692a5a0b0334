//! Label blocks: a series' labels as the protobuf bytes that a `TimeSeries` starts with.
//!
//! A block is a run of `labels` fields (number 1), each a `Label` message, sorted by name with
//! `__name__` in its place, without empty values.

use super::encode::{put_varint, varint_len};

/// Most labels of one series, the name not counted. Further ones are left out (a producer's
/// mistake that debug builds stop at): label sets are part of the catalogue, none comes near.
pub const MAX_LABELS: usize = 24;

const TAG_LABELS: u8 = 0x0a;
const TAG_NAME: u8 = 0x0a;
const TAG_VALUE: u8 = 0x12;

/// The labels of one series while they are put in order.
pub(super) struct Sorted<'a> {
    pairs: [(&'a str, &'a str); MAX_LABELS],
    len: usize,
}

impl<'a> Sorted<'a> {
    pub(super) fn new() -> Self {
        Self {
            pairs: [("", ""); MAX_LABELS],
            len: 0,
        }
    }

    /// Adds a label at its place; one without a value is left out, one that is there already stays.
    pub(super) fn add(&mut self, name: &'a str, value: &'a str) {
        debug_assert!(self.len < MAX_LABELS, "too many labels: {name}");
        if value.is_empty() || self.len == MAX_LABELS {
            return;
        }
        match self.pairs[..self.len].binary_search_by(|&(other, _)| other.cmp(name)) {
            Ok(_) => {}
            Err(at) => {
                self.pairs.copy_within(at..self.len, at + 1);
                self.pairs[at] = (name, value);
                self.len += 1;
            }
        }
    }

    /// The value of a label.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        let pairs = &self.pairs[..self.len];
        let at = pairs.binary_search_by(|&(other, _)| other.cmp(name)).ok()?;
        Some(pairs[at].1)
    }

    /// Writes the block for a sample name given in two parts.
    pub(super) fn encode(&self, family: &str, suffix: &str, into: &mut Vec<u8>) {
        let mut named = false;
        for &(name, value) in &self.pairs[..self.len] {
            if !named && name > "__name__" {
                put_label(into, "__name__", &[family, suffix]);
                named = true;
            }
            put_label(into, name, &[value]);
        }
        if !named {
            put_label(into, "__name__", &[family, suffix]);
        }
    }
}

fn put_label(into: &mut Vec<u8>, name: &str, value: &[&str]) {
    let value_len: usize = value.iter().map(|part| part.len()).sum();
    let length =
        2 + varint_len(name.len() as u64) + name.len() + varint_len(value_len as u64) + value_len;
    into.push(TAG_LABELS);
    put_varint(into, length as u64);
    into.push(TAG_NAME);
    put_varint(into, name.len() as u64);
    into.extend_from_slice(name.as_bytes());
    into.push(TAG_VALUE);
    put_varint(into, value_len as u64);
    for part in value {
        into.extend_from_slice(part.as_bytes());
    }
}

/// The (name, value) pairs of a block that [`Sorted::encode`] wrote.
pub(super) struct Pairs<'a> {
    rest: &'a [u8],
}

impl<'a> Pairs<'a> {
    pub(super) fn of(block: &'a [u8]) -> Self {
        Self { rest: block }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let mut label = take_field(&mut self.rest)?;
        let name = std::str::from_utf8(take_field(&mut label)?).ok()?;
        let value = std::str::from_utf8(take_field(&mut label)?).ok()?;
        Some((name, value))
    }
}

/// The bytes of the length-delimited field at the front.
fn take_field<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (_tag, mut rest) = bytes.split_first()?;
    let mut length = 0usize;
    for shift in (0..28).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        rest = tail;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let (field, tail) = rest.split_at_checked(length)?;
    *bytes = tail;
    Some(field)
}
