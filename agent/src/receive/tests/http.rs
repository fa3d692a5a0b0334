//! Remote write and OTLP over HTTP, as the specifications have them.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use super::support::{House, block, gzip, send};
use crate::forward::Refused;
use crate::receive::{Limits, OtlpMetrics, Protocol};
use crate::signal::remote_write::prom::{Label, Sample, TimeSeries, WriteRequest, v2};

const TYPE: &str = "application/x-protobuf";
const TYPE_V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

pub(super) fn write_request(labels: &[(&str, &str)]) -> WriteRequest {
    WriteRequest {
        timeseries: vec![TimeSeries {
            labels: labels
                .iter()
                .map(|&(name, value)| Label {
                    name: name.to_owned(),
                    value: value.to_owned(),
                })
                .collect(),
            samples: vec![
                Sample {
                    value: 0x7ff0_0000_0000_0002,
                    timestamp: 1_700_000_000_000,
                    start_timestamp: 0,
                };
                2
            ],
            ..TimeSeries::default()
        }],
        metadata: Vec::new(),
    }
}

#[tokio::test]
async fn remote_write_1_0_is_tagged_kept_and_answered_204() {
    let house = House::open().await;
    let address = house.address(Protocol::RemoteWrite);
    let body = block(&write_request(&[("__name__", "up"), ("guid", "forged")]).encode_to_vec());
    for (path, http2, headers) in [
        (
            "/write",
            false,
            &[("content-type", TYPE), ("content-encoding", "snappy")][..],
        ),
        (
            "/api/v1/write",
            true,
            &[(
                "content-type",
                "application/x-protobuf;proto=prometheus.WriteRequest",
            )],
        ),
        ("/api/v1/write?x=y", false, &[]),
    ] {
        let answer = send(address, http2, path, headers, body.clone()).await;
        assert_eq!(answer.status, 204, "{}", answer.text());
        assert_eq!(
            answer.header("x-prometheus-remote-write-samples-written"),
            None
        );
        let (raw, counts) = house.sink.only();
        assert_eq!(counts, [("app-1".to_owned(), 2)]);
        let expected = write_request(&[("__name__", "up"), ("guid", "app-1")]);
        assert_eq!(WriteRequest::decode(&raw[..]).unwrap(), expected);
    }
    let snapshot = house.receiver.stats().snapshot();
    assert_eq!(snapshot.requests, [("remote_write", "204", 3)]);
    assert_eq!(snapshot.forged, [("metrics", 3)]);
    house.is_quiet().await;
}

#[tokio::test]
async fn remote_write_2_0_is_told_what_was_written() {
    let house = House::open().await;
    let address = house.address(Protocol::RemoteWrite);
    let request = |symbols: &[&str]| v2::Request {
        symbols: symbols.iter().map(|&symbol| symbol.to_owned()).collect(),
        timeseries: vec![v2::TimeSeries {
            labels_refs: vec![1, 2],
            samples: write_request(&[]).timeseries[0].samples.clone(),
            exemplars: vec![v2::Exemplar::default()],
            ..v2::TimeSeries::default()
        }],
    };
    let headers = [("content-type", TYPE_V2), ("content-encoding", "snappy")];
    let good = block(&request(&["", "__name__", "up"]).encode_to_vec());
    let answer = send(address, false, "/api/v1/write", &headers, good).await;
    let written = |answer: &super::support::Answer| {
        ["samples", "histograms", "exemplars"].map(|what| {
            let name = format!("x-prometheus-remote-write-{what}-written");
            answer.header(&name).unwrap().to_owned()
        })
    };
    assert_eq!(
        (answer.status.as_u16(), written(&answer)),
        (204, ["2", "0", "1"].map(String::from))
    );
    let (raw, counts) = house.sink.only();
    assert_eq!(counts, [("app-1".to_owned(), 2)]);
    let read = WriteRequest::decode(&raw[..]).unwrap();
    assert_eq!(read.timeseries[0].labels.len(), 2);
    assert_eq!(
        read.timeseries[0].samples,
        request(&[]).timeseries[0].samples
    );

    let bad = block(&request(&["", "__name__"]).encode_to_vec());
    let answer = send(address, false, "/api/v1/write", &headers, bad).await;
    assert_eq!(
        (answer.status.as_u16(), written(&answer)),
        (400, ["0", "0", "0"].map(String::from))
    );
    assert!(
        answer
            .text()
            .ends_with("reference 2 is outside of the 2 symbols")
    );
}

