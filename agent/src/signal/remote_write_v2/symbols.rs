//! The symbol table of one request.

use std::cmp::Ordering;

use crate::signal::malformed::{Fault, Malformed};
use crate::signal::remote_write::SeriesLimits;
use crate::signal::schema::check_utf8;
use crate::signal::wire::{Cursor, WireType, put_varint, varint_len};

/// The table.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    symbols: Vec<Symbol>,
}

/// Where a symbol is in the request.
#[derive(Debug, Clone, Copy, Default)]
struct Symbol {
    from: u32,
    to: u32,
    /// Where its length is; `from` where that is written longer than need be, so cannot be copied.
    length_at: u32,
    /// Its first eight bytes, big-endian, zeros behind its end: nearly all comparisons end there.
    word: u64,
}

impl Symbols {
    /// Reads and validates the table of a request.
    pub(super) fn read(&mut self, raw: &[u8], limits: &SeriesLimits) -> Result<(), Malformed> {
        self.symbols.clear();
        // As many as the series could use at all, were each label a name and a value of its own.
        let limit = limits.series.saturating_mul(8).max(1024);
        let mut cursor = Cursor::new(raw);
        while !cursor.is_empty() {
            let start = cursor.at();
            match cursor.tag()? {
                (4, WireType::Len) => {
                    let length_at = cursor.at();
                    let (from, to) = cursor.len_bounds()?;
                    check_utf8(raw, from, to, "symbol")?;
                    if self.symbols.is_empty() && from != to {
                        return Err(Malformed::new(from, Fault::FirstSymbol));
                    }
                    if self.symbols.len() >= limit {
                        let what = "symbols";
                        return Err(Malformed::new(start, Fault::TooMany { what, limit }));
                    }
                    let mut first = [0; 8];
                    let symbol = raw.get(from..to).unwrap_or_default();
                    for (to, from) in first.iter_mut().zip(symbol) {
                        *to = *from;
                    }
                    let minimal = length_at + varint_len(to - from) == from;
                    // Requests are far below four gibibytes.
                    self.symbols.push(Symbol {
                        from: from as u32,
                        to: to as u32,
                        length_at: if minimal { length_at } else { from } as u32,
                        word: u64::from_be_bytes(first),
                    });
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
        self.symbols.len()
    }

    /// The symbol's bytes; of a reference that has been checked.
    pub(super) fn get<'r>(&self, raw: &'r [u8], reference: u32) -> &'r [u8] {
        let symbol = self.symbol(reference);
        raw.get(symbol.from as usize..symbol.to as usize)
            .unwrap_or_default()
    }

    fn symbol(&self, reference: u32) -> Symbol {
        let found = self.symbols.get(reference as usize);
        found.copied().unwrap_or_default()
    }

    /// Length of the symbol.
    pub(super) fn symbol_len(&self, reference: u32) -> usize {
        let symbol = self.symbol(reference);
        (symbol.to - symbol.from) as usize
    }

    /// How two symbols compare, as bytes.
    pub(super) fn compare(&self, raw: &[u8], left: u32, right: u32) -> Ordering {
        let by_word = self.symbol(left).word.cmp(&self.symbol(right).word);
        by_word.then_with(|| self.get(raw, left).cmp(self.get(raw, right)))
    }

    /// Reads references, packed or not, at `at`; they must be inside the table.
    pub(super) fn check(&self, reference: u64, at: usize) -> Result<u32, Malformed> {
        // The field is a uint32: decoders drop the upper half.
        let reference = reference as u32;
        if (reference as usize) < self.symbols.len() {
            Ok(reference)
        } else {
            Err(Malformed::new(
                at,
                Fault::Reference {
                    reference: reference.into(),
                    symbols: self.symbols.len(),
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
    pub(super) fn put_label(&self, raw: &[u8], pair: (u32, u32), out: &mut Vec<u8>) {
        out.push(0x0a);
        put_varint(out, self.label_len(pair) as u64);
        out.push(0x0a);
        self.put_string(raw, pair.0, out);
        out.push(0x12);
        self.put_string(raw, pair.1, out);
    }

    /// Appends a symbol with its length in front, as it stands in the request.
    fn put_string(&self, raw: &[u8], reference: u32, out: &mut Vec<u8>) {
        let symbol = self.symbol(reference);
        if symbol.length_at == symbol.from {
            put_varint(out, u64::from(symbol.to - symbol.from));
        }
        let bytes = raw.get(symbol.length_at as usize..symbol.to as usize);
        out.extend_from_slice(bytes.unwrap_or_default());
    }

    /// Length of what [`Symbols::put_label`] appends.
    pub(super) fn label_field_len(&self, pair: (u32, u32)) -> usize {
        let len = self.label_len(pair);
        1 + varint_len(len) + len
    }

    fn label_len(&self, (name, value): (u32, u32)) -> usize {
        let string = |len: usize| 1 + varint_len(len) + len;
        string(self.symbol_len(name)) + string(self.symbol_len(value))
    }
}
