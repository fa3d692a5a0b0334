//! The command line, by running the program; an API with fakes behind it where it needs an agent.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::time::Duration;

use guidon::signal::{Frame, Kind};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use support::{Agent, guidon, run};

#[test]
fn a_wrong_command_line_exits_64_and_help_exits_0() {
    for args in [
        &[][..],
        &["frobnicate"],
        &["check", "--konfig", "x"],
        &["top", "--every", "0"],
        &["app", "put", "shop", "--env", "A"],
        &["status", "--cert", "x"],
    ] {
        let outcome = run(guidon(args));
        assert_eq!(outcome.code, 64, "{args:?} {outcome:?}");
        assert!(outcome.stdout.is_empty(), "{outcome:?}");
        assert!(!outcome.stderr.is_empty());
    }
    for args in [&["--help"][..], &["--version"], &["app", "put", "--help"]] {
        let outcome = run(guidon(args));
        assert_eq!(outcome.code, 0, "{args:?}");
        assert!(outcome.stderr.is_empty());
    }
    assert!(run(guidon(&["--version"])).stdout.starts_with("guidon 0."));
}

#[test]
fn check_prints_every_problem_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guidon.toml");
    let check = |text: &str| {
        fs::write(&path, text).unwrap();
        run(guidon(&["check", "--config", path.to_str().unwrap()]))
    };
    let good = check("guid = \"node-7\"\n[kubernetes]\nenabled = true\n");
    assert_eq!(good.code, 0, "{good:?}");
    assert!(good.stdout.contains("no problems"));
    assert!(good.stdout.contains("kubernetes is valid, but not active"));

    let bad = check("guid = \"Node\"\n[api]\nlistne = \"127.0.0.1:1\"\n");
    assert_eq!(bad.code, 1);
    let lines: Vec<&str> = bad.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{bad:?}");
    assert!(lines[0].contains("guidon.toml:1:8: guid:"));
    assert!(
        lines[1].contains("guidon.toml:3:1: api.listne: unknown key; did you mean api.listen?")
    );
    assert_eq!(lines[2], "2 problems");

    let elsewhere = check("[api]\ntoken_file = \"/nowhere/token\"\n");
    assert_eq!(elsewhere.code, 0, "{elsewhere:?}");
    assert!(
        elsewhere
            .stderr
            .contains("on this machine, api.token_file: cannot read")
    );

    let mut command = guidon(&["check", "--config", "/nowhere/guidon.toml"]);
    command.env("GUIDON__API__LISTEN", "nonsense");
    let missing = run(command);
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("cannot read /nowhere/guidon.toml"));
}

#[test]
fn check_names_the_variable_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guidon.toml");
    fs::write(&path, "").unwrap();
    let mut command = guidon(&["check", "--config", path.to_str().unwrap()]);
    command.env("GUIDON__COLLECT__INTERVAL", "never");
    let outcome = run(command);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome
            .stderr
            .starts_with("$GUIDON__COLLECT__INTERVAL: collect.interval:"),
        "{outcome:?}"
    );
}

#[test]
fn run_refuses_a_bad_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guidon.toml");
    fs::write(&path, "[api]\nlisten = \"0.0.0.0:7070\"\n").unwrap();
    let outcome = run(guidon(&["run", "--config", path.to_str().unwrap()]));
    assert_eq!(outcome.code, 1);
    assert!(
        outcome
            .stderr
            .contains("guidon.toml:2:10: api.listen: 0.0.0.0:7070 can be reached"),
        "{outcome:?}"
    );
}

#[test]
fn apps_are_made_listed_shown_and_removed() {
    let agent = Agent::start(None);
    let put = agent.run(&[
        "app",
        "put",
        "shop",
        "--image",
        "busybox",
        "--env",
        "A=b=c",
        "--restart",
        "on-failure",
        "--cpus",
        "0.5",
        "--memory",
        "64MiB",
        "--port",
        "127.0.0.1:8080:80",
        "--",
        "sleep",
        "9",
    ]);
    assert_eq!(
        (put.code, put.stdout.as_str()),
        (0, "shop: created\n"),
        "{put:?}"
    );

    let show = agent.run(&["app", "show", "shop"]);
    let app: serde_json::Value = serde_json::from_str(&show.stdout).unwrap();
    let spec = &app["app"];
    assert_eq!(spec["image"], "busybox");
    assert_eq!(spec["env"]["A"], "b=c");
    assert_eq!(spec["args"], serde_json::json!(["sleep", "9"]));
    assert_eq!(spec["restart"], "on-failure");
    assert_eq!(
        spec["limits"],
        serde_json::json!({"cpus": 0.5, "memory": "64MiB"})
    );
    assert_eq!(spec["ports"][0]["host"], 8080);

    let list = agent.run(&["app", "ls"]);
    assert_eq!(
        list.stdout,
        "GUID  STATE    IMAGE    CONTAINERS  NOTE\n\
         shop  running  busybox           0  -\n"
    );
    let json: serde_json::Value =
        serde_json::from_str(&agent.run(&["app", "ls", "--json"]).stdout).unwrap();
    assert_eq!(json["apps"][0]["guid"], "shop");

    assert_eq!(agent.run(&["app", "rm", "shop"]).stdout, "shop: removed\n");
    let gone = agent.run(&["app", "rm", "shop"]);
    assert_eq!(gone.code, 1);
    assert_eq!(gone.stderr, "guidon: there is no app shop (not_found)\n");
}

