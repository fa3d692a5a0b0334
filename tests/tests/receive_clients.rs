//! Real senders through the real agent: Prometheus, vmagent and OpenTelemetry's SDK for Python.
//! Each sends the same once to a sink and once through guidon; what arrives is compared.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use guidon_tests::python::{environment, scripts};
use guidon_tests::{Agent, Program, PrometheusServer, eventually, free_port, skip};
use serde_json::Value;
use xtask::child::Running;
use xtask::http::{Request, Server, send};

const HOST: &str = "the-host";

/// An agent that only receives and forwards.
struct Receiving {
    agent: Agent,
    remote_write: String,
    otlp_http: String,
    otlp_grpc: String,
}

impl Receiving {
    fn start(bus: &str) -> Self {
        let [remote_write, otlp_http, otlp_grpc] =
            [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
        let agent = Agent::start_with(
            &format!("guid = {HOST:?}"),
            &format!(
                "[collect]\nkernel = false\ncontainers = false\nnode = false\n\n\
                 [receive]\nremote_write = {remote_write:?}\notlp_http = {otlp_http:?}\n\
                 otlp_grpc = {otlp_grpc:?}\n\n[bus]\n{bus}"
            ),
        );
        Self {
            agent,
            remote_write,
            otlp_http,
            otlp_grpc,
        }
    }

    fn write_url(&self) -> String {
        format!("http://{}/api/v1/write", self.remote_write)
    }
}

/// Labels, as JSON has them in order, and the samples: timestamp and bits.
type Samples = BTreeMap<BTreeMap<String, String>, BTreeSet<(i64, u64)>>;

/// All that a VictoriaMetrics has of a job.
fn export(server: &PrometheusServer, job: &str) -> Samples {
    let path = format!("/api/v1/export?match[]=%7Bjob%3D%22{job}%22%7D");
    let _ = server.program().get("/internal/force_flush");
    let answer = server.program().get(&path).expect("an export");
    let mut samples = Samples::new();
    for line in answer.text().lines() {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        let labels = line["metric"].as_object().expect("labels").iter();
        let labels = labels
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or("").to_owned()))
            .collect();
        let values = line["values"].as_array().expect("values").iter();
        let times = line["timestamps"].as_array().expect("timestamps").iter();
        let points = values
            .zip(times)
            .map(|(value, time)| {
                // Stale markers are `null`.
                let bits = value.as_f64().map_or(u64::MAX, f64::to_bits);
                (time.as_i64().expect("a time"), bits)
            })
            .collect::<BTreeSet<_>>();
        samples.entry(labels).or_default().extend(points);
    }
    samples
}

/// What came through guidon is what came directly, and the guid. The sender goes on meanwhile.
fn same_but_for_the_guid(direct: &PrometheusServer, through: &PrometheusServer, job: &str) {
    let export_through = || {
        let labelled = export(through, job).into_iter();
        labelled
            .map(|(mut labels, samples)| {
                assert_eq!(labels.remove("guid").as_deref(), Some(HOST), "{labels:?}");
                (labels, samples)
            })
            .collect::<Samples>()
    };
    // Everything of the one is there in the other, a moment later; and the other way round.
    let within = |sent: &Samples, arrived: &Samples| {
        sent.iter().all(|(labels, samples)| {
            let arrived = arrived.get(labels);
            arrived.is_some_and(|arrived| samples.is_subset(arrived))
        })
    };
    let sent = export(direct, job);
    assert!(sent.len() > 100, "{} series", sent.len());
    let what = format!("all samples of {} series", sent.len());
    eventually(Duration::from_secs(20), &what, || {
        within(&sent, &export_through()).then_some(())
    });
    let arrived = export_through();
    eventually(Duration::from_secs(20), "nothing but what was sent", || {
        within(&arrived, &export(direct, job)).then_some(())
    });
}

#[test]
fn prometheus_remote_write_arrives_unchanged_but_for_the_guid() {
    let (direct, through) = (
        PrometheusServer::victoria_metrics(),
        PrometheusServer::victoria_metrics(),
    );
    let receiving = Receiving::start(&format!("metrics = {:?}", through.write_url()));
    let remote =
        |url: String| format!("- url: {url}\n  queue_config: {{batch_send_deadline: 1s}}\n");
    let prometheus = PrometheusServer::prometheus(&format!(
        "- job_name: itself\n  metrics_path: /metrics\n  static_configs: [{{targets: ['{}']}}]\n\
         remote_write:\n{}{}",
        direct.program().address(),
        remote(direct.write_url()),
        remote(receiving.write_url()),
    ));
    std::thread::sleep(Duration::from_secs(6));
    same_but_for_the_guid(&direct, &through, "itself");
    drop(prometheus);
    let stats = receiving.agent.get("/metrics").text();
    assert!(!stats.contains("guidon_receive_refused_total{"), "{stats}");
}

