//! `jaeger.api_v2` (model.proto, collector.proto of jaegertracing/jaeger-idl): what gRPC senders
//! post, viewed through the borrowed model so that there is one mapping to OTLP.

use super::model::{self, Value};
use crate::signal::Malformed;
use crate::signal::wire::{Cursor, WireType};

/// `google.protobuf.Timestamp` and `Duration` share this shape.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Time {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct KeyValue {
    #[prost(string, tag = "1")]
    pub key: String,
    /// STRING 0, BOOL 1, INT64 2, FLOAT64 3, BINARY 4.
    #[prost(int32, tag = "2")]
    pub v_type: i32,
    #[prost(string, tag = "3")]
    pub v_str: String,
    #[prost(bool, tag = "4")]
    pub v_bool: bool,
    #[prost(int64, tag = "5")]
    pub v_int64: i64,
    #[prost(double, tag = "6")]
    pub v_float64: f64,
    #[prost(bytes = "vec", tag = "7")]
    pub v_binary: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Log {
    #[prost(message, optional, tag = "1")]
    pub timestamp: Option<Time>,
    #[prost(message, repeated, tag = "2")]
    pub fields: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct SpanRef {
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    /// CHILD_OF 0, FOLLOWS_FROM 1.
    #[prost(int32, tag = "3")]
    pub ref_type: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Process {
    #[prost(string, tag = "1")]
    pub service_name: String,
    #[prost(message, repeated, tag = "2")]
    pub tags: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Span {
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    pub operation_name: String,
    #[prost(message, repeated, tag = "4")]
    pub references: Vec<SpanRef>,
    #[prost(uint32, tag = "5")]
    pub flags: u32,
    #[prost(message, optional, tag = "6")]
    pub start_time: Option<Time>,
    #[prost(message, optional, tag = "7")]
    pub duration: Option<Time>,
    #[prost(message, repeated, tag = "8")]
    pub tags: Vec<KeyValue>,
    #[prost(message, repeated, tag = "9")]
    pub logs: Vec<Log>,
    #[prost(message, optional, tag = "10")]
    pub process: Option<Process>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Batch {
    #[prost(message, repeated, tag = "1")]
    pub spans: Vec<Span>,
    #[prost(message, optional, tag = "2")]
    pub process: Option<Process>,
}

/// The request of `jaeger.api_v2.CollectorService/PostSpans`; the response is empty.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PostSpansRequest {
    #[prost(message, optional, tag = "1")]
    pub batch: Option<Batch>,
}

/// What is below a message that takes memory of its own: the fields, and what is below them.
struct Below(&'static [(u32, Below)]);

const LEAF: Below = Below(&[]);
const LOGS: Below = Below(&[(2, LEAF)]);
const PROCESS: Below = Below(&[(2, LEAF)]);
const SPAN: Below = Below(&[(4, LEAF), (8, LEAF), (9, LOGS), (10, PROCESS)]);
const BATCH: Below = Below(&[(1, SPAN), (2, PROCESS)]);
const REQUEST: Below = Below(&[(1, BATCH)]);

/// How many messages a [`PostSpansRequest`] holds: what decoding it will take memory for.
pub(crate) fn messages(request: &[u8]) -> Result<usize, Malformed> {
    count(Cursor::new(request), request, &REQUEST)
}

/// The same of a `jaeger.storage.v1.WriteSpanRequest`, whose one field is the span.
pub(crate) fn messages_of_write(request: &[u8]) -> Result<usize, Malformed> {
    count(Cursor::new(request), request, &BATCH)
}

fn count(mut cursor: Cursor<'_>, request: &[u8], below: &Below) -> Result<usize, Malformed> {
    let mut sum = 0;
    while !cursor.is_empty() {
        let (number, wire) = cursor.tag()?;
        match below.0.iter().find(|(known, _)| *known == number) {
            Some((_, below)) if wire == WireType::Len => {
                let (start, end) = cursor.len_bounds()?;
                sum += 1 + count(Cursor::window(request, start, end), request, below)?;
            }
            _ => cursor.skip(wire)?,
        }
    }
    Ok(sum)
}

/// What makes a well-formed message no Jaeger batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBatch {
    #[error("trace id of {0} bytes, 1 to 16 are allowed")]
    TraceId(usize),
    #[error("span id of {0} bytes, 8 are required")]
    SpanId(usize),
    #[error("span without a process, and none on the batch")]
    NoProcess,
    #[error("unknown value type {0}")]
    ValueType(i32),
}

impl Batch {
    /// The batch through the borrowed model: one per process, since a span may carry its own.
    pub fn view(&self) -> Result<Vec<model::Batch<'_>>, InvalidBatch> {
        let mut batches: Vec<(&Process, model::Batch<'_>)> = Vec::new();
        for span in &self.spans {
            let process = span
                .process
                .as_ref()
                .or(self.process.as_ref())
                .ok_or(InvalidBatch::NoProcess)?;
            let viewed = view_span(span)?;
            match batches.iter_mut().find(|(known, _)| *known == process) {
                Some((_, batch)) => batch.spans.push(viewed),
                None => {
                    let process_view = model::Process {
                        service: &process.service_name,
                        tags: view_tags(&process.tags)?,
                    };
                    batches.push((
                        process,
                        model::Batch {
                            process: process_view,
                            spans: vec![viewed],
                        },
                    ));
                }
            }
        }
        Ok(batches.into_iter().map(|(_, batch)| batch).collect())
    }
}

fn view_span(span: &Span) -> Result<model::Span<'_>, InvalidBatch> {
    let references = span
        .references
        .iter()
        .map(|it| {
            Ok(model::Reference {
                follows_from: it.ref_type == 1,
                trace_id: trace_id(&it.trace_id)?,
                span_id: span_id(&it.span_id)?,
            })
        })
        .collect::<Result<_, _>>()?;
    let logs = span
        .logs
        .iter()
        .map(|log| {
            Ok(model::Log {
                timestamp_us: microseconds(log.timestamp),
                fields: view_tags(&log.fields)?,
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(model::Span {
        trace_id: trace_id(&span.trace_id)?,
        span_id: span_id(&span.span_id)?,
        parent_span_id: [0; 8],
        operation: &span.operation_name,
        references,
        flags: span.flags.cast_signed(),
        start_us: microseconds(span.start_time),
        duration_us: microseconds(span.duration),
        tags: view_tags(&span.tags)?,
        logs,
        trace_state: "",
    })
}

fn view_tags(tags: &[KeyValue]) -> Result<Vec<model::Tag<'_>>, InvalidBatch> {
    tags.iter()
        .map(|tag| {
            let value = match tag.v_type {
                0 => Value::String(&tag.v_str),
                1 => Value::Bool(tag.v_bool),
                2 => Value::Long(tag.v_int64),
                3 => Value::Double(tag.v_float64),
                4 => Value::Binary(&tag.v_binary),
                other => return Err(InvalidBatch::ValueType(other)),
            };
            Ok(model::Tag {
                key: &tag.key,
                value,
            })
        })
        .collect()
}

/// Short trace ids are padded on the left: they are 64-bit ids of old clients.
fn trace_id(bytes: &[u8]) -> Result<[u8; 16], InvalidBatch> {
    let mut id = [0; 16];
    let start = match bytes.len() {
        1..=16 => 16 - bytes.len(),
        length => return Err(InvalidBatch::TraceId(length)),
    };
    id[start..].copy_from_slice(bytes);
    Ok(id)
}

fn span_id(bytes: &[u8]) -> Result<[u8; 8], InvalidBatch> {
    bytes
        .try_into()
        .map_err(|_| InvalidBatch::SpanId(bytes.len()))
}

fn microseconds(time: Option<Time>) -> i64 {
    let time = time.unwrap_or_default();
    time.seconds
        .saturating_mul(1_000_000)
        .saturating_add(i64::from(time.nanos) / 1_000)
}
