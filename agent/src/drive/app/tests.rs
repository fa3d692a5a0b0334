#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn read(json: &str) -> Result<App, DriveError> {
    App::from_json(json.as_bytes())
}

fn with(fields: &str) -> Result<App, DriveError> {
    read(&format!(r#"{{"image": "busybox", {fields}}}"#))
}

#[test]
fn a_full_description_reads_writes_and_reads_back_the_same() {
    let app = with(
        r#""driver": "docker", "command": ["sh", "-c"], "args": ["sleep 1"],
        "env": {"A": "1", "B": 2, "C": true}, "secrets": {"S": "/run/s"},
        "ports": ["8080:80", "127.0.0.1:53:53/udp", 9000, {"container": 1, "address": "::1"}],
        "mounts": ["data:/data", "/srv:/srv:ro", {"type": "tmpfs", "target": "/t", "size": "1MiB"}],
        "networks": ["bridge", "other"],
        "limits": {"cpus": 0.5, "memory": "64MiB", "swap": 0, "pids": 10},
        "restart": "on-failure:3", "user": "1000:1000", "workdir": "/srv", "labels": {"x": "y"},
        "health": {"test": "true", "interval": "5s", "timeout": 2, "retries": 2},
        "stop": {"grace": "1500ms", "signal": "SIGINT"},
        "log": {"driver": "json-file", "options": {"max-size": "1m", "max-file": 3}},
        "pull": "never", "init": true, "read_only": true, "privileged": true,
        "host_namespaces": ["pid"], "cap_add": ["NET_ADMIN"], "cap_drop": ["ALL"],
        "devices": ["/dev/null"]"#,
    )
    .unwrap();
    assert_eq!(app.env["B"], "2");
    assert_eq!(app.ports[1].protocol, Protocol::Udp);
    assert_eq!((app.ports[2].container, app.ports[2].host), (9000, None));
    assert_eq!(app.mounts[1].kind, MountKind::Bind);
    assert_eq!(app.restart, Restart::OnFailure(Some(3)));
    assert_eq!(app.health.as_ref().unwrap().test, ["CMD-SHELL", "true"]);
    let written = serde_json::to_vec(&app).unwrap();
    assert_eq!(App::from_json(&written).unwrap(), app);
}

#[test]
fn what_is_at_its_default_is_not_written() {
    let app = with(r#""restart": "unless-stopped", "pull": "missing", "env": {}"#).unwrap();
    let written = serde_json::to_string(&app).unwrap();
    assert_eq!(written, r#"{"driver":"docker","image":"busybox"}"#);
}

#[test]
fn equal_descriptions_in_other_words_have_one_fingerprint() {
    let one = with(r#""env": {"B": "2", "A": "1"}, "ports": ["80:80"]"#).unwrap();
    let other = with(r#""ports": [{"host": 80, "container": 80}], "env": ["A=1", "B=2"]"#);
    assert_eq!(one.fingerprint(), other.unwrap().fingerprint());
    let third = with(r#""env": {"B": "3", "A": "1"}, "ports": ["80:80"]"#).unwrap();
    assert_ne!(one.fingerprint(), third.fingerprint());
}

#[test]
fn errors_name_the_field() {
    for (fields, field) in [
        (r#""imagee": 1"#, "imagee"),
        (r#""hostname": "x""#, "hostname"),
        (r#""limits": {"memoryy": 1}"#, "limits.memoryy"),
        (r#""limits": {"memory": "lots"}"#, "limits.memory"),
        (r#""limits": {"memory": 4096}"#, "limits.memory"),
        (r#""limits": {"memory": -1}"#, "limits.memory"),
        (r#""limits": {"cpus": 0}"#, "limits.cpus"),
        (r#""limits": {"cpus": "two"}"#, "limits.cpus"),
        (r#""limits": {"swap": "1GiB"}"#, "limits.swap"),
        (r#""limits": {"pids": 0}"#, "limits.pids"),
        (r#""command": "sh -c x""#, "command"),
        (r#""command": [""]"#, "command[0]"),
        (r#""args": ["\u0000"]"#, "body"),
        (r#""env": ["A"]"#, "env"),
        (r#""env": {"A=B": "1"}"#, "env"),
        (r#""env": {"": "1"}"#, "env"),
        (r#""env": {"A": {}}"#, "env.A"),
        (r#""env": {"A": "1"}, "secrets": {"A": "/x"}"#, "secrets"),
        (r#""secrets": {"A": "x"}"#, "secrets"),
        (r#""secrets": {"A": "/x/../y"}"#, "secrets"),
        (r#""ports": ["x"]"#, "ports[0]"),
        (r#""ports": ["80", "80:99999"]"#, "ports[1]"),
        (
            r#""ports": [{"container": 80, "protocol": "icmp"}]"#,
            "ports[0].protocol",
        ),
        (r#""ports": [{"host": 80}]"#, "ports[0].container"),
        (r#""ports": [0]"#, "ports[0].container"),
        (r#""ports": ["80:80", "80:81"]"#, "ports[1].host"),
        (r#""mounts": ["x"]"#, "mounts[0]"),
        (r#""mounts": ["data:relative"]"#, "mounts[0].target"),
        (r#""mounts": ["data:/"]"#, "mounts[0].target"),
        (r#""mounts": ["../x:/a"]"#, "mounts[0].source"),
        (r#""mounts": ["/srv/../etc:/a"]"#, "mounts[0].source"),
        (r#""mounts": ["aa:/a", "bb:/a"]"#, "mounts[1].target"),
        (
            r#""mounts": [{"type": "bind", "source": "/a", "target": "/a", "size": 1}]"#,
            "mounts[0].size",
        ),
        (r#""networks": ["container:abc"]"#, "networks[0]"),
        (r#""networks": ["host", "bridge"]"#, "networks[0]"),
        (r#""networks": ["host"], "ports": [80]"#, "ports"),
        (r#""restart": "sometimes""#, "restart"),
        (r#""restart": "on-failure:x""#, "restart"),
        (r#""labels": {"io.guidon.guid": "x"}"#, "labels"),
        (r#""health": {}"#, "health.test"),
        (
            r#""health": {"test": "x", "interval": "0s"}"#,
            "health.interval",
        ),
        (r#""stop": {"grace": "1h"}"#, "stop.grace"),
        (r#""pull": "often""#, "pull"),
        (r#""workdir": "x""#, "workdir"),
        (r#""user": """#, "user"),
        (r#""host_namespaces": ["uts"]"#, "host_namespaces[0]"),
        (r#""devices": ["kvm"]"#, "devices"),
        (r#""driver": "podman""#, "driver"),
    ] {
        match with(fields) {
            Err(error @ DriveError::Invalid { .. }) => {
                assert_eq!(error.field(), Some(field), "{fields}: {error}");
            }
            other => panic!("{fields}: {other:?}"),
        }
    }
    for (json, field) in [
        ("{}", "image"),
        (r#"{"image": ""}"#, "image"),
        (r#"{"image": "a b"}"#, "image"),
        (r#"{"image": "-x"}"#, "image"),
        ("[]", "body"),
        ("", "body"),
        (r#"{"image": "a"} x"#, "body"),
    ] {
        assert_eq!(read(json).unwrap_err().field(), Some(field), "{json}");
    }
}

#[test]
fn a_value_that_may_be_secret_is_not_repeated_in_an_error() {
    for fields in [
        r#""env": ["s3cret"]"#,
        r#""env": {"A": ["s3cret"]}"#,
        r#""env": {"A": {"s3cret": 1}}"#,
    ] {
        assert!(!with(fields).unwrap_err().to_string().contains("s3cret"));
    }
}

#[test]
fn another_driver_is_not_available_whatever_its_fields() {
    let error = read(r#"{"driver": "helm", "chart": "x", "values": {}}"#).unwrap_err();
    assert!(matches!(error, DriveError::NoDriver(Driver::Helm)));
    assert_eq!(error.field(), Some("driver"));
}

proptest! {
    #[test]
    fn property_test_arbitrary_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = App::from_json(&bytes);
    }

    #[test]
    fn property_test_arbitrary_short_forms_are_survived(text in "[a-z0-9:/\\[\\].-]{0,20}") {
        let json = serde_json::json!({"image": "x", "ports": [text], "mounts": [text]});
        let _ = App::from_json(json.to_string().as_bytes());
    }
}
