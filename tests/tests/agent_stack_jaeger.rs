//! Jaeger's agent and collector under management, v1 and v2, with a stand-in that takes the real ones'
//! flags alone, reads v2's file as YAML, and hands spans on as they do.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use guidon::receive::jaeger::api_v2;
use guidon_tests::agent::guidon;
use guidon_tests::{
    Agent, Image, OtlpSink, eventually, free_port, python, skip, system_docker, unique,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use rustix::process::Signal;
use serde_json::{Value, json};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

const PATIENCE: Duration = Duration::from_secs(60);

/// Ports of everything that listens.
struct Ports {
    otlp_http: SocketAddr,
    otlp_grpc: SocketAddr,
    compact: SocketAddr,
    binary: SocketAddr,
    grpc: SocketAddr,
    http: SocketAddr,
    agent_admin: SocketAddr,
    collector_admin: SocketAddr,
}

struct Managed {
    agent: Agent,
    sink: OtlpSink,
    ports: Ports,
    program: PathBuf,
    _folder: tempfile::TempDir,
}

impl Managed {
    fn start(version: &str) -> Option<Self> {
        let (folder, sink) = (tempfile::tempdir().unwrap(), OtlpSink::start());
        let program = match python::jaeger_stand_in(folder.path()) {
            Ok(program) => program,
            Err(why) => {
                skip("jaeger under management", &why);
                return None;
            }
        };
        let free = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        let ports = Ports {
            otlp_http: free(),
            otlp_grpc: free(),
            compact: free(),
            binary: free(),
            grpc: free(),
            http: free(),
            agent_admin: free(),
            collector_admin: free(),
        };
        let sections = sections(&ports, &program, &sink, version, "binary");
        let agent = Agent::start_with("guid = \"the-host\"", &sections);
        Some(Self {
            agent,
            sink,
            ports,
            program,
            _folder: folder,
        })
    }

    fn reconfigure(&mut self, version: &str, managed: &str) {
        let path = self.agent.config_path();
        let text = std::fs::read_to_string(&path).unwrap();
        let (kept, _) = text.split_once("[receive]").unwrap();
        let sections = sections(&self.ports, &self.program, &self.sink, version, managed);
        std::fs::write(&path, format!("{kept}{sections}")).unwrap();
        self.agent.signal(Signal::HUP);
    }

    fn status(&self, name: &str) -> Value {
        let stack = self.agent.get_json("/api/v1/stack");
        let mut all = stack["components"].as_array().unwrap().iter();
        all.find(|it| it["name"] == name).unwrap().clone()
    }

    fn runs(&self, name: &str) -> Value {
        eventually(PATIENCE, &format!("{name} runs"), || {
            let status = self.status(name);
            (status["state"] == "running" && !status["version"].is_null()).then_some(status)
        })
    }

    /// What the stand-in was told, one for each start.
    fn told(&self, component: &str, role: &str) -> Vec<Value> {
        let folder = self.agent.data_dir().join("stack").join(component);
        let text = std::fs::read_to_string(folder.join(format!("calls-{role}")));
        let text = text.unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The guid under which the span arrives at the bus.
    fn guid_of(&self, span: &str) -> String {
        eventually(PATIENCE, &format!("{span} at the bus"), || {
            let exports = self.sink.exports();
            let entries = exports.traces.iter().flat_map(|it| &it.resource_spans);
            entries.into_iter().find_map(|entry| {
                let mut spans = entry.scope_spans.iter().flat_map(|it| &it.spans);
                spans.find(|it| it.name == span)?;
                let attributes = &entry.resource.as_ref().unwrap().attributes;
                let mut guids = attributes.iter().filter(|it| it.key == "guid");
                let guid = guids.next().unwrap().value.as_ref().unwrap();
                assert!(guids.next().is_none(), "{attributes:?}");
                match guid.value.as_ref() {
                    Some(AnyValue::StringValue(guid)) => Some(guid.clone()),
                    other => panic!("{other:?} is no guid"),
                }
            })
        })
    }
}

fn sections(
    ports: &Ports,
    program: &std::path::Path,
    sink: &OtlpSink,
    version: &str,
    managed: &str,
) -> String {
    let Ports {
        otlp_http,
        otlp_grpc,
        compact,
        binary,
        grpc,
        http,
        agent_admin,
        collector_admin,
    } = ports;
    format!(
        "[receive]\nremote_write = false\napps = false\notlp_http = \"{otlp_http}\"\n\
         otlp_grpc = \"{otlp_grpc}\"\njaeger = {{ compact = \"{compact}\", binary = \"{binary}\", \
         grpc = \"{grpc}\", http = \"{http}\", sampling = false }}\n\n\
         [bus]\ntraces = {:?}\n\n\
         [stack.jaeger_collector]\nmanaged = {managed:?}\npath = {program:?}\n\
         version = {version:?}\nadmin = \"{collector_admin}\"\n\n\
         [stack.jaeger_agent]\nmanaged = {managed:?}\npath = {program:?}\n\
         admin = \"{agent_admin}\"\n",
        sink.url("traces"),
    )
}

/// Posts a span as a tagged Jaeger agent does: its tag is behind the client's.
fn post(collector: SocketAddr, hostname: &str, span: &str) {
    let tag = |key: &str, value: &str| api_v2::KeyValue {
        key: key.to_owned(),
        v_str: value.to_owned(),
        ..Default::default()
    };
    let request = api_v2::PostSpansRequest {
        batch: Some(api_v2::Batch {
            spans: vec![api_v2::Span {
                trace_id: vec![1; 16],
                span_id: vec![2; 8],
                operation_name: span.to_owned(),
                ..Default::default()
            }],
            process: Some(api_v2::Process {
                service_name: "shop".to_owned(),
                tags: vec![tag("hostname", hostname), tag("guid", "the-host")],
            }),
        }),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let channel = Channel::from_shared(format!("http://{collector}")).unwrap();
        let mut client = tonic::client::Grpc::new(channel.connect().await.unwrap());
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<api_v2::PostSpansRequest, ()>::default();
        let path = PathAndQuery::from_static("/jaeger.api_v2.CollectorService/PostSpans");
        client
            .unary(tonic::Request::new(request), path, codec)
            .await
            .unwrap();
    });
}

#[test]
fn spans_through_v1_and_v2_arrive_under_the_guid_of_the_app_whose_host_they_name() {
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let Some(mut managed) = Managed::start("v1") else {
        return;
    };
    let app = unique("app");
    let (status, answer) = managed
        .agent
        .put(&format!("/api/v1/apps/{app}"), &image.app("sleep 600"));
    assert_eq!(status, 201, "{answer}");

    let collector = managed.runs("jaeger_collector");
    assert_eq!(collector["version"], "v1.57.0");
    let ports = &managed.ports;
    assert_eq!(
        managed.told("jaeger_collector", "collector"),
        [json!({"storage": "grpc", "flags": {
            "collector.grpc-server.host-port": ports.grpc.to_string(),
            "collector.http-server.host-port": ports.http.to_string(),
            "collector.otlp.enabled": "false",
            "admin.http.host-port": ports.collector_admin.to_string(),
            "grpc-storage.server": ports.otlp_grpc.to_string(),
        }})]
    );
    let jaeger_agent = managed.runs("jaeger_agent");
    assert_eq!(
        managed.told("jaeger_agent", "agent"),
        [json!({
            "reporter.grpc.host-port": ports.grpc.to_string(),
            "agent.tags": "guid=the-host",
            "processor.jaeger-compact.server-host-port": ports.compact.to_string(),
            "processor.jaeger-binary.server-host-port": ports.binary.to_string(),
            "processor.zipkin-compact.server-host-port": "127.0.0.1:0",
            "http-server.host-port": "127.0.0.1:0",
            "admin.http.host-port": ports.agent_admin.to_string(),
        })]
    );
    for (protocol, door) in [("compact", ports.compact), ("binary", ports.binary)] {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"12345", door).unwrap();
        eventually(PATIENCE, "the datagram is the managed agent's", || {
            let told = managed.told("jaeger_agent", "agent");
            told.contains(&json!({"datagram": 5, "protocol": protocol}))
                .then_some(())
        });
    }
    post(ports.grpc, &app, "of-app-v1");
    post(ports.grpc, "some-machine", "of-host-v1");
    assert_eq!(managed.guid_of("of-app-v1"), app);
    assert_eq!(managed.guid_of("of-host-v1"), "the-host");

    managed.reconfigure("v2", "binary");
    let collector = eventually(PATIENCE, "v2", || {
        let status = managed.status("jaeger_collector");
        (status["version"] == "2.20.0" && status["state"] == "running").then_some(status)
    });
    let ports = &managed.ports;
    let config = managed.told("jaeger_collector", "collector").pop().unwrap();
    assert_eq!(
        config["receivers"]["jaeger"]["protocols"],
        json!({
            "grpc": {"endpoint": ports.grpc.to_string()},
            "thrift_http": {"endpoint": ports.http.to_string()},
        })
    );
    assert_eq!(
        config["exporters"]["otlphttp"]["traces_endpoint"],
        format!("http://{}/v1/traces", ports.otlp_http)
    );
    post(ports.grpc, &app, "of-app-v2");
    post(ports.grpc, "some-machine", "of-host-v2");
    assert_eq!(managed.guid_of("of-app-v2"), app);
    assert_eq!(managed.guid_of("of-host-v2"), "the-host");
    // What had nothing changed was not touched.
    assert_eq!(managed.runs("jaeger_agent")["pid"], jaeger_agent["pid"]);
    let restarts = &managed.status("jaeger_collector")["restarts"];
    assert_eq!((restarts, &collector["restarts"]), (&json!(0), &json!(0)));

    managed.reconfigure("v2", "off");
    eventually(PATIENCE, "the agent listens itself again", || {
        let grpc = TcpListener::bind(managed.ports.grpc).is_err();
        let compact = UdpSocket::bind(managed.ports.compact).is_err();
        let is_off = managed.status("jaeger_collector")["state"] == "off";
        (grpc && compact && is_off).then_some(())
    });
    post(managed.ports.grpc, &app, "of-app-embedded");
    assert_eq!(managed.guid_of("of-app-embedded"), app);
}

