//! A pull reader for Thrift's compact and binary protocols (Apache Thrift protocol specifications).
//!
//! Borrows from the input, never allocates, and refuses anything that does not fit into it.

/// Deepest nesting of structs and containers that is followed.
pub const MAX_DEPTH: u8 = 16;

/// How a message is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `TCompactProtocol`: varints and deltas; UDP port 6831.
    Compact,
    /// `TBinaryProtocol`: fixed width, big-endian; UDP port 6832 and HTTP.
    Binary,
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ThriftError {
    /// The input ends inside a value.
    #[error("truncated at byte {0}")]
    Truncated(usize),
    /// A varint of more than ten bytes, or one that overflows its type.
    #[error("varint too long at byte {0}")]
    Varint(usize),
    /// A negative length, or one beyond the end of the input.
    #[error("length {length} at byte {at} is beyond the end of the message")]
    Length { at: usize, length: i64 },
    /// A type code that the protocol does not define.
    #[error("unknown type code {code} at byte {at}")]
    UnknownType { at: usize, code: u8 },
    /// A field whose type is not the one of its definition.
    #[error("{field} has the wrong type")]
    WrongType { field: &'static str },
    /// Text that is not UTF-8.
    #[error("{field} is not valid UTF-8")]
    Utf8 { field: &'static str },
    /// Deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// The message header is not one of this protocol.
    #[error("not a {0:?} protocol message")]
    Header(Protocol),
    /// A message of another service or method.
    #[error("unexpected method, not emitBatch")]
    Method,
    /// A field that the definition requires is absent.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// More bytes than the message needs.
    #[error("{0} bytes after the end of the message")]
    Trailing(usize),
}

/// A value's type, the same for both protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Bool,
    I8,
    I16,
    I32,
    I64,
    Double,
    Bytes,
    List,
    Map,
    Struct,
}

/// A field's header inside a struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub id: i16,
    pub kind: Type,
    /// A compact bool lives in the field header.
    inline_bool: Option<bool>,
}

/// The reader.
#[derive(Debug)]
pub struct Reader<'a> {
    protocol: Protocol,
    input: &'a [u8],
    at: usize,
    depth: u8,
    structs: usize,
}

/// How many structs `body` (itself one) holds: what decoding it will take memory for.
pub fn structs(protocol: Protocol, body: &[u8]) -> Result<usize> {
    let mut reader = Reader::new(protocol, body);
    reader.skip_value(Type::Struct)?;
    Ok(reader.structs)
}

type Result<T> = std::result::Result<T, ThriftError>;

impl<'a> Reader<'a> {
    /// Reads `input` as `protocol`.
    #[must_use]
    pub fn new(protocol: Protocol, input: &'a [u8]) -> Self {
        Self {
            protocol,
            input,
            at: 0,
            depth: 0,
            structs: 0,
        }
    }

