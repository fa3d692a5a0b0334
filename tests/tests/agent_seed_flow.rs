//! What the agent is for, from end to end: a Manager gives a guid and an app, and the app's metrics,
//! logs and traces arrive at the bus under that guid, with what the agent does itself and with
//! the well-known programs under its management.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use guidon_tests::{
    Agent, Container, Image, OtlpSink, RemoteWriteSink, eventually, free_port, python, skip,
    system_docker, unique,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(60);
const HOST: &str = "the-host";

/// A bus for everything, and ports of an agent that sends to it.
struct Bed {
    metrics: RemoteWriteSink,
    rest: OtlpSink,
    otlp: u16,
    write: u16,
}

impl Bed {
    fn new() -> Self {
        Self {
            metrics: RemoteWriteSink::start(),
            rest: OtlpSink::start(),
            otlp: free_port(),
            write: free_port(),
        }
    }

    fn agent(&self, receive: &str, sections: &str) -> Agent {
        let sections = format!(
            "[collect]\ninterval = \"1s\"\n\n\
             [bus]\nmetrics = {:?}\nlogs = {:?}\ntraces = {:?}\n\n\
             [receive]\nremote_write = \"127.0.0.1:{}\"\notlp_grpc = false\n\
             otlp_http = \"127.0.0.1:{}\"\nlogs = true\n{receive}\n\n{sections}",
            self.metrics.url(),
            self.rest.url("logs"),
            self.rest.url("traces"),
            self.write,
            self.otlp,
        );
        Agent::start_with(&format!("guid = {HOST:?}"), &sections)
    }

    /// The app's own series, its line and its spans: each under its guid, and under no other.
    fn expect(&self, guid: &str, line: &str, spans: &[&str]) {
        let labels = [
            ("__name__", "container_cpu_usage_seconds_total"),
            ("guid", guid),
            ("name", guid),
        ];
        self.metrics.wait_for(&labels, PATIENCE);
        let guids = eventually(PATIENCE, &format!("{line:?} at the bus"), || {
            let guids = self.guids_of_line(line);
            (!guids.is_empty()).then_some(guids)
        });
        assert_eq!(guids, [guid], "{line}");
        for span in spans {
            let guids = eventually(PATIENCE, &format!("span {span:?} at the bus"), || {
                let guids = self.guids_of_span(span);
                (!guids.is_empty()).then_some(guids)
            });
            assert_eq!(guids, BTreeSet::from([guid.to_owned()]), "{span}");
        }
        assert_eq!(self.metrics.problems(), Vec::<String>::new());
        assert_eq!(self.rest.exports().problems, Vec::<String>::new());
    }

    /// One for each time it arrived.
    fn guids_of_line(&self, line: &str) -> Vec<String> {
        let exports = self.rest.exports();
        let entries = exports.logs.iter().flat_map(|it| &it.resource_logs);
        let is_it = |value: Option<&AnyValue>| matches!(value, Some(AnyValue::StringValue(text)) if text == line);
        entries
            .filter(|entry| {
                let mut records = entry.scope_logs.iter().flat_map(|it| &it.log_records);
                records.any(|it| is_it(it.body.as_ref().and_then(|body| body.value.as_ref())))
            })
            .map(|entry| guid_of(entry.resource.as_ref()))
            .collect()
    }

    fn guids_of_span(&self, name: &str) -> BTreeSet<String> {
        let exports = self.rest.exports();
        let entries = exports.traces.iter().flat_map(|it| &it.resource_spans);
        entries
            .filter(|entry| {
                let mut spans = entry.scope_spans.iter().flat_map(|it| &it.spans);
                spans.any(|it| it.name == name)
            })
            .map(|entry| guid_of(entry.resource.as_ref()))
            .collect()
    }
}

fn guid_of(resource: Option<&Resource>) -> String {
    let attributes = &resource.expect("a resource").attributes;
    let guids: Vec<_> = attributes.iter().filter(|it| it.key == "guid").collect();
    let [guid] = guids[..] else {
        panic!("not one guid: {attributes:?}");
    };
    match guid.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(AnyValue::StringValue(guid)) => guid.clone(),
        other => panic!("{other:?} is no guid"),
    }
}

/// Ports for Jaeger's clients: compact, binary, HTTP, gRPC, sampling.
fn jaeger_listeners(ports: &[u16; 5]) -> String {
    let [compact, binary, http, grpc, sampling] = ports.map(|port| format!("\"127.0.0.1:{port}\""));
    format!(
        "jaeger = {{ compact = {compact}, binary = {binary}, http = {http}, grpc = {grpc}, \
         sampling = {sampling} }}"
    )
}

