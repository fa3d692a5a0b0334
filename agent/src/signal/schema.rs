//! The messages of remote write and OTLP as tables, and one walker that validates bytes against
//! them without building anything.
//!
//! Owns structure: wire types, UTF-8 of strings, lengths of ids, nesting. Knows nothing of labels,
//! guids or of what a field means. Unknown fields are passed over; a known field of a wrong wire
//! type is a fault, as it is for every protobuf decoder, and would otherwise poison the batch that
//! the request ends up in. The JSON names serve [`super::otlp_json`].

mod otlp;
mod prometheus;

pub(crate) use otlp::{
    EXPONENTIAL_HISTOGRAM_POINT, HISTOGRAM_POINT, NUMBER_POINT, RESOURCE, RESOURCE_LOGS,
    RESOURCE_METRICS, RESOURCE_SPANS, SCOPE, SUMMARY_POINT,
};
pub(crate) use otlp::{LOGS_REQUEST, METRICS_REQUEST, TRACES_REQUEST};
pub(crate) use prometheus::{EXEMPLAR, EXEMPLAR_V2, HISTOGRAM, METADATA, METADATA_V2, SAMPLE};
#[cfg(test)]
pub(crate) use prometheus::{REQUEST_V2, WRITE_REQUEST};

use super::malformed::{Fault, Malformed};
use super::wire::{Cursor, WireType, is_ascii};

/// Messages may be nested this deep, the request being the first. The official decoders stop at
/// 100; an attribute list inside an attribute list takes three levels.
pub(crate) const MAX_DEPTH: usize = 64;

/// Field numbers are below this, in all messages.
const NUMBERS: usize = 24;
/// Tags of one byte are below this: fields up to number 15.
const TAGS: usize = 0x80;

/// A message type.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [Field],
    /// By number: the place in `fields`, or one that is not there.
    places: [u8; NUMBERS],
    /// By tag, where that is one byte and says the field's own wire type: the same.
    tagged: [u8; TAGS],
    /// Whether it is a `KeyValue`: most of what OTLP consists of.
    attribute: bool,
}

impl Message {
    const fn new(name: &'static str, fields: &'static [Field]) -> Self {
        let mut places = [u8::MAX; NUMBERS];
        let mut tagged = [u8::MAX; TAGS];
        let mut place = 0;
        while place < fields.len() {
            let Field { number, wire, .. } = fields[place];
            places[number as usize] = place as u8;
            let tag = (number as usize) << 3 | wire.number();
            if tag < TAGS {
                tagged[tag] = place as u8;
            }
            place += 1;
        }
        Self {
            name,
            fields,
            places,
            tagged,
            attribute: false,
        }
    }

    const fn attribute(self) -> Self {
        Self {
            attribute: true,
            ..self
        }
    }

    /// The field of this number.
    #[inline]
    fn field(&self, number: u32) -> Option<&'static Field> {
        let place = *self.places.get(number as usize)?;
        self.fields.get(usize::from(place))
    }

    /// The field that such a byte is the whole tag of.
    #[inline(always)]
    fn tagged(&self, byte: u8) -> Option<&'static Field> {
        let place = *self.tagged.get(usize::from(byte))?;
        self.fields.get(usize::from(place))
    }
}

/// A field of a message.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// In JSON.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The kind's, at hand.
    wire: WireType,
    pub(crate) repeated: bool,
    /// Whether the ledger counts it: a data point, log record or span.
    pub(crate) record: bool,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Bool,
    /// Also int32: both are read as a varint, both are numbers in JSON.
    Enum,
    Uint32,
    Uint64,
    Int64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed64,
    Double,
    String,
    Bytes,
    /// Bytes of this length, or none; hex in JSON.
    Id(usize),
    Message(&'static Message),
}

impl Kind {
    /// Its wire type where it is not packed.
    pub(crate) const fn wire(self) -> WireType {
        match self {
            Self::Bool
            | Self::Enum
            | Self::Uint32
            | Self::Uint64
            | Self::Int64
            | Self::Sint32
            | Self::Sint64 => WireType::Varint,
            Self::Fixed32 => WireType::Fixed32,
            Self::Fixed64 | Self::Sfixed64 | Self::Double => WireType::Fixed64,
            Self::String | Self::Bytes | Self::Id(_) | Self::Message(_) => WireType::Len,
        }
    }
}

const fn field(number: u32, name: &'static str, kind: Kind) -> Field {
    Field {
        number,
        name,
        kind,
        wire: kind.wire(),
        repeated: false,
        record: false,
    }
}

const fn list(number: u32, name: &'static str, kind: Kind) -> Field {
    Field {
        repeated: true,
        ..field(number, name, kind)
    }
}

const fn records(number: u32, name: &'static str, of: &'static Message) -> Field {
    Field {
        record: true,
        ..list(number, name, Kind::Message(of))
    }
}

/// What is in a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Records, as the ledger counts them.
    pub(crate) records: u32,
    /// Messages in it, at any depth.
    pub(crate) messages: u32,
}

