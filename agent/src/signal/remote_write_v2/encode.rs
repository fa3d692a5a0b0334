//! 1.0 → 2.0, for receivers that take it: about half the bytes where series resemble one another.
//!
//! Labels become references to a table of symbols, per request. Most labels of a series stand in
//! the series before it at the same place: those cost a comparison. The others are looked up by a
//! keyed hash (a sender must not be able to make names collide) and compared. The table's memory
//! is bounded by the request's size. The input is one of our own frames: valid, tagged, in order.
//!
//! Metadata that describes no series of the same request is left out: 2.0 has no place for it.
//! A series with samples and histograms becomes two, as 2.0 wants.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::signal::malformed::Malformed;
use crate::signal::wire::{Cursor, WireType, put_len, put_tag, put_varint};

/// Encodes a 1.0 request as 2.0; `out` is cleared first. For one request; an [`EncoderV2`] that is
/// kept does many with the same buffers.
pub fn encode_v2(raw_v1: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    EncoderV2::default().encode(raw_v1, out)
}

/// The encoder's buffers.
#[derive(Debug, Default)]
pub struct EncoderV2 {
    table: Table,
    /// Labels of the series before and of the series at hand.
    previous: Vec<Label>,
    labels: Vec<Label>,
    series: Vec<u8>,
    samples: Vec<u8>,
    histograms: Vec<u8>,
    rest: Vec<u8>,
    refs: Vec<u8>,
}

/// A label of the request: name and value bounds, and their references.
#[derive(Debug, Clone, Copy, Default)]
struct Label {
    /// The whole message.
    bounds: (usize, usize),
    name: (usize, usize),
    value: (usize, usize),
    name_ref: u32,
    value_ref: u32,
}

/// What 1.0 says of a family: type, help, unit.
type Described<'r> = HashMap<&'r [u8], (u64, &'r [u8], &'r [u8])>;

impl EncoderV2 {
    /// Encodes a 1.0 request as 2.0; `out` is cleared first.
    pub fn encode(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        self.table.start();
        self.series.clear();
        // Both: the first series must not see the last one of the request before.
        self.previous.clear();
        self.labels.clear();
        let described = described(raw)?;
        let mut cursor = Cursor::new(raw);
        while !cursor.is_empty() {
            match cursor.tag()? {
                (1, WireType::Len) => {
                    let (from, to) = cursor.len_bounds()?;
                    self.one(raw, from, to, &described)?;
                }
                (_, wire) => cursor.skip(wire)?,
            }
        }
        out.clear();
        out.reserve(self.table.encoded.len() + self.series.len());
        out.extend_from_slice(&self.table.encoded);
        out.extend_from_slice(&self.series);
        Ok(())
    }

    fn one(
        &mut self,
        raw: &[u8],
        from: usize,
        to: usize,
        described: &Described<'_>,
    ) -> Result<(), Malformed> {
        std::mem::swap(&mut self.previous, &mut self.labels);
        self.labels.clear();
        self.samples.clear();
        self.histograms.clear();
        self.rest.clear();
        let mut cursor = Cursor::window(raw, from, to);
        while !cursor.is_empty() {
            let start = cursor.at();
            let (number, wire) = cursor.tag()?;
            if wire != WireType::Len || number > 4 {
                cursor.skip(wire)?;
                // These two mean something else in 2.0.
                if number != 5 && number != 6 {
                    let field = raw.get(start..cursor.at()).unwrap_or_default();
                    self.rest.extend_from_slice(field);
                }
                continue;
            }
            let (from, to) = cursor.len_bounds()?;
            let item = raw.get(from..to).unwrap_or_default();
            match number {
                1 => {
                    let before = self.previous.get(self.labels.len());
                    let bytes = |(from, to): (usize, usize)| raw.get(from..to);
                    let label = match before {
                        Some(before) if bytes(before.bounds) == Some(item) => *before,
                        _ => self.table.resolve(raw, label(raw, from, to)?, before),
                    };
                    self.labels.push(label);
                }
                2 => put_len(&mut self.samples, 2, item),
                3 => self.exemplar(raw, from, to)?,
                _ => put_len(&mut self.histograms, 3, item),
            }
        }
        self.refs.clear();
        for label in &self.labels {
            put_varint(&mut self.refs, label.name_ref.into());
            put_varint(&mut self.refs, label.value_ref.into());
        }
        self.describe(raw, described);
        if self.samples.is_empty() || self.histograms.is_empty() {
            self.samples.append(&mut self.histograms);
        }
        self.put(false);
        if !self.histograms.is_empty() {
            std::mem::swap(&mut self.samples, &mut self.histograms);
            self.put(true);
        }
        Ok(())
    }

