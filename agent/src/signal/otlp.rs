//! OTLP: validates an uncompressed export request of metrics, logs or traces and sets the guid
//! attribute of every resource, without decoding a data point, log record or span.
//!
//! What is kept: everything, byte for byte, but the resource's attributes that are set here. Where
//! a resource is missing it is made; where it comes in parts (legal protobuf: parts are merged) it
//! becomes one. An attribute key that is there twice is against the specification, but no decoder
//! minds: only the guid is made unique. The resource is written first, whatever its place was.
//!
//! Refused is what a decoder would refuse (wire types, UTF-8, truncation), ids of a wrong length,
//! which OpenTelemetry's own receivers refuse, and deep nesting.

use std::ops::Range;

use super::frame::Kind;
use super::malformed::{Fault, Malformed};
use super::schema::{self, Message};
use super::tag::{self, GUID_KEY, Policy, Tally};
use super::wire::{Cursor, WireType, put_varint, varint_len};
use super::{GuidCounts, Signal};
use crate::config::Guid;

/// Resource entries in a request at most. An entry grows by the attributes that are added, up to
/// some 300 bytes: this bounds by how much a request of empty entries grows.
pub const MAX_RESOURCES: usize = 20_000;

/// Bytes that a request may be expected to grow by: what several resources gain.
pub const GROWTH_BYTES: usize = 1024;

/// What was in an export request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SplicedOtlp {
    /// Data points, log records or spans per guid.
    pub counts: GuidCounts,
    /// Resource entries.
    pub resources: u32,
    /// Resources whose own guid attribute was not believed.
    pub forged: u32,
}

/// Splices export requests; to be kept, for its buffers.
#[derive(Debug, Default)]
pub struct OtlpSplicer {
    tally: Tally,
    /// Parts of the entry's resource, as found.
    resource: Vec<Range<usize>>,
    /// Runs of the entry that are not its resource.
    rest: Vec<Range<usize>>,
    /// Runs of the resource that are kept.
    kept: Vec<Range<usize>>,
    /// The sender's own guid attributes: whole field, and value where it is a string.
    own: Vec<(Range<usize>, Option<Range<usize>>)>,
    /// The sender's `host.name`, where it is a string.
    host_name: Option<Range<usize>>,
    /// The attribute of an app's guid that is not the policy's.
    app: Vec<u8>,
}

/// The attribute that says which host, so which container, a resource is of.
const HOST_NAME_KEY: &[u8] = b"host.name";

/// What is appended to a resource.
struct Addition<'t> {
    guid: Added<'t>,
    missing: [&'t [u8]; 3],
}

/// The guid that is appended.
enum Added<'t> {
    /// The sender's own is kept.
    Nothing,
    OfPolicy(&'t [u8]),
    /// [`OtlpSplicer::app`].
    OfApp,
}

impl OtlpSplicer {
    /// Validates `raw`, an export request of this signal, and writes it, tagged, to `out` (which
    /// is cleared first).
    pub fn splice(
        &mut self,
        signal: Signal,
        raw: &[u8],
        policy: Policy<'_>,
        out: &mut Vec<u8>,
    ) -> Result<SplicedOtlp, Malformed> {
        let (request, entry) = messages(signal);
        let mut spliced = SplicedOtlp::default();
        self.tally.start();
        out.clear();
        out.reserve(raw.len() + GROWTH_BYTES);
        let mut cursor = Cursor::new(raw);
        while !cursor.is_empty() {
            let start = cursor.at();
            match cursor.tag()? {
                (1, WireType::Len) => {
                    let (from, to) = cursor.len_bounds()?;
                    let index = spliced.resources;
                    if index as usize >= MAX_RESOURCES {
                        return Err(Malformed::new(
                            start,
                            Fault::TooMany {
                                what: "resources",
                                limit: MAX_RESOURCES,
                            },
                        ));
                    }
                    self.entry(raw, from, to, entry, policy, out, &mut spliced)
                        .map_err(|error| error.within("resource", index))?;
                    spliced.resources += 1;
                }
                (1, _) => {
                    return Err(Malformed::new(
                        start,
                        Fault::WireType {
                            message: request.name,
                            field: 1,
                        },
                    ));
                }
                (_, wire) => {
                    cursor.skip(wire)?;
                    out.extend_from_slice(raw.get(start..cursor.at()).unwrap_or_default());
                }
            }
        }
        spliced.counts = self.tally.take();
        Ok(spliced)
    }

