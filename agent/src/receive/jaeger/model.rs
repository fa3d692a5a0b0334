//! `jaeger.thrift` as borrowed Rust types.

use super::thrift::{Field, Protocol, Reader, ThriftError, Type};

/// A tag's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    String(&'a str),
    Double(f64),
    Bool(bool),
    Long(i64),
    Binary(&'a [u8]),
}

/// A key and a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tag<'a> {
    pub key: &'a str,
    pub value: Value<'a>,
}

/// Something that happened during a span.
#[derive(Debug, Clone, PartialEq)]
pub struct Log<'a> {
    /// Microseconds since the Unix epoch.
    pub timestamp_us: i64,
    pub fields: Vec<Tag<'a>>,
}

/// Another span that a span refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    pub follows_from: bool,
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
}

/// A span.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Span<'a> {
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    /// All zero: none.
    pub parent_span_id: [u8; 8],
    pub operation: &'a str,
    pub references: Vec<Reference>,
    pub flags: i32,
    /// Microseconds since the Unix epoch.
    pub start_us: i64,
    pub duration_us: i64,
    pub tags: Vec<Tag<'a>>,
    pub logs: Vec<Log<'a>>,
    /// W3C trace state; only `api_v2` senders have it, as a tag.
    pub trace_state: &'a str,
}

/// Who sent the spans.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Process<'a> {
    pub service: &'a str,
    pub tags: Vec<Tag<'a>>,
}

/// One client's spans.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch<'a> {
    pub process: Process<'a>,
    pub spans: Vec<Span<'a>>,
}

impl Batch<'_> {
    /// The value of the process tag `hostname`, which clients set to the OS hostname.
    #[must_use]
    pub fn hostname(&self) -> Option<&str> {
        self.process.tags.iter().rev().find_map(|tag| match tag {
            Tag {
                key: "hostname",
                value: Value::String(name),
            } => Some(*name),
            _ => None,
        })
    }
}

type Result<T> = std::result::Result<T, ThriftError>;

/// Decodes a datagram of the agent service: an `emitBatch` message.
pub fn decode_agent_message(protocol: Protocol, datagram: &[u8]) -> Result<Batch<'_>> {
    let mut reader = Reader::new(protocol, datagram);
    if reader.message()? != b"emitBatch" {
        return Err(ThriftError::Method);
    }
    let mut batch = None;
    reader.structure(|reader, field| match field.id {
        1 => {
            batch = Some(read_batch(reader, field)?);
            Ok(())
        }
        _ => reader.skip(field),
    })?;
    end(&reader)?;
    batch.ok_or(ThriftError::Missing("emitBatch.batch"))
}

/// Decodes the body of a POST to the collector: a bare `Batch` struct.
pub fn decode_batch(protocol: Protocol, body: &[u8]) -> Result<Batch<'_>> {
    let mut reader = Reader::new(protocol, body);
    let batch = read_batch_fields(&mut reader)?;
    end(&reader)?;
    Ok(batch)
}

fn end(reader: &Reader<'_>) -> Result<()> {
    match reader.remaining() {
        0 => Ok(()),
        rest => Err(ThriftError::Trailing(rest)),
    }
}

fn read_batch<'a>(reader: &mut Reader<'a>, field: Field) -> Result<Batch<'a>> {
    if field.kind != Type::Struct {
        return Err(ThriftError::WrongType {
            field: "emitBatch.batch",
        });
    }
    read_batch_fields(reader)
}

fn read_batch_fields<'a>(reader: &mut Reader<'a>) -> Result<Batch<'a>> {
    let mut process = None;
    let mut spans = Vec::new();
    reader.structure(|reader, field| {
        match field.id {
            1 if field.kind == Type::Struct => process = Some(read_process(reader)?),
            2 => reader.list(field, Type::Struct, "Batch.spans", |reader| {
                spans.push(read_span(reader)?);
                Ok(())
            })?,
            _ => reader.skip(field)?,
        }
        Ok(())
    })?;
    let process = process.ok_or(ThriftError::Missing("Batch.process"))?;
    Ok(Batch { process, spans })
}

fn read_process<'a>(reader: &mut Reader<'a>) -> Result<Process<'a>> {
    let mut process = Process::default();
    reader.structure(|reader, field| {
        match field.id {
            1 => process.service = reader.string(field, "Process.serviceName")?,
            2 => read_tags(reader, field, "Process.tags", &mut process.tags)?,
            _ => reader.skip(field)?,
        }
        Ok(())
    })?;
    Ok(process)
}

fn read_tags<'a>(
    reader: &mut Reader<'a>,
    field: Field,
    name: &'static str,
    into: &mut Vec<Tag<'a>>,
) -> Result<()> {
    reader.list(field, Type::Struct, name, |reader| {
        into.push(read_tag(reader)?);
        Ok(())
    })
}

