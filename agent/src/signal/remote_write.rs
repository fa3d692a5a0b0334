//! Remote write 1.0: validates an uncompressed `WriteRequest` and sets the guid label in every
//! series, without decoding a sample.
//!
//! What is kept: samples, histograms, exemplars, metadata and unknown fields, byte for byte, in
//! their order. What changes: the guid label, at its sorted place.
//!
//! What the specification leaves to a receiver, or real senders do in spite of it:
//! - labels out of order are put in order; a name that is there twice is refused;
//! - a label with an empty value is no label and is left out; an empty name is refused;
//! - a series without any label is refused, one without `__name__` is not;
//! - names are any UTF-8, as 2.0 and current Prometheus have it;
//! - a series may have no sample (exemplars travel alone); the order of samples is not looked at.
//!
//! Series whose labels are plainly `name, value`, in order and in front take the fast path
//! (`fast`). Everything else, legal or not, takes the careful one (`careful`), which also finds
//! the words for what is wrong.

mod careful;
mod fast;

use super::GuidCounts;
use super::malformed::{Fault, Malformed};
use super::schema::{self, METADATA};
use super::tag::{Policy, Tally};
use super::wire::{Cursor, WireType, put_varint};

/// How large a request may be in each direction; see the fields for the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesLimits {
    /// Time series in a request. Prometheus sends 2,000, vmagent 10,000 at most by default.
    pub series: usize,
    /// Labels of a series. Mimir allows 30, vmagent 40.
    pub labels: usize,
    /// Bytes of a label name. Mimir allows 1,024.
    pub name_bytes: usize,
    /// Bytes of a label value. Mimir allows 2,048, vmagent 4,096.
    pub value_bytes: usize,
    /// Bytes that a 2.0 request may become as 1.0: references make large requests of small ones.
    pub expanded_bytes: usize,
}

impl Default for SeriesLimits {
    fn default() -> Self {
        Self {
            series: 100_000,
            labels: 128,
            name_bytes: 1024,
            value_bytes: 16 << 10,
            expanded_bytes: 64 << 20,
        }
    }
}

/// What was in a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spliced {
    /// Samples and histograms per guid.
    pub counts: GuidCounts,
    /// Time series.
    pub series: u32,
    /// Samples that are no histograms.
    pub samples: u32,
    /// Native histograms.
    pub histograms: u32,
    /// Exemplars.
    pub exemplars: u32,
    /// Metric families described (of a 2.0 request: as 1.0 describes them).
    pub metadata: u32,
    /// Series whose own guid label was not believed.
    pub forged: u32,
}

/// Splices 1.0 requests; to be kept, for its buffers.
#[derive(Debug, Default)]
pub struct Splicer {
    tally: Tally,
    /// Records of series that got the policy's tag: nearly all, so not looked up one by one.
    tagged: u32,
    careful: careful::Scratch,
}

/// What a series holds beside its labels.
#[derive(Debug, Clone, Copy, Default)]
struct Content {
    samples: u32,
    histograms: u32,
    exemplars: u32,
}

impl Splicer {
    /// Validates `raw` and writes it, tagged, to `out` (which is cleared first).
    pub fn splice(
        &mut self,
        raw: &[u8],
        policy: Policy<'_>,
        limits: &SeriesLimits,
        out: &mut Vec<u8>,
    ) -> Result<Spliced, Malformed> {
        let mut spliced = Spliced::default();
        self.tally.start();
        self.tagged = 0;
        out.clear();
        out.reserve(raw.len() + raw.len() / 4);
        let mut cursor = Cursor::new(raw);
        while !cursor.is_empty() {
            let start = cursor.at();
            let (number, wire) = cursor.tag()?;
            match (number, wire) {
                (1, WireType::Len) => {
                    let (from, to) = cursor.len_bounds()?;
                    let index = spliced.series;
                    let content = self
                        .series(raw, from, to, policy, limits, out, &mut spliced.forged)
                        .map_err(|error| error.within("time series", index))?;
                    spliced.series += 1;
                    if spliced.series as usize > limits.series {
                        return Err(Malformed::new(
                            start,
                            Fault::TooMany {
                                what: "time series",
                                limit: limits.series,
                            },
                        ));
                    }
                    spliced.samples += content.samples;
                    spliced.histograms += content.histograms;
                    spliced.exemplars += content.exemplars;
                    continue;
                }
                (3, WireType::Len) => {
                    let (from, to) = cursor.len_bounds()?;
                    schema::check(&mut Cursor::window(raw, from, to), raw, &METADATA, 2)
                        .map_err(|error| error.within("metadata", spliced.metadata))?;
                    spliced.metadata += 1;
                }
                (1 | 3, _) => {
                    return Err(Malformed::new(
                        start,
                        Fault::WireType {
                            message: "WriteRequest",
                            field: number,
                        },
                    ));
                }
                (_, wire) => cursor.skip(wire)?,
            }
            out.extend_from_slice(raw.get(start..cursor.at()).unwrap_or_default());
        }
        self.tally.add(policy.tag().guid(), self.tagged);
        spliced.counts = self.tally.take();
        Ok(spliced)
    }

    /// One series, `from..to` of the request.
    #[allow(clippy::too_many_arguments, reason = "the inside of one loop")]
    #[inline]
    fn series(
        &mut self,
        raw: &[u8],
        from: usize,
        to: usize,
        policy: Policy<'_>,
        limits: &SeriesLimits,
        out: &mut Vec<u8>,
        forged: &mut u32,
    ) -> Result<Content, Malformed> {
        let Some(plain) = fast::scan(raw, from, to, limits) else {
            return self.careful_series(raw, from, to, policy, limits, out, forged);
        };
        let body = raw.get(from..to).unwrap_or_default();
        let records = plain.content.samples + plain.content.histograms;
        let own = plain
            .own
            .and_then(|(start, end)| body.get(start..end))
            .map_or(Own::None, |value| judge(value, policy, &mut self.tally));
        out.push(0x0a);
        match own {
            Own::Keep(guid) => {
                put_varint(out, body.len() as u64);
                out.extend_from_slice(body);
                self.tally.add(&guid, records);
                return Ok(plain.content);
            }
            Own::Forged => *forged += 1,
            Own::None => {}
        }
        let tag = policy.tag();
        let len = plain.place + tag.label.len() + (body.len() - plain.resume);
        put_varint(out, len as u64);
        out.extend_from_slice(body.get(..plain.place).unwrap_or_default());
        out.extend_from_slice(&tag.label);
        out.extend_from_slice(body.get(plain.resume..).unwrap_or_default());
        self.tagged += records;
        Ok(plain.content)
    }
}

/// What becomes of a sender's own guid.
pub(super) enum Own {
    None,
    /// It stays.
    Keep(crate::config::Guid),
    /// It is replaced.
    Forged,
}

/// Whether a sender's own guid, which is not empty, stays.
pub(super) fn judge(value: &[u8], policy: Policy<'_>, tally: &mut Tally) -> Own {
    match policy {
        Policy::Always(tag) => {
            if tag.guid().as_str().as_bytes() == value {
                Own::Keep(tag.guid().clone())
            } else {
                Own::Forged
            }
        }
        Policy::Trust { .. } | Policy::Relay { .. } => {
            tally.guid(value).map_or(Own::Forged, Own::Keep)
        }
    }
}

#[cfg(test)]
pub(crate) mod prom;
#[cfg(test)]
pub(crate) mod tests;
