//! What the Manager registers beside apps: exporters that a real Prometheus finds through
//! `http_sd`, and log files that are followed as an app's.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use guidon_tests::{Agent, OtlpSink, PrometheusServer, eventually};
use serde_json::json;

#[test]
fn prometheus_scrapes_what_is_registered_under_its_guid_also_after_a_restart() {
    let mut agent = Agent::start_with("guid = \"the-host\"", "");
    let exporter = PrometheusServer::victoria_metrics();
    let prometheus = PrometheusServer::prometheus(&format!(
        "- job_name: guidon\n  http_sd_configs:\n  - url: http://{}/api/v1/targets\n    \
         refresh_interval: 1s\n",
        agent.api()
    ));
    let address = exporter.program().address();
    for (name, body) in [
        ("own", json!({"address": address})),
        (
            "app",
            json!({"address": address, "labels": {"guid": "app-1", "team": "a"}}),
        ),
        ("away", json!({"address": "127.0.0.1:1"})),
    ] {
        let (status, answer) = agent.put(&format!("/api/v1/exporters/{name}"), &body);
        assert_eq!(status, 201, "{answer}");
    }
    let patience = Duration::from_secs(30);
    let app = "up{guid=\"app-1\",job=\"app\",team=\"a\"} == 1";
    prometheus.wait_for(app, patience);
    prometheus.wait_for("up{guid=\"the-host\",job=\"own\"} == 1", patience);
    prometheus.wait_for("up{guid=\"the-host\",job=\"away\"} == 0", patience);
    for (name, state) in [("own", "up"), ("away", "down")] {
        eventually(patience, state, || {
            let path = format!("/api/v1/exporters/{name}");
            (agent.get_json(&path)["health"]["state"] == state).then_some(())
        });
    }

    agent.kill();
    agent.start();
    assert_eq!(agent.delete("/api/v1/exporters/own").0, 204);
    let targets = agent.get_json("/api/v1/targets");
    assert_eq!(targets.as_array().unwrap().len(), 2, "{targets}");
    eventually(patience, "Prometheus forgets the exporter", || {
        let known = prometheus.query("up{job=\"own\"}");
        known.is_empty().then_some(())
    });
    assert_eq!(prometheus.query(app).len(), 1);
}

/// How often each line arrived, by guid.
fn lines(sink: &OtlpSink) -> BTreeMap<(String, String), usize> {
    let mut lines = BTreeMap::new();
    for line in sink.lines() {
        let guid = line.guid().to_owned();
        *lines.entry((guid, line.text)).or_default() += 1;
    }
    lines
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn extra_log_files_are_followed_over_rotation_and_kill_and_only_where_it_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let allowed = folder.path().join("allowed");
    std::fs::create_dir(&allowed).unwrap();
    let secret = folder.path().join("secret");
    append(&secret, "secret\n");
    let sink = OtlpSink::start();
    let mut agent = Agent::start_with(
        "",
        &format!(
            "[receive]\nremote_write = false\notlp_http = false\notlp_grpc = false\napps = false\n\
             log_files = [{allowed:?}]\n\n[bus]\nlogs = {:?}",
            sink.url("logs")
        ),
    );
    let path = "/api/v1/logs/app-1";
    let pattern = allowed.join("*.log").display().to_string();
    let (status, answer) = agent.put(path, &json!({"files": [secret]}));
    assert_eq!(status, 403, "{answer}");
    assert!(answer.to_string().contains("receive.log_files"), "{answer}");
    let (status, answer) = agent.put(path, &json!({"files": [pattern]}));
    assert_eq!((status, &answer["outcome"]), (201, &json!("created")));

    let log = allowed.join("a.log");
    std::os::unix::fs::symlink(&secret, allowed.join("b.log")).unwrap();
    append(&log, "one\ntwo\n");
    let arrived = |wanted: &[&str]| {
        let keys = wanted
            .iter()
            .map(|it| ("app-1".to_owned(), (*it).to_owned()));
        let expected: BTreeMap<_, _> = keys.map(|key| (key, 1)).collect();
        eventually(Duration::from_secs(20), "the lines", || {
            (lines(&sink) == expected).then_some(())
        });
    };
    arrived(&["one", "two"]);
    let state = eventually(Duration::from_secs(20), "a position", || {
        let state = agent.get_json(path);
        (state["following"][0]["read_bytes"] == 8).then_some(state)
    });
    assert_eq!(state["following"].as_array().unwrap().len(), 1, "{state}");
    assert!(state["problems"][0].as_str().unwrap().contains("b.log"));

    agent.kill();
    append(&log, "three\n");
    std::fs::rename(&log, allowed.join("a.log.1")).unwrap();
    append(&log, "four\n");
    agent.start();
    arrived(&["four", "one", "three", "two"]);
    assert_eq!(agent.delete(path).0, 204);
    assert_eq!(agent.get(path).status, 404);
    std::thread::sleep(Duration::from_secs(2));
    append(&log, "five\n");
    std::thread::sleep(Duration::from_secs(2));
    arrived(&["four", "one", "three", "two"]);
}