#[test]
fn an_app_is_read_from_a_file_and_options_change_it() {
    let agent = Agent::start(None);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.json");
    fs::write(&path, r#"{"image": "a", "env": {"X": "1"}}"#).unwrap();
    let path = path.to_str().unwrap();
    let put = agent.run(&["app", "put", "shop", "-f", path, "--image", "b", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&put.stdout).unwrap();
    assert_eq!(answer["outcome"], "created");
    assert_eq!(answer["app"]["app"]["image"], "b");
    assert_eq!(answer["app"]["app"]["env"]["X"], "1");

    fs::write(path, r#"{"imagee": "a"}"#).unwrap();
    let bad = agent.run(&["app", "put", "shop", "-f", path]);
    assert_eq!(bad.code, 1);
    assert!(bad.stderr.contains("imagee"), "{bad:?}");

    let bad = agent.run(&["app", "put", "No_Guid", "--image", "b"]);
    assert_eq!(bad.code, 1);
    assert!(
        bad.stderr.contains("\"No_Guid\" is not 1 to 63 characters"),
        "{bad:?}"
    );
}

#[test]
fn stack_shows_what_a_component_does_and_why_it_does_not() {
    let agent = Agent::start(None);
    let table = agent.run(&["stack"]);
    assert_eq!(table.code, 0, "{table:?}");
    for words in [
        "prometheus  binary   backoff",
        "it ended with code 1",
        "  no space\n",
    ] {
        assert!(table.stdout.contains(words), "{table:?}");
    }
    let json = agent.run(&["stack", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(list["components"][0]["restarts"], 2);
    let status = agent.run(&["status"]);
    let line = "prometheus: backoff, 2 restarts: it ended with code 1\n";
    assert!(status.stdout.contains(line), "{status:?}");
}

#[test]
fn exporters_are_registered_listed_and_forgotten() {
    let agent = Agent::start(None);
    let put = agent.run(&[
        "exporters",
        "put",
        "node",
        "127.0.0.1:9100",
        "--label",
        "guid=app-1",
    ]);
    assert_eq!(
        (put.code, put.stdout.as_str()),
        (0, "node: created\n"),
        "{put:?}"
    );
    let list = agent.run(&["exporters", "ls"]);
    assert_eq!(
        list.stdout,
        "NAME  ADDRESS         PATH      GUID   STATE    ERROR\n\
         node  127.0.0.1:9100  /metrics  app-1  unknown  -\n"
    );
    let shown = agent.run(&["exporters", "show", "node"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["exporter"]["address"], "127.0.0.1:9100");
    let wrong = agent.run(&["exporters", "put", "node", "nowhere"]);
    assert_eq!(wrong.code, 1);
    assert!(
        wrong.stderr.contains("address: write host and port"),
        "{wrong:?}"
    );
    assert_eq!(agent.run(&["exporters", "rm", "node"]).code, 0);
    assert_eq!(agent.run(&["exporters", "rm", "node"]).code, 1);
}

#[test]
fn log_files_are_followed_listed_and_let_go() {
    let agent = Agent::start(None);
    let put = agent.run(&["logs", "put", "app-1", "/var/log/a", "/b"]);
    assert_eq!(
        (put.code, put.stdout.as_str()),
        (0, "app-1: created\n"),
        "{put:?}"
    );
    let list = agent.run(&["logs", "ls"]);
    assert_eq!(
        list.stdout,
        "GUID   FILE                   READ  WAITING\n\
         app-1  /var/log/a             10 B  2.0 KiB\n\
         app-1  /b is no regular file     -        -\n"
    );
    let json = agent.run(&["logs", "ls", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["targets"][0]["guid"], "app-1");
    assert_eq!(agent.run(&["logs", "put", "app-1"]).code, 64);
    assert_eq!(agent.run(&["logs", "rm", "app-1"]).code, 0);
    assert_eq!(agent.run(&["logs", "show", "app-1"]).code, 1);
}

#[test]
fn status_and_top_are_tables_for_people_and_json_for_programs() {
    let agent = Agent::start(None);
    let status = agent.run(&["status"]);
    assert_eq!(status.code, 0, "{status:?}");
    for expected in [
        "node-7: guidon 0.1.0, up 1m 5s",
        "docker: away: connection refused",
        "kernel programs: 1 of 2 attached",
        "metrics         5         10     9        3          1  2 rejected",
        "http://a/w",
        "sched_switch       4     250  attached",
        "off: no BTF",
    ] {
        assert!(
            status.stdout.contains(expected),
            "{expected}\n{}",
            status.stdout
        );
    }
    let json = agent.run(&["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["guids"][1]["guid"], "shop");

    let top = agent.run(&["top", "--once"]);
    let lines: Vec<&str> = top.stdout.lines().collect();
    assert!(lines[0].starts_with("node-7: guidon"), "{top:?}");
    assert!(lines[2].starts_with("GUID"));
    assert!(
        lines[3].starts_with("shop "),
        "the busiest is first: {top:?}"
    );
    assert!(lines[3].contains(" 25.0 ") && lines[3].contains("1.50 ms/s"));
    assert!(lines[3].contains("1.0 MiB"));
    assert!(lines[4].starts_with("node-7 "));
    assert_eq!(lines.len(), 5);
}

#[test]
fn top_once_waits_for_the_first_full_interval() {
    let agent = Agent::start(None);
    agent.set_rounds(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(700));
            agent.set_rounds(2);
        });
        let started = std::time::Instant::now();
        let top = agent.run(&["top", "--once"]);
        assert_eq!(top.code, 0, "{top:?}");
        assert!(started.elapsed().as_millis() >= 700, "it did not wait");
    });
}

#[test]
fn top_waits_for_an_interval_of_its_own_where_it_is_asked_to() {
    let agent = Agent::start(None);
    agent.set_rounds(7);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for rounds in [8, 9] {
                std::thread::sleep(Duration::from_millis(600));
                agent.set_rounds(rounds);
            }
        });
        let started = std::time::Instant::now();
        let top = agent.run(&["top", "--once", "--after-first-interval"]);
        assert_eq!(top.code, 0, "{top:?}");
        assert!(started.elapsed().as_millis() >= 1000, "it did not wait");
    });
    assert_eq!(agent.run(&["top", "--after-first-interval"]).code, 64);
}

#[test]
fn the_token_comes_from_the_file_and_goes_only_where_it_belongs() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "t0p-secret\n").unwrap();
    let agent = Agent::start(Some(&token));
    let refused = agent.run(&["status"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("unauthorized"), "{refused:?}");
    let token = token.to_str().unwrap();
    assert_eq!(agent.run(&["status", "--token-file", token]).code, 0);

    // Address and token from the configuration.
    let config = folder.path().join("guidon.toml");
    let text = format!(
        "[api]\nlisten = \"{}\"\ntoken_file = {token:?}\n",
        agent.address()
    );
    fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    assert_eq!(run(guidon(&["status", "--config", config])).code, 0);
    // The configuration's token does not go to another agent.
    let other = agent.run(&["status", "--config", config]);
    assert_eq!(other.code, 1, "{other:?}");
    for outcome in [refused, other] {
        assert!(!format!("{outcome:?}").contains("t0p-secret"));
    }
}

