//! The local bus as JSON and as protobuf; cursors; long poll.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message;
use serde_json::json;

use super::{Running, start};
use crate::signal::{Frame, Kind};

const PROTOBUF: [(&str, &str); 1] = [("accept", "application/x-protobuf")];

/// A length-delimited field.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag << 3 | 2, u8::try_from(content.len()).unwrap()];
    bytes.extend_from_slice(content);
    bytes
}

/// One series `up{guid="shop"}`, as the wire format says and no library of ours.
fn series(value: f64, timestamp: u8) -> Vec<u8> {
    let label = |name: &str, value: &str| {
        let pair = [field(1, name.as_bytes()), field(2, value.as_bytes())].concat();
        field(1, &pair)
    };
    let mut sample = vec![1 << 3 | 1];
    sample.extend_from_slice(&value.to_le_bytes());
    sample.extend_from_slice(&[2 << 3, timestamp]);
    let series = [
        label("__name__", "up"),
        label("guid", "shop"),
        field(2, &sample),
    ]
    .concat();
    field(1, &series)
}

fn metrics_frame(raw: &[u8]) -> Frame {
    Frame {
        kind: Kind::RemoteWrite,
        payload: snap::raw::Encoder::new().compress_vec(raw).unwrap().into(),
        raw_len: u32::try_from(raw.len()).unwrap(),
        counts: vec![("shop".parse().unwrap(), 1)],
    }
}

fn logs_frame(text: &str) -> Frame {
    let record = LogRecord {
        body: Some(AnyValue {
            value: Some(any_value::Value::StringValue(text.into())),
        }),
        trace_id: vec![0xab; 16],
        ..LogRecord::default()
    };
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: vec![record],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    let payload: Bytes = request.encode_to_vec().into();
    Frame {
        kind: Kind::OtlpLogs,
        raw_len: u32::try_from(payload.len()).unwrap(),
        payload,
        counts: Vec::new(),
    }
}

fn put(api: &Running, frame: Frame) {
    api.fakes.frames.lock().unwrap().push(frame);
    api.fakes.frame_came.notify_one();
}

#[tokio::test]
async fn metrics_are_labels_and_samples() {
    let api = start().await;
    put(&api, metrics_frame(&series(1.5, 7)));
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    put(
        &api,
        metrics_frame(&[series(stale, 8), series(f64::INFINITY, 9)].concat()),
    );
    let page = api.get("/api/v1/bus/metrics").await.json();
    assert_eq!(page["next"], "2");
    assert_eq!(
        page["frames"][0],
        json!({
            "kind": "remote_write",
            "guids": {"shop": 1},
            "series": [{
                "labels": {"__name__": "up", "guid": "shop"},
                "samples": [{"timestamp_ms": 7, "value": 1.5}],
                "histograms": 0,
            }],
        })
    );
    let values: Vec<_> = page["frames"][1]["series"]
        .as_array()
        .unwrap()
        .iter()
        .map(|series| series["samples"][0]["value"].clone())
        .collect();
    assert_eq!(values, [json!("stale"), json!("+Inf")]);
}

