//! Whose is it? Containers send to the agent and claim to be somebody else.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::time::Duration;

use base64::Engine as _;
use guidon_tests::forward::frames::{Label, Sample, TimeSeries, WriteRequest};
use guidon_tests::{
    Agent, Container, Image, OtlpSink, RemoteWriteSink, eventually, free_port, system_docker,
    unique,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use prost::Message as _;
use serde_json::json;
use xtask::http::{Request, Server, send};

const HOST: &str = "the-host";
const VICTIM: &str = "somebody-else";
const SOON: Duration = Duration::from_secs(30);

/// An agent that receives on every address, and what it forwards to.
struct Receiving {
    agent: Agent,
    remote_write: u16,
    otlp: u16,
    metrics: RemoteWriteSink,
    others: OtlpSink,
}

impl Receiving {
    /// `trusted` as in the configuration.
    fn start(trusted: &str) -> Self {
        let [remote_write, otlp] = [(); 2].map(|()| free_port());
        let (metrics, others) = (RemoteWriteSink::start(), OtlpSink::start());
        let agent = Agent::start_with(
            &format!("guid = {HOST:?}"),
            &format!(
                "[collect]\nnode = false\n\n\
                 [docker]\nallow = {{ host_namespaces = [\"network\"] }}\n\n\
                 [receive]\nremote_write = \"0.0.0.0:{remote_write}\"\n\
                 otlp_http = \"0.0.0.0:{otlp}\"\notlp_grpc = false\ntrusted = {trusted}\n\n\
                 [bus]\nmetrics = {:?}\nlogs = {:?}\ntraces = {:?}",
                metrics.url(),
                others.url("logs"),
                others.url("traces"),
            ),
        );
        Self {
            agent,
            remote_write,
            otlp,
            metrics,
            others,
        }
    }

    /// The guid that came with a metric; panics if several did.
    fn guid_of_metric(&self, name: &str) -> String {
        self.metrics.wait_for(&[("__name__", name)], SOON);
        let mut series = self.metrics.series(&[("__name__", name)]);
        assert_eq!(series.len(), 1, "{series:?}");
        series.remove(0).0.remove("guid").expect("a guid")
    }

    /// Values of an attribute in the resources of all logs and traces that came.
    fn attributes(&self, name: &str) -> Vec<String> {
        let exports = self.others.exports();
        assert_eq!(exports.problems, Vec::<String>::new());
        let logs = exports.logs.into_iter().flat_map(|it| it.resource_logs);
        let spans = exports.traces.into_iter().flat_map(|it| it.resource_spans);
        let resources = logs
            .map(|it| it.resource)
            .chain(spans.map(|it| it.resource));
        let pairs = resources.flatten().flat_map(|resource| resource.attributes);
        pairs
            .filter(|pair| pair.key == name)
            .map(|pair| match pair.value.and_then(|value| value.value) {
                Some(Attribute::StringValue(text)) => text,
                other => panic!("{name} is {other:?}"),
            })
            .collect()
    }

    fn forged(&self, signal: &str) -> u64 {
        let text = self.agent.get("/metrics").text();
        let line = format!("guidon_receive_forged_total{{signal=\"{signal}\"}} ");
        let value = text.lines().find_map(|it| it.strip_prefix(&line));
        value.map_or(0, |value| value.trim().parse().expect("a count"))
    }
}

/// A remote-write body with one sample of a series, claimed for a guid or for nobody.
fn metric(name: &str, guid: Option<&str>) -> Vec<u8> {
    let mut labels = vec![("__name__", name)];
    labels.extend(guid.map(|guid| ("guid", guid)));
    let labels = labels.into_iter().map(|(name, value)| Label {
        name: name.to_owned(),
        value: value.to_owned(),
    });
    let series = TimeSeries {
        labels: labels.collect(),
        samples: vec![Sample {
            value: 1.0,
            timestamp: 1_700_000_000_000,
        }],
    };
    let raw = WriteRequest {
        timeseries: vec![series],
    }
    .encode_to_vec();
    snap::raw::Encoder::new().compress_vec(&raw).unwrap()
}

/// OTLP as JSON, with one record or span, claimed for a guid.
fn export(signal: &str, guid: &str) -> Vec<u8> {
    let resource = json!({"attributes": [
        {"key": "service.name", "value": {"stringValue": "probe"}},
        {"key": "guid", "value": {"stringValue": guid}},
    ]});
    let body = match signal {
        "logs" => json!({"resourceLogs": [{"resource": resource, "scopeLogs": [
            {"logRecords": [{"body": {"stringValue": "hello"}}]}]}]}),
        _ => json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [{
            "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708",
            "name": "probe"}]}]}]}),
    };
    body.to_string().into_bytes()
}