#[test]
fn an_agent_that_is_not_there_is_named_with_its_address() {
    let mut command = guidon(&["status"]);
    command.env("GUIDON_API", "http://127.0.0.1:9");
    let outcome = run(command);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome
            .stderr
            .contains("cannot reach the agent at http://127.0.0.1:9")
            && outcome.stderr.contains("refused"),
        "{outcome:?}"
    );
    let outcome = run(guidon(&["status", "--api", "127.0.0.1:9"]));
    assert!(
        outcome.stderr.contains("is no URL of an API"),
        "{outcome:?}"
    );
}

#[test]
fn doctor_says_what_will_work_and_fails_only_on_what_stops_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guidon.toml");
    let doctor = |data_dir: &str, more: &str| {
        let text = format!(
            "data_dir = {data_dir:?}\n[api]\nlisten = \"127.0.0.1:0\"\n\
             [receive]\nremote_write = false\notlp_http = false\notlp_grpc = false\njaeger = false\napps = false\nlogs = false\n{more}"
        );
        fs::write(&path, text).unwrap();
        run(guidon(&["doctor", "--config", path.to_str().unwrap()]))
    };
    let data_dir = folder.path().join("data");
    let good = doctor(
        data_dir.to_str().unwrap(),
        "[docker]\nsocket = \"/nowhere/docker.sock\"\n[bus]\nlogs = \"http://127.0.0.1:9/\"\n",
    );
    assert_eq!(good.code, 0, "{good:?}");
    for topic in [
        "ok    config        valid",
        " kernel ",
        " BTF ",
        " capabilities ",
        " cgroups ",
        "warn  Docker        /nowhere/docker.sock: No such file",
        " disk ",
        " clock ",
        "warn  bus           http://127.0.0.1:9/: Connection refused",
        "ok    ports ",
    ] {
        assert!(good.stdout.contains(topic), "{topic}\n{}", good.stdout);
    }
    assert!(!data_dir.exists(), "doctor changes nothing");

    let bad = doctor(path.join("data").to_str().unwrap(), "");
    assert_eq!(bad.code, 1);
    assert!(bad.stdout.contains("FAIL  disk "), "{bad:?}");
}

