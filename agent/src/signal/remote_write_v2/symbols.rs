//! The symbol table of one request.

use crate::signal::malformed::{Fault, Malformed};
use crate::signal::remote_write::SeriesLimits;
use crate::signal::schema::check_utf8;
use crate::signal::wire::{Cursor, WireType, put_varint};

/// Where each symbol is in the request.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    bounds: Vec<(u32, u32)>,
}

impl Symbols {
    /// Reads and validates the table of a request.
    pub(super) fn read(&mut self, raw: &[u8], limits: &SeriesLimits) -> Result<(), Malformed> {
        self.bounds.clear();
        // As many as the series could use at all, were each label a name and a value of its own.
        let limit = limits.series.saturating_mul(8).max(1024);
        let mut cursor = Cursor::new(raw);
        while !cursor.is_empty() {
            let start = cursor.at();
            match cursor.tag()? {
                (4, WireType::Len) => {
                    let (from, to) = cursor.len_bounds()?;
                    check_utf8(raw, from, to, "symbol")?;
                    if self.bounds.is_empty() && from != to {
                        return Err(Malformed::new(from, Fault::FirstSymbol));
                    }
                    if self.bounds.len() >= limit {
                        let what = "symbols";
                        return Err(Malformed::new(start, Fault::TooMany { what, limit }));
                    }
                    // Requests are far below four gibibytes.
                    self.bounds.push((from as u32, to as u32));
                }
                (4, _) => {
                    return Err(Malformed::new(
                        start,
                        Fault::WireType {
                            message: "Request",
                            field: 4,
                        },
                    ));
                }
                (_, wire) => cursor.skip(wire)?,
            }
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.bounds.len()
    }

    /// The symbol's bytes; of a reference that has been checked.
    pub(super) fn get<'r>(&self, raw: &'r [u8], reference: u32) -> &'r [u8] {
        self.bounds
            .get(reference as usize)
            .and_then(|&(from, to)| raw.get(from as usize..to as usize))
            .unwrap_or_default()
    }

    /// Reads references, packed or not, at `at`; they must be inside the table.
    pub(super) fn check(&self, reference: u64, at: usize) -> Result<u32, Malformed> {
        // The field is a uint32: decoders drop the upper half.
        let reference = reference as u32;
        if (reference as usize) < self.bounds.len() {
            Ok(reference)
        } else {
            Err(Malformed::new(
                at,
                Fault::Reference {
                    reference: reference.into(),
                    symbols: self.bounds.len(),
                },
            ))
        }
    }

    /// Reads the references of a field into pairs. `half` is the name that waits for its value,
    /// from an earlier occurrence of the field.
    pub(super) fn pairs(
        &self,
        cursor: &mut Cursor<'_>,
        half: &mut Option<u32>,
        pairs: &mut Vec<(u32, u32)>,
    ) -> Result<(), Malformed> {
        let at = cursor.at();
        let reference = self.check(cursor.varint()?, at)?;
        match half.take() {
            None => *half = Some(reference),
            Some(name) => pairs.push((name, reference)),
        }
        Ok(())
    }

    /// Appends a label field of a 1.0 message.
    pub(super) fn put_label(&self, raw: &[u8], (name, value): (u32, u32), out: &mut Vec<u8>) {
        let (name, value) = (self.get(raw, name), self.get(raw, value));
        out.push(0x0a);
        put_varint(out, label_len(name, value) as u64);
        out.push(0x0a);
        put_varint(out, name.len() as u64);
        out.extend_from_slice(name);
        out.push(0x12);
        put_varint(out, value.len() as u64);
        out.extend_from_slice(value);
    }

    /// Length of what [`Symbols::put_label`] appends.
    pub(super) fn label_field_len(&self, raw: &[u8], (name, value): (u32, u32)) -> usize {
        let len = label_len(self.get(raw, name), self.get(raw, value));
        1 + crate::signal::wire::varint_len(len) + len
    }
}

fn label_len(name: &[u8], value: &[u8]) -> usize {
    let string = |text: &[u8]| 1 + crate::signal::wire::varint_len(text.len()) + text.len();
    string(name) + string(value)
}
