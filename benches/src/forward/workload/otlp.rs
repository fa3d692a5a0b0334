//! OTLP loads: spans and log records as an SDK's batch exporter sends them.
//!
//! Owns: four resources a request, each with six attributes; spans with eight attributes and an
//! event, log records with five. Must not know: how requests are sent. A connection goes round
//! [`RING`] different bodies; their times are fixed, for receivers of OTLP do not look at order.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span::Event};
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::proto::Encoded;
use super::Request;

const RING: usize = 8;
const RESOURCES: usize = 4;
const TIME_NS: u64 = 1_790_000_000_000_000_000;

pub(super) fn traces(per_request: usize, connection: usize) -> Vec<Request> {
    requests(per_request, connection, |rng, each| {
        ExportTraceServiceRequest {
            resource_spans: (0..RESOURCES)
                .map(|number| ResourceSpans {
                    resource: Some(resource(number)),
                    scope_spans: vec![ScopeSpans {
                        scope: Some(scope()),
                        spans: (0..each).map(|_| span(rng)).collect(),
                        schema_url: String::new(),
                    }],
                    schema_url: String::new(),
                })
                .collect(),
        }
        .encode_to_vec()
    })
}

pub(super) fn logs(per_request: usize, connection: usize) -> Vec<Request> {
    requests(per_request, connection, |rng, each| {
        ExportLogsServiceRequest {
            resource_logs: (0..RESOURCES)
                .map(|number| ResourceLogs {
                    resource: Some(resource(number)),
                    scope_logs: vec![ScopeLogs {
                        scope: Some(scope()),
                        log_records: (0..each).map(|_| record(rng)).collect(),
                        schema_url: String::new(),
                    }],
                    schema_url: String::new(),
                })
                .collect(),
        }
        .encode_to_vec()
    })
}

fn requests(
    per_request: usize,
    connection: usize,
    body: impl Fn(&mut StdRng, usize) -> Vec<u8>,
) -> Vec<Request> {
    let mut rng = StdRng::seed_from_u64(connection as u64);
    let each = per_request.div_ceil(RESOURCES);
    (0..RING)
        .map(|_| Request {
            encoded: Encoded {
                bytes: body(&mut rng, each),
                stamps: Vec::new(),
            },
            records: (each * RESOURCES) as u64,
        })
        .collect()
}

fn resource(number: usize) -> Resource {
    Resource {
        attributes: vec![
            text("service.name", format!("checkout-{number}")),
            text("service.namespace", "shop".to_owned()),
            text("service.version", "2.14.3".to_owned()),
            text("deployment.environment.name", "production".to_owned()),
            text("telemetry.sdk.language", "python".to_owned()),
            text("telemetry.sdk.name", "opentelemetry".to_owned()),
        ],
        ..Resource::default()
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "opentelemetry.instrumentation.http".to_owned(),
        version: "0.48b0".to_owned(),
        ..InstrumentationScope::default()
    }
}

fn span(rng: &mut StdRng) -> Span {
    let start = TIME_NS + rng.random_range(0..1_000_000_000);
    Span {
        trace_id: rng.random::<[u8; 16]>().to_vec(),
        span_id: rng.random::<[u8; 8]>().to_vec(),
        parent_span_id: rng.random::<[u8; 8]>().to_vec(),
        name: "GET /api/v2/orders/{id}".to_owned(),
        kind: 2,
        start_time_unix_nano: start,
        end_time_unix_nano: start + rng.random_range(1_000..50_000_000),
        attributes: vec![
            text("http.request.method", "GET".to_owned()),
            text("http.route", "/api/v2/orders/{id}".to_owned()),
            text(
                "url.path",
                format!("/api/v2/orders/{}", rng.random::<u32>()),
            ),
            text("server.address", "checkout.shop.svc".to_owned()),
            text("user_agent.original", "okhttp/4.12.0".to_owned()),
            text("network.protocol.version", "1.1".to_owned()),
            number("http.response.status_code", 200),
            number("server.port", 8443),
        ],
        events: vec![Event {
            time_unix_nano: start + 500,
            name: "cache miss".to_owned(),
            attributes: vec![text("cache.key", format!("order:{}", rng.random::<u32>()))],
            dropped_attributes_count: 0,
        }],
        ..Span::default()
    }
}

fn record(rng: &mut StdRng) -> LogRecord {
    LogRecord {
        time_unix_nano: TIME_NS + rng.random_range(0..1_000_000_000),
        observed_time_unix_nano: TIME_NS + 1_000_000_000,
        severity_number: 9,
        severity_text: "INFO".to_owned(),
        body: Some(AnyValue {
            value: Some(Value::StringValue(format!(
                "order {} accepted in {} ms, 3 items, payment authorised",
                rng.random::<u32>(),
                rng.random_range(1..400)
            ))),
        }),
        attributes: vec![
            text("code.function.name", "accept_order".to_owned()),
            text("code.file.path", "/srv/checkout/orders.py".to_owned()),
            number("code.line.number", 214),
            text("thread.name", "worker-7".to_owned()),
            text("log.iostream", "stdout".to_owned()),
        ],
        trace_id: rng.random::<[u8; 16]>().to_vec(),
        span_id: rng.random::<[u8; 8]>().to_vec(),
        ..LogRecord::default()
    }
}

fn text(key: &str, value: String) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value)),
        }),
        ..KeyValue::default()
    }
}

fn number(key: &str, value: i64) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::IntValue(value)),
        }),
        ..KeyValue::default()
    }
}
