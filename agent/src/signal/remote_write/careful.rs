//! The careful path of one series: whatever protobuf allows, in any order, and the words for what
//! it does not.

use std::ops::Range;

use super::{Content, Own, SeriesLimits, Splicer, judge};
use crate::signal::malformed::{Fault, Malformed};
use crate::signal::schema::{self, EXEMPLAR, HISTOGRAM, SAMPLE, check_utf8};
use crate::signal::tag::{GUID_KEY, Policy};
use crate::signal::wire::{Cursor, WireType, put_varint, varint_len};

/// Buffers of the careful path.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    labels: Vec<Label>,
    /// Unknown fields inside labels, of all labels of the series.
    unknown: Vec<u8>,
    /// Everything of the series that is not a label: runs of the request.
    rest: Vec<Range<usize>>,
}

/// A label; ranges of the request, but `unknown`, which is one of [`Scratch::unknown`].
#[derive(Debug, Clone, Default)]
struct Label {
    name: Range<usize>,
    value: Range<usize>,
    unknown: Range<usize>,
    /// Where it begins, for errors.
    at: usize,
}

impl Label {
    fn body_len(&self) -> usize {
        let string = |range: &Range<usize>| 1 + varint_len(range.len()) + range.len();
        string(&self.name) + string(&self.value) + self.unknown.len()
    }

    /// Length of the whole field.
    fn len(&self) -> usize {
        let body = self.body_len();
        1 + varint_len(body) + body
    }
}

impl Splicer {
    /// One series, `from..to` of the request.
    #[allow(
        clippy::too_many_arguments,
        reason = "as the fast path it stands in for"
    )]
    #[cold]
    pub(super) fn careful_series(
        &mut self,
        raw: &[u8],
        from: usize,
        to: usize,
        policy: Policy<'_>,
        limits: &SeriesLimits,
        out: &mut Vec<u8>,
        forged: &mut u32,
    ) -> Result<Content, Malformed> {
        let content = self.careful.walk(raw, from, to, limits)?;
        let scratch = &mut self.careful;
        if scratch.labels.is_empty() {
            return Err(Malformed::new(from, Fault::NoLabels));
        }
        let bytes = |range: &Range<usize>| raw.get(range.clone()).unwrap_or_default();
        scratch
            .labels
            .sort_unstable_by(|left, right| bytes(&left.name).cmp(bytes(&right.name)));
        for pair in scratch.labels.windows(2) {
            if let [left, right] = pair
                && bytes(&left.name) == bytes(&right.name)
            {
                return Err(Malformed::new(
                    right.at,
                    Fault::DuplicateLabel {
                        name: String::from_utf8_lossy(bytes(&right.name)).into_owned(),
                    },
                ));
            }
        }
        let records = content.samples + content.histograms;
        let (place, own) = match scratch
            .labels
            .binary_search_by(|label| bytes(&label.name).cmp(GUID_KEY.as_bytes()))
        {
            Ok(place) => {
                let value = scratch.labels.get(place).map(|label| bytes(&label.value));
                let own = judge(value.unwrap_or_default(), policy, &mut self.tally);
                if !matches!(own, Own::Keep(_)) {
                    scratch.labels.remove(place);
                }
                (place, own)
            }
            Err(place) => (place, Own::None),
        };
        let tag = policy.tag();
        let (guid, label) = match &own {
            Own::Keep(guid) => (guid, None),
            Own::None | Own::Forged => (tag.guid(), Some(&tag.label)),
        };
        *forged += u32::from(matches!(own, Own::Forged));
        self.tally.add(guid, records);

        let labels_len: usize = scratch.labels.iter().map(Label::len).sum();
        let rest_len: usize = scratch.rest.iter().map(Range::len).sum();
        let len = labels_len + rest_len + label.map_or(0, Vec::len);
        out.push(0x0a);
        put_varint(out, len as u64);
        for (index, own) in scratch.labels.iter().enumerate() {
            if let Some(label) = label.filter(|_| index == place) {
                out.extend_from_slice(label);
            }
            out.push(0x0a);
            put_varint(out, own.body_len() as u64);
            out.push(0x0a);
            put_varint(out, own.name.len() as u64);
            out.extend_from_slice(bytes(&own.name));
            out.push(0x12);
            put_varint(out, own.value.len() as u64);
            out.extend_from_slice(bytes(&own.value));
            let unknown = scratch.unknown.get(own.unknown.clone());
            out.extend_from_slice(unknown.unwrap_or_default());
        }
        if let Some(label) = label.filter(|_| place >= scratch.labels.len()) {
            out.extend_from_slice(label);
        }
        for run in &scratch.rest {
            out.extend_from_slice(bytes(run));
        }
        Ok(content)
    }
}

