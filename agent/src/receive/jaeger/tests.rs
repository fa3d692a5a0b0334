#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span as OtlpSpan};
use proptest::prelude::*;

use super::model::{self, Value};
use super::*;

/// An independent, naive Thrift writer for both protocols.
struct Writer {
    protocol: Protocol,
    out: Vec<u8>,
    last_id: Vec<i16>,
}

impl Writer {
    fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            out: Vec::new(),
            last_id: vec![0],
        }
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    fn zigzag(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)) as u64);
    }

    fn message(&mut self) {
        match self.protocol {
            Protocol::Compact => {
                self.out.extend([0x82, 0x81]);
                self.varint(7);
                self.text("emitBatch");
            }
            Protocol::Binary => {
                self.out.extend(0x8001_0004u32.to_be_bytes());
                self.text("emitBatch");
                self.out.extend(7i32.to_be_bytes());
            }
        }
    }

    fn text(&mut self, text: &str) {
        match self.protocol {
            Protocol::Compact => self.varint(text.len() as u64),
            Protocol::Binary => self.out.extend((text.len() as u32).to_be_bytes()),
        }
        self.out.extend(text.as_bytes());
    }

    fn header(&mut self, id: i16, compact: u8, binary: u8) {
        match self.protocol {
            Protocol::Compact => {
                let last = self.last_id.last_mut().unwrap();
                let delta = id - *last;
                *last = id;
                if (1..=15).contains(&delta) {
                    self.out.push(((delta as u8) << 4) | compact);
                } else {
                    self.out.push(compact);
                    self.zigzag(i64::from(id));
                }
            }
            Protocol::Binary => {
                self.out.push(binary);
                self.out.extend(id.to_be_bytes());
            }
        }
    }

    fn string(&mut self, id: i16, text: &str) {
        self.header(id, 8, 11);
        self.text(text);
    }

    fn i64(&mut self, id: i16, value: i64) {
        self.header(id, 6, 10);
        match self.protocol {
            Protocol::Compact => self.zigzag(value),
            Protocol::Binary => self.out.extend(value.to_be_bytes()),
        }
    }

    fn i32(&mut self, id: i16, value: i32) {
        self.header(id, 5, 8);
        match self.protocol {
            Protocol::Compact => self.zigzag(i64::from(value)),
            Protocol::Binary => self.out.extend(value.to_be_bytes()),
        }
    }

    fn double(&mut self, id: i16, value: f64) {
        self.header(id, 7, 4);
        match self.protocol {
            Protocol::Compact => self.out.extend(value.to_le_bytes()),
            Protocol::Binary => self.out.extend(value.to_be_bytes()),
        }
    }

    fn bool(&mut self, id: i16, value: bool) {
        match self.protocol {
            Protocol::Compact => self.header(id, if value { 1 } else { 2 }, 0),
            Protocol::Binary => {
                self.header(id, 0, 2);
                self.out.push(u8::from(value));
            }
        }
    }

    fn structure(&mut self, id: i16, write: impl FnOnce(&mut Self)) {
        self.header(id, 12, 12);
        self.bare(write);
    }

    fn bare(&mut self, write: impl FnOnce(&mut Self)) {
        self.last_id.push(0);
        write(self);
        self.last_id.pop();
        self.out.push(0);
    }

    fn list<T>(&mut self, id: i16, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.header(id, 9, 15);
        match self.protocol {
            Protocol::Compact if items.len() < 15 => self.out.push(((items.len() as u8) << 4) | 12),
            Protocol::Compact => {
                self.out.push(0xfc);
                self.varint(items.len() as u64);
            }
            Protocol::Binary => {
                self.out.push(12);
                self.out.extend((items.len() as u32).to_be_bytes());
            }
        }
        for item in items {
            self.bare(|writer| write(writer, item));
        }
    }

    fn tag(&mut self, tag: &model::Tag<'_>) {
        self.string(1, tag.key);
        match tag.value {
            Value::String(text) => {
                self.i32(2, 0);
                self.string(3, text);
            }
            Value::Double(number) => {
                self.i32(2, 1);
                self.double(4, number);
            }
            Value::Bool(flag) => {
                self.i32(2, 2);
                self.bool(5, flag);
            }
            Value::Long(number) => {
                self.i32(2, 3);
                self.i64(6, number);
            }
            Value::Binary(bytes) => {
                self.i32(2, 4);
                self.string(7, std::str::from_utf8(bytes).unwrap());
            }
        }
    }

    fn span(&mut self, span: &model::Span<'_>) {
        let half =
            |id: &[u8; 16], at: usize| i64::from_be_bytes(id[at..at + 8].try_into().unwrap());
        self.i64(1, half(&span.trace_id, 8));
        self.i64(2, half(&span.trace_id, 0));
        self.i64(3, i64::from_be_bytes(span.span_id));
        self.i64(4, i64::from_be_bytes(span.parent_span_id));
        self.string(5, span.operation);
        self.list(6, &span.references, |writer, it| {
            writer.i32(1, i32::from(it.follows_from));
            writer.i64(2, half(&it.trace_id, 8));
            writer.i64(3, half(&it.trace_id, 0));
            writer.i64(4, i64::from_be_bytes(it.span_id));
        });
        self.i32(7, span.flags);
        self.i64(8, span.start_us);
        self.i64(9, span.duration_us);
        self.list(10, &span.tags, Self::tag);
        self.list(11, &span.logs, |writer, log| {
            writer.i64(1, log.timestamp_us);
            writer.list(2, &log.fields, Self::tag);
        });
        // A field of a later version of the definition.
        self.structure(99, |writer| writer.list(1, &span.tags, Self::tag));
    }

    fn batch(&mut self, batch: &Batch<'_>) {
        self.structure(1, |writer| {
            writer.string(1, batch.process.service);
            writer.list(2, &batch.process.tags, Self::tag);
        });
        self.list(2, &batch.spans, Self::span);
        self.i64(3, 1);
    }

    fn body(batch: &Batch<'_>) -> Vec<u8> {
        let mut writer = Self::new(Protocol::Binary);
        writer.bare(|writer| writer.batch(batch));
        writer.out
    }

    fn datagram(protocol: Protocol, batch: &Batch<'_>) -> Vec<u8> {
        let mut writer = Self::new(protocol);
        writer.message();
        writer.bare(|writer| writer.structure(1, |writer| writer.batch(batch)));
        writer.out
    }
}

