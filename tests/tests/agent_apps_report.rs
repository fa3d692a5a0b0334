//! Apps report from inside their containers, told where by their environment alone: the real
//! `jaeger-client` and every Jaeger transport, and OTLP. Whatever they claim to be, the spans are
//! theirs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use guidon::receive::jaeger::api_v2;
use guidon_tests::{
    Agent, Container, Image, OtlpSink, eventually, free_port, python, skip, system_docker, unique,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use serde_json::{Value, json};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

const HOST: &str = "the-host";

struct Ports {
    otlp: u16,
    compact: u16,
    binary: u16,
    http: u16,
    grpc: u16,
    sampling: u16,
}

fn agent(sink: &OtlpSink, more: &str) -> (Agent, Ports) {
    let [otlp, compact, binary, http, grpc, sampling] = [(); 6].map(|()| free_port());
    let at = |port| format!("\"127.0.0.1:{port}\"");
    let agent = Agent::start_with(
        &format!("guid = {HOST:?}"),
        &format!(
            "[collect]\ncontainers = false\nnode = false\n\n\
             [receive]\nremote_write = false\notlp_grpc = false\notlp_http = {}\n\
             jaeger = {{ compact = {}, binary = {}, http = {}, grpc = {}, sampling = {} }}\n\
             \n[bus]\ntraces = {:?}\n\n{more}",
            at(otlp),
            at(compact),
            at(binary),
            at(http),
            at(grpc),
            at(sampling),
            sink.url("traces"),
        ),
    );
    let ports = Ports {
        otlp,
        compact,
        binary,
        http,
        grpc,
        sampling,
    };
    (agent, ports)
}

/// The guids that spans of each name came under, so far.
fn guids_by_span(sink: &OtlpSink) -> BTreeMap<String, Vec<String>> {
    let exports = sink.exports();
    assert_eq!(exports.problems, Vec::<String>::new());
    let mut found = BTreeMap::<String, Vec<String>>::new();
    for resource_spans in exports.traces.iter().flat_map(|it| &it.resource_spans) {
        let attributes = &resource_spans.resource.as_ref().unwrap().attributes;
        let guids: Vec<_> = attributes
            .iter()
            .filter(|pair| pair.key == "guid")
            .map(|pair| match &pair.value.as_ref().unwrap().value {
                Some(AnyValue::StringValue(guid)) => guid.clone(),
                other => panic!("{other:?} is no guid"),
            })
            .collect();
        assert_eq!(guids.len(), 1, "{resource_spans:?}");
        for span in resource_spans.scope_spans.iter().flat_map(|it| &it.spans) {
            let guids_of_span = found.entry(span.name.clone()).or_default();
            guids_of_span.push(guids[0].clone());
        }
    }
    found
}

fn environment(container: &Container) -> BTreeMap<String, String> {
    let pairs = container.inspect()["Config"]["Env"].clone();
    let pairs: Vec<String> = serde_json::from_value(pairs).unwrap();
    let pair = |pair: String| {
        let (name, value) = pair.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    };
    pairs.into_iter().map(pair).collect()
}

#[test]
fn an_app_in_a_container_reports_over_every_transport_under_its_own_guid() {
    const NAME: &str = "an_app_in_a_container_reports";
    let python = match python::environment("python-jaeger", "jaeger-requirements.txt") {
        Ok(python) => python,
        Err(why) => return skip(NAME, &format!("no jaeger-client: {why}")),
    };
    let docker = system_docker();
    let sink = OtlpSink::start();
    let folders = python::folders(&python);
    let (agent, ports) = agent(&sink, &format!("[docker.allow]\nhost_mounts = {folders:?}"));
    let image = Image::busybox(&docker);
    let (guid, other) = (unique("reports"), unique("other"));
    let (container, _other) = (
        Container::claim(&docker, &guid),
        Container::claim(&docker, &other),
    );
    let (status, answer) = agent.put(&format!("/api/v1/apps/{other}"), &image.app("sleep 600"));
    assert_eq!(status, 201, "{answer}");
    let script = format!(
        "exec {} {} {} {} 2>&1",
        python.display(),
        python::scripts().join("jaeger_app.py").display(),
        ports.binary,
        ports.http
    );
    let mounts: Vec<_> = folders.iter().map(|it| format!("{it}:{it}:ro")).collect();
    let app = json!({
        "driver": "docker",
        "image": image.name(),
        "command": ["/bin/sh", "-c", script],
        "mounts": mounts,
        // It claims to be somebody whom the agent knows.
        "env": {"CLAIM": other, "PYTHONDONTWRITEBYTECODE": "1"},
    });
    let (status, answer) = agent.put(&format!("/api/v1/apps/{guid}"), &app);
    assert_eq!(status, 201, "{answer}");

    let names = ["binary", "compact", "http", "otlp"];
    let found = eventually(Duration::from_secs(60), "spans of all transports", || {
        let found = guids_by_span(&sink);
        let all = names.iter().all(|&name| found.contains_key(name));
        let said = docker.output(&guid).unwrap();
        assert!(!said.contains("Error"), "{said}\n{found:?}");
        all.then_some(found)
    });
    assert_eq!(found.keys().collect::<Vec<_>>(), names);
    for (name, guids) in &found {
        assert!(guids.iter().all(|it| *it == guid), "{name} of {guids:?}");
    }

    let told = environment(&container);
    let gateway = &told["JAEGER_AGENT_HOST"];
    assert_ne!(gateway, "127.0.0.1");
    assert_eq!(told["JAEGER_AGENT_PORT"], ports.compact.to_string());
    assert_eq!(told["JAEGER_TAGS"], format!("guid={guid}"));
    assert_eq!(
        told["OTEL_EXPORTER_OTLP_ENDPOINT"],
        format!("http://{gateway}:{}", ports.otlp)
    );
    assert!(told["OTEL_RESOURCE_ATTRIBUTES"].contains(&format!("guid={guid}")));
    let stats = agent.get("/metrics").text();
    for row in [
        "guidon_receive_datagrams_total{listener=\"jaeger_binary\"} 1",
        "guidon_receive_requests_total{listener=\"jaeger_http\",code=\"202\"} 1",
    ] {
        assert!(stats.contains(row), "{row} is not in {stats}");
    }
}

#[test]
fn an_app_in_the_hosts_network_is_told_loopback() {
    let docker = system_docker();
    let sink = OtlpSink::start();
    let (agent, ports) = agent(&sink, "[docker.allow]\nhost_namespaces = [\"network\"]");
    let image = Image::busybox(&docker);
    let guid = unique("hostnet");
    let container = Container::claim(&docker, &guid);
    let mut app = image.app("sleep 600");
    app["networks"] = json!(["host"]);
    let (status, answer) = agent.put(&format!("/api/v1/apps/{guid}"), &app);
    assert_eq!(status, 201, "{answer}");
    let told = environment(&container);
    assert_eq!(told["JAEGER_AGENT_HOST"], "127.0.0.1");
    assert_eq!(
        told["JAEGER_SAMPLING_ENDPOINT"],
        format!("http://127.0.0.1:{}/sampling", ports.sampling)
    );
}

fn posted(name: &str, hostname: &str) -> api_v2::PostSpansRequest {
    let tag = api_v2::KeyValue {
        key: "hostname".to_owned(),
        v_str: hostname.to_owned(),
        ..Default::default()
    };
    api_v2::PostSpansRequest {
        batch: Some(api_v2::Batch {
            spans: vec![api_v2::Span {
                trace_id: vec![1; 16],
                span_id: vec![2; 8],
                operation_name: name.to_owned(),
                ..Default::default()
            }],
            process: Some(api_v2::Process {
                service_name: "relay".to_owned(),
                tags: vec![tag],
            }),
        }),
    }
}

#[test]
fn a_relay_on_the_host_speaks_for_known_apps_over_grpc() {
    let docker = system_docker();
    let sink = OtlpSink::start();
    let (agent, ports) = agent(&sink, "");
    let image = Image::busybox(&docker);
    let guid = unique("relayed");
    let _container = Container::claim(&docker, &guid);
    let (status, answer) = agent.put(&format!("/api/v1/apps/{guid}"), &image.app("sleep 600"));
    assert_eq!(status, 201, "{answer}");

    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let channel = Channel::from_shared(format!("http://127.0.0.1:{}", ports.grpc)).unwrap();
        let mut client = tonic::client::Grpc::new(channel.connect().await.unwrap());
        for (name, hostname) in [("known", guid.as_str()), ("unknown", "nobody-s-app")] {
            client.ready().await.unwrap();
            let codec = tonic_prost::ProstCodec::<_, ()>::default();
            let path = PathAndQuery::from_static("/jaeger.api_v2.CollectorService/PostSpans");
            let request = tonic::Request::new(posted(name, hostname));
            client.unary(request, path, codec).await.unwrap();
        }
    });
    let expected: BTreeMap<_, _> = [("known", guid.as_str()), ("unknown", HOST)]
        .map(|(name, guid)| (name.to_owned(), vec![guid.to_owned()]))
        .into();
    eventually(Duration::from_secs(20), "both spans", || {
        (guids_by_span(&sink) == expected).then_some(())
    });
}

#[test]
fn a_reload_moves_the_jaeger_listeners() {
    let sink = OtlpSink::start();
    let (agent, ports) = agent(&sink, "");
    let moved = free_port();
    let config = std::fs::read_to_string(agent.config_path()).unwrap();
    let old = format!("sampling = \"127.0.0.1:{}\"", ports.sampling);
    let new = config.replace(&old, &format!("sampling = \"127.0.0.1:{moved}\""));
    assert_ne!(new, config);
    std::fs::write(agent.config_path(), new).unwrap();
    let report = agent.send(&xtask::http::Request::new("POST", "/api/v1/reload"));
    let report: Value = serde_json::from_str(&report.text()).unwrap();
    assert_eq!(report["applied"], json!(["receive.jaeger"]), "{report}");
    assert!(std::net::TcpStream::connect(("127.0.0.1", moved)).is_ok());
    assert!(std::net::TcpStream::connect(("127.0.0.1", ports.sampling)).is_err());
}
