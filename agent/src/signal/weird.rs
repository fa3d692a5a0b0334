//! Legal but unusual protobuf, for property tests: any message, written in ways that encoders
//! rarely use and decoders must read all the same.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::schema::{Kind, Message};
use super::wire::{Cursor, WireType, put_tag, put_varint};

/// A random source from a proptest seed.
pub(crate) fn seeds() -> impl Strategy<Value = StdRng> {
    any::<u64>().prop_map(StdRng::seed_from_u64)
}

/// Rewrites an encoded message field by field: lengths and tags padded, fields out of order,
/// scalars repeated with another value in front, packed lists unpacked, unknown fields added. How
/// often is up to `odds`; 0 copies. What a decoder makes of it stays the same, as far as the
/// message is known from the table.
pub(crate) fn rewrite(
    bytes: &[u8],
    message: &'static Message,
    odds: f64,
    rng: &mut StdRng,
) -> Vec<u8> {
    let mut fields: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut cursor = Cursor::new(bytes);
    while let (false, Ok((number, wire))) = (cursor.is_empty(), cursor.tag()) {
        let field = message.fields.iter().find(|field| field.number == number);
        let mut out = Vec::new();
        match wire {
            WireType::Varint => {
                let value = cursor.varint().unwrap_or(0);
                if field.is_some_and(|field| !field.repeated) && rng.random_bool(odds) {
                    put_tag(&mut out, number, 0);
                    put_varint(&mut out, rng.random());
                }
                padded(&mut out, u64::from(number) << 3, odds, rng);
                put_varint(&mut out, value);
            }
            WireType::Fixed32 | WireType::Fixed64 => {
                let at = cursor.at();
                let _ = cursor.skip(wire);
                put_tag(
                    &mut out,
                    number,
                    if wire == WireType::Fixed32 { 5 } else { 1 },
                );
                out.extend_from_slice(&bytes[at..cursor.at()]);
            }
            WireType::Len => {
                let (from, to) = cursor.len_bounds().unwrap_or((0, 0));
                let content = &bytes[from..to];
                match field.map(|field| (field.kind, field.repeated)) {
                    Some((Kind::Message(inner), repeated)) => {
                        let content = rewrite(content, inner, odds, rng);
                        len(&mut out, number, &content, odds, rng);
                        // A single message may come in parts, which are merged.
                        if !repeated && rng.random_bool(odds) {
                            len(&mut out, number, &[], odds, rng);
                        }
                    }
                    Some((Kind::String, false)) => {
                        if rng.random_bool(odds) {
                            len(&mut out, number, b"the last one counts", 0.0, rng);
                        }
                        len(&mut out, number, content, odds, rng);
                    }
                    Some((kind, true)) if kind.wire() != WireType::Len && rng.random_bool(odds) => {
                        unpack(&mut out, number, kind, content);
                    }
                    _ => len(&mut out, number, content, odds, rng),
                }
            }
        }
        fields.push((number, out));
    }
    if rng.random_bool(odds) {
        // Fields of one number keep their order, the numbers do not.
        let mut numbers: Vec<u32> = fields.iter().map(|&(number, _)| number).collect();
        numbers.dedup();
        numbers.shuffle(rng);
        fields.sort_by_key(|(number, _)| numbers.iter().position(|other| other == number));
    }
    let mut out = Vec::new();
    for (_, field) in &fields {
        if rng.random_bool(odds / 2.0) {
            out.extend_from_slice(&unknown(rng));
        }
        out.extend_from_slice(field);
    }
    if rng.random_bool(odds / 2.0) {
        out.extend_from_slice(&unknown(rng));
    }
    out
}

/// A field that no schema has.
fn unknown(rng: &mut StdRng) -> Vec<u8> {
    let mut out = Vec::new();
    let number = rng.random_range(900..1100);
    match rng.random_range(0..4) {
        0 => {
            put_tag(&mut out, number, 0);
            put_varint(&mut out, rng.random());
        }
        1 => {
            put_tag(&mut out, number, 1);
            out.extend_from_slice(&rng.random::<[u8; 8]>());
        }
        2 => {
            put_tag(&mut out, number, 5);
            out.extend_from_slice(&rng.random::<[u8; 4]>());
        }
        _ => {
            let content: [u8; 5] = rng.random();
            len(&mut out, number, &content, 0.2, rng);
        }
    }
    out
}

fn len(out: &mut Vec<u8>, number: u32, content: &[u8], odds: f64, rng: &mut StdRng) {
    padded(out, u64::from(number) << 3 | 2, odds / 2.0, rng);
    padded(out, content.len() as u64, odds, rng);
    out.extend_from_slice(content);
}

/// A varint that may be longer than it need be. Tags are read as 32 bits by some decoders, so no
/// more than five bytes.
fn padded(out: &mut Vec<u8>, value: u64, odds: f64, rng: &mut StdRng) {
    put_varint(out, value);
    if value < 1 << 21 && rng.random_bool(odds) {
        if let Some(last) = out.last_mut() {
            *last |= 0x80;
        }
        out.push(0);
    }
}

fn unpack(out: &mut Vec<u8>, number: u32, kind: Kind, packed: &[u8]) {
    let mut cursor = Cursor::new(packed);
    let wire = kind.wire();
    while !cursor.is_empty() {
        let at = cursor.at();
        if cursor.skip(wire).is_err() {
            return;
        }
        put_tag(
            out,
            number,
            match wire {
                WireType::Varint => 0,
                WireType::Fixed64 => 1,
                _ => 5,
            },
        );
        out.extend_from_slice(&packed[at..cursor.at()]);
    }
}

/// The bytes with a few of them changed, cut or doubled.
pub(crate) fn mutate(bytes: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..rng.random_range(1..4) {
        if out.is_empty() {
            return out;
        }
        let at = rng.random_range(0..out.len());
        match rng.random_range(0..6) {
            0 => out[at] ^= 1 << rng.random_range(0..8),
            1 => out[at] = rng.random(),
            2 => out.truncate(at),
            3 => {
                out.remove(at);
            }
            4 => {
                let byte = out[at];
                out.insert(at, byte);
            }
            _ => {
                let end = (at + rng.random_range(1..20)).min(out.len());
                let piece = out[at..end].to_vec();
                out.splice(at..at, piece);
            }
        }
    }
    out
}
