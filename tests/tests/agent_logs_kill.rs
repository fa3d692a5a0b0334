//! Containers write while the agent is killed again and again and Docker rotates their logs every
//! second or two: no line is lost, and only what was in flight at a kill comes twice.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use guidon_tests::{Agent, Container, Image, OtlpSink, eventually, system_docker, unique};
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use serde_json::json;

const CONTAINERS: usize = 4;
const LINES: usize = 20_000;
const KILLS: usize = 3;

/// Some 2,000 numbered lines of 200 bytes a second: 1 MiB of Docker's log in less than two.
fn script() -> String {
    let filler = "x".repeat(190);
    format!(
        "i=0; while [ $i -lt {LINES} ]; do j=0; while [ $j -lt 100 ]; do \
         echo $i {filler}; i=$((i+1)); j=$((j+1)); done; sleep 0.05; done; sleep 600"
    )
}

/// How often each line of each guid arrived.
fn arrived(sink: &OtlpSink) -> BTreeMap<String, Vec<u16>> {
    let mut arrived = BTreeMap::<String, Vec<u16>>::new();
    let exports = sink.exports();
    for resource_logs in exports.logs.iter().flat_map(|it| &it.resource_logs) {
        let attributes = &resource_logs.resource.as_ref().unwrap().attributes;
        let guid = attributes.iter().find(|pair| pair.key == "guid");
        let Some(AnyValue::StringValue(guid)) = guid.and_then(|it| it.value.clone()?.value) else {
            continue;
        };
        let counts = arrived.entry(guid).or_insert_with(|| vec![0; LINES]);
        let records = resource_logs
            .scope_logs
            .iter()
            .flat_map(|it| &it.log_records);
        for record in records {
            let Some(AnyValue::StringValue(text)) = &record.body.as_ref().unwrap().value else {
                panic!("{record:?} is no line");
            };
            let number = text.split(' ').next().unwrap();
            counts[number.parse::<usize>().unwrap()] += 1;
        }
    }
    arrived
}

#[test]
fn no_line_is_lost_over_kills_and_rotations_and_few_come_twice() {
    let docker = system_docker();
    let sink = OtlpSink::start();
    let mut agent = Agent::start_with(
        "",
        &format!(
            "[collect]\ncontainers = false\nnode = false\n\n\
             [receive]\nremote_write = false\notlp_http = false\notlp_grpc = false\napps = false\n\
             logs = true\n\n[bus]\nlogs = {:?}",
            sink.url("logs")
        ),
    );
    let image = Image::busybox(&docker);
    let mut containers = Vec::new();
    for _ in 0..CONTAINERS {
        let guid = unique("kill");
        containers.push(Container::claim(&docker, &guid));
        let mut app = image.app(&script());
        app["log"] = json!({"driver": "json-file",
            "options": {"max-size": "1m", "max-file": "5"}});
        let (status, answer) = agent.put(&format!("/api/v1/apps/{guid}"), &app);
        assert_eq!(status, 201, "{answer}");
    }
    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_secs(2));
        agent.kill();
        agent.start();
    }
    let counts = eventually(Duration::from_secs(90), "every line of every app", || {
        let counts = arrived(&sink);
        let whole = |container: &Container| {
            let counts = counts.get(&container.name);
            counts.is_some_and(|counts| counts.iter().all(|&count| count > 0))
        };
        containers.iter().all(whole).then_some(counts)
    });
    let twice: usize = counts
        .values()
        .flatten()
        .filter(|&&count| count > 1)
        .count();
    let lines = CONTAINERS * LINES;
    // A request in flight holds a sweep's text, some MiB of all files at most.
    assert!(twice < lines / 4, "{twice} of {lines} lines came twice");
    let log = containers[0].inspect()["LogPath"].clone();
    let rotated = format!("{}.1", log.as_str().unwrap());
    assert!(std::path::Path::new(&rotated).exists(), "{rotated}");
}
