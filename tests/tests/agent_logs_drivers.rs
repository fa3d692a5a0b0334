//! Containers whose log driver writes no json-file: Docker itself is asked for what they print.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use guidon_tests::{
    Agent, Container, Docker, Dockerd, Image, OtlpSink, eventually, skip, system_docker, unique,
};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

fn agent(sink: &OtlpSink, socket: Option<&Path>) -> Agent {
    let docker = socket.map_or(String::new(), |socket| {
        format!("[docker]\nsocket = {socket:?}\n")
    });
    Agent::start_with(
        "",
        &format!(
            "[collect]\ncontainers = false\nnode = false\n\n\
             [receive]\nremote_write = false\notlp_http = false\notlp_grpc = false\napps = false\n\
             logs = true\n\n[bus]\nlogs = {:?}\n\n{docker}",
            sink.url("logs")
        ),
    )
}

/// A container that guidon did not make, with a log driver.
fn run(docker: &Docker, image: &Image, driver: &Value, is_tty: bool, script: &str) -> Container {
    let container = Container::claim(docker, &unique("driver"));
    let body = json!({"Image": image.name(), "Cmd": ["/bin/sh", "-c", script], "Tty": is_tty,
        "HostConfig": {"LogConfig": driver, "NetworkMode": "none"}});
    let id = docker.create(&container.name, &body).unwrap();
    docker.start(&id).unwrap();
    container
}

/// How often each line of a container arrived.
fn lines(sink: &OtlpSink, container: &str) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for line in sink.lines() {
        if line.resource.get("container.name").map(String::as_str) == Some(container) {
            *lines.entry(line.text).or_default() += 1;
        }
    }
    lines
}

/// Waits until exactly these lines of a container arrived, each so often.
fn arrived(sink: &OtlpSink, container: &Container, expected: &[&str], times: usize) {
    let expected: BTreeMap<String, usize> = expected
        .iter()
        .map(|&text| (text.to_owned(), times))
        .collect();
    let what = format!("the lines of {}", container.name);
    eventually(PATIENCE, &what, || {
        (lines(sink, &container.name) == expected).then_some(())
    });
}

