//! Request bodies as lists of shared byte pieces: merging frames copies nothing, and sending again
//! clones a pointer.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// The pieces of one request, shared by its attempts.
pub(crate) type Pieces = Arc<[Bytes]>;

/// One attempt's way through the pieces.
#[derive(Debug)]
pub(crate) struct PiecesBody {
    pieces: Pieces,
    next: usize,
    left: u64,
}

impl PiecesBody {
    pub(crate) fn new(pieces: Pieces) -> Self {
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self {
            pieces,
            next: 0,
            left,
        }
    }
}

impl Body for PiecesBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.get(self.next).cloned();
        Poll::Ready(piece.map(|piece| {
            self.next += 1;
            self.left -= piece.len() as u64;
            Ok(Frame::data(piece))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.next >= self.pieces.len()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Why frames cannot be merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unmergeable {
    /// A snappy block without a proper length in front. The index says which frame.
    #[error("frame {0} is not a snappy block")]
    NotSnappy(usize),
}

/// Merges snappy blocks into one: the sum of their lengths, then the elements of each. Elements of a
/// block refer back only within their block, so they mean the same behind others.
pub(crate) fn merge_snappy<'a>(
    blocks: impl ExactSizeIterator<Item = &'a Bytes>,
) -> Result<Pieces, Unmergeable> {
    let mut pieces = VecDeque::with_capacity(blocks.len() + 1);
    let mut raw_len = 0_u64;
    for (index, block) in blocks.enumerate() {
        let (len, preamble) = read_varint(block).ok_or(Unmergeable::NotSnappy(index))?;
        raw_len += len;
        pieces.push_back(block.slice(preamble..));
    }
    let mut preamble = Vec::with_capacity(5);
    let mut rest = raw_len;
    while rest >= 0x80 {
        preamble.push((rest as u8 & 0x7f) | 0x80);
        rest >>= 7;
    }
    preamble.push(rest as u8);
    pieces.push_front(Bytes::from(preamble));
    Ok(pieces.into_iter().collect())
}

/// The length in front of a snappy block and how many bytes it takes.
fn read_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (index, &byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return (value <= u64::from(u32::MAX)).then_some((value, index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::{Unmergeable, merge_snappy};

    proptest! {
        #[test]
        fn property_test_merged_snappy_blocks_decode_to_the_concatenation(
            parts in proptest::collection::vec(
                proptest::collection::vec(0_u8..4, 0..3000), 1..8),
        ) {
            let compressed: Vec<Bytes> = parts
                .iter()
                .map(|part| snap::raw::Encoder::new().compress_vec(part).unwrap().into())
                .collect();
            let merged: Vec<u8> = merge_snappy(compressed.iter()).unwrap().concat();
            let decoded = snap::raw::Decoder::new().decompress_vec(&merged).unwrap();
            prop_assert_eq!(decoded, parts.concat());
        }
    }

    #[test]
    fn a_block_without_a_length_is_named() {
        let good = Bytes::from(snap::raw::Encoder::new().compress_vec(b"abc").unwrap());
        for bad in [
            &b""[..],
            &[0x80],
            &[0xff; 8],
            &[0xff, 0xff, 0xff, 0xff, 0x7f],
        ] {
            let blocks = [good.clone(), Bytes::copy_from_slice(bad)];
            assert_eq!(
                merge_snappy(blocks.iter()),
                Err(Unmergeable::NotSnappy(1)),
                "{bad:?}"
            );
        }
    }
}