    /// Bytes not yet read.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.input.len() - self.at
    }

    /// Reads a message header and returns the method's name. Any message type and sequence id is
    /// taken: some clients send oneway calls as plain calls.
    pub fn message(&mut self) -> Result<&'a [u8]> {
        match self.protocol {
            Protocol::Compact => {
                const PROTOCOL_ID: u8 = 0x82;
                const VERSION: u8 = 1;
                let (id, version) = (self.byte()?, self.byte()?);
                if id != PROTOCOL_ID || version & 0x1f != VERSION {
                    return Err(ThriftError::Header(self.protocol));
                }
                self.varint()?;
                self.bytes()
            }
            Protocol::Binary => {
                const VERSION: u32 = 0x8001_0000;
                let word = self.i32_fixed()?;
                if word < 0 {
                    if word.cast_unsigned() & 0xffff_0000 != VERSION {
                        return Err(ThriftError::Header(self.protocol));
                    }
                    let name = self.bytes()?;
                    self.i32_fixed()?;
                    Ok(name)
                } else {
                    // The old form: name, type, sequence id, without a version.
                    let name = self.take(i64::from(word))?;
                    self.byte()?;
                    self.i32_fixed()?;
                    Ok(name)
                }
            }
        }
    }

    /// Reads a struct: calls `visit` for every field; it must consume the value or skip it.
    pub fn structure(
        &mut self,
        mut visit: impl FnMut(&mut Self, Field) -> Result<()>,
    ) -> Result<()> {
        self.enter()?;
        self.structs += 1;
        let mut last_id = 0i16;
        while let Some(field) = self.field(last_id)? {
            last_id = field.id;
            visit(self, field)?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads a list (or set) of structs, strings and so on: calls `visit` once per element.
    pub fn list(
        &mut self,
        field: Field,
        element: Type,
        name: &'static str,
        mut visit: impl FnMut(&mut Self) -> Result<()>,
    ) -> Result<()> {
        expect(field, Type::List, name)?;
        self.enter()?;
        let (kind, length) = self.list_header()?;
        if length > 0 && kind != element {
            return Err(ThriftError::WrongType { field: name });
        }
        for _ in 0..length {
            visit(self)?;
        }
        self.depth -= 1;
        Ok(())
    }

    /// A string field.
    pub fn string(&mut self, field: Field, name: &'static str) -> Result<&'a str> {
        std::str::from_utf8(self.binary(field, name)?)
            .map_err(|_| ThriftError::Utf8 { field: name })
    }

    /// A binary field.
    pub fn binary(&mut self, field: Field, name: &'static str) -> Result<&'a [u8]> {
        expect(field, Type::Bytes, name)?;
        self.bytes()
    }

    /// An i64 field.
    pub fn i64(&mut self, field: Field, name: &'static str) -> Result<i64> {
        expect(field, Type::I64, name)?;
        match self.protocol {
            Protocol::Compact => Ok(zigzag(self.varint()?)),
            Protocol::Binary => Ok(i64::from_be_bytes(self.array()?)),
        }
    }

    /// An i32 field (enums too).
    pub fn i32(&mut self, field: Field, name: &'static str) -> Result<i32> {
        expect(field, Type::I32, name)?;
        match self.protocol {
            Protocol::Compact => {
                let at = self.at;
                i32::try_from(zigzag(self.varint()?)).map_err(|_| ThriftError::Varint(at))
            }
            Protocol::Binary => self.i32_fixed(),
        }
    }

    /// A double field.
    pub fn double(&mut self, field: Field, name: &'static str) -> Result<f64> {
        expect(field, Type::Double, name)?;
        let bytes = self.array()?;
        Ok(match self.protocol {
            Protocol::Compact => f64::from_le_bytes(bytes),
            Protocol::Binary => f64::from_be_bytes(bytes),
        })
    }

    /// A bool field.
    pub fn bool(&mut self, field: Field, name: &'static str) -> Result<bool> {
        expect(field, Type::Bool, name)?;
        match field.inline_bool {
            Some(value) => Ok(value),
            None => Ok(self.byte()? != 0),
        }
    }

    /// Skips a field's value.
    pub fn skip(&mut self, field: Field) -> Result<()> {
        if field.inline_bool.is_some() {
            return Ok(());
        }
        self.skip_value(field.kind)
    }

    fn skip_value(&mut self, kind: Type) -> Result<()> {
        match (kind, self.protocol) {
            (Type::Bool | Type::I8, _) => self.byte().map(drop),
            (Type::I16 | Type::I32 | Type::I64, Protocol::Compact) => self.varint().map(drop),
            (Type::I16, Protocol::Binary) => self.take(2).map(drop),
            (Type::I32, Protocol::Binary) => self.take(4).map(drop),
            (Type::I64, Protocol::Binary) | (Type::Double, _) => self.take(8).map(drop),
            (Type::Bytes, _) => self.bytes().map(drop),
            (Type::Struct, _) => self.structure(Self::skip),
            (Type::List, _) => {
                self.enter()?;
                let (element, length) = self.list_header()?;
                for _ in 0..length {
                    self.skip_value(element)?;
                }
                self.depth -= 1;
                Ok(())
            }
            (Type::Map, _) => {
                self.enter()?;
                let (key, value, length) = self.map_header()?;
                for _ in 0..length {
                    self.skip_value(key)?;
                    self.skip_value(value)?;
                }
                self.depth -= 1;
                Ok(())
            }
        }
    }

    fn field(&mut self, last_id: i16) -> Result<Option<Field>> {
        let at = self.at;
        let head = self.byte()?;
        match self.protocol {
            Protocol::Compact => {
                let code = head & 0x0f;
                if code == 0 {
                    return Ok(None);
                }
                let delta = i16::from(head >> 4);
                let id = if delta == 0 {
                    i16::try_from(zigzag(self.varint()?)).map_err(|_| ThriftError::Varint(at))?
                } else {
                    last_id.wrapping_add(delta)
                };
                let inline_bool = match code {
                    1 => Some(true),
                    2 => Some(false),
                    _ => None,
                };
                Ok(Some(Field {
                    id,
                    kind: compact_type(code, at)?,
                    inline_bool,
                }))
            }
            Protocol::Binary => {
                if head == 0 {
                    return Ok(None);
                }
                let id = i16::from_be_bytes(self.array()?);
                Ok(Some(Field {
                    id,
                    kind: binary_type(head, at)?,
                    inline_bool: None,
                }))
            }
        }
    }

    fn list_header(&mut self) -> Result<(Type, usize)> {
        let at = self.at;
        let head = self.byte()?;
        let (kind, length) = match self.protocol {
            Protocol::Compact => {
                let short = i64::from(head >> 4);
                let length = if short == 15 {
                    self.length_varint()?
                } else {
                    short
                };
                (compact_type(head & 0x0f, at)?, length)
            }
            Protocol::Binary => (binary_type(head, at)?, i64::from(self.i32_fixed()?)),
        };
        Ok((kind, self.fits(at, length)?))
    }

    fn map_header(&mut self) -> Result<(Type, Type, usize)> {
        let at = self.at;
        match self.protocol {
            Protocol::Compact => {
                let length = self.length_varint()?;
                if length == 0 {
                    return Ok((Type::I8, Type::I8, 0));
                }
                let kinds = self.byte()?;
                let length = self.fits(at, length)?;
                Ok((
                    compact_type(kinds >> 4, at)?,
                    compact_type(kinds & 0x0f, at)?,
                    length,
                ))
            }
            Protocol::Binary => {
                let (key, value) = (self.byte()?, self.byte()?);
                let length = i64::from(self.i32_fixed()?);
                let length = self.fits(at, length)?;
                if length == 0 {
                    return Ok((Type::I8, Type::I8, 0));
                }
                Ok((binary_type(key, at)?, binary_type(value, at)?, length))
            }
        }
    }

    /// Every element takes at least one byte, so a count beyond the rest is a lie.
    fn fits(&self, at: usize, length: i64) -> Result<usize> {
        usize::try_from(length)
            .ok()
            .filter(|&count| count <= self.remaining())
            .ok_or(ThriftError::Length { at, length })
    }

    fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = match self.protocol {
            Protocol::Compact => self.length_varint()?,
            Protocol::Binary => i64::from(self.i32_fixed()?),
        };
        self.take(length)
    }

    fn take(&mut self, length: i64) -> Result<&'a [u8]> {
        let at = self.at;
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| at.checked_add(length))
            .ok_or(ThriftError::Length { at, length })?;
        let slice = self
            .input
            .get(at..end)
            .ok_or(ThriftError::Length { at, length })?;
        self.at = end;
        Ok(slice)
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = *self
            .input
            .get(self.at)
            .ok_or(ThriftError::Truncated(self.at))?;
        self.at += 1;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let chunk = self
            .input
            .get(self.at..)
            .and_then(|rest| rest.first_chunk::<N>())
            .ok_or(ThriftError::Truncated(self.at))?;
        self.at += N;
        Ok(*chunk)
    }

    fn i32_fixed(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    fn length_varint(&mut self) -> Result<i64> {
        let at = self.at;
        i64::try_from(self.varint()?).map_err(|_| ThriftError::Varint(at))
    }

    fn varint(&mut self) -> Result<u64> {
        let at = self.at;
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ThriftError::Varint(at))
    }

    fn enter(&mut self) -> Result<()> {
        if self.depth == MAX_DEPTH {
            return Err(ThriftError::TooDeep);
        }
        self.depth += 1;
        Ok(())
    }
}

fn expect(field: Field, kind: Type, name: &'static str) -> Result<()> {
    if field.kind == kind {
        Ok(())
    } else {
        Err(ThriftError::WrongType { field: name })
    }
}

fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn compact_type(code: u8, at: usize) -> Result<Type> {
    Ok(match code {
        1 | 2 => Type::Bool,
        3 => Type::I8,
        4 => Type::I16,
        5 => Type::I32,
        6 => Type::I64,
        7 => Type::Double,
        8 => Type::Bytes,
        9 | 10 => Type::List,
        11 => Type::Map,
        12 => Type::Struct,
        _ => return Err(ThriftError::UnknownType { at, code }),
    })
}

fn binary_type(code: u8, at: usize) -> Result<Type> {
    Ok(match code {
        2 => Type::Bool,
        3 => Type::I8,
        4 => Type::Double,
        6 => Type::I16,
        8 => Type::I32,
        10 => Type::I64,
        11 => Type::Bytes,
        12 => Type::Struct,
        13 => Type::Map,
        14 | 15 => Type::List,
        _ => return Err(ThriftError::UnknownType { at, code }),
    })
}