#[test]
fn a_check_names_what_jaeger_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guidon.toml");
    let check = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let (code, _, problems) = guidon(&["check", "--config", path.to_str().unwrap()]);
        (code, problems)
    };
    for (text, words) in [
        (
            "[receive]\notlp_grpc = false\n[stack.jaeger_collector]\nmanaged = \"binary\"\n\
             version = \"v1\"\n",
            "receive.otlp_grpc is switched off",
        ),
        (
            "[receive]\notlp_http = false\n[stack.jaeger_collector]\nmanaged = \"binary\"\n",
            "receive.otlp_http is switched off",
        ),
        (
            "[receive]\njaeger = false\n[stack.jaeger_collector]\nmanaged = \"binary\"\n",
            "nothing says where it listens",
        ),
        (
            "[receive]\njaeger = false\n[stack.jaeger_agent]\nmanaged = \"binary\"\n",
            "receive.jaeger.grpc is switched off",
        ),
        (
            "[stack.jaeger_collector]\nmanaged = \"binary\"\nadmin = \"127.0.0.1:14268\"\n",
            "taken by",
        ),
        (
            "[stack.jaeger_collector]\nmanaged = \"binary\"\nversion = \"v3\"\n",
            "use one of",
        ),
    ] {
        let (code, problems) = check(text);
        assert_eq!(code, 1, "{text}");
        assert!(problems.contains(words), "{problems}");
    }
    let (code, problems) = check(
        "[stack.jaeger_collector]\nmanaged = \"binary\"\nversion = \"v1\"\n\
         storage = \"kafka\"\n[receive]\notlp_grpc = false\n",
    );
    assert_eq!(code, 0, "{problems}");
}