impl Scratch {
    /// Takes the series apart.
    fn walk(
        &mut self,
        raw: &[u8],
        from: usize,
        to: usize,
        limits: &SeriesLimits,
    ) -> Result<Content, Malformed> {
        self.labels.clear();
        self.unknown.clear();
        self.rest.clear();
        let mut content = Content::default();
        let mut cursor = Cursor::window(raw, from, to);
        while !cursor.is_empty() {
            let start = cursor.at();
            let (number, wire) = cursor.tag()?;
            match (number, wire) {
                (1, WireType::Len) => {
                    let (from, to) = cursor.len_bounds()?;
                    let label = self.label(raw, from, to, limits)?;
                    // An empty value is as good as no label; see the specification.
                    if !label.value.is_empty() {
                        self.labels.push(label);
                    }
                    // One more than allowed may be the sender's own guid.
                    if self.labels.len() > limits.labels {
                        return Err(Malformed::new(
                            start,
                            Fault::TooMany {
                                what: "labels",
                                limit: limits.labels,
                            },
                        ));
                    }
                    continue;
                }
                (2..=4, WireType::Len) => {
                    let (from, to) = cursor.len_bounds()?;
                    let (message, count) = match number {
                        2 => (&SAMPLE, &mut content.samples),
                        3 => (&EXEMPLAR, &mut content.exemplars),
                        _ => (&HISTOGRAM, &mut content.histograms),
                    };
                    schema::check(&mut Cursor::window(raw, from, to), raw, message, 3)?;
                    *count += 1;
                }
                (1..=4, _) => {
                    return Err(Malformed::new(
                        start,
                        Fault::WireType {
                            message: "TimeSeries",
                            field: number,
                        },
                    ));
                }
                (_, wire) => cursor.skip(wire)?,
            }
            match self.rest.last_mut() {
                Some(run) if run.end == start => run.end = cursor.at(),
                _ => self.rest.push(start..cursor.at()),
            }
        }
        Ok(content)
    }

    fn label(
        &mut self,
        raw: &[u8],
        from: usize,
        to: usize,
        limits: &SeriesLimits,
    ) -> Result<Label, Malformed> {
        let mut label = Label {
            at: from,
            unknown: self.unknown.len()..self.unknown.len(),
            ..Label::default()
        };
        let mut cursor = Cursor::window(raw, from, to);
        while !cursor.is_empty() {
            let start = cursor.at();
            match cursor.tag()? {
                // The last one counts, as everywhere in protobuf.
                (1, WireType::Len) => {
                    let (from, to) = cursor.len_bounds()?;
                    check_utf8(raw, from, to, "label name")?;
                    label.name = from..to;
                }
                (2, WireType::Len) => {
                    let (from, to) = cursor.len_bounds()?;
                    check_utf8(raw, from, to, "label value")?;
                    label.value = from..to;
                }
                (field @ (1 | 2), _) => {
                    return Err(Malformed::new(
                        start,
                        Fault::WireType {
                            message: "Label",
                            field,
                        },
                    ));
                }
                (_, wire) => {
                    cursor.skip(wire)?;
                    let field = raw.get(start..cursor.at()).unwrap_or_default();
                    self.unknown.extend_from_slice(field);
                    label.unknown.end = self.unknown.len();
                }
            }
        }
        if label.name.is_empty() {
            return Err(Malformed::new(from, Fault::EmptyLabelName));
        }
        for (what, range, limit) in [
            ("label name", &label.name, limits.name_bytes),
            ("label value", &label.value, limits.value_bytes),
        ] {
            if range.len() > limit {
                return Err(Malformed::new(range.start, Fault::TooLong { what, limit }));
            }
        }
        Ok(label)
    }
}