#[tokio::test]
async fn what_is_no_remote_write_is_refused_by_name() {
    let house = House::open().await;
    let address = house.address(Protocol::RemoteWrite);
    let good = block(&write_request(&[("a", "b")]).encode_to_vec());
    for (path, headers, body, status, text) in [
        (
            "/other",
            &[][..],
            &good[..],
            404,
            "no such path: /write and /api/v1/write take remote write",
        ),
        (
            "/write",
            &[("content-type", "text/plain")],
            &good,
            415,
            "content type must be application/x-protobuf",
        ),
        (
            "/write",
            &[("content-type", "application/x-protobuf;proto=x.Y")],
            &good,
            415,
            "proto must be prometheus.WriteRequest or io.prometheus.write.v2.Request",
        ),
        (
            "/write",
            &[("content-encoding", "zstd")],
            &good,
            415,
            "content encoding must be snappy",
        ),
        (
            "/write",
            &[],
            b"",
            400,
            "no uncompressed length in front of the snappy block",
        ),
        (
            "/write",
            &[],
            b"\xff\x06\x00\x00sNaPpY",
            400,
            "body begins with the framed snappy format's magic: the block format is wanted",
        ),
        (
            "/write",
            &[],
            &good[..good.len() - 1],
            400,
            "snappy block is corrupt",
        ),
    ] {
        let answer = send(address, false, path, headers, body.to_vec()).await;
        assert_eq!(answer.status, status, "{path} {headers:?}");
        assert!(answer.text().starts_with(text), "{}", answer.text());
    }
    assert!(house.sink.take().is_empty());
    assert_eq!(house.refused("protocol"), 4);
    assert_eq!(house.refused("compression"), 3);
    // Nothing at all is fine, and nobody need see it.
    let answer = send(address, false, "/write", &[], block(b"")).await;
    assert_eq!(answer.status, 204);
    assert!(house.sink.take().is_empty());
}

#[tokio::test]
async fn back_pressure_says_when_to_come_again() {
    let house = House::open().await;
    let metrics = block(&write_request(&[("a", "b")]).encode_to_vec());
    let logs = logs().encode_to_vec();
    for (refused, remote_write, otlp, wait) in [
        (
            Refused::Full {
                what: "lane 0".to_owned(),
                retry_after: Duration::from_millis(2500),
            },
            503,
            429,
            "3",
        ),
        (
            Refused::Spool {
                destination: "bus".to_owned(),
                error: "no space".to_owned(),
            },
            503,
            503,
            "1",
        ),
        (Refused::Closing, 503, 503, "1"),
    ] {
        house.sink.refuse(Some(refused));
        let address = house.address(Protocol::RemoteWrite);
        let answer = send(address, false, "/write", &[], metrics.clone()).await;
        assert_eq!(answer.status, remote_write);
        assert_eq!(answer.header("retry-after"), Some(wait));
        let address = house.address(Protocol::OtlpHttp);
        let headers = [("content-type", TYPE)];
        let answer = send(address, false, "/v1/logs", &headers, logs.clone()).await;
        assert_eq!(answer.status, otlp);
        assert_eq!(answer.header("retry-after"), Some(wait));
    }
    assert!(house.sink.take().is_empty());
    assert_eq!(
        [
            house.refused("full"),
            house.refused("spool"),
            house.refused("closing")
        ],
        [2, 2, 2]
    );
}

fn logs() -> ExportLogsServiceRequest {
    serde_json::from_str(LOGS).unwrap()
}

const LOGS: &str = r#"{"resourceLogs":[{"resource":{"attributes":[
    {"key":"service.name","value":{"stringValue":"shop"}},
    {"key":"guid","value":{"stringValue":"forged"}}]},
    "scopeLogs":[{"logRecords":[{"body":{"stringValue":"hello"}},{}]}]}]}"#;

#[tokio::test]
async fn otlp_is_taken_as_protobuf_and_json_plain_and_gzip_and_answered_alike() {
    let house = House::open().await;
    let address = house.address(Protocol::OtlpHttp);
    let protobuf = logs().encode_to_vec();
    let json = LOGS.as_bytes().to_vec();
    let mut seen = Vec::new();
    for (content_type, body, answer_body) in [
        (TYPE, protobuf, ""),
        ("application/json; charset=utf-8", json, "{}"),
    ] {
        for (encoding, body) in [("identity", body.clone()), ("gzip", gzip(&body))] {
            let headers = [
                ("content-type", content_type),
                ("content-encoding", encoding),
            ];
            let answer = send(address, false, "/v1/logs", &headers, body).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(answer.text(), answer_body);
            assert_eq!(
                answer.header("content-type").unwrap(),
                content_type.split(';').next().unwrap()
            );
            let (raw, counts) = house.sink.only();
            assert_eq!(counts, [("app-1".to_owned(), 2)]);
            seen.push(raw);
        }
    }
    let read = ExportLogsServiceRequest::decode(&seen[0][..]).unwrap();
    let resource = read.resource_logs[0].resource.as_ref().unwrap();
    let keys: Vec<&str> = resource.attributes.iter().map(|pair| &*pair.key).collect();
    assert_eq!(
        keys,
        [
            "service.name",
            "guid",
            "container.id",
            "container.name",
            "service.instance.id"
        ]
    );
    assert_eq!(
        read.resource_logs[0].scope_logs,
        logs().resource_logs[0].scope_logs
    );
    for raw in &seen {
        assert_eq!(ExportLogsServiceRequest::decode(&raw[..]).unwrap(), read);
    }
}