fn read_tag<'a>(reader: &mut Reader<'a>) -> Result<Tag<'a>> {
    let mut key = None;
    let mut kind = 0;
    let (mut string, mut double, mut boolean, mut long, mut binary) =
        (None, None, None, None, None);
    reader.structure(|reader, field| {
        match field.id {
            1 => key = Some(reader.string(field, "Tag.key")?),
            2 => kind = reader.i32(field, "Tag.vType")?,
            3 => string = Some(reader.string(field, "Tag.vStr")?),
            4 => double = Some(reader.double(field, "Tag.vDouble")?),
            5 => boolean = Some(reader.bool(field, "Tag.vBool")?),
            6 => long = Some(reader.i64(field, "Tag.vLong")?),
            7 => binary = Some(reader.binary(field, "Tag.vBinary")?),
            _ => reader.skip(field)?,
        }
        Ok(())
    })?;
    // The type code rules; a value that it names but that is absent is the type's zero.
    let value = match kind {
        0 => Value::String(string.unwrap_or_default()),
        1 => Value::Double(double.unwrap_or_default()),
        2 => Value::Bool(boolean.unwrap_or_default()),
        3 => Value::Long(long.unwrap_or_default()),
        4 => Value::Binary(binary.unwrap_or_default()),
        _ => return Err(ThriftError::WrongType { field: "Tag.vType" }),
    };
    Ok(Tag {
        key: key.ok_or(ThriftError::Missing("Tag.key"))?,
        value,
    })
}

fn read_log<'a>(reader: &mut Reader<'a>) -> Result<Log<'a>> {
    let mut log = Log {
        timestamp_us: 0,
        fields: Vec::new(),
    };
    reader.structure(|reader, field| {
        match field.id {
            1 => log.timestamp_us = reader.i64(field, "Log.timestamp")?,
            2 => read_tags(reader, field, "Log.fields", &mut log.fields)?,
            _ => reader.skip(field)?,
        }
        Ok(())
    })?;
    Ok(log)
}

fn read_reference(reader: &mut Reader<'_>) -> Result<Reference> {
    let (mut kind, mut low, mut high, mut span) = (0, 0, 0, 0);
    reader.structure(|reader, field| {
        match field.id {
            1 => kind = reader.i32(field, "SpanRef.refType")?,
            2 => low = reader.i64(field, "SpanRef.traceIdLow")?,
            3 => high = reader.i64(field, "SpanRef.traceIdHigh")?,
            4 => span = reader.i64(field, "SpanRef.spanId")?,
            _ => reader.skip(field)?,
        }
        Ok(())
    })?;
    Ok(Reference {
        follows_from: kind == 1,
        trace_id: trace_id(high, low),
        span_id: span.to_be_bytes(),
    })
}

fn read_span<'a>(reader: &mut Reader<'a>) -> Result<Span<'a>> {
    let mut span = Span::default();
    let (mut low, mut high) = (None, 0);
    let mut has_id = false;
    reader.structure(|reader, field| {
        match field.id {
            1 => low = Some(reader.i64(field, "Span.traceIdLow")?),
            2 => high = reader.i64(field, "Span.traceIdHigh")?,
            3 => {
                span.span_id = reader.i64(field, "Span.spanId")?.to_be_bytes();
                has_id = true;
            }
            4 => span.parent_span_id = reader.i64(field, "Span.parentSpanId")?.to_be_bytes(),
            5 => span.operation = reader.string(field, "Span.operationName")?,
            6 => reader.list(field, Type::Struct, "Span.references", |reader| {
                span.references.push(read_reference(reader)?);
                Ok(())
            })?,
            7 => span.flags = reader.i32(field, "Span.flags")?,
            8 => span.start_us = reader.i64(field, "Span.startTime")?,
            9 => span.duration_us = reader.i64(field, "Span.duration")?,
            10 => read_tags(reader, field, "Span.tags", &mut span.tags)?,
            11 => reader.list(field, Type::Struct, "Span.logs", |reader| {
                span.logs.push(read_log(reader)?);
                Ok(())
            })?,
            _ => reader.skip(field)?,
        }
        Ok(())
    })?;
    let low = low.ok_or(ThriftError::Missing("Span.traceIdLow"))?;
    if !has_id {
        return Err(ThriftError::Missing("Span.spanId"));
    }
    span.trace_id = trace_id(high, low);
    Ok(span)
}

fn trace_id(high: i64, low: i64) -> [u8; 16] {
    let id = (u128::from(high.cast_unsigned()) << 64) | u128::from(low.cast_unsigned());
    id.to_be_bytes()
}
