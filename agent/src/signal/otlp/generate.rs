//! Random export requests in the official types, for property tests.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
    SummaryDataPoint, exemplar, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// Up to two of something.
fn few<T>(rng: &mut StdRng, mut make: impl FnMut(&mut StdRng) -> T) -> Vec<T> {
    (0..rng.random_range(0..3)).map(|_| make(rng)).collect()
}

pub(crate) fn string(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

fn any(rng: &mut StdRng, depth: u32) -> AnyValue {
    let nest = u32::from(depth > 0) * 2;
    let value = match rng.random_range(0..6 + nest) {
        0 => None,
        1 => Some(Value::StringValue(text(rng))),
        2 => Some(Value::BoolValue(rng.random())),
        3 => Some(Value::IntValue(rng.random())),
        4 => Some(Value::DoubleValue(rng.random())),
        5 => Some(Value::BytesValue(rng.random::<[u8; 5]>().to_vec())),
        6 => Some(Value::ArrayValue(ArrayValue {
            values: few(rng, |rng| any(rng, depth - 1)),
        })),
        _ => Some(Value::KvlistValue(KeyValueList {
            values: few(rng, |rng| pair(rng, depth - 1)),
        })),
    };
    AnyValue { value }
}

fn text(rng: &mut StdRng) -> String {
    (*[
        "",
        "app-1",
        "app-2",
        "host-1",
        "Not A Guid",
        "größe \"x\"\n",
    ]
    .choose(rng)
    .unwrap_or(&""))
    .to_owned()
}

fn pair(rng: &mut StdRng, depth: u32) -> KeyValue {
    let keys = [
        "service.name",
        "guid",
        "container.id",
        "service.instance.id",
        "x",
        "größe",
    ];
    KeyValue {
        key: (*keys.choose(rng).unwrap_or(&"x")).to_owned(),
        value: rng.random_bool(0.9).then(|| any(rng, depth)),
        ..KeyValue::default()
    }
}

fn attributes(rng: &mut StdRng) -> Vec<KeyValue> {
    few(rng, |rng| pair(rng, 2))
}

fn resource(rng: &mut StdRng) -> Option<Resource> {
    rng.random_bool(0.8).then(|| {
        let mut attributes = attributes(rng);
        if rng.random_bool(0.5) {
            attributes.push(string("guid", &text(rng)));
        }
        Resource {
            attributes,
            dropped_attributes_count: rng.random_range(0..2),
            ..Resource::default()
        }
    })
}

fn scope(rng: &mut StdRng) -> Option<InstrumentationScope> {
    rng.random_bool(0.8).then(|| InstrumentationScope {
        name: text(rng),
        version: text(rng),
        attributes: attributes(rng),
        dropped_attributes_count: rng.random_range(0..2),
    })
}

fn id(rng: &mut StdRng, len: usize) -> Vec<u8> {
    let len = if rng.random_bool(0.7) { len } else { 0 };
    (0..len).map(|_| rng.random()).collect()
}

fn exemplar(rng: &mut StdRng) -> Exemplar {
    Exemplar {
        filtered_attributes: attributes(rng),
        time_unix_nano: rng.random(),
        span_id: id(rng, 8),
        trace_id: id(rng, 16),
        value: Some(exemplar::Value::AsDouble(rng.random())),
    }
}

fn number(rng: &mut StdRng) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(rng),
        start_time_unix_nano: rng.random(),
        time_unix_nano: rng.random(),
        exemplars: few(rng, exemplar),
        flags: rng.random_range(0..2),
        value: match rng.random_range(0..3) {
            0 => None,
            1 => Some(number_data_point::Value::AsDouble(rng.random())),
            _ => Some(number_data_point::Value::AsInt(rng.random())),
        },
    }
}

fn histogram(rng: &mut StdRng) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: attributes(rng),
        start_time_unix_nano: rng.random(),
        time_unix_nano: rng.random(),
        count: rng.random(),
        sum: rng.random_bool(0.5).then(|| rng.random()),
        bucket_counts: vec![rng.random(), 0, rng.random()],
        explicit_bounds: vec![rng.random(), rng.random()],
        exemplars: few(rng, exemplar),
        flags: rng.random_range(0..2),
        min: None,
        max: Some(rng.random()),
    }
}