/// Hostname and name are the guid.
fn assert_is(container: &Container, guid: &str) {
    let shown = container.inspect();
    assert_eq!(shown["Config"]["Hostname"], guid);
    assert_eq!(shown["Name"], format!("/{guid}"));
}

#[test]
fn with_nothing_but_the_agent_everything_of_an_app_is_at_the_bus_under_its_guid() {
    let python = match python::environment("python-jaeger", "jaeger-requirements.txt") {
        Ok(python) => python,
        Err(why) => return skip("the seed flow", &format!("no jaeger-client: {why}")),
    };
    let bed = Bed::new();
    let ports = [(); 5].map(|()| free_port());
    let [_, binary, http, ..] = ports;
    let folders = python::folders(&python);
    let agent = bed.agent(
        &jaeger_listeners(&ports),
        &format!("[docker.allow]\nhost_mounts = {folders:?}"),
    );
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let (guid, line) = (unique("seed"), unique("line"));
    let container = Container::claim(&docker, &guid);
    let script = format!(
        "echo {line}; exec {} {} {binary} {http} 2>&1",
        python.display(),
        python::scripts().join("jaeger_app.py").display(),
    );
    let mounts: Vec<_> = folders.iter().map(|it| format!("{it}:{it}:ro")).collect();
    let app = json!({
        "driver": "docker",
        "image": image.name(),
        "command": ["/bin/sh", "-c", script],
        "mounts": mounts,
        "env": {"PYTHONDONTWRITEBYTECODE": "1"},
    });
    let (status, answer) = agent.put(&format!("/api/v1/apps/{guid}"), &app);
    assert_eq!(status, 201, "{answer}");
    assert_is(&container, &guid);
    // OTLP, Thrift in datagrams and over HTTP, and the real jaeger-client.
    bed.expect(&guid, &line, &["otlp", "binary", "http", "compact"]);
}

#[test]
fn with_the_managed_stack_everything_of_an_app_is_at_the_bus_under_its_guid() {
    let folder = tempfile::tempdir().unwrap();
    let jaeger = match python::jaeger_stand_in(folder.path()) {
        Ok(program) => program,
        Err(why) => return skip("the seed flow with its stack", &why),
    };
    let bed = Bed::new();
    let agent = bed.agent(
        &jaeger_listeners(&[(); 5].map(|()| free_port())),
        &stack(&python::scripts().join("vector.py"), &jaeger),
    );
    let components = [
        "prometheus",
        "node_exporter",
        "vector",
        "jaeger_collector",
        "jaeger_agent",
    ];
    eventually(PATIENCE, "the whole stack runs", || {
        let stack = agent.get_json("/api/v1/stack");
        let all = stack["components"].as_array().unwrap();
        let runs = |name: &&str| {
            all.iter()
                .any(|it| it["name"] == **name && it["state"] == "running")
        };
        components.iter().all(runs).then_some(())
    });

    let docker = system_docker();
    let image = Image::busybox(&docker);
    let (guid, line) = (unique("seed"), unique("line"));
    let container = Container::claim(&docker, &guid);
    let span = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"otlp","traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174"}]}]}]}"#;
    let script = format!(
        "echo {line}; wget -q -O - --header 'Content-Type: application/json' --post-data '{span}' \
         $OTEL_EXPORTER_OTLP_ENDPOINT/v1/traces; sleep 600"
    );
    let (status, answer) = agent.put(&format!("/api/v1/apps/{guid}"), &image.app(&script));
    assert_eq!(status, 201, "{answer}");
    assert_is(&container, &guid);
    // The line came through Vector, which reads logs in place of the agent: once.
    bed.expect(&guid, &line, &["otlp"]);
    // Scraped by Prometheus from node exporter and written to the agent.
    let labels = [("__name__", "node_load1"), ("guid", HOST), ("job", "node")];
    bed.metrics.wait_for(&labels, PATIENCE);
}

/// All components as processes: the real ones, and stand-ins for those that cannot be had.
fn stack(vector: &Path, jaeger: &Path) -> String {
    let at = || format!("\"127.0.0.1:{}\"", free_port());
    format!(
        "[stack.prometheus]\nmanaged = \"binary\"\nlisten = {}\nscrape_interval = \"1s\"\n\
         [stack.node_exporter]\nmanaged = \"binary\"\nlisten = {}\n\
         [stack.vector]\nmanaged = \"binary\"\npath = {vector:?}\napi = {}\n\
         [stack.jaeger_collector]\nmanaged = \"binary\"\npath = {jaeger:?}\nadmin = {}\n\
         [stack.jaeger_agent]\nmanaged = \"binary\"\npath = {jaeger:?}\nadmin = {}\n",
        at(),
        at(),
        at(),
        at(),
        at(),
    )
}
