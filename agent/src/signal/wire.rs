//! Protocol buffers as bytes: a cursor over one request, and the encoders that the splicers share.
//!
//! Owns varints, tags and lengths. Knows no message: see [`super::schema`]. A cursor always holds
//! the whole request and a window into it, so that a fault can name the byte it was found at.

use super::malformed::{Fault, Malformed};

/// How a field's value is laid out. Groups (wire types 3 and 4) are not part of proto3 and no
/// extension of the schemas here can bring them: they are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireType {
    Varint,
    Fixed64,
    Len,
    Fixed32,
}

impl WireType {
    /// As it stands in the low bits of a tag.
    pub(crate) const fn number(self) -> usize {
        match self {
            Self::Varint => 0,
            Self::Fixed64 => 1,
            Self::Len => 2,
            Self::Fixed32 => 5,
        }
    }
}

/// A window of a request, read front to back.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Over a whole request.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Over `start..end` of a request, which the caller has found to be inside it.
    #[inline]
    pub(crate) fn window(request: &'a [u8], start: usize, end: usize) -> Self {
        Self {
            bytes: request.get(..end).unwrap_or(request),
            at: start,
        }
    }

    /// Offset in the request of the next byte.
    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The next byte, if the window has one.
    #[inline(always)]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Goes on behind a byte that [`Cursor::peek`] gave.
    #[inline(always)]
    pub(crate) fn skip_byte(&mut self) {
        self.at += 1;
    }

    /// Whether the window is used up.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// A fault at the next byte.
    pub(crate) fn fault(&self, fault: Fault) -> Malformed {
        Malformed::new(self.at, fault)
    }

    /// A varint of at most 64 bits.
    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(byte.into())
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for (index, &byte) in self
            .bytes
            .get(self.at..)
            .unwrap_or_default()
            .iter()
            .take(10)
            .enumerate()
        {
            if index == 9 && byte > 1 {
                return Err(self.fault(Fault::Varint));
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.at += index + 1;
                return Ok(value);
            }
        }
        Err(self.fault(Fault::Truncated))
    }

    /// A field's number and wire type.
    #[inline]
    pub(crate) fn tag(&mut self) -> Result<(u32, WireType), Malformed> {
        let start = self.at;
        let tag = self.varint()?;
        let at = |fault| Malformed::new(start, fault);
        let number = u32::try_from(tag >> 3).unwrap_or(0);
        if number == 0 || number > 0x1fff_ffff {
            return Err(at(Fault::FieldNumber));
        }
        let wire = match tag & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Len,
            5 => WireType::Fixed32,
            3 | 4 => return Err(at(Fault::Group)),
            _ => return Err(at(Fault::UnknownWireType)),
        };
        Ok((number, wire))
    }

    /// The bounds in the request of a length-delimited value.
    #[inline]
    pub(crate) fn len_bounds(&mut self) -> Result<(usize, usize), Malformed> {
        let start = self.at;
        let len = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        match self.at.checked_add(len) {
            Some(end) if end <= self.bytes.len() => {
                let bounds = (self.at, end);
                self.at = end;
                Ok(bounds)
            }
            _ => Err(Malformed::new(start, Fault::Truncated)),
        }
    }

    /// Passes over a value of this wire type.
    #[inline]
    pub(crate) fn skip(&mut self, wire: WireType) -> Result<(), Malformed> {
        match wire {
            WireType::Varint => self.varint().map(drop),
            WireType::Fixed64 => self.skip_bytes(8),
            WireType::Fixed32 => self.skip_bytes(4),
            WireType::Len => self.len_bounds().map(drop),
        }
    }

    #[inline]
    fn skip_bytes(&mut self, count: usize) -> Result<(), Malformed> {
        if self.bytes.len() - self.at.min(self.bytes.len()) < count {
            return Err(self.fault(Fault::Truncated));
        }
        self.at += count;
        Ok(())
    }
}