    /// One `ResourceMetrics`, `ResourceLogs` or `ResourceSpans`.
    #[allow(clippy::too_many_arguments, reason = "the inside of one loop")]
    fn entry(
        &mut self,
        raw: &[u8],
        from: usize,
        to: usize,
        message: &'static Message,
        policy: Policy<'_>,
        out: &mut Vec<u8>,
        spliced: &mut SplicedOtlp,
    ) -> Result<(), Malformed> {
        let checked = schema::check(&mut Cursor::window(raw, from, to), raw, message, 2)?;
        self.resource.clear();
        self.rest.clear();
        // Structure is known to be right from here on.
        let mut cursor = Cursor::window(raw, from, to);
        while !cursor.is_empty() {
            let start = cursor.at();
            let (number, wire) = cursor.tag()?;
            if number == 1 {
                let (from, to) = cursor.len_bounds()?;
                self.resource.push(from..to);
                continue;
            }
            cursor.skip(wire)?;
            push_run(&mut self.rest, start..cursor.at());
        }
        let addition = self.resource(raw, policy, checked.records, spliced)?;
        let bytes = |range: &Range<usize>| raw.get(range.clone()).unwrap_or_default();
        let guid = match addition.guid {
            Added::Nothing => &[],
            Added::OfPolicy(attribute) => attribute,
            Added::OfApp => self.app.as_slice(),
        };
        let added = guid.len() + addition.missing.iter().map(|it| it.len()).sum::<usize>();
        let resource_len = self.kept.iter().map(Range::len).sum::<usize>() + added;
        let rest_len: usize = self.rest.iter().map(Range::len).sum();
        out.push(0x0a);
        put_varint(
            out,
            (1 + varint_len(resource_len) + resource_len + rest_len) as u64,
        );
        out.push(0x0a);
        put_varint(out, resource_len as u64);
        for run in &self.kept {
            out.extend_from_slice(bytes(run));
        }
        out.extend_from_slice(guid);
        for missing in addition.missing {
            out.extend_from_slice(missing);
        }
        for run in &self.rest {
            out.extend_from_slice(bytes(run));
        }
        Ok(())
    }

