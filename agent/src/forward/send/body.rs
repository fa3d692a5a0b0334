//! Request bodies as lists of shared byte pieces: merging frames copies nothing, and sending again
//! clones a pointer.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::{Body, Frame, SizeHint};

use crate::signal::protobuf::put_varint;
use crate::signal::snappy::{self, SnappyError};

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

/// A frame that cannot be merged.
#[derive(Debug, thiserror::Error)]
#[error("frame {index} of the batch: {error}")]
pub(crate) struct Unmergeable {
    index: usize,
    error: SnappyError,
}

/// Merges snappy blocks into one, like [`snappy::merge`] but without copying the elements.
pub(crate) fn merge_snappy<'a>(
    blocks: impl ExactSizeIterator<Item = &'a Bytes>,
) -> Result<Pieces, Unmergeable> {
    let mut pieces = VecDeque::with_capacity(blocks.len() + 1);
    let mut raw_len = 0_u64;
    for (index, block) in blocks.enumerate() {
        let declared = snappy::declared_len(block).map_err(|error| Unmergeable { index, error })?;
        let (len, preamble) = declared;
        raw_len += len as u64;
        pieces.push_back(block.slice(preamble..));
    }
    let mut preamble = Vec::with_capacity(5);
    put_varint(&mut preamble, raw_len);
    pieces.push_front(Bytes::from(preamble));
    Ok(pieces.into_iter().collect())
}

/// Compresses pieces into one.
pub(crate) fn gzip(pieces: &[Bytes]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for piece in pieces {
        // Writing to memory does not fail.
        let _ = encoder.write_all(piece);
    }
    encoder.finish().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::merge_snappy;

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
            assert_eq!(merge_snappy(blocks.iter()).unwrap_err().index, 1, "{bad:?}");
        }
    }
}