#[tokio::test]
async fn otlp_errors_are_a_status_in_the_request_s_type() {
    let house = House::open().await;
    let address = house.address(Protocol::OtlpHttp);
    let json = [("content-type", "application/json")];
    let answer = send(address, false, "/v1/traces", &json, "{\"resourceSpans\":7}").await;
    assert_eq!(answer.status, 400);
    let status: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(status["code"], 3);
    assert_eq!(
        status["message"],
        "JSON: resourceSpans is a number at line 1 column 18"
    );

    let protobuf = [("content-type", TYPE)];
    let answer = send(address, false, "/v1/traces", &protobuf, vec![0x0a, 9]).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.header("content-type"), Some(TYPE));
    let text = b"byte 1: ends in the middle of a field";
    let expected = [&[0x08, 3, 0x12, text.len() as u8][..], text].concat();
    assert_eq!(answer.body, expected);

    for (path, headers, status) in [
        ("/v1/other", &protobuf[..], 404),
        ("/v1/logs", &[], 415),
        ("/v1/logs", &[("content-type", "text/plain")], 415),
        (
            "/v1/logs",
            &[("content-type", TYPE), ("content-encoding", "br")],
            415,
        ),
    ] {
        let answer = send(address, false, path, headers, Vec::new()).await;
        assert_eq!(answer.status, status);
    }
    // An empty request is a success.
    let answer = send(address, false, "/v1/traces", &protobuf, Vec::new()).await;
    assert_eq!(answer.status, 200);
    let empty = ExportTraceServiceRequest {
        resource_spans: vec![Default::default()],
    };
    let answer = send(
        address,
        false,
        "/v1/traces",
        &protobuf,
        empty.encode_to_vec(),
    )
    .await;
    assert_eq!(answer.status, 200);
    assert!(house.sink.take().is_empty());
}

#[tokio::test]
async fn otlp_metrics_become_remote_write_where_the_bus_wants_that() {
    let house = House::new(Limits::default(), OtlpMetrics::Convert).await;
    let address = house.address(Protocol::OtlpHttp);
    let json = [("content-type", "application/json")];
    let body = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
        {"name":"jobs.done","unit":"1","sum":{"isMonotonic":true,"aggregationTemporality":2,
            "dataPoints":[{"asInt":"7","timeUnixNano":"1700000000123456789"}]}},
        {"name":"jobs.delta","sum":{"aggregationTemporality":1,
            "dataPoints":[{"asInt":"7"},{"asInt":"8"}]}}]}]}]}"#;
    let answer = send(address, false, "/v1/metrics", &json, body).await;
    assert_eq!(answer.status, 200);
    let said: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(said["partialSuccess"]["rejectedDataPoints"], "2");
    assert!(
        said["partialSuccess"]["errorMessage"]
            .as_str()
            .unwrap()
            .contains("\"jobs.delta\": delta temporality")
    );
    let (raw, counts) = house.sink.only();
    assert_eq!(counts, [("app-1".to_owned(), 2)]);
    let read = WriteRequest::decode(&raw[..]).unwrap();
    let labels = |series: &TimeSeries| {
        let labels = series.labels.iter();
        labels
            .map(|label| format!("{}={}", label.name, label.value))
            .collect::<Vec<_>>()
            .join(",")
    };
    let instance = "instance=9404eefc-ac88-59b1-bd45-652d8fd13ea7";
    let series: Vec<String> = read.timeseries.iter().map(labels).collect();
    assert_eq!(
        series[0].replace(instance, "I"),
        "__name__=jobs_done_total,guid=app-1,I"
    );
    assert!(
        series[1].starts_with("__name__=target_info,container_id=ccc"),
        "{}",
        series[1]
    );
    assert_eq!(read.timeseries[0].samples[0].value, 7f64.to_bits());
    assert_eq!(read.timeseries[0].samples[0].timestamp, 1_700_000_000_123);
}
