//! Remote write 2.0: validates an `io.prometheus.write.v2.Request` and writes it as a 1.0 request
//! with the guid spliced in, in the same pass; and back, for receivers that take 2.0 (`encode`).
//!
//! What is kept: samples and histograms byte for byte (so also their start timestamps, which 1.0
//! decoders pass over), exemplars and metadata in their 1.0 form, in a series' order; unknown
//! fields of a series. What is lost: unknown fields of the request, of exemplars and of metadata;
//! of several descriptions of one metric name in a request all but the first, as 1.0 describes
//! families and not series.
//!
//! Rules as in [`super::remote_write`], and the specification's own: the first symbol is empty, all
//! references are inside the table, label references are even in number, a series has samples or
//! histograms, not both. A series with neither is let through: Prometheus itself sends exemplars
//! alone.

mod encode;
mod series;
mod symbols;

pub use encode::{EncoderV2, encode_v2};

use super::malformed::{Fault, Malformed};
use super::remote_write::{SeriesLimits, Spliced};
use super::tag::{Policy, Tally};
use super::wire::{Cursor, WireType};
use symbols::Symbols;

/// Transcodes 2.0 requests; to be kept, for its buffers.
#[derive(Debug, Default)]
pub struct Transcoder {
    tally: Tally,
    symbols: Symbols,
    /// Label references of the series at hand: pairs.
    labels: Vec<(u32, u32)>,
    /// References of the exemplar at hand.
    exemplar: Vec<(u32, u32)>,
    /// By symbol: whether this metric name has been described.
    described: Vec<bool>,
    /// Exemplars and unknown fields of the series at hand, as 1.0.
    rest: Vec<u8>,
}

impl Transcoder {
    /// Validates `raw` and writes it, tagged, as a 1.0 request to `out` (which is cleared first).
    pub fn transcode(
        &mut self,
        raw: &[u8],
        policy: Policy<'_>,
        limits: &SeriesLimits,
        out: &mut Vec<u8>,
    ) -> Result<Spliced, Malformed> {
        out.clear();
        out.reserve(raw.len());
        self.tally.start();
        // Symbols stand in front as a rule, but protobuf does not say so.
        self.symbols.read(raw, limits)?;
        self.described.clear();
        self.described.resize(self.symbols.len(), false);
        let mut spliced = Spliced::default();
        let mut cursor = Cursor::new(raw);
        while !cursor.is_empty() {
            let start = cursor.at();
            match cursor.tag()? {
                (5, WireType::Len) => {
                    let (from, to) = cursor.len_bounds()?;
                    let index = spliced.series;
                    if spliced.series as usize >= limits.series {
                        return Err(Malformed::new(
                            start,
                            Fault::TooMany {
                                what: "time series",
                                limit: limits.series,
                            },
                        ));
                    }
                    self.series(raw, from, to, policy, limits, out, &mut spliced)
                        .map_err(|error| error.within("time series", index))?;
                    spliced.series += 1;
                    expanded(out.len(), start, limits)?;
                }
                (5, _) => {
                    return Err(Malformed::new(
                        start,
                        Fault::WireType {
                            message: "Request",
                            field: 5,
                        },
                    ));
                }
                (_, wire) => cursor.skip(wire)?,
            }
        }
        spliced.counts = self.tally.take();
        Ok(spliced)
    }
}

/// References make large requests of small ones: refuses more than the limit.
fn expanded(len: usize, at: usize, limits: &SeriesLimits) -> Result<(), Malformed> {
    let limit = limits.expanded_bytes;
    if len > limit {
        let what = "request, its references resolved,";
        return Err(Malformed::new(at, Fault::TooLong { what, limit }));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