fn exponential(rng: &mut StdRng) -> ExponentialHistogramDataPoint {
    ExponentialHistogramDataPoint {
        attributes: attributes(rng),
        start_time_unix_nano: rng.random(),
        time_unix_nano: rng.random(),
        count: rng.random(),
        sum: Some(rng.random()),
        scale: rng.random_range(-4..9),
        zero_count: rng.random(),
        positive: Some(Buckets {
            offset: rng.random(),
            bucket_counts: vec![rng.random(), 1],
        }),
        negative: rng.random_bool(0.5).then(Buckets::default),
        flags: 0,
        exemplars: few(rng, exemplar),
        min: Some(0.0),
        max: None,
        zero_threshold: rng.random(),
    }
}

fn summary(rng: &mut StdRng) -> SummaryDataPoint {
    SummaryDataPoint {
        attributes: attributes(rng),
        start_time_unix_nano: rng.random(),
        time_unix_nano: rng.random(),
        count: rng.random(),
        sum: rng.random(),
        quantile_values: few(rng, |rng| ValueAtQuantile {
            quantile: rng.random(),
            value: rng.random(),
        }),
        flags: 0,
    }
}

fn metric(rng: &mut StdRng) -> Metric {
    let temporality = rng.random_range(0..3);
    let data = match rng.random_range(0..6) {
        0 => None,
        1 => Some(Data::Gauge(Gauge {
            data_points: few(rng, number),
        })),
        2 => Some(Data::Sum(Sum {
            data_points: few(rng, number),
            aggregation_temporality: temporality,
            is_monotonic: rng.random(),
        })),
        3 => Some(Data::Histogram(Histogram {
            data_points: few(rng, histogram),
            aggregation_temporality: temporality,
        })),
        4 => Some(Data::ExponentialHistogram(ExponentialHistogram {
            data_points: few(rng, exponential),
            aggregation_temporality: temporality,
        })),
        _ => Some(Data::Summary(Summary {
            data_points: few(rng, summary),
        })),
    };
    Metric {
        name: text(rng),
        description: text(rng),
        unit: text(rng),
        metadata: attributes(rng),
        data,
    }
}

pub(crate) fn metrics(rng: &mut StdRng) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: few(rng, |rng| ResourceMetrics {
            resource: resource(rng),
            scope_metrics: few(rng, |rng| ScopeMetrics {
                scope: scope(rng),
                metrics: few(rng, metric),
                schema_url: text(rng),
            }),
            schema_url: text(rng),
        }),
    }
}

pub(crate) fn logs(rng: &mut StdRng) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: few(rng, |rng| ResourceLogs {
            resource: resource(rng),
            scope_logs: few(rng, |rng| ScopeLogs {
                scope: scope(rng),
                log_records: few(rng, |rng| LogRecord {
                    time_unix_nano: rng.random(),
                    observed_time_unix_nano: rng.random(),
                    severity_number: rng.random_range(0..25),
                    severity_text: text(rng),
                    body: rng.random_bool(0.8).then(|| any(rng, 3)),
                    attributes: attributes(rng),
                    dropped_attributes_count: rng.random_range(0..2),
                    flags: rng.random(),
                    trace_id: id(rng, 16),
                    span_id: id(rng, 8),
                    event_name: text(rng),
                }),
                schema_url: text(rng),
            }),
            schema_url: text(rng),
        }),
    }
}

fn span(rng: &mut StdRng) -> Span {
    Span {
        trace_id: id(rng, 16),
        span_id: id(rng, 8),
        trace_state: text(rng),
        parent_span_id: id(rng, 8),
        flags: rng.random(),
        name: text(rng),
        kind: rng.random_range(0..6),
        start_time_unix_nano: rng.random(),
        end_time_unix_nano: rng.random(),
        attributes: attributes(rng),
        dropped_attributes_count: 0,
        events: few(rng, |rng| Event {
            time_unix_nano: rng.random(),
            name: text(rng),
            attributes: attributes(rng),
            dropped_attributes_count: 1,
        }),
        dropped_events_count: 3,
        links: few(rng, |rng| Link {
            trace_id: id(rng, 16),
            span_id: id(rng, 8),
            trace_state: text(rng),
            attributes: attributes(rng),
            dropped_attributes_count: 0,
            flags: rng.random(),
        }),
        dropped_links_count: 0,
        status: rng.random_bool(0.5).then(|| Status {
            message: text(rng),
            code: rng.random_range(0..3),
        }),
    }
}

pub(crate) fn traces(rng: &mut StdRng) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: few(rng, |rng| ResourceSpans {
            resource: resource(rng),
            scope_spans: few(rng, |rng| ScopeSpans {
                scope: scope(rng),
                spans: few(rng, span),
                schema_url: text(rng),
            }),
            schema_url: text(rng),
        }),
    }
}