    /// Appends the series at hand; `again`: only its points.
    fn put(&mut self, again: bool) {
        put_tag(&mut self.series, 5, 2);
        let refs = self.refs.len();
        let rest: &[u8] = if again { &[] } else { &self.rest };
        let len =
            1 + crate::signal::wire::varint_len(refs) + refs + self.samples.len() + rest.len();
        put_varint(&mut self.series, len as u64);
        put_len(&mut self.series, 1, &self.refs);
        self.series.extend_from_slice(&self.samples);
        self.series.extend_from_slice(rest);
    }

    fn exemplar(&mut self, raw: &[u8], from: usize, to: usize) -> Result<(), Malformed> {
        self.refs.clear();
        let mut scalars: [(usize, usize); 2] = [(0, 0); 2];
        let mut cursor = Cursor::window(raw, from, to);
        while !cursor.is_empty() {
            let start = cursor.at();
            match cursor.tag()? {
                (1, WireType::Len) => {
                    let (from, to) = cursor.len_bounds()?;
                    let label = self.table.resolve(raw, label(raw, from, to)?, None);
                    put_varint(&mut self.refs, label.name_ref.into());
                    put_varint(&mut self.refs, label.value_ref.into());
                }
                (number, wire) => {
                    cursor.skip(wire)?;
                    if let 2 | 3 = number
                        && let Some(place) = scalars.get_mut(number as usize - 2)
                    {
                        *place = (start, cursor.at());
                    }
                }
            }
        }
        let scalars = scalars.map(|(from, to)| raw.get(from..to).unwrap_or_default());
        let refs = self.refs.len();
        let refs_len = match refs {
            0 => 0,
            _ => 1 + crate::signal::wire::varint_len(refs) + refs,
        };
        put_tag(&mut self.rest, 4, 2);
        put_varint(
            &mut self.rest,
            (refs_len + scalars.iter().map(|scalar| scalar.len()).sum::<usize>()) as u64,
        );
        if refs > 0 {
            put_len(&mut self.rest, 1, &self.refs);
        }
        for scalar in scalars {
            self.rest.extend_from_slice(scalar);
        }
        Ok(())
    }

    /// Adds what the request says of the family of the series at hand.
    fn describe(&mut self, raw: &[u8], described: &Described<'_>) {
        if described.is_empty() {
            return;
        }
        let bytes = |(from, to): (usize, usize)| raw.get(from..to).unwrap_or_default();
        let name = self
            .labels
            .iter()
            .find(|label| bytes(label.name) == b"__name__")
            .map(|label| bytes(label.value))
            .unwrap_or_default();
        let found = [&b""[..], b"_bucket", b"_sum", b"_count"]
            .iter()
            .find_map(|suffix| described.get(name.strip_suffix(*suffix)?));
        let Some(&(kind, help, unit)) = found else {
            return;
        };
        let (help, unit) = (self.table.symbol(help), self.table.symbol(unit));
        let mut metadata = Vec::with_capacity(16);
        for (number, value) in [(1, kind), (3, help.into()), (4, unit.into())] {
            if value != 0 {
                put_tag(&mut metadata, number, 0);
                put_varint(&mut metadata, value);
            }
        }
        put_len(&mut self.rest, 5, &metadata);
    }
}

