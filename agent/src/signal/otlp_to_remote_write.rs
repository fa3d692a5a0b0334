//! OTLP metrics → remote write 1.0, by OpenTelemetry's Prometheus compatibility rules, for nodes
//! whose bus takes no OTLP metrics.
//!
//! The request has been through the splicer: it is valid, and each resource has its guid, which
//! becomes every series' `guid` label. Names get their unit and type as suffixes (`names`);
//! `job` and `instance` come from the resource, what else it says goes into `target_info`; scopes
//! become `otel_scope_*` labels (`labels`); histograms become buckets, exponential ones native
//! histograms, summaries quantiles (`points`, `native`).
//!
//! Delta temporality has no place in Prometheus: those points are rejected, which the answer says.
//! The request is walked; only one data point at a time becomes objects, and one with more than
//! `MAX_POINT_MESSAGES` parts is rejected, so that memory is bounded by the output's limit.

mod labels;
mod names;
mod native;
mod points;

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use prost::Message as _;

use self::labels::LabelSet;
use self::points::Out;
use super::Spliced;
use super::malformed::{Fault, Malformed};
use super::schema;
use super::tag::{GUID_KEY, Tally};
use super::wire::{Cursor, WireType};
use crate::config::Guid;

/// Messages inside one data point at most: attributes, their values, exemplars.
const MAX_POINT_MESSAGES: u32 = 4096;
/// Messages inside the attributes of one resource, and of one scope, at most.
const MAX_ATTRIBUTE_MESSAGES: u32 = 1024;

/// What a conversion gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Converted {
    /// As if it had come in as remote write.
    pub written: Spliced,
    /// Data points that were left out.
    pub rejected: u64,
    /// Why the first of them was; empty: none was.
    pub message: String,
}

/// Converts a tagged metrics request; writes an uncompressed 1.0 request of at most `limit` bytes
/// to `out` (which is cleared first).
pub fn convert(tagged: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<Converted, Malformed> {
    out.clear();
    let mut out = Out {
        bytes: out,
        limit,
        converted: Converted::default(),
        records: 0,
        latest_ms: 0,
    };
    let mut tally = Tally::default();
    let mut cursor = Cursor::new(tagged);
    while let Some((number, from, to)) = next_message(&mut cursor)? {
        if number == 1 {
            out.resource(tagged, from, to, &mut tally)?;
        }
    }
    out.converted.written.counts = tally.take();
    Ok(out.converted)
}

/// The next length-delimited field: number and bounds. Others are passed over.
fn next_message(cursor: &mut Cursor<'_>) -> Result<Option<(u32, usize, usize)>, Malformed> {
    while !cursor.is_empty() {
        let (number, wire) = cursor.tag()?;
        if wire == WireType::Len {
            let (from, to) = cursor.len_bounds()?;
            return Ok(Some((number, from, to)));
        }
        cursor.skip(wire)?;
    }
    Ok(None)
}

/// Messages inside a message, by its table.
fn messages_in(
    raw: &[u8],
    from: usize,
    to: usize,
    message: &'static schema::Message,
) -> Result<u32, Malformed> {
    Ok(schema::check(&mut Cursor::window(raw, from, to), raw, message, 1)?.messages)
}

impl Out<'_> {
    /// One `ResourceMetrics`.
    fn resource(
        &mut self,
        raw: &[u8],
        from: usize,
        to: usize,
        tally: &mut Tally,
    ) -> Result<(), Malformed> {
        let mut attributes = Vec::new();
        let mut cursor = Cursor::window(raw, from, to);
        while let Some((number, from, to)) = next_message(&mut cursor)? {
            if number == 1 {
                if messages_in(raw, from, to, &schema::RESOURCE)? > MAX_ATTRIBUTE_MESSAGES {
                    return Err(Malformed::new(
                        from,
                        Fault::TooMany {
                            what: "attributes of a resource",
                            limit: MAX_ATTRIBUTE_MESSAGES as usize / 2,
                        },
                    ));
                }
                let mut resource = Cursor::window(raw, from, to);
                while let Some((number, from, to)) = next_message(&mut resource)? {
                    if number == 1 {
                        attributes.push(decode::<KeyValue>(raw, from, to)?);
                    }
                }
            }
        }
        let Some(guid) = guid(&attributes) else {
            // The splicer has put one there.
            return Ok(());
        };
        let resource = LabelSet::of_resource(&attributes, &guid);
        self.records = 0;
        self.latest_ms = 0;
        let mut cursor = Cursor::window(raw, from, to);
        while let Some((number, from, to)) = next_message(&mut cursor)? {
            if number == 2 {
                self.scope(raw, from, to, &resource)?;
            }
        }
        if self.records > 0 {
            self.target_info(&resource, &attributes)?;
        }
        tally.add(&guid, self.records);
        Ok(())
    }

    /// One `ScopeMetrics`.
    fn scope(
        &mut self,
        raw: &[u8],
        from: usize,
        to: usize,
        resource: &LabelSet,
    ) -> Result<(), Malformed> {
        let mut scope = InstrumentationScope::default();
        let mut schema_url = "";
        let mut cursor = Cursor::window(raw, from, to);
        while let Some((number, from, to)) = next_message(&mut cursor)? {
            let bytes = raw.get(from..to).unwrap_or_default();
            match number {
                1 => {
                    if messages_in(raw, from, to, &schema::SCOPE)? > MAX_ATTRIBUTE_MESSAGES {
                        return Err(Malformed::new(
                            from,
                            Fault::TooMany {
                                what: "attributes of a scope",
                                limit: MAX_ATTRIBUTE_MESSAGES as usize / 2,
                            },
                        ));
                    }
                    scope
                        .merge(bytes)
                        .map_err(|_| Malformed::new(from, Fault::Truncated))?;
                }
                3 => schema_url = std::str::from_utf8(bytes).unwrap_or_default(),
                _ => {}
            }
        }
        let labels = resource.with_scope(&scope, schema_url);
        let mut cursor = Cursor::window(raw, from, to);
        while let Some((number, from, to)) = next_message(&mut cursor)? {
            if number == 2 {
                self.metric(raw, from, to, &labels)?;
            }
        }
        Ok(())
    }
}

/// Decodes a small message that has been validated.
fn decode<M: prost::Message + Default>(raw: &[u8], from: usize, to: usize) -> Result<M, Malformed> {
    M::decode(raw.get(from..to).unwrap_or_default())
        .map_err(|_| Malformed::new(from, Fault::Truncated))
}

/// The guid that the splicer left in a resource.
fn guid(attributes: &[KeyValue]) -> Option<Guid> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let found = attributes.iter().find(|pair| pair.key == GUID_KEY)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