/// Whether all bytes are ASCII. The last chunk overlaps the one before: the library's byte by byte to
/// the end costs a third of a scan of short strings.
#[inline(always)]
pub(crate) fn is_ascii(bytes: &[u8]) -> bool {
    if let Some(last) = bytes.last_chunk::<32>() {
        let chunks = bytes.as_chunks::<32>().0.iter();
        return chunks.fold(high_bits(last), |seen, chunk| seen | high_bits(chunk)) == 0;
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) {
        return high_bits(first) | high_bits(last) == 0;
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        return high_bits(first) | high_bits(last) == 0;
    }
    bytes.iter().all(u8::is_ascii)
}

/// By words: a fold over bytes becomes one instruction a byte where the chunk is a single one.
#[inline(always)]
fn high_bits<const LEN: usize>(chunk: &[u8; LEN]) -> u64 {
    let words = chunk.as_chunks::<8>().0;
    let seen = words
        .iter()
        .fold(0, |seen, word| seen | u64::from_ne_bytes(*word));
    seen & 0x8080_8080_8080_8080
}

/// Bytes a varint takes.
pub(crate) fn varint_len(value: usize) -> usize {
    // 7 bits a byte; zero takes one.
    (70 - (value as u64 | 1).leading_zeros() as usize) / 7
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a tag. `wire` is the wire type's number.
pub(crate) fn put_tag(out: &mut Vec<u8>, number: u32, wire: u8) {
    put_varint(out, u64::from(number) << 3 | u64::from(wire));
}

/// Appends a length-delimited field.
pub(crate) fn put_len(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_tag(out, number, 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a message whose length is not known beforehand: `body` writes it, the length is put in
/// front afterwards.
pub(crate) fn put_message<E>(
    out: &mut Vec<u8>,
    number: u32,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    put_tag(out, number, 2);
    let length_at = out.len();
    out.push(0);
    body(out)?;
    let len = out.len() - length_at - 1;
    let extra = varint_len(len) - 1;
    if extra > 0 {
        let end = out.len();
        out.resize(end + extra, 0);
        out.copy_within(length_at + 1..end, length_at + 1 + extra);
    }
    let mut rest = len as u64;
    for index in 0..=extra {
        let more = if index < extra { 0x80 } else { 0 };
        if let Some(byte) = out.get_mut(length_at + index) {
            *byte = (rest & 0x7f) as u8 | more;
        }
        rest >>= 7;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::{Cursor, is_ascii, put_message, put_varint, varint_len};

    #[test]
    fn a_varint_reads_back_and_takes_the_length_it_says() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut bytes = Vec::new();
                put_varint(&mut bytes, value);
                assert_eq!(bytes.len(), varint_len(value as usize), "{value}");
                assert_eq!(Cursor::new(&bytes).varint().unwrap(), value);
                assert!(Cursor::new(&bytes[..bytes.len() - 1]).varint().is_err());
            }
        }
        assert!(Cursor::new(&[0xff; 10]).varint().is_err());
    }

    #[test]
    fn one_byte_beyond_ascii_is_found_wherever_it_stands() {
        for len in 0..100 {
            let mut bytes = vec![0x7f; len];
            assert!(is_ascii(&bytes), "{len}");
            for at in 0..len {
                bytes[at] = 0x80;
                assert!(!is_ascii(&bytes), "{at} of {len}");
                bytes[at] = 0x7f;
            }
        }
    }

    #[test]
    fn a_message_of_any_length_has_its_length_in_front() {
        for len in [0, 1, 127, 128, 16_383, 16_384, 3_000_000] {
            let mut out = vec![9];
            put_message(&mut out, 1, |out| {
                out.resize(out.len() + len, 7);
                Ok::<_, ()>(())
            })
            .unwrap();
            let mut cursor = Cursor::window(&out, 1, out.len());
            cursor.tag().unwrap();
            let (start, end) = cursor.len_bounds().unwrap();
            assert_eq!((end - start, end), (len, out.len()));
            assert!(out[start..].iter().all(|&byte| byte == 7));
        }
    }
}