/// The request's metadata by family.
fn described(raw: &[u8]) -> Result<Described<'_>, Malformed> {
    let mut described = Described::new();
    let mut cursor = Cursor::new(raw);
    while !cursor.is_empty() {
        let (number, wire) = cursor.tag()?;
        if (number, wire) != (3, WireType::Len) {
            cursor.skip(wire)?;
            continue;
        }
        let (from, to) = cursor.len_bounds()?;
        let mut window = Cursor::window(raw, from, to);
        let (mut kind, mut texts) = (0, [&raw[..0]; 3]);
        while !window.is_empty() {
            match window.tag()? {
                (1, WireType::Varint) => kind = window.varint()?,
                (number @ (2 | 4 | 5), WireType::Len) => {
                    let (from, to) = window.len_bounds()?;
                    let place = if number == 2 { 0 } else { number as usize - 3 };
                    if let Some(text) = texts.get_mut(place) {
                        *text = raw.get(from..to).unwrap_or_default();
                    }
                }
                (_, wire) => window.skip(wire)?,
            }
        }
        let [family, help, unit] = texts;
        described.entry(family).or_insert((kind, help, unit));
    }
    Ok(described)
}

/// A label's bounds.
fn label(raw: &[u8], from: usize, to: usize) -> Result<Label, Malformed> {
    let mut label = Label {
        bounds: (from, to),
        ..Label::default()
    };
    let mut cursor = Cursor::window(raw, from, to);
    while !cursor.is_empty() {
        match cursor.tag()? {
            (1, WireType::Len) => label.name = cursor.len_bounds()?,
            (2, WireType::Len) => label.value = cursor.len_bounds()?,
            (_, wire) => cursor.skip(wire)?,
        }
    }
    Ok(label)
}

/// The symbol table of one request: encoded as it grows, found by open addressing.
#[derive(Debug, Default)]
struct Table {
    hasher: RandomState,
    /// The `symbols` fields.
    encoded: Vec<u8>,
    /// Where each symbol is in `encoded`.
    bounds: Vec<(u32, u32)>,
    /// References plus one; 0 is free. A power of two long, at most half full.
    slots: Vec<u32>,
}

impl Table {
    fn start(&mut self) {
        self.encoded.clear();
        self.bounds.clear();
        self.slots.clear();
        self.slots.resize(1 << 10, 0);
        // The first symbol is the empty string.
        self.symbol(b"");
    }

    /// The label with its references. `before` stands at its place in the series before.
    #[inline]
    fn resolve(&mut self, raw: &[u8], mut label: Label, before: Option<&Label>) -> Label {
        let bytes = |(from, to): (usize, usize)| raw.get(from..to).unwrap_or_default();
        let (name, value) = (bytes(label.name), bytes(label.value));
        label.name_ref = match before {
            Some(before) if bytes(before.name) == name => before.name_ref,
            _ => self.symbol(name),
        };
        label.value_ref = match before {
            Some(before) if bytes(before.value) == value => before.value_ref,
            _ => self.symbol(value),
        };
        label
    }

    fn text(&self, reference: u32) -> &[u8] {
        self.bounds
            .get(reference as usize)
            .and_then(|&(from, to)| self.encoded.get(from as usize..to as usize))
            .unwrap_or_default()
    }

    /// The reference of a symbol, which is added if it is new.
    fn symbol(&mut self, text: &[u8]) -> u32 {
        let mask = self.slots.len() - 1;
        let mut slot = self.hasher.hash_one(text) as usize & mask;
        while let Some(&found) = self.slots.get(slot)
            && found != 0
        {
            if self.text(found - 1) == text {
                return found - 1;
            }
            slot = (slot + 1) & mask;
        }
        put_tag(&mut self.encoded, 4, 2);
        put_varint(&mut self.encoded, text.len() as u64);
        let from = self.encoded.len() as u32;
        self.encoded.extend_from_slice(text);
        let reference = self.bounds.len() as u32;
        self.bounds.push((from, self.encoded.len() as u32));
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = reference + 1;
        }
        if self.bounds.len() * 2 > self.slots.len() {
            self.grow();
        }
        reference
    }

    fn grow(&mut self) {
        let len = self.slots.len() * 2;
        self.slots.clear();
        self.slots.resize(len, 0);
        for reference in 0..self.bounds.len() as u32 {
            let mut slot = self.hasher.hash_one(self.text(reference)) as usize & (len - 1);
            while self.slots.get(slot).is_some_and(|&found| found != 0) {
                slot = (slot + 1) & (len - 1);
            }
            if let Some(slot) = self.slots.get_mut(slot) {
                *slot = reference + 1;
            }
        }
    }
}