#[tokio::test]
async fn logs_are_otlp_json() {
    let api = start().await;
    put(&api, logs_frame("hello"));
    let page = api.get("/api/v1/bus/logs").await.json();
    let record = &page["frames"][0]["request"]["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    assert_eq!(record["body"]["stringValue"], "hello");
    assert_eq!(record["traceId"], "ab".repeat(16));
}

#[tokio::test]
async fn protobuf_pages_are_one_request_of_one_kind() {
    let api = start().await;
    put(&api, metrics_frame(&series(1.0, 1)));
    put(&api, metrics_frame(&series(2.0, 2)));
    put(&api, logs_frame("in between"));
    let page = api
        .call(Method::GET, "/api/v1/bus/metrics", &PROTOBUF, "")
        .await;
    assert_eq!(page.header("content-type"), "application/x-protobuf");
    assert_eq!(page.header("x-guidon-kind"), "remote_write");
    assert_eq!(page.header("x-guidon-next"), "2");
    assert_eq!(page.body, [series(1.0, 1), series(2.0, 2)].concat());

    let path = "/api/v1/bus/metrics?cursor=2";
    let page = api.call(Method::GET, path, &PROTOBUF, "").await;
    assert_eq!(page.header("x-guidon-kind"), "otlp_logs");
    assert_eq!(page.header("x-guidon-next"), "3");
    assert_eq!(page.body, logs_frame("in between").payload);

    let path = "/api/v1/bus/metrics?cursor=3";
    let page = api.call(Method::GET, path, &PROTOBUF, "").await;
    assert_eq!((page.status, page.body.len()), (StatusCode::OK, 0));
    assert_eq!(page.header("x-guidon-next"), "3");
}

#[tokio::test]
async fn pages_follow_one_another_without_gap_or_overlap() {
    let api = start().await;
    let texts: Vec<String> = (0..10).map(|number| format!("line {number}")).collect();
    for text in &texts {
        put(&api, logs_frame(text));
    }
    let mut cursor = String::new();
    let mut seen = String::new();
    for _ in 0..10 {
        let path = format!("/api/v1/bus/logs?cursor={cursor}&max_bytes=1");
        let page = api.get(&path).await.json();
        assert_eq!(page["frames"].as_array().unwrap().len(), 1);
        page["next"].as_str().unwrap().clone_into(&mut cursor);
        seen += &page["frames"].to_string();
    }
    for text in &texts {
        assert_eq!(seen.matches(text).count(), 1, "{text}");
    }
}

#[tokio::test]
async fn a_long_poll_answers_when_a_frame_comes_or_the_time_is_up() {
    let api = start().await;
    let started = Instant::now();
    let empty = api.get("/api/v1/bus/logs?cursor=latest&wait=0.2").await;
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!(empty.json()["frames"], json!([]));

    let poll = api.get("/api/v1/bus/logs?cursor=latest&wait=20");
    let later = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        put(&api, logs_frame("news"));
    };
    let (page, ()) = tokio::join!(poll, later);
    assert!(page.text().contains("news"));
    assert!(started.elapsed() < Duration::from_secs(5));

    let poll = api.get("/api/v1/bus/logs?cursor=latest&wait=20");
    let later = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        api.shutdown.cancel();
    };
    let (page, ()) = tokio::join!(poll, later);
    assert_eq!(page.error_code(), "shutting_down");
}

#[tokio::test]
async fn a_damaged_frame_does_not_spoil_its_page() {
    let api = start().await;
    let mut damaged = metrics_frame(&series(1.0, 1));
    damaged.payload = Bytes::from_static(b"\xff\xff\xff\xff\xff\x0f");
    put(&api, damaged);
    put(&api, metrics_frame(&series(2.0, 2)));
    let page = api.get("/api/v1/bus/metrics").await.json();
    assert!(!page["frames"][0]["error"].as_str().unwrap().is_empty());
    assert_eq!(page["frames"][1]["series"][0]["samples"][0]["value"], 2.0);
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let api = start().await;
    for (path, status, code) in [
        ("/api/v1/bus/events", 404, "not_found"),
        ("/api/v1/bus/traces", 404, "not_local"),
        ("/api/v1/bus/logs?cursor=zzz", 400, "bad_cursor"),
        ("/api/v1/bus/logs?wait=-1", 400, "invalid_query"),
        ("/api/v1/bus/logs?wait=x", 400, "invalid_query"),
        ("/api/v1/bus/logs?curser=1", 400, "invalid_query"),
    ] {
        let answer = api.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.error_code(), code, "{path}");
    }
    let headers = [("accept", "text/csv")];
    let answer = api
        .call(Method::GET, "/api/v1/bus/logs", &headers, "")
        .await;
    assert_eq!(answer.status, StatusCode::NOT_ACCEPTABLE);
}
