#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use prost::Message as _;
use rand::Rng;

use super::to_protobuf;
use crate::signal::Signal;
use crate::signal::otlp::generate;
use crate::signal::weird;

fn convert<R: prost::Message + Default>(signal: Signal, json: &str) -> Result<R, String> {
    let mut out = vec![1];
    to_protobuf(signal, json.as_bytes(), 1 << 20, &mut out).map_err(|error| error.to_string())?;
    Ok(R::decode(&out[..]).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("GUIDON_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(200)
    ))]

    #[test]
    fn property_test_json_of_the_official_types_reads_back(mut rng in weird::seeds()) {
        let metrics = generate::metrics(&mut rng);
        let json = serde_json::to_string(&metrics).unwrap();
        let read: ExportMetricsServiceRequest = convert(Signal::Metrics, &json).unwrap();
        prop_assert_eq!(read, metrics);
        let logs = generate::logs(&mut rng);
        let json = serde_json::to_string(&logs).unwrap();
        let read: ExportLogsServiceRequest = convert(Signal::Logs, &json).unwrap();
        prop_assert_eq!(read, logs);
        let traces = generate::traces(&mut rng);
        let json = serde_json::to_string(&traces).unwrap();
        let read: ExportTraceServiceRequest = convert(Signal::Traces, &json).unwrap();
        prop_assert_eq!(read, traces);
    }

    #[test]
    fn property_test_mutated_json_never_panics_and_what_is_accepted_decodes(
        mut rng in weird::seeds()
    ) {
        let json = serde_json::to_vec(&generate::logs(&mut rng)).unwrap();
        let json = weird::mutate(&json, &mut rng);
        let mut out = Vec::new();
        let limit = rng.random_range(0..2000);
        if to_protobuf(Signal::Logs, &json, limit, &mut out).is_ok() {
            ExportLogsServiceRequest::decode(&out[..]).unwrap();
        }
    }
}

#[test]
fn the_specification_s_spellings_are_understood() {
    let json = r#"{
        "unknown": {"deeply": [1, {"nested": null}]},
        "resourceSpans": [{
            "resource": {"attributes": [
                {"key": "i", "value": {"intValue": "-9007199254740993"}},
                {"key": "n", "value": {"intValue": 42, "unknown": [1]}},
                {"key": "d", "value": {"doubleValue": 3}},
                {"key": "inf", "value": {"doubleValue": "-Infinity"}},
                {"key": "b", "value": {"bytesValue": "_-8"}},
                {"key": "c", "value": {"bytesValue": "/+8="}},
                {"key": "e", "value": {}},
                {"key": "l", "value": {"arrayValue": {"values": [{"boolValue": true}]}}}
            ], "droppedAttributesCount": null},
            "scopeSpans": [{"spans": [{
                "traceId": "5B8EFFF798038103D269B633813FC60C",
                "spanId": "eee19b7ec3c1b174",
                "parentSpanId": "",
                "name": "größe\n",
                "kind": 2,
                "startTimeUnixNano": "1544712660000000000",
                "endTimeUnixNano": 1544712661000000000,
                "trace_state": "snake case is unknown",
                "flags": 1e2
            }]}]
        }]
    }"#;
    let request: ExportTraceServiceRequest = convert(Signal::Traces, json).unwrap();
    let entry = &request.resource_spans[0];
    let values: Vec<String> = entry
        .resource
        .as_ref()
        .unwrap()
        .attributes
        .iter()
        .map(|pair| {
            format!(
                "{:?}",
                pair.value.as_ref().and_then(|any| any.value.as_ref())
            )
        })
        .collect();
    assert_eq!(
        values,
        [
            "Some(IntValue(-9007199254740993))",
            "Some(IntValue(42))",
            "Some(DoubleValue(3.0))",
            "Some(DoubleValue(-inf))",
            "Some(BytesValue([255, 239]))",
            "Some(BytesValue([255, 239]))",
            "None",
            "Some(ArrayValue(ArrayValue { values: [AnyValue { value: Some(BoolValue(true)) }] }))",
        ]
    );
    let span = &entry.scope_spans[0].spans[0];
    assert_eq!(span.trace_id[..3], [0x5b, 0x8e, 0xff]);
    assert_eq!(span.span_id.len(), 8);
    assert_eq!(span.name, "größe\n");
    assert_eq!(span.kind, 2);
    assert_eq!(span.flags, 100);
    assert_eq!(span.start_time_unix_nano, 1_544_712_660_000_000_000);
    assert_eq!(span.end_time_unix_nano, 1_544_712_661_000_000_000);
    assert_eq!(span.trace_state, "");
}

#[test]
fn a_refusal_says_what_where() {
    let refuse = |inner: &str| {
        let json = format!("{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{inner}]}}]}}]}}");
        convert::<ExportTraceServiceRequest>(Signal::Traces, &json).unwrap_err()
    };
    for (inner, error) in [
        (r#"{"traceId":"xyz"}"#, "traceId is not hexadecimal"),
        (
            r#"{"traceId":"abcd"}"#,
            "traceId is 2 bytes long, not 16 or none",
        ),
        (r#"{"kind":"SPAN_KIND_SERVER"}"#, "kind is a string"),
        (r#"{"kind":1.5}"#, "kind is a number with a fraction"),
        (
            r#"{"startTimeUnixNano":"-1"}"#,
            "startTimeUnixNano: -1 is out of range",
        ),
        (r#"{"name":{}}"#, "name is an object"),
        (r#"{"events":{}}"#, "events is an object"),
        (r"[]", "spans is a list"),
        (r"null", "spans is null inside a list"),
        (r#"{"name":"x""#, "expected `,` or `}`"),
    ] {
        let said = refuse(inner);
        assert!(
            said.starts_with(&format!("JSON: {error} at line 1 column ")),
            "{inner}: {said}"
        );
    }
    // What is unknown is passed over, however deep.
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    convert::<ExportLogsServiceRequest>(Signal::Logs, &deep).unwrap();
    let list = "{\"arrayValue\":{\"values\":[";
    let deep = format!(
        "{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{{\"body\":{}",
        list.repeat(100)
    );
    let error = convert::<ExportLogsServiceRequest>(Signal::Logs, &deep).unwrap_err();
    assert!(error.contains("nested more than 64 deep"), "{error}");
}

#[test]
fn numbers_cannot_make_a_giant_of_a_small_request() {
    let json = format!(
        "{{\"resourceMetrics\":[{{\"scopeMetrics\":[{{\"metrics\":[{{\"histogram\":{{\"dataPoints\":[{{\"explicitBounds\":[{}0]}}]}}}}]}}]}}]}}",
        "0,".repeat(300_000)
    );
    let error = convert::<ExportMetricsServiceRequest>(Signal::Metrics, &json).unwrap_err();
    assert!(
        error.contains("request is larger than 1048576 bytes"),
        "{error}"
    );
}