fn tag<'a>(key: &'a str, value: Value<'a>) -> model::Tag<'a> {
    model::Tag { key, value }
}

/// For tests of the listeners.
pub(in crate::receive) fn datagram(protocol: Protocol, batch: &Batch<'_>) -> Vec<u8> {
    Writer::datagram(protocol, batch)
}

/// For tests of the listeners: what is posted to the collector.
pub(in crate::receive) fn body(batch: &Batch<'_>) -> Vec<u8> {
    Writer::body(batch)
}

pub(in crate::receive) fn sample() -> Batch<'static> {
    let mut trace_id = [0; 16];
    trace_id[0] = 0xfe;
    trace_id[15] = 9;
    let reference = |follows_from, last| model::Reference {
        follows_from,
        trace_id,
        span_id: [0, 0, 0, 0, 0, 0, 0, last],
    };
    Batch {
        process: model::Process {
            service: "shop",
            tags: vec![
                tag("hostname", Value::String("app-1")),
                tag("jaeger.version", Value::String("Python-4.8.0")),
                tag("ip", Value::String("10.1.2.3")),
            ],
        },
        spans: vec![model::Span {
            trace_id,
            span_id: [1, 2, 3, 4, 5, 6, 7, 8],
            operation: "GET /",
            references: vec![reference(true, 4), reference(false, 5)],
            flags: 1,
            start_us: 1_700_000_000_000_001,
            duration_us: 250,
            tags: vec![
                tag("span.kind", Value::String("server")),
                tag("error", Value::Bool(true)),
                tag("http.status_code", Value::Long(-1)),
                tag("ratio", Value::Double(0.5)),
                tag("raw", Value::Binary(b"abc")),
                tag("cold", Value::Bool(false)),
            ],
            logs: vec![model::Log {
                timestamp_us: 1_700_000_000_000_100,
                fields: vec![
                    tag("event", Value::String("cache miss")),
                    tag("key", Value::String("k")),
                ],
            }],
            ..Default::default()
        }],
    }
}

#[test]
fn both_protocols_decode_to_what_was_written() {
    for protocol in [Protocol::Compact, Protocol::Binary] {
        let datagram = Writer::datagram(protocol, &sample());
        assert_eq!(
            decode_agent_message(protocol, &datagram).unwrap(),
            sample(),
            "{protocol:?}"
        );
        let mut writer = Writer::new(protocol);
        writer.bare(|writer| writer.batch(&sample()));
        assert_eq!(
            decode_batch(protocol, &writer.out).unwrap(),
            sample(),
            "{protocol:?}"
        );
    }
}

#[test]
fn lists_longer_than_the_short_form_decode() {
    for protocol in [Protocol::Compact, Protocol::Binary] {
        let mut batch = sample();
        batch.spans = vec![batch.spans[0].clone(); 40];
        let datagram = Writer::datagram(protocol, &batch);
        assert_eq!(
            decode_agent_message(protocol, &datagram)
                .unwrap()
                .spans
                .len(),
            40
        );
    }
}

