//! Protobuf writing for the generator: just enough to lay out remote-write 1.0 by hand.
//!
//! Owns: field encoding that remembers where timestamps land. Must not know: what is encoded.

/// A timestamp inside an encoded message: where its varint starts, and its distance in ms from the
/// request's base time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) at: usize,
    pub(crate) delta: u8,
}

/// Bytes of the varint of any timestamp in ms between 2004 and 2109 (2^35 ≤ ms < 2^42).
pub(crate) const STAMP_BYTES: usize = 6;

/// An encoded message with the places of its timestamps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) stamps: Vec<Stamp>,
}

impl Encoded {
    /// A varint field.
    pub(crate) fn varint(&mut self, field: u8, value: u64) {
        self.bytes.push(field << 3);
        put_varint(&mut self.bytes, value);
    }

    /// A double field.
    pub(crate) fn double(&mut self, field: u8, value: f64) {
        self.bytes.push(field << 3 | 1);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A string or bytes field.
    pub(crate) fn text(&mut self, field: u8, value: &str) {
        self.bytes.push(field << 3 | 2);
        put_varint(&mut self.bytes, value.len() as u64);
        self.bytes.extend_from_slice(value.as_bytes());
    }

    /// A timestamp field: `base + delta` ms, remembered so that it can be patched.
    pub(crate) fn stamp(&mut self, field: u8, base: i64, delta: u8) {
        self.bytes.push(field << 3);
        self.stamps.push(Stamp {
            at: self.bytes.len(),
            delta,
        });
        self.bytes
            .extend_from_slice(&stamp_bytes(base + i64::from(delta)));
    }

    /// An embedded message; its timestamps move with it.
    pub(crate) fn message(&mut self, field: u8, inner: &Encoded) {
        self.bytes.push(field << 3 | 2);
        put_varint(&mut self.bytes, inner.bytes.len() as u64);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&inner.bytes);
        self.stamps.extend(inner.stamps.iter().map(|stamp| Stamp {
            at: stamp.at + start,
            delta: stamp.delta,
        }));
    }
}

/// The varint of a timestamp in ms; always [`STAMP_BYTES`] long for the times of this century.
pub(crate) fn stamp_bytes(milliseconds: i64) -> [u8; STAMP_BYTES] {
    let mut rest = milliseconds.unsigned_abs();
    let mut bytes = [0; STAMP_BYTES];
    for (index, byte) in bytes.iter_mut().enumerate() {
        let more = if index + 1 < STAMP_BYTES { 0x80 } else { 0 };
        *byte = (rest & 0x7f) as u8 | more;
        rest >>= 7;
    }
    bytes
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
