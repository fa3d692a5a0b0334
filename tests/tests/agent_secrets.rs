//! What the Manager may not ask, with the rule that forbids it; and what nobody gets to see.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use guidon_tests::{Agent, Container, Image, free_port, system_docker, unique};
use serde_json::json;
use xtask::http::Request;

/// Writes a file that only root can read.
fn write_secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Every process's arguments, as anybody on the host sees them.
fn process_list() -> String {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let arguments = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    arguments
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " ") + "\n")
        .collect()
}

/// Everything below a folder that holds `needle`.
fn files_with(folder: &Path, needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, needle));
        } else if fs::read(&path).is_ok_and(|bytes| {
            let needle = needle.as_bytes();
            bytes.windows(needle.len()).any(|window| window == needle)
        }) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn what_reaches_beyond_a_container_is_refused_with_its_rule() {
    let agent = Agent::alone();
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let guid = unique("beyond");
    for (ask, rule) in [
        (json!({"privileged": true}), "privileged"),
        (json!({"mounts": ["/etc:/host"]}), "host_mounts"),
        (json!({"mounts": ["/:/host:ro"]}), "host_mounts"),
        (json!({"networks": ["host"]}), "host_namespaces"),
        (json!({"host_namespaces": ["pid"]}), "host_namespaces"),
        (json!({"host_namespaces": ["ipc"]}), "host_namespaces"),
        (json!({"cap_add": ["SYS_ADMIN"]}), "capabilities"),
        (json!({"devices": ["/dev/mem"]}), "devices"),
        (
            json!({"secrets": {"SHADOW": "/etc/shadow"}}),
            "secret_files",
        ),
    ] {
        let mut app = image.app("sleep 600");
        for (field, value) in ask.as_object().unwrap() {
            app[field] = value.clone();
        }
        let (status, answer) = agent.put(&format!("/api/v1/apps/{guid}"), &app);
        assert_eq!(status, 403, "{ask}: {answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(rule), "{ask}: {message}");
        assert_eq!(agent.get(&format!("/api/v1/apps/{guid}")).status, 404);
        assert!(docker.inspect(&guid).is_err(), "{ask} left a container");
    }
    // Another container's namespaces are no network's name.
    let mut app = image.app("sleep 600");
    app["networks"] = json!(["container:other"]);
    assert_eq!(agent.put(&format!("/api/v1/apps/{guid}"), &app).0, 422);
}

#[test]
fn secrets_stay_out_of_logs_answers_processes_and_kept_files() {
    let folder = tempfile::tempdir().unwrap();
    let (token, secret) = (unique("token"), unique("secret"));
    let (token_file, secret_file) = (folder.path().join("token"), folder.path().join("secret"));
    write_secret(&token_file, &token);
    write_secret(&secret_file, &secret);
    let address = format!("127.0.0.1:{}", free_port());
    let sections =
        format!("token_file = {token_file:?}\n[docker.allow]\nsecret_files = [{secret_file:?}]");
    let agent = Agent::start_on(&address, "", &sections);
    let bearer = format!("Bearer {token}");
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/json"),
    ];
    let ask = |method: &str, path: &str, body: &str| {
        let mut request = Request::new(method, path);
        request.headers = &headers;
        request.body = body.as_bytes();
        agent.send(&request)
    };

    let docker = system_docker();
    let image = Image::busybox(&docker);
    let guid = unique("quiet");
    let _container = Container::claim(&docker, &guid);
    let mut app = image.app("test -n \"$PASSWORD\" && echo got it; sleep 600");
    app["secrets"] = json!({"PASSWORD": secret_file});
    let path = format!("/api/v1/apps/{guid}");
    let made = ask("PUT", &path, &app.to_string());
    assert_eq!(made.status, 201, "{}", made.text());
    guidon_tests::eventually(std::time::Duration::from_secs(20), "the app", || {
        docker.output(&guid).ok()?.contains("got it").then_some(())
    });

    let mut seen = vec![("the answer", made.text()), ("the log", agent.log())];
    for path in [
        path.as_str(),
        "/api/v1/apps",
        "/api/v1/status",
        "/api/v1/stack",
        "/api/v1/exporters",
        "/metrics",
        "/metrics/containers",
        "/",
    ] {
        let answer = ask("GET", path, "");
        assert_eq!(answer.status, 200, "{path}");
        seen.push(("an answer", answer.text()));
    }
    seen.push(("the process list", process_list()));
    for (what, text) in seen {
        for (name, hidden) in [("token", &token), ("secret", &secret)] {
            assert!(
                !text.contains(hidden.as_str()),
                "the {name} is in {what}: {text}"
            );
        }
    }
    for hidden in [&token, &secret] {
        assert_eq!(files_with(&agent.data_dir(), hidden), Vec::<String>::new());
    }
    let removed = ask("DELETE", &path, "");
    assert_eq!(removed.status, 204, "{}", removed.text());
}
