//! One series of a 2.0 request, written as 1.0.

use std::cmp::Ordering;

use super::symbols::Symbols;
use super::{Transcoder, expanded};
use crate::signal::malformed::{Fault, Malformed};
use crate::signal::remote_write::{Own, SeriesLimits, Spliced, judge};
use crate::signal::schema::{self, EXEMPLAR_V2, HISTOGRAM, METADATA_V2, SAMPLE};
use crate::signal::tag::{GUID_KEY, Policy};
use crate::signal::wire::{Cursor, WireType, put_len, put_tag, put_varint};

impl Transcoder {
    /// The series at `from..to` of the request.
    #[allow(clippy::too_many_arguments, reason = "the inside of one loop")]
    pub(super) fn series(
        &mut self,
        raw: &[u8],
        from: usize,
        to: usize,
        policy: Policy<'_>,
        limits: &SeriesLimits,
        out: &mut Vec<u8>,
        spliced: &mut Spliced,
    ) -> Result<(), Malformed> {
        self.labels.clear();
        self.rest.clear();
        let (mut samples, mut histograms) = (0u32, 0u32);
        let mut metadata = None;
        let mut half = None;
        let mut cursor = Cursor::window(raw, from, to);
        while !cursor.is_empty() {
            let start = cursor.at();
            let (number, wire) = cursor.tag()?;
            match (number, wire) {
                (1, WireType::Len) => {
                    let (from, to) = cursor.len_bounds()?;
                    let mut refs = Cursor::window(raw, from, to);
                    while !refs.is_empty() {
                        self.symbols.pairs(&mut refs, &mut half, &mut self.labels)?;
                        self.limit_labels(start, limits)?;
                    }
                }
                (1, WireType::Varint) => {
                    let labels = &mut self.labels;
                    self.symbols.pairs(&mut cursor, &mut half, labels)?;
                    self.limit_labels(start, limits)?;
                }
                (2 | 3, WireType::Len) => {
                    let (from, to) = cursor.len_bounds()?;
                    // The same number means another thing in 1.0.
                    let (message, target, count) = match number {
                        2 => (&SAMPLE, 2, &mut samples),
                        _ => (&HISTOGRAM, 4, &mut histograms),
                    };
                    schema::check(&mut Cursor::window(raw, from, to), raw, message, 3)?;
                    *count += 1;
                    put_len(
                        &mut self.rest,
                        target,
                        raw.get(from..to).unwrap_or_default(),
                    );
                }
                (4, WireType::Len) => {
                    let (from, to) = cursor.len_bounds()?;
                    self.exemplar(raw, from, to, limits)?;
                    spliced.exemplars += 1;
                }
                (5, WireType::Len) => {
                    let (from, to) = cursor.len_bounds()?;
                    let metadata = metadata.get_or_insert_with(Metadata::default);
                    metadata.read(raw, from, to, &self.symbols)?;
                }
                (1..=5, _) => {
                    return Err(Malformed::new(
                        start,
                        Fault::WireType {
                            message: "TimeSeries",
                            field: number,
                        },
                    ));
                }
                (_, wire) => {
                    cursor.skip(wire)?;
                    let field = raw.get(start..cursor.at()).unwrap_or_default();
                    self.rest.extend_from_slice(field);
                }
            }
        }
        if half.is_some() {
            return Err(Malformed::new(from, Fault::OddReferences));
        }
        if samples > 0 && histograms > 0 {
            return Err(Malformed::new(from, Fault::SamplesAndHistograms));
        }
        self.sort_labels(raw, from, limits)?;
        self.put_series(raw, policy, samples + histograms, out, spliced);
        spliced.samples += samples;
        spliced.histograms += histograms;
        if let Some(metadata) = metadata {
            self.put_metadata(raw, metadata, out, spliced);
        }
        Ok(())
    }

    fn limit_labels(&self, at: usize, limits: &SeriesLimits) -> Result<(), Malformed> {
        if self.labels.len() > limits.labels {
            return Err(Malformed::new(
                at,
                Fault::TooMany {
                    what: "labels",
                    limit: limits.labels,
                },
            ));
        }
        Ok(())
    }