#[test]
fn spool_commands_look_at_the_data_directory() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    for (verb, expected) in [
        ("ls", ""),
        ("verify", ""),
        ("repair", "nothing to repair\n"),
    ] {
        let outcome = run(guidon(&["spool", verb, "--data-dir", data_dir]));
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (0, expected),
            "{verb}"
        );
    }
    // A spool that is none: looked at, called damaged, named.
    let file = folder.path().join("spool");
    fs::write(&file, "no directory").unwrap();
    let outcome = run(guidon(&["spool", "verify", "--data-dir", data_dir]));
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stderr.contains(file.to_str().unwrap()),
        "{outcome:?}"
    );
}

/// `up{guid="shop"} 1` at 7 ms, as a snappy block of literal bytes.
fn metrics_frame() -> Frame {
    let field = |tag: u8, content: &[u8]| {
        let length = u8::try_from(content.len()).unwrap();
        [&[tag << 3 | 2, length], content].concat()
    };
    let label = |name: &[u8], value: &[u8]| field(1, &[field(1, name), field(2, value)].concat());
    let sample = [&[9][..], &1.0_f64.to_le_bytes(), &[16, 7]].concat();
    let labels = [label(b"__name__", b"up"), label(b"guid", b"shop")].concat();
    let raw = field(1, &[labels, field(2, &sample)].concat());
    let payload = snap::raw::Encoder::new().compress_vec(&raw).unwrap();
    Frame {
        kind: Kind::RemoteWrite,
        payload: payload.into(),
        raw_len: u32::try_from(raw.len()).unwrap(),
        counts: vec![("shop".parse().unwrap(), 1)],
    }
}

/// One log record, as OTLP bytes.
fn logs_frame(text: &str) -> Frame {
    let attribute = KeyValue {
        key: "guid".into(),
        value: Some(string("shop")),
        ..KeyValue::default()
    };
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(Resource {
                attributes: vec![attribute],
                ..Resource::default()
            }),
            scope_logs: vec![ScopeLogs {
                log_records: vec![LogRecord {
                    time_unix_nano: 5_000_000,
                    severity_text: "WARN".into(),
                    body: Some(string(text)),
                    ..LogRecord::default()
                }],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    Frame {
        kind: Kind::OtlpLogs,
        payload: request.encode_to_vec().into(),
        raw_len: 0,
        counts: Vec::new(),
    }
}

fn string(text: &str) -> AnyValue {
    AnyValue {
        value: Some(any_value::Value::StringValue(text.into())),
    }
}

#[test]
fn bus_tail_prints_samples_and_records() {
    let agent = Agent::start(None);
    agent.put_frame(metrics_frame());
    agent.put_frame(logs_frame("over \u{1b}[31mred"));
    let tail = agent.run(&["bus", "tail", "metrics", "--no-follow"]);
    assert_eq!(
        tail.stdout, "7 up{guid=\"shop\"} 1\n5 shop WARN over \\u{1b}[31mred\n",
        "{tail:?}"
    );
    let tail = agent.run(&["bus", "tail", "metrics", "--no-follow", "--json"]);
    for line in tail.stdout.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    assert_eq!(tail.stdout.lines().count(), 2);
}

#[test]
fn bus_tail_follows_what_comes_and_only_that() {
    let agent = Agent::start(None);
    agent.put_frame(logs_frame("before"));
    let mut command = agent.command(&["bus", "tail", "logs"]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The tail starts somewhere in between: what it missed, it missed.
    let first = std::thread::scope(|scope| {
        let first = scope.spawn(|| lines.next().unwrap().unwrap());
        while !first.is_finished() {
            agent.put_frame(logs_frame("after"));
            std::thread::sleep(Duration::from_millis(50));
        }
        first.join().unwrap()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(first.ends_with("after"), "{first}");
}

#[test]
fn a_reader_that_stops_reading_is_no_failure() {
    let agent = Agent::start(None);
    let mut command = agent.command(&["status"]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