    /// Decides what of the entry's resource is kept and what is added; books its records.
    fn resource<'t>(
        &mut self,
        raw: &[u8],
        policy: Policy<'t>,
        records: u32,
        spliced: &mut SplicedOtlp,
    ) -> Result<Addition<'t>, Malformed> {
        let tag = policy.tag();
        let bytes = |range: &Range<usize>| raw.get(range.clone()).unwrap_or_default();
        let mut addition = Addition {
            guid: Added::OfPolicy(&tag.attribute),
            missing: [&[]; 3],
        };
        // A trusted sender speaks for others: its own container is not theirs.
        if let Policy::Always(tag) = policy {
            for (place, (_, attribute)) in addition.missing.iter_mut().zip(&tag.missing) {
                *place = attribute;
            }
        }
        self.kept.clear();
        self.own.clear();
        self.host_name = None;
        for part in 0..self.resource.len() {
            let Some(Range { start, end }) = self.resource.get(part).cloned() else {
                break;
            };
            let mut cursor = Cursor::window(raw, start, end);
            while !cursor.is_empty() {
                let start = cursor.at();
                let (number, wire) = cursor.tag()?;
                if number != 1 {
                    cursor.skip(wire)?;
                    push_run(&mut self.kept, start..cursor.at());
                    continue;
                }
                let (from, to) = cursor.len_bounds()?;
                let (key, value) = attribute(raw, from, to)?;
                let key = bytes(&key);
                if key == GUID_KEY.as_bytes() {
                    self.own.push((start..to, value));
                    continue;
                }
                if key == HOST_NAME_KEY {
                    self.host_name = value;
                }
                push_run(&mut self.kept, start..to);
                for (place, (missing, _)) in addition.missing.iter_mut().zip(&tag.missing) {
                    if missing.as_bytes() == key {
                        *place = &[];
                    }
                }
            }
        }
        let believed = self.own.iter().find_map(|(field, value)| {
            let value = bytes(value.as_ref()?);
            match policy {
                Policy::Always(tag) => (tag.guid().as_str().as_bytes() == value)
                    .then(|| (field.clone(), tag.guid().clone())),
                Policy::Trust { .. } | Policy::Relay { .. } => {
                    Some((field.clone(), self.tally.guid(value)?))
                }
            }
        });
        let says_who = believed
            .as_ref()
            .is_some_and(|(_, guid)| guid != tag.guid());
        if !says_who && let Some(guid) = self.app(raw, policy) {
            self.app = tag::attribute(GUID_KEY, guid.as_str());
            addition.guid = Added::OfApp;
            self.tally.add(&guid, records);
            spliced.forged += u32::from(believed.is_none() && !self.own.is_empty());
        } else if let Some((field, guid)) = believed {
            let place = self.kept.partition_point(|run| run.start < field.start);
            self.kept.insert(place, field);
            addition.guid = Added::Nothing;
            self.tally.add(&guid, records);
            spliced.forged += u32::from(self.own.len() > 1);
        } else {
            self.tally.add(tag.guid(), records);
            spliced.forged += u32::from(!self.own.is_empty());
        }
        Ok(addition)
    }

    /// The app whose host the resource names, for a relay.
    fn app(&self, raw: &[u8], policy: Policy<'_>) -> Option<Guid> {
        let Policy::Relay { apps, .. } = policy else {
            return None;
        };
        let name = std::str::from_utf8(raw.get(self.host_name.clone()?)?).ok()?;
        (apps.0)(name)
    }
}

/// Adds a run; two that touch become one.
fn push_run(runs: &mut Vec<Range<usize>>, run: Range<usize>) {
    match runs.last_mut() {
        Some(last) if last.end == run.start => last.end = run.end,
        _ => runs.push(run),
    }
}

/// Key of a `KeyValue` and its value, if that is a string. Of fields that are there twice the last
/// one counts; of a value in parts the last string, unless another type follows it.
fn attribute(
    raw: &[u8],
    from: usize,
    to: usize,
) -> Result<(Range<usize>, Option<Range<usize>>), Malformed> {
    let (mut key, mut value) = (from..from, None);
    let mut cursor = Cursor::window(raw, from, to);
    while !cursor.is_empty() {
        match cursor.tag()? {
            (1, _) => {
                let (from, to) = cursor.len_bounds()?;
                key = from..to;
            }
            (2, _) => {
                let (from, to) = cursor.len_bounds()?;
                let mut any = Cursor::window(raw, from, to);
                while !any.is_empty() {
                    match any.tag()? {
                        (1, _) => {
                            let (from, to) = any.len_bounds()?;
                            value = Some(from..to);
                        }
                        (number, wire) => {
                            any.skip(wire)?;
                            if number <= 8 {
                                value = None;
                            }
                        }
                    }
                }
            }
            (_, wire) => cursor.skip(wire)?,
        }
    }
    Ok((key, value))
}

/// A signal's request message and the message it repeats.
pub(crate) fn messages(signal: Signal) -> (&'static Message, &'static Message) {
    match signal {
        Signal::Metrics => (&schema::METRICS_REQUEST, &schema::RESOURCE_METRICS),
        Signal::Logs => (&schema::LOGS_REQUEST, &schema::RESOURCE_LOGS),
        Signal::Traces => (&schema::TRACES_REQUEST, &schema::RESOURCE_SPANS),
    }
}

/// The frame kind of a signal's export requests.
#[must_use]
pub fn kind(signal: Signal) -> Kind {
    match signal {
        Signal::Metrics => Kind::OtlpMetrics,
        Signal::Logs => Kind::OtlpLogs,
        Signal::Traces => Kind::OtlpTraces,
    }
}

#[cfg(test)]
pub(crate) mod generate;
#[cfg(test)]
mod tests;