    /// Validates the labels and puts them in order.
    fn sort_labels(
        &mut self,
        raw: &[u8],
        at: usize,
        limits: &SeriesLimits,
    ) -> Result<(), Malformed> {
        let symbols = &self.symbols;
        let mut previous = None;
        let mut sorted = true;
        let mut empty = false;
        for &(name, value) in &self.labels {
            let (name_len, value_len) = (symbols.symbol_len(name), symbols.symbol_len(value));
            if name_len == 0 {
                return Err(Malformed::new(at, Fault::EmptyLabelName));
            }
            for (what, len, limit) in [
                ("label name", name_len, limits.name_bytes),
                ("label value", value_len, limits.value_bytes),
            ] {
                if len > limit {
                    return Err(Malformed::new(at, Fault::TooLong { what, limit }));
                }
            }
            sorted &= previous
                .is_none_or(|previous| symbols.compare(raw, previous, name) == Ordering::Less);
            empty |= value_len == 0;
            previous = Some(name);
        }
        if empty {
            self.labels
                .retain(|&(_, value)| !symbols.get(raw, value).is_empty());
        }
        if !sorted {
            self.labels
                .sort_unstable_by(|&(left, _), &(right, _)| symbols.compare(raw, left, right));
            for pair in self.labels.windows(2) {
                if let &[(left, _), (right, _)] = pair
                    && symbols.get(raw, left) == symbols.get(raw, right)
                {
                    let name = String::from_utf8_lossy(symbols.get(raw, left)).into_owned();
                    return Err(Malformed::new(at, Fault::DuplicateLabel { name }));
                }
            }
        }
        if self.labels.is_empty() {
            return Err(Malformed::new(at, Fault::NoLabels));
        }
        Ok(())
    }

    /// Appends the series at hand, tagged.
    fn put_series(
        &mut self,
        raw: &[u8],
        policy: Policy<'_>,
        records: u32,
        out: &mut Vec<u8>,
        spliced: &mut Spliced,
    ) {
        let symbols = &self.symbols;
        let place = self
            .labels
            .partition_point(|&(name, _)| symbols.get(raw, name) < GUID_KEY.as_bytes());
        let own = match self.labels.get(place) {
            Some(&(name, value)) if symbols.get(raw, name) == GUID_KEY.as_bytes() => {
                judge(symbols.get(raw, value), policy, &mut self.tally)
            }
            _ => Own::None,
        };
        let tag = policy.tag();
        let label: &[u8] = match &own {
            Own::Keep(guid) => {
                self.tally.add(guid, records);
                &[]
            }
            Own::Forged => {
                spliced.forged += 1;
                self.labels.remove(place);
                self.tally.add(tag.guid(), records);
                &tag.label
            }
            Own::None => {
                self.tally.add(tag.guid(), records);
                &tag.label
            }
        };
        let labels_len: usize = self
            .labels
            .iter()
            .map(|&pair| symbols.label_field_len(pair))
            .sum();
        out.push(0x0a);
        put_varint(out, (labels_len + label.len() + self.rest.len()) as u64);
        let (before, behind) = self.labels.split_at(place.min(self.labels.len()));
        for &pair in before {
            symbols.put_label(raw, pair, out);
        }
        out.extend_from_slice(label);
        for &pair in behind {
            symbols.put_label(raw, pair, out);
        }
        out.extend_from_slice(&self.rest);
    }

