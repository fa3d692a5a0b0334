//! OTLP's JSON, written as protobuf: one pass, from the tables of `signal::schema`, no objects.
//!
//! As the OTLP specification has it: lowerCamelCase names only, unknown fields ignored, trace and
//! span ids as hex in either case, enums as integers, 64-bit integers as decimal strings or
//! numbers, `null` as absent. Beyond it, as ProtoJSON has it: doubles may be the strings `NaN`,
//! `Infinity` and `-Infinity`; bytes are base64, standard or URL-safe, padded or not.
//!
//! The output is bounded, as a number of two bytes may become one of nine. It goes through the
//! splicer afterwards like every other request.

use std::fmt;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Signal;
use super::otlp::messages;
use super::schema::{Field, Kind, MAX_DEPTH, Message};
use super::wire::{WireType, put_len, put_message, put_tag, put_varint};

/// A body that is not the JSON it should be: what and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("JSON: {0}")]
pub struct JsonError(String);

/// Writes a JSON export request of this signal as protobuf to `out` (which is cleared first), at
/// most `limit` bytes of it.
pub fn to_protobuf(
    signal: Signal,
    json: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), JsonError> {
    out.clear();
    let (message, _) = messages(signal);
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let body = Body {
        message,
        out,
        limit,
        depth: 1,
    };
    body.deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|error| JsonError(error.to_string()))
}

/// The fields of a message.
struct Body<'o> {
    message: &'static Message,
    out: &'o mut Vec<u8>,
    limit: usize,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Body<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an object ({})", self.message.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.depth > MAX_DEPTH {
            return Err(Error::custom(format_args!(
                "messages are nested more than {MAX_DEPTH} deep"
            )));
        }
        while let Some(field) = map.next_key_seed(Name(self.message))? {
            let Some(field) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            map.next_value_seed(Value {
                field,
                out: self.out,
                limit: self.limit,
                depth: self.depth,
                element: false,
            })?;
        }
        Ok(())
    }
}

/// A field's name.
struct Name(&'static Message);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static Field>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        // Fields that JSON does not have are nameless in the tables.
        let mut fields = self.0.fields.iter();
        Ok(fields.find(|field| field.name == name && !name.is_empty()))
    }
}

