//! Exponential histograms as native histograms.

use opentelemetry_proto::tonic::metrics::v1::ExponentialHistogramDataPoint;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;

use super::points::STALE;
use crate::signal::wire::{put_len, put_tag, put_varint};

/// The scales that native histograms have. Finer ones are made coarser, coarser ones refused.
const SCALES: std::ops::RangeInclusive<i32> = -4..=8;
/// What OpenTelemetry's rules put where a point does not say how wide its zero bucket is.
const ZERO_THRESHOLD: f64 = 1e-128;
/// Empty buckets in a row that are written rather than skipped: a span costs more.
const GAP: i64 = 2;

/// Why a point cannot become a native histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("scale is below -4")]
    Scale,
    #[error("bucket offset is out of range")]
    Offset,
}

/// An encoded `Histogram`.
pub(super) fn encode(point: &ExponentialHistogramDataPoint, stale: bool) -> Result<Vec<u8>, Unfit> {
    if point.scale < *SCALES.start() {
        return Err(Unfit::Scale);
    }
    let coarser = (point.scale - SCALES.end()).max(0) as u32;
    let mut out = Vec::new();
    put_tag(&mut out, 1, 0);
    put_varint(&mut out, if stale { STALE } else { point.count });
    let sum = match point.sum {
        _ if stale => STALE,
        sum => sum.unwrap_or_default().to_bits(),
    };
    put_double(&mut out, 3, sum);
    put_tag(&mut out, 4, 0);
    put_varint(&mut out, zigzag(point.scale.min(*SCALES.end()).into()));
    let threshold = match point.zero_threshold {
        0.0 => ZERO_THRESHOLD,
        threshold => threshold,
    };
    put_double(&mut out, 5, threshold.to_bits());
    put_tag(&mut out, 6, 0);
    put_varint(&mut out, point.zero_count);
    for (buckets, spans, deltas) in [(&point.negative, 8, 9), (&point.positive, 11, 12)] {
        if let Some(buckets) = buckets {
            put_buckets(&mut out, buckets, coarser, spans, deltas)?;
        }
    }
    put_tag(&mut out, 15, 0);
    put_varint(&mut out, point.time_unix_nano / 1_000_000);
    Ok(out)
}

fn put_buckets(
    out: &mut Vec<u8>,
    buckets: &Buckets,
    coarser: u32,
    spans_field: u32,
    deltas_field: u32,
) -> Result<(), Unfit> {
    let (mut spans, mut deltas) = (Vec::new(), Vec::new());
    // The span at hand: offset from the end of the one before, and its length.
    let (mut offset, mut length) = (0i64, 0u32);
    // One behind the last bucket that was written.
    let mut end = 0i64;
    let mut last_count = 0i64;
    let first = i64::from(buckets.offset);
    let mut index = 0;
    while index < buckets.bucket_counts.len() {
        // Native buckets are counted from their upper bound, OTLP's from the lower one.
        let place = ((first + index as i64) >> coarser.min(62)) + 1;
        let mut count = 0u64;
        while index < buckets.bucket_counts.len()
            && ((first + index as i64) >> coarser.min(62)) + 1 == place
        {
            let more = buckets.bucket_counts.get(index).copied();
            count = count.saturating_add(more.unwrap_or_default());
            index += 1;
        }
        if count == 0 {
            continue;
        }
        if i32::try_from(place).is_err() {
            return Err(Unfit::Offset);
        }
        let mut put = |count: i64| {
            put_varint(&mut deltas, zigzag(count.wrapping_sub(last_count)));
            last_count = count;
        };
        if length > 0 && place - end <= GAP {
            for _ in end..place {
                put(0);
                length += 1;
            }
        } else {
            if length > 0 {
                put_span(&mut spans, spans_field, offset, length);
            }
            (offset, length) = (place - end, 0);
        }
        put(count as i64);
        length += 1;
        end = place + 1;
    }
    if length > 0 {
        put_span(&mut spans, spans_field, offset, length);
        out.extend_from_slice(&spans);
        put_len(out, deltas_field, &deltas);
    }
    Ok(())
}

fn put_span(out: &mut Vec<u8>, number: u32, offset: i64, length: u32) {
    let mut span = Vec::with_capacity(12);
    put_tag(&mut span, 1, 0);
    put_varint(&mut span, zigzag(offset));
    put_tag(&mut span, 2, 0);
    put_varint(&mut span, length.into());
    put_len(out, number, &span);
}

fn put_double(out: &mut Vec<u8>, number: u32, bits: u64) {
    put_tag(out, number, 1);
    out.extend_from_slice(&bits.to_le_bytes());
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}