/// A whole HTTP request, for a sender that has no HTTP client.
fn http(path: &str, headers: &str, body: &[u8]) -> String {
    let length = body.len();
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: guidon\r\n{headers}Content-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    )
    .into_bytes();
    request.extend_from_slice(body);
    base64::engine::general_purpose::STANDARD.encode(request)
}

const REMOTE_WRITE: &str = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
     X-Prometheus-Remote-Write-Version: 0.1.0\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

/// What a container runs: everything once, as the very first thing it does.
fn script(receiving: &Receiving, address: &str) -> String {
    let mut script = format!("A={address}\n");
    for (port, request) in [
        (
            receiving.remote_write,
            http("/write", REMOTE_WRITE, &metric("claimed", Some(VICTIM))),
        ),
        (
            receiving.remote_write,
            http("/api/v1/write", REMOTE_WRITE, &metric("silent", None)),
        ),
        (
            receiving.otlp,
            http("/v1/logs", JSON, &export("logs", VICTIM)),
        ),
        (
            receiving.otlp,
            http("/v1/traces", JSON, &export("traces", VICTIM)),
        ),
    ] {
        // A client that closes its side before the answer goes away, to an HTTP server.
        let sent = format!("(echo {request} | base64 -d; sleep 0.5) | nc $A {port}");
        script += &format!("{sent} | head -n 1\n");
    }
    script + "sleep 600"
}

fn a_container_is_itself_whatever_it_claims(networks: &[&str], address: &str) {
    let receiving = Receiving::start("[]");
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let guid = unique("identity");
    let container = Container::claim(&docker, &guid);
    let mut app = image.app(&script(&receiving, address));
    app["networks"] = json!(networks);
    let (status, answer) = receiving.agent.put(&format!("/api/v1/apps/{guid}"), &app);
    assert_eq!(status, 201, "{answer}");

    assert_eq!(receiving.guid_of_metric("claimed"), guid);
    assert_eq!(receiving.guid_of_metric("silent"), guid);
    let guids = eventually(SOON, "a log record and a span", || {
        Some(receiving.attributes("guid")).filter(|guids| guids.len() >= 2)
    });
    assert_eq!(guids, [guid.as_str(), &guid]);
    // What the sender left out and the directory knows.
    let id = container.id();
    assert_eq!(receiving.attributes("container.id"), [id.as_str(), &id]);
    assert_eq!(receiving.attributes("service.name"), ["probe", "probe"]);
    for signal in ["metrics", "logs", "traces"] {
        assert_eq!(receiving.forged(signal), 1, "{signal}");
    }
    assert_eq!(receiving.metrics.problems(), Vec::<String>::new());
}

#[test]
fn a_container_on_a_bridge_is_itself_whatever_it_claims() {
    a_container_is_itself_whatever_it_claims(
        &["bridge"],
        "$(ip route | awk '/^default/ {print $3}')",
    );
}

#[test]
fn a_container_on_the_hosts_network_is_itself_whatever_it_claims() {
    a_container_is_itself_whatever_it_claims(&["host"], "127.0.0.1");
}

#[test]
fn a_trusted_sender_keeps_its_labels_and_others_do_not() {
    for (trusted, claimed_by) in [("[\"127.0.0.0/8\"]", VICTIM), ("[\"10.0.0.0/8\"]", HOST)] {
        let receiving = Receiving::start(trusted);
        let post = |port: u16, path: &str, headers: &[(&str, &str)], body: &[u8]| {
            let mut request = Request::new("POST", path);
            request.headers = headers;
            request.body = body;
            let server = Server::Tcp(format!("127.0.0.1:{port}"));
            let answer = send(&server, &request).expect("an answer");
            assert!(answer.status < 300, "{} {}", answer.status, answer.text());
        };
        let snappy = [
            ("Content-Type", "application/x-protobuf"),
            ("Content-Encoding", "snappy"),
            ("X-Prometheus-Remote-Write-Version", "0.1.0"),
        ];
        let port = receiving.remote_write;
        post(port, "/write", &snappy, &metric("claimed", Some(VICTIM)));
        post(port, "/write", &snappy, &metric("silent", None));
        let json = [("Content-Type", "application/json")];
        post(receiving.otlp, "/v1/logs", &json, &export("logs", VICTIM));
        assert_eq!(receiving.guid_of_metric("claimed"), claimed_by);
        assert_eq!(receiving.guid_of_metric("silent"), HOST);
        let guids = eventually(SOON, "a log record", || {
            Some(receiving.attributes("guid")).filter(|guids| !guids.is_empty())
        });
        assert_eq!(guids, [claimed_by]);
        let forged = u64::from(claimed_by == HOST);
        assert_eq!(receiving.forged("metrics"), forged);
        assert_eq!(receiving.forged("logs"), forged);
    }
}
