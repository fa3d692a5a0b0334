//! Images from a real registry that wants to know who asks.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use guidon_tests::{Agent, Container, Docker, Image, Program, eventually, system_docker, unique};
use serde_json::{Value, json};
use xtask::docker::system_socket;
use xtask::http::{Request, Server, send};

const USER: &str = "shop";
const PASSWORD: &str = "a-password-of-the-registry";
/// `USER` and bcrypt of `PASSWORD`, as `htpasswd -B` writes it.
const USERS: &str = "shop:$2b$05$r4a6vTyomn1D.xtSZ8vCl.vWT10mvJNdT3gg3enjhg0hlH1wi8PRO\n";

/// Debian's `docker-registry` on loopback, where Docker asks for no TLS.
fn registry() -> Program {
    Program::start("docker-registry", "/", |folder, address| {
        let (users, config) = (folder.join("users"), folder.join("config.yml"));
        fs::write(&users, USERS).unwrap();
        let text = format!(
            "version: 0.1\nlog: {{level: warn}}\nhttp: {{addr: {address:?}}}\n\
             storage: {{filesystem: {{rootdirectory: {:?}}}}}\n\
             auth: {{htpasswd: {{realm: guidon, path: {users:?}}}}}\n",
            folder.join("images")
        );
        fs::write(&config, text).unwrap();
        vec!["serve".to_owned(), config.display().to_string()]
    })
}

/// Puts the image into the registry as `shop:1` and forgets it here; returns its name there.
fn publish(docker: &Docker, image: &Image, registry: &Program) -> String {
    let repository = format!("{}/shop", registry.address());
    let tag = format!("/images/{}/tag?repo={repository}&tag=1", image.name());
    let tagged = docker.call("POST", &tag, &Value::Null).unwrap();
    assert_eq!(tagged.status, 201, "{}", tagged.text());
    let who = json!({"username": USER, "password": PASSWORD}).to_string();
    let who = URL_SAFE.encode(who);
    let push = format!("/images/{repository}/push?tag=1");
    let mut request = Request::new("POST", &push);
    let headers = [("X-Registry-Auth", who.as_str())];
    request.headers = &headers;
    let pushed = send(&Server::Unix(system_socket()), &request).unwrap();
    let said = pushed.text();
    assert!(pushed.status == 200 && !said.contains("error"), "{said}");
    let name = format!("{repository}:1");
    docker.remove_image(&name).unwrap();
    name
}

/// Docker's own file of credentials.
fn credentials(folder: &Path, registry: &Program) -> PathBuf {
    let auth = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let file = folder.join("config.json");
    let content = json!({"auths": {registry.address(): {"auth": auth}}});
    fs::write(&file, content.to_string()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file
}

fn app(image: &str, pull: &str) -> Value {
    json!({
        "driver": "docker",
        "image": image,
        "pull": pull,
        "command": ["/bin/sh", "-c", "sleep 600"],
    })
}

#[test]
fn an_image_is_fetched_with_the_credentials_of_a_file_and_by_nobody_else() {
    let docker = system_docker();
    let registry = registry();
    let name = publish(&docker, &Image::busybox(&docker), &registry);
    let guid = unique("fetched");
    let container = Container::claim(&docker, &guid);
    let path = format!("/api/v1/apps/{guid}");

    let stranger = Agent::alone();
    let (status, answer) = stranger.put(&path, &app(&name, "missing"));
    assert_eq!(status, 422, "{answer}");
    assert_eq!(answer["error"]["field"], "image");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("no basic auth credentials"), "{message}");
    drop(stranger);

    let folder = tempfile::tempdir().unwrap();
    let file = credentials(folder.path(), &registry);
    let agent = Agent::start_with("", &format!("[docker]\ncredentials_file = {file:?}"));
    let (status, answer) = agent.put(&path, &app(&name, "never"));
    assert_eq!(status, 422, "never fetched: {answer}");
    let (status, answer) = agent.put(&path, &app(&name, "missing"));
    assert!((200..300).contains(&status), "{answer}");
    eventually(Duration::from_secs(30), "the app runs", || {
        let shown = agent.get_json(&path);
        (shown["state"] == "running").then_some(())
    });
    assert_eq!(container.inspect()["Config"]["Image"], name.as_str());

    for text in [
        agent.log(),
        agent.get(&path).text(),
        agent.get("/api/v1/status").text(),
    ] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
    assert_eq!(agent.delete(&path).0, 204);
    docker.remove_image(&name).unwrap();
}
