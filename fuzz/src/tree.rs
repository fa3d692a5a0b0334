//! Protocol buffers of any shape: what a fuzzer cannot find byte by byte.

use arbitrary::Arbitrary;

/// A message.
#[derive(Debug, Arbitrary)]
pub struct Tree(Vec<Field>);

/// One field. Numbers are small, as the protocols' are.
#[derive(Debug, Arbitrary)]
enum Field {
    Varint(u8, u64),
    Fixed64(u8, u64),
    Fixed32(u8, u32),
    Bytes(u8, Vec<u8>),
    Text(u8, Text),
    Message(u8, Vec<Field>),
    /// The same message again and again.
    Repeated(u8, u8, Vec<Field>),
    /// References or other packed numbers.
    Packed(u8, Vec<u8>),
}

/// Words that mean something to the code under test.
#[derive(Debug, Arbitrary)]
enum Text {
    Name,
    Guid,
    GuidLike,
    App,
    Instance,
    Empty,
    Long(u16),
    Other(String),
}

impl Tree {
    /// The encoded message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&self.0, &mut out);
        out
    }
}

fn encode(fields: &[Field], out: &mut Vec<u8>) {
    for field in fields {
        match field {
            Field::Varint(number, value) => {
                tag(*number, 0, out);
                varint(*value, out);
            }
            Field::Fixed64(number, value) => {
                tag(*number, 1, out);
                out.extend_from_slice(&value.to_le_bytes());
            }
            Field::Fixed32(number, value) => {
                tag(*number, 5, out);
                out.extend_from_slice(&value.to_le_bytes());
            }
            Field::Bytes(number, bytes) => len(*number, bytes, out),
            Field::Text(number, text) => len(*number, text.bytes().as_slice(), out),
            Field::Message(number, fields) => {
                let mut inner = Vec::new();
                encode(fields, &mut inner);
                len(*number, &inner, out);
            }
            Field::Repeated(number, times, fields) => {
                let mut inner = Vec::new();
                encode(fields, &mut inner);
                // Nested repetitions must not make a giant.
                if inner.len() < 1 << 12 {
                    for _ in 0..*times {
                        len(*number, &inner, out);
                    }
                }
            }
            Field::Packed(number, values) => {
                let mut inner = Vec::new();
                for value in values {
                    varint(u64::from(*value), &mut inner);
                }
                len(*number, &inner, out);
            }
        }
    }
}

impl Text {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Name => b"__name__".to_vec(),
            Self::Guid => b"guid".to_vec(),
            Self::GuidLike => b"guid_".to_vec(),
            Self::App => b"app-1".to_vec(),
            Self::Instance => b"service.instance.id".to_vec(),
            Self::Empty => Vec::new(),
            Self::Long(len) => vec![b'x'; usize::from(*len)],
            Self::Other(text) => text.as_bytes().to_vec(),
        }
    }
}

fn tag(number: u8, wire: u8, out: &mut Vec<u8>) {
    varint(u64::from(number % 24 + 1) << 3 | u64::from(wire), out);
}

fn len(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    tag(number, 2, out);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
