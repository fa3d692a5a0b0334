//! Snappy blocks: decode within a bound, encode, and merge without recompression.
//!
//! A block is its uncompressed length as a varint, then elements. Elements refer backwards by
//! distance and never beyond the start of their own block's output, so the elements of several
//! blocks, one after the other, are the elements of the concatenation of their contents.

use super::wire::{put_varint, varint_len};

/// A copy element of three bytes yields at most 64: no block grows more than this.
const MAX_GROWTH_BYTES: (u64, u64) = (64, 3);

/// Why a block is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum SnappyError {
    #[error("body begins with the framed snappy format's magic: the block format is wanted")]
    Framed,
    #[error("no uncompressed length in front of the snappy block")]
    NoLength,
    #[error("snappy block declares {declared} bytes, {limit} are allowed")]
    TooLarge { declared: u64, limit: usize },
    #[error("snappy block declares {declared} bytes, more than its {len} bytes can hold")]
    Impossible { declared: u64, len: usize },
    #[error("snappy block is corrupt: {0}")]
    Corrupt(#[from] snap::Error),
}

/// The uncompressed length that a block declares and the offset of its first element. The length is
/// checked against what the block's bytes can hold at all, so it may be allocated.
pub fn declared_len(block: &[u8]) -> Result<(usize, usize), SnappyError> {
    if block.starts_with(b"\xff\x06\x00\x00sNaPpY") {
        return Err(SnappyError::Framed);
    }
    let mut declared = 0u64;
    for (index, &byte) in block.iter().take(5).enumerate() {
        declared |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            if declared > u64::from(u32::MAX) {
                return Err(SnappyError::NoLength);
            }
            let elements = (block.len() - index - 1) as u64;
            let (out, of) = MAX_GROWTH_BYTES;
            // A block that ends early may still be shorter than this; its decoding then fails.
            if declared > elements.saturating_mul(out) / of {
                return Err(SnappyError::Impossible {
                    declared,
                    len: block.len(),
                });
            }
            return Ok((declared as usize, index + 1));
        }
    }
    Err(SnappyError::NoLength)
}

/// Uncompresses a block of at most `limit` bytes into `scratch`, which only ever grows; returns the
/// part of it that holds the content. Nothing is allocated before the declared length has been
/// checked.
pub fn decode<'s>(
    block: &[u8],
    limit: usize,
    scratch: &'s mut Vec<u8>,
) -> Result<&'s [u8], SnappyError> {
    let (len, _) = declared_len(block)?;
    if len > limit {
        return Err(SnappyError::TooLarge {
            declared: len as u64,
            limit,
        });
    }
    if scratch.len() < len {
        scratch.resize(len, 0);
    }
    let Some(out) = scratch.get_mut(..len) else {
        return Ok(&[]);
    };
    let written = snap::raw::Decoder::new().decompress(block, out)?;
    Ok(out.get(..written).unwrap_or_default())
}

/// An encoder with its hash table, to be kept.
pub struct Encoder {
    encoder: snap::raw::Encoder,
    scratch: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            encoder: snap::raw::Encoder::new(),
            scratch: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Encoder")
            .field("scratch_bytes", &self.scratch.len())
            .finish_non_exhaustive()
    }
}

impl Encoder {
    /// Compresses `raw` into one block. Valid until the next call. Fails only for more than
    /// `u32::MAX` bytes.
    pub fn encode(&mut self, raw: &[u8]) -> Result<&[u8], SnappyError> {
        let bound = snap::raw::max_compress_len(raw.len());
        if self.scratch.len() < bound {
            self.scratch.resize(bound, 0);
        }
        let len = self.encoder.compress(raw, &mut self.scratch)?;
        Ok(self.scratch.get(..len).unwrap_or_default())
    }

    /// Bytes held for the next call.
    #[must_use]
    pub fn scratch_bytes(&self) -> usize {
        self.scratch.len()
    }
}

/// One block that holds the contents of `blocks` one after the other; appended to `out`. Nothing
/// is uncompressed: cost is a copy. The blocks must be valid (which is not checked) and their
/// contents must fit `u32::MAX` bytes together.
pub fn merge<'b>(
    blocks: impl Iterator<Item = &'b [u8]> + Clone,
    out: &mut Vec<u8>,
) -> Result<(), SnappyError> {
    let mut total = 0u64;
    let mut elements = 0;
    for block in blocks.clone() {
        let (len, start) = declared_len(block)?;
        total += len as u64;
        elements += block.len() - start;
    }
    if total > u64::from(u32::MAX) {
        return Err(SnappyError::TooLarge {
            declared: total,
            limit: u32::MAX as usize,
        });
    }
    out.reserve(varint_len(total as usize) + elements);
    put_varint(out, total);
    for block in blocks {
        let (_, start) = declared_len(block)?;
        out.extend_from_slice(block.get(start..).unwrap_or_default());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