#[test]
fn output_that_only_docker_can_read_arrives_over_a_kill_of_the_agent() {
    const LINES: usize = 400;
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let sink = OtlpSink::start();
    let mut agent = agent(&sink, None);
    let guid = unique("driver");
    let app_container = Container::claim(&docker, &guid);
    // 40,000 bytes are three pieces to Docker. Some 200 lines a second follow, on both streams.
    let script = format!(
        "echo '{{\"level\": \"warn\"}}'; head -c 40000 /dev/zero | tr '\\0' x; echo; i=0; \
         while [ $i -lt {LINES} ]; do echo out $i; echo err $i >&2; i=$((i+1)); \
         [ $((i % 10)) = 0 ] && sleep 0.1; done; sleep 600"
    );
    let mut app = image.app(&script);
    app["log"] = json!({"driver": "local"});
    let (status, answer) = agent.put(&format!("/api/v1/apps/{guid}"), &app);
    assert_eq!(status, 201, "{answer}");
    let local = json!({"Type": "local"});
    let long = "head -c 40000 /dev/zero | tr '\\0' y; echo; echo on a terminal; sleep 600";
    let terminal = run(&docker, &image, &local, true, long);
    let ended = run(&docker, &image, &local, false, "echo that was all");
    // Nobody listens there, but Docker keeps what it sends.
    let syslog = json!({"Type": "syslog", "Config": {"syslog-address": "udp://127.0.0.1:9"}});
    let cached = run(&docker, &image, &syslog, false, "echo cached; sleep 600");
    let none = run(
        &docker,
        &image,
        &json!({"Type": "none"}),
        false,
        "sleep 600",
    );
    let said = || agent.log().matches(none.name.as_str()).count();
    eventually(PATIENCE, "a word about the driver", || {
        (said() > 0).then_some(())
    });
    assert_eq!(said(), 1, "{}", agent.log());
    let metrics = agent.get("/metrics").text();
    assert!(metrics.contains("guidon_logs_unreadable 1\n"), "{metrics}");

    agent.kill();
    std::thread::sleep(Duration::from_millis(500));
    agent.start();
    let (x_line, y_line) = ("x".repeat(40_000), "y".repeat(40_000));
    let mut expected = vec!["{\"level\": \"warn\"}".to_owned(), x_line];
    for number in 0..LINES {
        expected.extend([format!("out {number}"), format!("err {number}")]);
    }
    expected.sort_unstable();
    let found = eventually(PATIENCE, "every line of the app", || {
        let found = lines(&sink, &guid);
        found.keys().eq(&expected).then_some(found)
    });
    // What was in flight at the kill: a fifth of a second is gathered into a request.
    let twice = found.values().filter(|&&count| count > 1).count();
    assert!(twice < LINES / 2, "{twice} lines came twice");
    assert!(found.values().all(|&count| count <= 2));
    arrived(&sink, &terminal, &[&y_line, "on a terminal"], 1);
    arrived(&sink, &ended, &["that was all"], 1);
    arrived(&sink, &cached, &["cached"], 1);

    // Nothing is in flight now, so nothing comes again.
    agent.stop();
    let before = sink.lines().len();
    agent.start();
    eventually(PATIENCE, "the streams of the running three", || {
        let metrics = agent.get("/metrics").text();
        metrics.contains("guidon_logs_streams 3\n").then_some(())
    });
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(sink.lines().len(), before);

    let all = sink.lines();
    let first = all.iter().find(|line| line.text == "out 0").unwrap();
    let expected = [
        ("guid", guid.as_str()),
        ("service.instance.id", &guid),
        ("container.name", &guid),
        ("container.id", &app_container.id()),
        ("container.image.name", image.name()),
        ("image", image.name()),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(first.resource, BTreeMap::from(expected));
    assert_eq!(
        (first.severity, &*first.attributes["log.iostream"]),
        (9, "stdout")
    );
    let error = all.iter().find(|line| line.text == "err 0").unwrap();
    assert_eq!(
        (error.severity, &*error.attributes["log.iostream"]),
        (17, "stderr")
    );
    assert!(first.time_ns > 1_700_000_000_000_000_000);
}

#[test]
fn output_in_the_journal_and_in_local_logs_arrives_over_a_restart_of_docker() {
    const NAME: &str = "output_in_the_journal";
    const SCRIPT: &str = "i=0; while [ $i -lt 50 ]; do echo $i; i=$((i+1)); done; sleep 600";
    let folder = tempfile::tempdir().unwrap();
    let mut dockerd = match Dockerd::private_with_journal(folder.path()) {
        Ok(dockerd) => dockerd,
        Err(why) => return skip(NAME, &format!("no Docker with a journal: {why:#}")),
    };
    let docker = dockerd.docker().clone();
    let image = Image::busybox(&docker);
    let sink = OtlpSink::start();
    let agent = agent(&sink, Some(dockerd.socket()));
    let containers = ["journald", "local"]
        .map(|driver| run(&docker, &image, &json!({"Type": driver}), false, SCRIPT));
    let numbers: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    for container in &containers {
        arrived(&sink, container, &numbers, 1);
    }
    dockerd.stop().unwrap();
    dockerd.start().unwrap();
    for container in &containers {
        docker.start(&container.name).unwrap();
    }
    for container in &containers {
        arrived(&sink, container, &numbers, 2);
    }
    // Only the new connections of sessions could bring anything twice: they are over.
    std::thread::sleep(Duration::from_secs(1));
    for container in &containers {
        arrived(&sink, container, &numbers, 2);
    }
    drop(agent);
}

#[test]
fn without_docker_that_is_said_once_and_files_are_followed_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let sink = OtlpSink::start();
    let agent = Agent::start_with(
        "",
        &format!(
            "[receive]\nremote_write = false\notlp_http = false\notlp_grpc = false\napps = false\n\
             logs = true\nlog_files = [{0:?}]\n\n[bus]\nlogs = {1:?}\n\n\
             [docker]\nsocket = \"{2}/docker.sock\"\n",
            folder.path(),
            sink.url("logs"),
            folder.path().display()
        ),
    );
    let log = folder.path().join("a.log");
    std::fs::write(&log, "one\nno end of line").unwrap();
    let (status, answer) = agent.put("/api/v1/logs/app-1", &json!({"files": [log]}));
    assert_eq!(status, 201, "{answer}");
    // What has no end of line is a line once nothing more comes.
    eventually(PATIENCE, "the lines of the file", || {
        let texts: Vec<String> = sink.lines().into_iter().map(|line| line.text).collect();
        (texts == ["one", "no end of line"]).then_some(())
    });
    // Quiet files are watched, not read again and again: this one stirs.
    std::thread::sleep(Duration::from_secs(3));
    std::fs::OpenOptions::new()
        .append(true)
        .open(&log)
        .and_then(|mut file| file.write_all(b"\ntwo\n"))
        .unwrap();
    eventually(PATIENCE, "the next line", || {
        (sink.lines().last()?.text == "two").then_some(())
    });
    assert!(agent.is_healthy());
    let said = agent.log().matches("docker is away").count();
    assert_eq!(said, 1, "{}", agent.log());
}
