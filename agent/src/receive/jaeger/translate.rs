//! Jaeger spans to OTLP (OpenTelemetry specification, "Jaeger" compatibility page, and the
//! collector's `translator/jaeger`).

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as OtlpSpan, Status, span, status,
};

use super::model::{Batch, Log, Process, Reference, Span, Tag, Value};

/// What the specification calls a link's attribute that keeps the OpenTracing kind.
const REFERENCE_TYPE: &str = "opentracing.ref_type";

/// One batch as one `ResourceSpans`, spans grouped by instrumentation scope.
#[must_use]
pub fn to_resource_spans(batch: &Batch<'_>) -> ResourceSpans {
    let mut scopes: Vec<ScopeSpans> = Vec::new();
    for span in &batch.spans {
        let (name, version) = scope_of(span);
        let converted = to_span(span);
        let same = scopes.iter_mut().find(|scope| match &scope.scope {
            Some(scope) => scope.name == name && scope.version == version,
            None => name.is_empty() && version.is_empty(),
        });
        match same {
            Some(scope) => scope.spans.push(converted),
            None => scopes.push(ScopeSpans {
                scope: (!name.is_empty() || !version.is_empty()).then(|| InstrumentationScope {
                    name: name.to_owned(),
                    version: version.to_owned(),
                    ..Default::default()
                }),
                spans: vec![converted],
                schema_url: String::new(),
            }),
        }
    }
    ResourceSpans {
        resource: Some(to_resource(&batch.process)),
        scope_spans: scopes,
        schema_url: String::new(),
    }
}

fn to_resource(process: &Process<'_>) -> Resource {
    let mut attributes: Vec<KeyValue> = Vec::with_capacity(process.tags.len() + 2);
    set(
        &mut attributes,
        "service.name",
        Value::String(process.service),
    );
    for tag in &process.tags {
        match (tag.key, tag.value) {
            ("jaeger.version", Value::String(version)) => {
                let version = format!("Jaeger-{version}");
                set(
                    &mut attributes,
                    "opencensus.exporterversion",
                    Value::String(&version),
                );
            }
            (key, value) => set(&mut attributes, key, value),
        }
    }
    if let Some(hostname) = process.tags.iter().rev().find(|tag| tag.key == "hostname")
        && !attributes
            .iter()
            .any(|attribute| attribute.key == "host.name")
    {
        set(&mut attributes, "host.name", hostname.value);
    }
    Resource {
        attributes,
        ..Default::default()
    }
}

/// Sets an attribute; the last value of a key wins, as keys are unique in OTLP.
fn set(attributes: &mut Vec<KeyValue>, key: &str, value: Value<'_>) {
    let value = any_value(value);
    match attributes.iter_mut().find(|attribute| attribute.key == key) {
        Some(attribute) => attribute.value = Some(value),
        None => attributes.push(KeyValue {
            key: key.to_owned(),
            value: Some(value),
            ..Default::default()
        }),
    }
}

fn any_value(value: Value<'_>) -> AnyValue {
    AnyValue {
        value: Some(match value {
            Value::String(text) => any_value::Value::StringValue(text.to_owned()),
            Value::Double(number) => any_value::Value::DoubleValue(number),
            Value::Bool(flag) => any_value::Value::BoolValue(flag),
            Value::Long(number) => any_value::Value::IntValue(number),
            Value::Binary(bytes) => any_value::Value::BytesValue(bytes.to_vec()),
        }),
    }
}

/// Tags that become something else than an attribute.
fn is_consumed(key: &str) -> bool {
    matches!(
        key,
        "span.kind"
            | "otel.status_code"
            | "otel.status_description"
            | "otel.scope.name"
            | "otel.scope.version"
            | "otel.library.name"
            | "otel.library.version"
            | "w3c.tracestate"
    )
}

fn text_tag<'a>(tags: &[Tag<'a>], key: &str) -> Option<&'a str> {
    tags.iter().rev().find_map(|tag| match tag.value {
        Value::String(text) if tag.key == key => Some(text),
        _ => None,
    })
}

fn scope_of<'a>(span: &Span<'a>) -> (&'a str, &'a str) {
    let either = |new, old| text_tag(&span.tags, new).or_else(|| text_tag(&span.tags, old));
    (
        either("otel.scope.name", "otel.library.name").unwrap_or_default(),
        either("otel.scope.version", "otel.library.version").unwrap_or_default(),
    )
}