#[test]
fn every_truncation_is_an_error() {
    for protocol in [Protocol::Compact, Protocol::Binary] {
        let datagram = Writer::datagram(protocol, &sample());
        for end in 0..datagram.len() {
            assert!(
                decode_agent_message(protocol, &datagram[..end]).is_err(),
                "{protocol:?} {end}"
            );
        }
        let mut longer = datagram;
        longer.push(0);
        assert_eq!(
            decode_agent_message(protocol, &longer),
            Err(ThriftError::Trailing(1))
        );
    }
}

#[test]
fn a_count_beyond_the_message_is_refused_before_anything_is_reserved() {
    // Batch { 2: list<struct> of 2^31 - 1 } in the binary protocol.
    let mut body = vec![15, 0, 2, 12];
    body.extend(i32::MAX.to_be_bytes());
    assert!(matches!(
        decode_batch(Protocol::Binary, &body),
        Err(ThriftError::Length {
            length: 0x7fff_ffff,
            ..
        })
    ));
}

#[test]
fn deep_nesting_is_refused() {
    // A struct in the unknown field 5, again and again.
    let nested: Vec<u8> = std::iter::repeat_n(0x5c, 4_000).collect();
    assert_eq!(
        decode_batch(Protocol::Compact, &nested),
        Err(ThriftError::TooDeep)
    );
}

#[test]
fn the_other_protocols_port_says_so() {
    let datagram = Writer::datagram(Protocol::Compact, &sample());
    assert!(decode_agent_message(Protocol::Binary, &datagram).is_err());
    let datagram = Writer::datagram(Protocol::Binary, &sample());
    assert_eq!(
        decode_agent_message(Protocol::Compact, &datagram),
        Err(ThriftError::Header(Protocol::Compact))
    );
}