/// Validates the rest of the window as one message, `depth` messages deep, and counts.
pub(crate) fn check(
    cursor: &mut Cursor<'_>,
    request: &[u8],
    message: &'static Message,
    depth: usize,
) -> Result<Checked, Malformed> {
    walk::<true>(cursor, request, message, depth)
}

/// The same without short cuts, for tests to compare with.
#[cfg(test)]
pub(crate) fn check_carefully(
    cursor: &mut Cursor<'_>,
    request: &[u8],
    message: &'static Message,
    depth: usize,
) -> Result<Checked, Malformed> {
    walk::<false>(cursor, request, message, depth)
}

fn walk<const SHORT_CUTS: bool>(
    cursor: &mut Cursor<'_>,
    request: &[u8],
    message: &'static Message,
    depth: usize,
) -> Result<Checked, Malformed> {
    if depth > MAX_DEPTH {
        return Err(cursor.fault(Fault::TooDeep { limit: MAX_DEPTH }));
    }
    let mut checked = Checked::default();
    while let Some(byte) = cursor.peek() {
        let start = cursor.at();
        // Nearly every field: one look says its number, that it is known, and that its wire type is
        // right.
        let (field, wire) = match message.tagged(byte) {
            Some(field) if SHORT_CUTS => {
                cursor.skip_byte();
                (field, field.wire)
            }
            _ => {
                let (number, wire) = cursor.tag()?;
                let Some(field) = message.field(number) else {
                    cursor.skip(wire)?;
                    continue;
                };
                (field, wire)
            }
        };
        if wire != field.wire {
            if wire == WireType::Len && field.repeated {
                check_packed(cursor, request, message, field)?;
                continue;
            }
            return Err(Malformed::new(
                start,
                Fault::WireType {
                    message: message.name,
                    field: field.number,
                },
            ));
        }
        if wire != WireType::Len {
            cursor.skip(wire)?;
            continue;
        }
        let (from, to) = cursor.len_bounds()?;
        match field.kind {
            Kind::Message(inner) => {
                let plain = SHORT_CUTS
                    && inner.attribute
                    && depth < MAX_DEPTH - 1
                    && is_plain_attribute(request.get(from..to).unwrap_or_default());
                let within = if plain {
                    // Its value.
                    Checked {
                        records: 0,
                        messages: 1,
                    }
                } else {
                    let mut window = Cursor::window(request, from, to);
                    walk::<SHORT_CUTS>(&mut window, request, inner, depth + 1)?
                };
                checked.records += u32::from(field.record) + within.records;
                checked.messages += 1 + within.messages;
            }
            Kind::String => check_utf8(request, from, to, field.name)?,
            Kind::Id(expected) if to != from && to - from != expected => {
                return Err(Malformed::new(
                    from,
                    Fault::IdLength {
                        what: field.name,
                        len: to - from,
                        expected,
                    },
                ));
            }
            _ => {}
        }
    }
    Ok(checked)
}

/// Whether a `KeyValue` is plainly a key and a string, integer or boolean, once each, in ASCII and
/// with lengths of one byte. Of any other the careful walk says what it is, and what is wrong.
#[inline(always)]
fn is_plain_attribute(pair: &[u8]) -> bool {
    let &[0x0a, key_len, ref key_on @ ..] = pair else {
        return false;
    };
    let &[0x12, any_len, ref any @ ..] = key_on.get(usize::from(key_len)..).unwrap_or_default()
    else {
        return false;
    };
    if usize::from(any_len) != any.len() {
        return false;
    }
    match any {
        // Lengths beyond one byte are not ASCII, so this looks at them too.
        &[0x0a, len, ref text @ ..] => usize::from(len) == text.len() && is_ascii(pair),
        [0x18, more @ .., last] => {
            let key_end = pair.len() - any.len();
            *last < 0x80
                && more.len() < 9
                && more.iter().all(|&byte| byte >= 0x80)
                && is_ascii(pair.get(..key_end).unwrap_or_default())
        }
        [0x10, 0 | 1] => is_ascii(pair),
        _ => false,
    }
}

fn check_packed(
    cursor: &mut Cursor<'_>,
    request: &[u8],
    message: &'static Message,
    field: &Field,
) -> Result<(), Malformed> {
    let (from, to) = cursor.len_bounds()?;
    let element = match field.wire {
        WireType::Varint => {
            let mut window = Cursor::window(request, from, to);
            while !window.is_empty() {
                window.varint()?;
            }
            return Ok(());
        }
        WireType::Fixed32 => 4,
        _ => 8,
    };
    if (to - from) % element != 0 {
        return Err(Malformed::new(
            from,
            Fault::Packed {
                message: message.name,
                field: field.number,
            },
        ));
    }
    Ok(())
}

/// Validates that the bytes from `from` to `to` of a request are UTF-8.
#[inline]
pub(crate) fn check_utf8(
    request: &[u8],
    from: usize,
    to: usize,
    what: &'static str,
) -> Result<(), Malformed> {
    let bytes = request.get(from..to).unwrap_or_default();
    if is_ascii(bytes) {
        return Ok(());
    }
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err(Malformed::new(
            from + error.valid_up_to(),
            Fault::Utf8 { what },
        )),
    }
}
