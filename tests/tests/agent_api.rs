//! The Manager API: what it does, and how it says no.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use guidon_tests::agent::guidon;
use guidon_tests::{Agent, Container, Image, free_port, system_docker, unique};
use serde_json::json;

/// Asserts an error of the one shape, whose message mentions `word`.
fn assert_error(answer: &(u16, serde_json::Value), status: u16, word: &str) {
    assert_eq!(answer.0, status, "{}", answer.1);
    let error = &answer.1["error"];
    assert!(error["code"].is_string(), "{}", answer.1);
    let message = error["message"].as_str().unwrap();
    let field = error["field"].as_str().unwrap_or_default();
    assert!(
        message.contains(word) || field == word,
        "{} should name {word}",
        answer.1
    );
}

#[test]
fn an_app_comes_changes_and_goes() {
    let agent = Agent::alone();
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let guid = unique("app");
    let container = Container::claim(&docker, &guid);
    let path = format!("/api/v1/apps/{guid}");
    let mut app = image.app("sleep 600");
    app["env"] = json!({"COLOUR": "blue"});

    assert_eq!(agent.put(&path, &app).0, 201);
    let first = container.id();
    assert_eq!(agent.put(&path, &app).0, 200, "the same again");
    assert_eq!(container.id(), first, "and nothing happened");
    let shown = agent.get_json(&path);
    assert_eq!(
        (&shown["guid"], &shown["state"]),
        (&json!(guid), &json!("running"))
    );
    assert_eq!(shown["containers"][0]["id"], first.as_str());

    app["env"] = json!({"COLOUR": "red"});
    assert_eq!(agent.put(&path, &app).0, 200, "changed");
    let environment = container.inspect()["Config"]["Env"].to_string();
    assert!(environment.contains("COLOUR=red"), "{environment}");

    let list = agent.get_json("/api/v1/apps");
    let guids: Vec<_> = list["apps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|app| &app["guid"])
        .collect();
    assert!(guids.contains(&&json!(guid)), "{list}");

    assert_eq!(agent.delete(&path).0, 204);
    assert!(!docker.names().unwrap().contains(&guid));
    assert_error(&agent.delete(&path), 404, &guid);
    assert_eq!(agent.get(&path).status, 404);
}

#[test]
fn errors_name_what_is_wrong() {
    let agent = Agent::alone();
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let app = image.app("true");
    let put = |guid: &str, app: &serde_json::Value| agent.put(&format!("/api/v1/apps/{guid}"), app);

    assert_error(&put("Not_A_Guid", &app), 400, "guid");
    assert_error(&put("no-image", &json!({"driver": "docker"})), 422, "image");
    let typo = json!({"driver": "docker", "image": image.name(), "comand": ["true"]});
    assert_error(&put("typo", &typo), 422, "comand");
    let wrong = json!({"driver": "docker", "image": image.name(), "args": "true"});
    assert_error(&put("wrong-type", &wrong), 422, "args");
    let missing = json!({"driver": "docker", "image": "guidon-no-such-image"});
    let answer = put(&unique("missing"), &missing);
    assert!(
        (400..600).contains(&answer.0) && answer.0 != 500,
        "{}",
        answer.1
    );
    assert_error(&answer, answer.0, "guidon-no-such-image");

    let name = unique("taken");
    let foreign = Container::run(&docker, &image, &name, "sleep 600");
    let id = foreign.id();
    assert_error(&put(&name, &app), 409, &name);
    assert_error(&agent.delete(&format!("/api/v1/apps/{name}")), 404, &name);
    assert_eq!(foreign.id(), id, "the stranger was left alone");
}

#[test]
fn without_docker_apps_are_unavailable_and_collecting_goes_on() {
    let agent = Agent::start_with(
        "",
        "[collect]\ninterval = \"1s\"\n\n[docker]\nsocket = \"/nonexistent/docker.sock\"",
    );
    let answer = agent.put(
        "/api/v1/apps/away",
        &json!({"driver": "docker", "image": "x"}),
    );
    assert_error(&answer, 503, "/nonexistent/docker.sock");
    let rounds = || {
        agent.get_json("/api/v1/status")["collect"]["rounds"]
            .as_u64()
            .unwrap()
    };
    let before = rounds();
    guidon_tests::eventually(std::time::Duration::from_secs(5), "two more rounds", || {
        (rounds() >= before + 2).then_some(())
    });
    assert!(
        agent
            .get("/metrics/node")
            .text()
            .contains("node_cpu_seconds_total")
    );
}

#[test]
fn beyond_loopback_nothing_goes_without_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("guidon.toml");
    let token = folder.path().join("token");
    std::fs::write(&token, "secret-token\n").unwrap();
    std::process::Command::new("chmod")
        .arg("600")
        .arg(&token)
        .status()
        .unwrap();
    let port = free_port();
    let open = format!(
        "data_dir = {:?}\n[api]\nlisten = \"0.0.0.0:{port}\"\n",
        folder.path().join("data")
    );
    std::fs::write(&config, &open).unwrap();
    for verb in ["check", "run"] {
        let (code, stdout, stderr) = guidon(&[verb, "--config", config.to_str().unwrap()]);
        assert_ne!(code, 0, "guidon {verb} must refuse");
        let said = stdout + &stderr;
        assert!(said.contains("token"), "guidon {verb}: {said}");
    }

    let with_token = Agent::start_on(
        &format!("0.0.0.0:{port}"),
        "",
        &format!("token_file = {token:?}"),
    );
    assert_eq!(
        with_token.get("/healthz").status,
        200,
        "health is for everybody"
    );
    assert_eq!(with_token.get("/api/v1/status").status, 401);
    assert_eq!(with_token.get("/metrics").status, 401);
    let wrong = [("Authorization", "Bearer secret-toke")];
    assert_eq!(with_token.get_with("/api/v1/status", &wrong).status, 401);
    let right = [("Authorization", "Bearer secret-token")];
    assert_eq!(with_token.get_with("/api/v1/status", &right).status, 200);
    assert!(
        !with_token.log().contains("secret-token"),
        "a token never prints"
    );
}