fn text<'a>(resource: &'a ResourceSpans, key: &str) -> Option<&'a str> {
    let attributes = &resource.resource.as_ref().unwrap().attributes;
    let value = attributes
        .iter()
        .find(|it| it.key == key)?
        .value
        .as_ref()?
        .value
        .as_ref()?;
    match value {
        any_value::Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn translated(change: impl FnOnce(&mut model::Span<'static>)) -> OtlpSpan {
    let mut batch = sample();
    change(&mut batch.spans[0]);
    to_resource_spans(&batch).scope_spans[0].spans[0].clone()
}

#[test]
fn the_process_becomes_the_resource() {
    let resource = to_resource_spans(&sample());
    assert_eq!(text(&resource, "service.name"), Some("shop"));
    assert_eq!(text(&resource, "host.name"), Some("app-1"));
    assert_eq!(text(&resource, "hostname"), Some("app-1"));
    assert_eq!(
        text(&resource, "opencensus.exporterversion"),
        Some("Jaeger-Python-4.8.0")
    );
    assert_eq!(sample().hostname(), Some("app-1"));
}

#[test]
fn a_span_keeps_times_ids_and_values() {
    let span = translated(|_| {});
    assert_eq!(span.trace_id[0], 0xfe);
    assert_eq!(span.start_time_unix_nano, 1_700_000_000_000_001_000);
    assert_eq!(span.end_time_unix_nano, 1_700_000_000_000_251_000);
    assert_eq!(span.kind, 2);
    let keys: Vec<&str> = span.attributes.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(keys, ["http.status_code", "ratio", "raw", "cold"]);
    assert_eq!(span.events[0].name, "cache miss");
    assert_eq!(span.events[0].attributes.len(), 1);
}

#[test]
fn the_first_child_of_reference_is_the_parent_and_the_rest_are_links() {
    let span = translated(|_| {});
    assert_eq!(span.parent_span_id.last(), Some(&5));
    assert_eq!(span.links.len(), 1);
    assert_eq!(span.links[0].span_id.last(), Some(&4));
    let span = translated(|span| span.parent_span_id = [7; 8]);
    assert_eq!(span.parent_span_id, [7; 8]);
    assert_eq!(span.links.len(), 2);
    let span = translated(|span| span.references.truncate(1));
    assert_eq!(span.parent_span_id.last(), Some(&4));
    let span = translated(|span| {
        span.references
            .iter_mut()
            .for_each(|it| it.trace_id = [3; 16])
    });
    assert!(
        span.parent_span_id.is_empty(),
        "a parent lies within its trace"
    );
}

#[test]
fn status_comes_from_error_then_code_then_http() {
    let rows: [(&[model::Tag<'static>], Option<i32>); 8] = [
        (&[], None),
        (&[tag("error", Value::Bool(true))], Some(2)),
        (&[tag("error", Value::Bool(false))], None),
        (&[tag("otel.status_code", Value::String("OK"))], Some(1)),
        (&[tag("otel.status_code", Value::String("ERROR"))], Some(2)),
        (&[tag("http.status_code", Value::Long(503))], Some(2)),
        (&[tag("http.status_code", Value::Long(404))], None),
        (
            &[
                tag("http.status_code", Value::Long(404)),
                tag("span.kind", Value::String("client")),
            ],
            Some(2),
        ),
    ];
    for (tags, code) in rows {
        let span = translated(|span| span.tags = tags.to_vec());
        assert_eq!(span.status.map(|status| status.code), code, "{tags:?}");
    }
}

#[test]
fn scope_tags_group_spans() {
    let mut batch = sample();
    let mut other = batch.spans[0].clone();
    other
        .tags
        .push(tag("otel.library.name", Value::String("http")));
    other
        .tags
        .push(tag("otel.scope.version", Value::String("2")));
    batch.spans.push(other.clone());
    batch.spans.push(other);
    let resource = to_resource_spans(&batch);
    let scopes: Vec<_> = resource
        .scope_spans
        .iter()
        .map(|it| {
            (
                it.scope.as_ref().map(|scope| scope.name.as_str()),
                it.spans.len(),
            )
        })
        .collect();
    assert_eq!(scopes, [(None, 1), (Some("http"), 2)]);
}

#[test]
fn spans_posted_over_grpc_go_under_their_own_process() {
    let process = |name: &str| api_v2::Process {
        service_name: name.to_owned(),
        tags: vec![],
    };
    let span = |process| api_v2::Span {
        trace_id: vec![1; 8],
        span_id: vec![2; 8],
        start_time: Some(api_v2::Time {
            seconds: 1,
            nanos: 5_000,
        }),
        process,
        ..Default::default()
    };
    let batch = api_v2::Batch {
        spans: vec![span(None), span(Some(process("b"))), span(None)],
        process: Some(process("a")),
    };
    let views = batch.view().unwrap();
    let found: Vec<_> = views
        .iter()
        .map(|it| (it.process.service, it.spans.len()))
        .collect();
    assert_eq!(found, [("a", 2), ("b", 1)]);
    assert_eq!(views[0].spans[0].trace_id[..9], [0, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(views[0].spans[0].start_us, 1_000_005);
    let no_process = api_v2::Batch {
        process: None,
        ..batch
    };
    assert_eq!(no_process.view(), Err(api_v2::InvalidBatch::NoProcess));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for protocol in [Protocol::Compact, Protocol::Binary] {
            let _ = decode_agent_message(protocol, &bytes);
            let _ = decode_batch(protocol, &bytes);
        }
    }

    #[test]
    fn flipped_bytes_never_panic_and_what_decodes_translates(
        at in 0usize..2_000, byte in any::<u8>(), compact in any::<bool>(),
    ) {
        let protocol = if compact { Protocol::Compact } else { Protocol::Binary };
        let mut datagram = Writer::datagram(protocol, &sample());
        let at = at % datagram.len();
        datagram[at] = byte;
        if let Ok(batch) = decode_agent_message(protocol, &datagram) {
            let _ = to_resource_spans(&batch);
        }
    }
}

#[test]
fn memory_is_counted_before_anything_is_decoded() {
    // Batch, process, three process tags, span, two references, six tags, log and two fields; the
    // field of a later version has the span's six tags once more.
    let structs = 1 + 1 + 3 + 1 + 2 + 6 + 1 + 2;
    let counted = thrift::structs(Protocol::Binary, &Writer::body(&sample()));
    assert_eq!(counted, Ok(structs + 1 + 6));
    let tags = vec![api_v2::KeyValue::default(); 3];
    let log = api_v2::Log {
        fields: tags.clone(),
        ..Default::default()
    };
    let span = api_v2::Span {
        tags,
        logs: vec![log],
        ..Default::default()
    };
    let request = api_v2::PostSpansRequest {
        batch: Some(api_v2::Batch {
            spans: vec![span; 2],
            process: Some(api_v2::Process::default()),
        }),
    };
    let bytes = prost::Message::encode_to_vec(&request);
    assert_eq!(
        api_v2::messages(&bytes).unwrap(),
        1 + 1 + 2 * (1 + 3 + 1 + 3)
    );
    assert!(api_v2::messages(&bytes[..bytes.len() - 1]).is_err());
}

#[test]
fn a_span_without_ids_is_refused() {
    let mut writer = Writer::new(Protocol::Binary);
    writer.bare(|writer| {
        writer.structure(1, |writer| writer.string(1, "shop"));
        writer.list(2, &[()], |_, ()| {});
    });
    assert_eq!(
        decode_batch(Protocol::Binary, &writer.out),
        Err(ThriftError::Missing("Span.traceIdLow"))
    );
}