fn to_span(span: &Span<'_>) -> OtlpSpan {
    let kind = match text_tag(&span.tags, "span.kind") {
        Some("client") => span::SpanKind::Client,
        Some("server") => span::SpanKind::Server,
        Some("producer") => span::SpanKind::Producer,
        Some("consumer") => span::SpanKind::Consumer,
        Some("internal") => span::SpanKind::Internal,
        _ => span::SpanKind::Unspecified,
    };
    let status = to_status(span, kind);
    let error_is_status = status
        .as_ref()
        .is_some_and(|it| it.code == status::StatusCode::Error as i32);
    let mut attributes = Vec::with_capacity(span.tags.len());
    for tag in &span.tags {
        let is_status = error_is_status && tag.key == "error" && tag.value == Value::Bool(true);
        if !is_consumed(tag.key) && !is_status {
            set(&mut attributes, tag.key, tag.value);
        }
    }
    let parent = parent_of(span);
    let start = nanoseconds(span.start_us);
    OtlpSpan {
        trace_id: span.trace_id.to_vec(),
        span_id: span.span_id.to_vec(),
        trace_state: text_tag(&span.tags, "w3c.tracestate")
            .unwrap_or(span.trace_state)
            .to_owned(),
        parent_span_id: parent.map(|id| id.to_vec()).unwrap_or_default(),
        name: span.operation.to_owned(),
        kind: kind as i32,
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(nanoseconds(span.duration_us)),
        attributes,
        events: span.logs.iter().map(to_event).collect(),
        links: links_of(span, parent),
        status,
        ..Default::default()
    }
}

/// Microseconds to nanoseconds; times before 1970 and negative durations become 0.
fn nanoseconds(microseconds: i64) -> u64 {
    u64::try_from(microseconds)
        .unwrap_or_default()
        .saturating_mul(1_000)
}

/// The parent: the field, else the first child-of reference within the trace, else the first
/// follows-from within the trace.
fn parent_of(span: &Span<'_>) -> Option<[u8; 8]> {
    if span.parent_span_id != [0; 8] {
        return Some(span.parent_span_id);
    }
    let within = |follows_from| {
        span.references
            .iter()
            .find(|it| it.follows_from == follows_from && it.trace_id == span.trace_id)
            .map(|it| it.span_id)
    };
    within(false).or_else(|| within(true))
}

fn links_of(span: &Span<'_>, parent: Option<[u8; 8]>) -> Vec<span::Link> {
    let is_parent = |it: &Reference| it.trace_id == span.trace_id && Some(it.span_id) == parent;
    span.references
        .iter()
        .filter(|it| !is_parent(it))
        .map(|it| {
            let kind = if it.follows_from {
                "follows_from"
            } else {
                "child_of"
            };
            let mut attributes = Vec::with_capacity(1);
            set(&mut attributes, REFERENCE_TYPE, Value::String(kind));
            span::Link {
                trace_id: it.trace_id.to_vec(),
                span_id: it.span_id.to_vec(),
                attributes,
                ..Default::default()
            }
        })
        .collect()
}

/// `error=true` rules, then an explicit status code, then what an HTTP status code implies.
fn to_status(span: &Span<'_>, kind: span::SpanKind) -> Option<Status> {
    let message = text_tag(&span.tags, "otel.status_description")
        .unwrap_or_default()
        .to_owned();
    let with = |code: status::StatusCode, message: String| {
        Some(Status {
            message,
            code: code as i32,
        })
    };
    let is_error = span.tags.iter().any(|tag| {
        tag.key == "error" && matches!(tag.value, Value::Bool(true) | Value::String("true"))
    });
    if is_error {
        return with(status::StatusCode::Error, message);
    }
    match text_tag(&span.tags, "otel.status_code") {
        Some(code) if code.eq_ignore_ascii_case("error") => {
            return with(status::StatusCode::Error, message);
        }
        Some(code) if code.eq_ignore_ascii_case("ok") => {
            return with(status::StatusCode::Ok, String::new());
        }
        _ => {}
    }
    let code = span
        .tags
        .iter()
        .rev()
        .find(|tag| tag.key == "http.status_code")?;
    let code = match code.value {
        Value::Long(code) => code,
        Value::String(code) => code.parse().ok()?,
        _ => return None,
    };
    let first_error = if kind == span::SpanKind::Client {
        400
    } else {
        500
    };
    if code >= first_error {
        with(status::StatusCode::Error, String::new())
    } else {
        None
    }
}

fn to_event(log: &Log<'_>) -> span::Event {
    let mut attributes = Vec::with_capacity(log.fields.len());
    let mut name = String::new();
    for field in &log.fields {
        match (field.key, field.value) {
            ("event", Value::String(text)) if name.is_empty() => name = text.to_owned(),
            (key, value) => set(&mut attributes, key, value),
        }
    }
    span::Event {
        time_unix_nano: nanoseconds(log.timestamp_us),
        name,
        attributes,
        ..Default::default()
    }
}
