//! What each target starts from, written into its corpus when it starts: requests with a bit of
//! everything for those that take raw bytes, and blocks of noise, from which whole messages are
//! made, for those that take structure.

use std::path::Path;

use prost::Message as _;

use crate::prom::{
    BucketSpan, Exemplar, Histogram, Label, MetricMetadata, Sample, TimeSeries, WriteRequest,
};
use crate::signal::remote_write_v2::encode_v2;
use crate::signal::{Signal, otlp_json, snappy};

/// One of each kind of value that an attribute can have.
const ATTRIBUTES: &str = r#"[
    {"key": "service.name", "value": {"stringValue": "cart"}},
    {"key": "guid", "value": {"stringValue": "forged"}},
    {"key": "yes", "value": {"boolValue": true}},
    {"key": "count", "value": {"intValue": "-3"}},
    {"key": "share", "value": {"doubleValue": 0.25}},
    {"key": "raw", "value": {"bytesValue": "AAH/"}},
    {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": 1}]}}},
    {"key": "map", "value": {"kvlistValue": {"values": [{"key": "k", "value": {}}]}}}]"#;

const METRICS: &str = r#"[
    {"name": "g", "unit": "By", "gauge": {"dataPoints": [
        {"timeUnixNano": "1700000000000000000", "asDouble": 1.5, "attributes": ATTRIBUTES}]}},
    {"name": "s", "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [
        {"startTimeUnixNano": "1", "timeUnixNano": "2", "asInt": "7", "exemplars": [
            {"timeUnixNano": "2", "asInt": "1", "spanId": "0102030405060708",
             "traceId": "0102030405060708090a0b0c0d0e0f10"}]}]}},
    {"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": [
        {"timeUnixNano": "2", "count": "3", "sum": 4.5, "bucketCounts": ["1", "2"],
         "explicitBounds": [0.5], "min": 0.1, "max": 3}]}},
    {"name": "e", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [
        {"timeUnixNano": "2", "count": "6", "sum": 1, "scale": 1, "zeroCount": "1",
         "positive": {"offset": -1, "bucketCounts": ["2", "0", "1"]},
         "negative": {"offset": 2, "bucketCounts": ["2"]}, "zeroThreshold": 0.001}]}},
    {"name": "q", "summary": {"dataPoints": [
        {"timeUnixNano": "2", "count": "2", "sum": 3, "quantileValues": [
            {"quantile": 0.5, "value": 1}, {"quantile": 1, "value": 2}]}]}}]"#;

const RECORDS: &str = r#"[
    {"timeUnixNano": "1", "observedTimeUnixNano": "2", "severityNumber": 9, "severityText": "INFO",
     "body": {"stringValue": "hello \u00fc"}, "attributes": ATTRIBUTES, "flags": 1,
     "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708",
     "eventName": "e", "droppedAttributesCount": 1}, {}]"#;

const SPANS: &str = r#"[
    {"traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708",
     "parentSpanId": "0102030405060709", "traceState": "a=b", "name": "GET", "kind": 2,
     "startTimeUnixNano": "1", "endTimeUnixNano": "2", "attributes": ATTRIBUTES, "flags": 257,
     "events": [{"timeUnixNano": "1", "name": "e", "attributes": ATTRIBUTES}],
     "links": [{"traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708"}],
     "status": {"code": 2, "message": "no"}}]"#;

/// Writes a target's seeds into its corpus, where the fuzzer looks for them next.
///
/// # Panics
/// When they cannot be written.
pub fn put(target: &str) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    std::fs::create_dir_all(&corpus).expect("make the corpus");
    for (number, seed) in seeds(target).iter().enumerate() {
        std::fs::write(corpus.join(format!("seed-{number}")), seed).expect("write a seed");
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "rw1" => remote_write(),
        "rw2" => remote_write().iter().map(|raw| second(raw)).collect(),
        "otlp_metrics" => protobuf(Signal::Metrics),
        "otlp_logs" => protobuf(Signal::Logs),
        "otlp_traces" => protobuf(Signal::Traces),
        "otlp_json" => [Signal::Metrics, Signal::Logs, Signal::Traces]
            .map(|signal| json(signal).into_bytes())
            .to_vec(),
        "snappy" => {
            let mut encoder = snappy::Encoder::default();
            let requests = remote_write();
            let blocks = requests.iter().map(|raw| encoder.encode(raw).expect("small").to_vec());
            blocks.collect()
        }
        _ => (1..=6).map(|exponent| noise(64 << exponent)).collect(),
    }
}

fn json(signal: Signal) -> String {
    let (resources, scopes, items, list) = match signal {
        Signal::Metrics => ("resourceMetrics", "scopeMetrics", "metrics", METRICS),
        Signal::Logs => ("resourceLogs", "scopeLogs", "logRecords", RECORDS),
        Signal::Traces => ("resourceSpans", "scopeSpans", "spans", SPANS),
    };
    let text = format!(
        r#"{{"{resources}": [{{"resource": {{"attributes": ATTRIBUTES}}, "schemaUrl": "u",
            "{scopes}": [{{"scope": {{"name": "lib", "version": "2"}}, "{items}": {list}}}]}},
            {{"{scopes}": []}}]}}"#
    );
    text.replace("ATTRIBUTES", ATTRIBUTES)
}

fn protobuf(signal: Signal) -> Vec<Vec<u8>> {
    let mut raw = Vec::new();
    otlp_json::to_protobuf(signal, json(signal).as_bytes(), 1 << 20, &mut raw).expect("good JSON");
    vec![raw]
}

fn label(name: &str, value: &str) -> Label {
    Label {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn series(labels: &[(&str, &str)]) -> TimeSeries {
    TimeSeries {
        labels: labels.iter().map(|(name, value)| label(name, value)).collect(),
        samples: vec![Sample {
            value: 1.5_f64.to_bits(),
            timestamp: 1_700_000_000_000,
            ..Sample::default()
        }],
        ..TimeSeries::default()
    }
}

/// Plain ones in order; one with everything; one for the careful path.
fn remote_write() -> Vec<Vec<u8>> {
    let plain = |job| series(&[("__name__", "up"), ("instance", "a:9100"), ("job", job)]);
    let mut rich = series(&[("__name__", "rich"), ("guid", "app-2"), ("zone", "\u{fc}")]);
    rich.samples.extend(rich.samples.clone());
    rich.exemplars.push(Exemplar {
        labels: vec![label("trace_id", "0102")],
        value: 1,
        timestamp: 2,
    });
    rich.histograms.push(Histogram {
        count_int: Some(3),
        zero_count_int: Some(1),
        positive_spans: vec![BucketSpan {
            offset: -1,
            length: 2,
        }],
        positive_deltas: vec![1, -1],
        ..Histogram::default()
    });
    let careful = series(&[("job", "b"), ("__name__", "late"), ("guid", "x"), ("empty", "")]);
    let described = MetricMetadata {
        metric_family_name: "up".to_owned(),
        help: "Whether it is.".to_owned(),
        ..MetricMetadata::default()
    };
    let requests = [
        (vec![plain("a"), plain("b")], Vec::new()),
        (vec![plain("a"), rich], vec![described]),
        (vec![careful], Vec::new()),
    ];
    requests
        .into_iter()
        .map(|(timeseries, metadata)| WriteRequest { timeseries, metadata }.encode_to_vec())
        .collect()
}

fn second(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_v2(raw, &mut out).expect("good requests");
    out
}

/// The same every time.
fn noise(len: usize) -> Vec<u8> {
    let mut state = len as u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}