#[test]
fn vmagent_arrives_unchanged_but_for_the_guid() {
    let (direct, through) = (
        PrometheusServer::victoria_metrics(),
        PrometheusServer::victoria_metrics(),
    );
    let receiving = Receiving::start(&format!("metrics = {:?}", through.write_url()));
    let vmagent = Program::start("vmagent", "/health", |folder, address| {
        let config = folder.join("scrape.yml");
        let text = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: it\n  \
             static_configs: [{{targets: ['{}']}}]\n",
            direct.program().address()
        );
        std::fs::write(&config, text).expect("write scrape.yml");
        vec![
            format!("-promscrape.config={}", config.display()),
            format!("-remoteWrite.tmpDataPath={}", folder.join("data").display()),
            format!("-httpListenAddr={address}"),
            format!("-remoteWrite.url={}", direct.write_url()),
            format!("-remoteWrite.url={}", receiving.write_url()),
            "-remoteWrite.flushInterval=200ms".to_owned(),
        ]
    });
    std::thread::sleep(Duration::from_secs(6));
    same_but_for_the_guid(&direct, &through, "it");
    drop(vmagent);
}

/// OpenTelemetry's SDK.
static PYTHON: LazyLock<Result<PathBuf, String>> =
    LazyLock::new(|| environment("python-clients", "requirements.txt"));

/// The Python sink.
struct Sink {
    address: String,
    file: PathBuf,
    _folder: tempfile::TempDir,
    _process: Running,
}

impl Sink {
    fn start(python: &Path) -> Self {
        let folder = tempfile::tempdir().expect("make a folder");
        let port = free_port().to_string();
        let file = folder.path().join("received");
        let script = scripts().join("otlp_sink.py");
        let arguments = [script.to_str().unwrap(), &port, file.to_str().unwrap()];
        let process =
            Running::start(python, &arguments, &folder.path().join("log")).expect("start the sink");
        let address = format!("127.0.0.1:{port}");
        eventually(Duration::from_secs(20), "the sink to answer", || {
            send(&Server::Tcp(address.clone()), &Request::new("GET", "/")).ok()
        });
        Self {
            address,
            file,
            _folder: folder,
            _process: process,
        }
    }

    /// Entries by resource that came to a path, each as text, in order of their text.
    fn entries(&self, path: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let mut entries = Vec::new();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).expect("a line of JSON");
            if line["path"] == path {
                let request = line["request"].as_object().expect("a request");
                let lists = request.values().filter_map(Value::as_array);
                entries.extend(lists.flatten().cloned());
            }
        }
        entries
    }
}

/// Takes the guid out of an entry's resource.
fn take_guid(entry: &mut Value) -> String {
    let attributes = entry["resource"]["attributes"].as_array_mut();
    let attributes = attributes.expect("attributes");
    let mut guids = Vec::new();
    attributes.retain(|pair| {
        if pair["key"] == "guid" {
            guids.push(
                pair["value"]["stringValue"]
                    .as_str()
                    .unwrap_or("")
                    .to_owned(),
            );
        }
        pair["key"] != "guid"
    });
    assert_eq!(guids.len(), 1, "{entry}");
    guids.remove(0)
}

fn sdk_arrives_unchanged(test: &str, protocol: &str) {
    let python = match &*PYTHON {
        Ok(python) => python,
        Err(why) => return skip(test, &format!("no OpenTelemetry SDK: {why}")),
    };
    let sink = Sink::start(python);
    let bus = |signal: &str| format!("http://{}/through/v1/{signal}", sink.address);
    let receiving = Receiving::start(&format!(
        "logs = {:?}\ntraces = {:?}\notlp_metrics = {:?}",
        bus("logs"),
        bus("traces"),
        bus("metrics")
    ));
    let target = match protocol {
        "grpc" => &receiving.otlp_grpc,
        _ => &receiving.otlp_http,
    };
    let output = Command::new(python)
        .arg(scripts().join("otlp_client.py"))
        .arg(protocol)
        .arg(format!("http://{}/direct", sink.address))
        .arg(format!("http://{target}"))
        .output()
        .expect("start the client");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", receiving.agent.log());
    for signal in ["logs", "traces", "metrics"] {
        let mut direct = sink.entries(&format!("/direct/v1/{signal}"));
        assert!(!direct.is_empty());
        for entry in &mut direct {
            assert_eq!(take_guid(entry), "forged");
        }
        let mut through = eventually(Duration::from_secs(20), signal, || {
            let through = sink.entries(&format!("/through/v1/{signal}"));
            (through.len() >= direct.len()).then_some(through)
        });
        for entry in &mut through {
            assert_eq!(take_guid(entry), HOST);
        }
        for entries in [&mut direct, &mut through] {
            entries.sort_by_key(Value::to_string);
        }
        assert_eq!(through, direct, "{signal}");
    }
    let stats = receiving.agent.get("/metrics").text();
    assert!(
        stats.contains("guidon_receive_forged_total{signal=\"traces\"}"),
        "{stats}"
    );
}

#[test]
fn the_python_sdk_over_http_arrives_unchanged_but_for_the_guid() {
    sdk_arrives_unchanged("the_python_sdk_over_http", "http");
}

#[test]
fn the_python_sdk_over_grpc_arrives_unchanged_but_for_the_guid() {
    sdk_arrives_unchanged("the_python_sdk_over_grpc", "grpc");
}

#[test]
fn json_of_the_python_sdk_s_data_arrives_unchanged_but_for_the_guid() {
    sdk_arrives_unchanged("json_of_the_python_sdk_s_data", "json");
}
