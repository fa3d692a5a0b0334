//! Snappy blocks whose timestamps can be changed without compressing again.
//!
//! Compressing costs more than everything else a generator does, so requests are compressed once,
//! at start. A snappy block is a list of literals and copies: a timestamp byte that lies in a
//! literal can be overwritten in place, and one that is produced by a copy follows by itself, as
//! long as the copy takes it from the same byte of a timestamp with the same distance to the
//! request's base time. Copies that mix timestamps with anything else are turned into literals.
//!
//! Owns: that rewriting and the patching. Must not know: protobuf.

use anyhow::{Context, Result, bail};

use super::proto::{STAMP_BYTES, Stamp, stamp_bytes};

const TRUNCATED: &str = "snappy block ends inside an element";

/// A compressed request and where its timestamp bytes lie.
#[derive(Debug, Clone)]
pub(crate) struct Patchable {
    pub(crate) block: Vec<u8>,
    patches: Vec<Patch>,
}

#[derive(Debug, Clone, Copy)]
struct Patch {
    at: u32,
    delta: u8,
    byte: u8,
}

impl Patchable {
    /// Compresses `raw`, in which `stamps` are the timestamps.
    pub(crate) fn compress(raw: &[u8], stamps: &[Stamp]) -> Result<Self> {
        let compressed = snap::raw::Encoder::new().compress_vec(raw)?;
        let mut walk = Walk {
            raw,
            class: classes(raw.len(), stamps),
            block: Vec::with_capacity(compressed.len() + 64),
            patches: Vec::new(),
        };
        walk.rewrite(&compressed)?;
        Ok(Self {
            block: walk.block,
            patches: walk.patches,
        })
    }

    /// Overwrites the timestamps in `body`, a copy of [`Self::block`].
    pub(crate) fn set_base(&self, body: &mut [u8], base: i64) {
        let mut delta = 0;
        let mut bytes = stamp_bytes(base);
        for patch in &self.patches {
            if patch.delta != delta {
                delta = patch.delta;
                bytes = stamp_bytes(base + i64::from(delta));
            }
            body[patch.at as usize] = bytes[usize::from(patch.byte)];
        }
    }
}

/// For each raw byte: 0 for an ordinary one, else which byte of which timestamp it is.
fn classes(raw_len: usize, stamps: &[Stamp]) -> Vec<u16> {
    let mut class = vec![0; raw_len];
    for stamp in stamps {
        for byte in 0..STAMP_BYTES {
            class[stamp.at + byte] = 1 + u16::from(stamp.delta) * STAMP_BYTES as u16 + byte as u16;
        }
    }
    class
}

struct Walk<'a> {
    raw: &'a [u8],
    class: Vec<u16>,
    block: Vec<u8>,
    patches: Vec<Patch>,
}

impl Walk<'_> {
    fn rewrite(&mut self, compressed: &[u8]) -> Result<()> {
        let preamble = 1 + compressed
            .iter()
            .position(|byte| byte & 0x80 == 0)
            .context(TRUNCATED)?;
        self.block.extend_from_slice(&compressed[..preamble]);
        let mut rest = &compressed[preamble..];
        let mut written = 0;
        while let Some(&tag) = rest.first() {
            let extra = match tag & 3 {
                0 => usize::from((tag >> 2).saturating_sub(59)),
                kind => [1, 2, 4][usize::from(kind) - 1],
            };
            let operand = rest.get(1..1 + extra).context(TRUNCATED)?;
            let operand = operand
                .iter()
                .rev()
                .fold(0usize, |value, byte| value << 8 | usize::from(*byte));
            let (element, length) = match tag & 3 {
                0 => {
                    let length = 1 + if extra == 0 {
                        usize::from(tag >> 2)
                    } else {
                        operand
                    };
                    (1 + extra + length, length)
                }
                1 => (2, 4 + usize::from(tag >> 2 & 7)),
                _ => (1 + extra, 1 + usize::from(tag >> 2)),
            };
            let bytes = rest.get(..element).context(TRUNCATED)?;
            match tag & 3 {
                0 => self.literal(&bytes[..1 + extra], written, length),
                kind => {
                    let offset = if kind == 1 {
                        usize::from(tag >> 5) << 8 | operand
                    } else {
                        operand
                    };
                    if offset == 0 || offset > written {
                        bail!("snappy copy reaches before the start of the block");
                    }
                    if self.copy_is_safe(written, offset, length) {
                        self.block.extend_from_slice(bytes);
                    } else if length <= 60 {
                        self.literal(&[(length as u8 - 1) << 2], written, length);
                    } else {
                        self.literal(&[60 << 2, length as u8 - 1], written, length);
                    }
                }
            }
            written += length;
            rest = &rest[element..];
        }
        Ok(())
    }

    fn copy_is_safe(&self, at: usize, offset: usize, length: usize) -> bool {
        self.class[at..at + length] == self.class[at - offset..at - offset + length]
    }

    fn literal(&mut self, tag: &[u8], at: usize, length: usize) {
        self.block.extend_from_slice(tag);
        for index in at..at + length {
            if let Some(class) = self.class[index].checked_sub(1) {
                self.patches.push(Patch {
                    at: self.block.len() as u32,
                    delta: (class / STAMP_BYTES as u16) as u8,
                    byte: (class % STAMP_BYTES as u16) as u8,
                });
            }
            self.block.push(self.raw[index]);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::forward::workload::{Workload, requests};

    #[test]
    fn a_patched_block_unpacks_to_the_request_built_for_that_time() {
        for workload in [Workload::A, Workload::As, Workload::B] {
            let early = requests(workload, 2_000, 500, 1, 0, 1_700_000_000_000);
            let late = requests(workload, 2_000, 500, 1, 0, 1_812_345_678_901);
            for (early, late) in early.iter().zip(&late) {
                let packed =
                    Patchable::compress(&early.encoded.bytes, &early.encoded.stamps).unwrap();
                let mut body = packed.block.clone();
                packed.set_base(&mut body, 1_812_345_678_901);
                let unpacked = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
                assert!(unpacked == late.encoded.bytes, "{workload:?} differs");
                assert!(early.encoded.bytes != late.encoded.bytes);
            }
        }
    }
}