    /// An exemplar, to the rest of the series.
    fn exemplar(
        &mut self,
        raw: &[u8],
        from: usize,
        to: usize,
        limits: &SeriesLimits,
    ) -> Result<(), Malformed> {
        let mut cursor = Cursor::window(raw, from, to);
        schema::check(&mut cursor.clone(), raw, &EXEMPLAR_V2, 3)?;
        self.exemplar.clear();
        let mut half = None;
        let mut scalars: [Option<(usize, usize)>; 2] = [None; 2];
        while !cursor.is_empty() {
            let start = cursor.at();
            match cursor.tag()? {
                (1, WireType::Len) => {
                    let (from, to) = cursor.len_bounds()?;
                    let mut refs = Cursor::window(raw, from, to);
                    while !refs.is_empty() {
                        self.symbols
                            .pairs(&mut refs, &mut half, &mut self.exemplar)?;
                    }
                }
                (1, _) => self
                    .symbols
                    .pairs(&mut cursor, &mut half, &mut self.exemplar)?,
                (number, wire) => {
                    cursor.skip(wire)?;
                    if let 2 | 3 = number
                        && let Some(place) = scalars.get_mut(number as usize - 2)
                    {
                        *place = Some((start, cursor.at()));
                    }
                }
            }
            if self.exemplar.len() > limits.labels {
                return Err(Malformed::new(
                    start,
                    Fault::TooMany {
                        what: "labels of an exemplar",
                        limit: limits.labels,
                    },
                ));
            }
        }
        if half.is_some() {
            return Err(Malformed::new(from, Fault::OddReferences));
        }
        let scalars = scalars.into_iter().flatten();
        let labels_len: usize = self
            .exemplar
            .iter()
            .map(|&pair| self.symbols.label_field_len(pair))
            .sum();
        let len = labels_len + scalars.clone().map(|(from, to)| to - from).sum::<usize>();
        expanded(self.rest.len() + len, from, limits)?;
        put_tag(&mut self.rest, 3, 2);
        put_varint(&mut self.rest, len as u64);
        for &pair in &self.exemplar {
            self.symbols.put_label(raw, pair, &mut self.rest);
        }
        for (from, to) in scalars {
            self.rest
                .extend_from_slice(raw.get(from..to).unwrap_or_default());
        }
        Ok(())
    }

    /// Appends the metadata of the series at hand, unless its name has been described already.
    fn put_metadata(
        &mut self,
        raw: &[u8],
        metadata: Metadata,
        out: &mut Vec<u8>,
        spliced: &mut Spliced,
    ) {
        let symbols = &self.symbols;
        let name = self
            .labels
            .iter()
            .find(|&&(name, _)| symbols.get(raw, name) == b"__name__");
        let Some(&(_, name)) = name.filter(|_| metadata.says_something()) else {
            return;
        };
        match self.described.get_mut(name as usize) {
            Some(described) if !*described => *described = true,
            _ => return,
        }
        let family = family(symbols.get(raw, name), metadata.kind);
        self.rest.clear();
        if metadata.kind != 0 {
            put_tag(&mut self.rest, 1, 0);
            put_varint(&mut self.rest, metadata.kind);
        }
        for (number, text) in [
            (2, family),
            (4, symbols.get(raw, metadata.help)),
            (5, symbols.get(raw, metadata.unit)),
        ] {
            if !text.is_empty() {
                put_len(&mut self.rest, number, text);
            }
        }
        put_len(out, 3, &self.rest);
        spliced.metadata += 1;
    }
}

/// 2.0's `Metadata`.
#[derive(Debug, Clone, Copy, Default)]
struct Metadata {
    kind: u64,
    help: u32,
    unit: u32,
}

impl Metadata {
    fn read(
        &mut self,
        raw: &[u8],
        from: usize,
        to: usize,
        symbols: &Symbols,
    ) -> Result<(), Malformed> {
        let mut cursor = Cursor::window(raw, from, to);
        schema::check(&mut cursor.clone(), raw, &METADATA_V2, 3)?;
        let (mut help, mut unit) = (u64::from(self.help), u64::from(self.unit));
        while !cursor.is_empty() {
            match cursor.tag()? {
                (1, _) => self.kind = cursor.varint()?,
                (3, _) => help = cursor.varint()?,
                (4, _) => unit = cursor.varint()?,
                (_, wire) => cursor.skip(wire)?,
            }
        }
        for (reference, place) in [(help, &mut self.help), (unit, &mut self.unit)] {
            if reference != 0 {
                *place = symbols.check(reference, from)?;
            }
        }
        Ok(())
    }

    fn says_something(&self) -> bool {
        self.kind != 0 || self.help != 0 || self.unit != 0
    }
}

/// Histogram and summary, as 1.0's metadata numbers them; their series have suffixes.
const HISTOGRAM_TYPE: u64 = 3;
const SUMMARY_TYPE: u64 = 5;

/// The name of the family that a series belongs to.
fn family(name: &[u8], kind: u64) -> &[u8] {
    let suffixes: &[&[u8]] = match kind {
        HISTOGRAM_TYPE => &[b"_bucket", b"_sum", b"_count"],
        SUMMARY_TYPE => &[b"_sum", b"_count"],
        _ => &[],
    };
    suffixes
        .iter()
        .find_map(|suffix| name.strip_suffix(*suffix))
        .filter(|family| !family.is_empty())
        .unwrap_or(name)
}