/// A field's value.
struct Value<'o> {
    field: &'static Field,
    out: &'o mut Vec<u8>,
    limit: usize,
    depth: usize,
    /// Whether it is an element of a repeated field.
    element: bool,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Value<'_> {
    /// Whether elements stand side by side under one tag.
    fn packed(&self) -> bool {
        self.field.repeated && self.field.kind.wire() != WireType::Len
    }

    /// A scalar may stand here.
    fn scalar<E: Error>(&self, found: &str) -> Result<(), E> {
        if self.field.repeated && !self.element {
            return Err(self.unexpected(found));
        }
        if self.out.len() > self.limit {
            return Err(Error::custom(format_args!(
                "request is larger than {} bytes",
                self.limit
            )));
        }
        Ok(())
    }

    fn unexpected<E: Error>(&self, found: &str) -> E {
        E::custom(format_args!("{} is {found}", self.field.name))
    }

    fn tag(&mut self, wire: u8) {
        if !self.packed() {
            put_tag(self.out, self.field.number, wire);
        }
    }

    fn varint(mut self, value: u64) {
        self.tag(0);
        put_varint(self.out, value);
    }

    fn fixed64(mut self, bits: u64) {
        self.tag(1);
        self.out.extend_from_slice(&bits.to_le_bytes());
    }

    fn integer<E: Error>(mut self, value: i128) -> Result<(), E> {
        let out_of_range =
            || E::custom(format_args!("{}: {value} is out of range", self.field.name));
        let (low, high) = match self.field.kind {
            Kind::Uint32 | Kind::Fixed32 => (0, i128::from(u32::MAX)),
            Kind::Uint64 | Kind::Fixed64 => (0, i128::from(u64::MAX)),
            Kind::Enum | Kind::Sint32 => (i128::from(i32::MIN), i128::from(i32::MAX)),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                (i128::from(i64::MIN), i128::from(i64::MAX))
            }
            Kind::Double => {
                self.fixed64((value as f64).to_bits());
                return Ok(());
            }
            _ => return Err(self.unexpected("a number")),
        };
        if !(low..=high).contains(&value) {
            return Err(out_of_range());
        }
        // Two's complement is what the wire wants of negative numbers.
        let bits = value as u64;
        match self.field.kind {
            Kind::Fixed64 | Kind::Sfixed64 => self.fixed64(bits),
            Kind::Fixed32 => {
                self.tag(5);
                self.out.extend_from_slice(&(bits as u32).to_le_bytes());
            }
            Kind::Sint32 | Kind::Sint64 => {
                let value = value as i64;
                self.varint((value << 1 ^ value >> 63) as u64);
            }
            _ => self.varint(bits),
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a value for {}", self.field.name)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        if self.element {
            return Err(self.unexpected("null inside a list"));
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.scalar("a boolean")?;
        match self.field.kind {
            Kind::Bool => {
                self.varint(value.into());
                Ok(())
            }
            _ => Err(self.unexpected("a boolean")),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.scalar("a number")?;
        self.integer(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.scalar("a number")?;
        self.integer(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.scalar("a number")?;
        match self.field.kind {
            Kind::Double => {
                self.fixed64(value.to_bits());
                Ok(())
            }
            // `1e3` and `1.0` are integers too; beyond 2^64 the range check answers.
            _ if value.fract() == 0.0 => self.integer(value as i128),
            _ => Err(self.unexpected("a number with a fraction")),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.scalar("a string")?;
        let number = self.field.number;
        match self.field.kind {
            Kind::String => put_len(self.out, number, text.as_bytes()),
            Kind::Bytes => match base64_any().decode(text.trim_end_matches('=')) {
                Ok(bytes) => put_len(self.out, number, &bytes),
                Err(_) => match base64_url().decode(text.trim_end_matches('=')) {
                    Ok(bytes) => put_len(self.out, number, &bytes),
                    Err(_) => return Err(self.unexpected("not base64")),
                },
            },
            Kind::Id(len) => {
                let Some(bytes) = unhex(text) else {
                    return Err(self.unexpected("not hexadecimal"));
                };
                if !bytes.is_empty() && bytes.len() != len {
                    return Err(E::custom(format_args!(
                        "{} is {} bytes long, not {len} or none",
                        self.field.name,
                        bytes.len()
                    )));
                }
                put_len(self.out, number, &bytes);
            }
            Kind::Double => match text {
                "NaN" => self.fixed64(f64::NAN.to_bits()),
                "Infinity" => self.fixed64(f64::INFINITY.to_bits()),
                "-Infinity" => self.fixed64(f64::NEG_INFINITY.to_bits()),
                _ => match text.parse::<f64>() {
                    Ok(value) if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
                        self.fixed64(value.to_bits());
                    }
                    _ => return Err(self.unexpected("a string that is no number")),
                },
            },
            // Names of enum values are not allowed, as they may change.
            Kind::Enum | Kind::Bool | Kind::Message(_) => return Err(self.unexpected("a string")),
            _ => match text.parse::<i128>() {
                Ok(value) => return self.integer(value),
                Err(_) => return Err(self.unexpected("a string that is no integer")),
            },
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if !self.field.repeated || self.element {
            return Err(self.unexpected("a list"));
        }
        let packed = self.packed();
        let Value {
            field,
            out,
            limit,
            depth,
            ..
        } = self;
        let mut elements = |out: &mut Vec<u8>| {
            while list
                .next_element_seed(Value {
                    field,
                    out,
                    limit,
                    depth,
                    element: true,
                })?
                .is_some()
            {}
            Ok(())
        };
        if packed {
            put_message(out, field.number, elements)
        } else {
            elements(out)
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.scalar("an object")?;
        let Kind::Message(message) = self.field.kind else {
            return Err(self.unexpected("an object"));
        };
        let (limit, depth) = (self.limit, self.depth + 1);
        put_message(self.out, self.field.number, |out| {
            Body {
                message,
                out,
                limit,
                depth,
            }
            .visit_map(map)
        })
    }
}

fn base64_any() -> GeneralPurpose {
    GeneralPurpose::new(&STANDARD, UNPADDED)
}

fn base64_url() -> GeneralPurpose {
    GeneralPurpose::new(&URL_SAFE, UNPADDED)
}

const UNPADDED: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireNone);

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs
        .map(|pair| match *pair {
            [high, low] => Some((digit(high)? << 4 | digit(low)?) as u8),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests;
