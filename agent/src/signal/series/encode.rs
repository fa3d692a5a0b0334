//! Remote-write bytes: samples behind label blocks, metadata entries, frames of bounded size.

use bytes::Bytes;

use super::{Family, MetricType};
use crate::config::Guid;
use crate::signal::{Frame, Kind};

/// Most samples in one frame.
pub const MAX_FRAME_SAMPLES: usize = 5_000;

/// A frame is closed once it holds this many bytes before compression, so none is longer than this
/// by more than one series.
pub const MAX_FRAME_BYTES: usize = 1 << 20;

/// The bits of the value that ends a series.
pub const STALE_NAN: u64 = 0x7ff0_0000_0000_0002;

const TAG_TIMESERIES: u8 = 0x0a;
const TAG_SAMPLES: u8 = 0x12;
const TAG_SAMPLE_VALUE: u8 = 0x09;
const TAG_SAMPLE_TIMESTAMP: u8 = 0x10;
const TAG_METADATA: u8 = 0x1a;
const TAG_METADATA_TYPE: u8 = 0x08;
const TAG_METADATA_NAME: u8 = 0x12;
const TAG_METADATA_HELP: u8 = 0x22;

pub(super) fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

pub(super) fn put_varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// Collects series into frames. Its buffers are kept from round to round.
pub(super) struct Writer {
    raw: Vec<u8>,
    compressed: Vec<u8>,
    snappy: snap::raw::Encoder,
    /// Samples by owner index, and which owners have any.
    counts: Vec<u32>,
    touched: Vec<u32>,
    samples: usize,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Writer")
            .field("samples", &self.samples)
            .finish_non_exhaustive()
    }
}

impl Writer {
    pub(super) fn new() -> Self {
        Self {
            raw: Vec::new(),
            compressed: Vec::new(),
            snappy: snap::raw::Encoder::new(),
            counts: Vec::new(),
            touched: Vec::new(),
            samples: 0,
        }
    }

    /// Appends a series with one sample.
    pub(super) fn series(&mut self, labels: &[u8], value: u64, timestamp_ms: i64, owner: u32) {
        // Protobuf's int64: two's complement, so a negative one takes ten bytes.
        let timestamp = timestamp_ms as u64;
        let sample = 1 + 8 + 1 + varint_len(timestamp);
        let length = labels.len() + 1 + varint_len(sample as u64) + sample;
        self.raw.push(TAG_TIMESERIES);
        put_varint(&mut self.raw, length as u64);
        self.raw.extend_from_slice(labels);
        self.raw.push(TAG_SAMPLES);
        put_varint(&mut self.raw, sample as u64);
        self.raw.push(TAG_SAMPLE_VALUE);
        self.raw.extend_from_slice(&value.to_le_bytes());
        self.raw.push(TAG_SAMPLE_TIMESTAMP);
        put_varint(&mut self.raw, timestamp);

        let index = owner as usize;
        if self.counts.len() <= index {
            self.counts.resize(index + 1, 0);
        }
        if self.counts[index] == 0 {
            self.touched.push(owner);
        }
        self.counts[index] += 1;
        self.samples += 1;
    }

    /// Appends a family's type and help.
    pub(super) fn metadata(&mut self, family: &Family) {
        let kind = match family.kind {
            MetricType::Untyped => 0u8,
            MetricType::Counter => 1,
            MetricType::Gauge => 2,
            MetricType::Histogram => 3,
        };
        let field = |text: &str| 1 + varint_len(text.len() as u64) + text.len();
        let length = 2 + field(family.name) + field(family.help);
        self.raw.push(TAG_METADATA);
        put_varint(&mut self.raw, length as u64);
        self.raw
            .extend_from_slice(&[TAG_METADATA_TYPE, kind, TAG_METADATA_NAME]);
        put_varint(&mut self.raw, family.name.len() as u64);
        self.raw.extend_from_slice(family.name.as_bytes());
        self.raw.push(TAG_METADATA_HELP);
        put_varint(&mut self.raw, family.help.len() as u64);
        self.raw.extend_from_slice(family.help.as_bytes());
    }

    /// Whether the frame in the making has reached a limit.
    pub(super) fn is_full(&self) -> bool {
        self.samples >= MAX_FRAME_SAMPLES || self.raw.len() >= MAX_FRAME_BYTES
    }

    /// Closes the frame in the making, if it holds anything.
    pub(super) fn flush<'a>(&mut self, owner: impl Fn(u32) -> &'a Guid, frames: &mut Vec<Frame>) {
        if self.raw.is_empty() {
            return;
        }
        let worst = snap::raw::max_compress_len(self.raw.len());
        if self.compressed.len() < worst {
            self.compressed.resize(worst, 0);
        }
        let counts = self
            .touched
            .drain(..)
            .map(|index| {
                (
                    owner(index).clone(),
                    std::mem::take(&mut self.counts[index as usize]),
                )
            })
            .collect();
        match self.snappy.compress(&self.raw, &mut self.compressed) {
            Ok(length) => frames.push(Frame {
                kind: Kind::RemoteWrite,
                payload: Bytes::copy_from_slice(&self.compressed[..length]),
                raw_len: self.raw.len() as u32,
                counts,
            }),
            // Only an input over 4 GiB or too small an output can fail; the limits exclude both.
            Err(error) => tracing::error!(%error, bytes = self.raw.len(), "snappy refused a frame"),
        }
        self.raw.clear();
        self.samples = 0;
    }
}
