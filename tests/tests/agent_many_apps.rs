//! Many apps on one host: what happens to one touches no other.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use guidon_tests::{Agent, Container, Docker, Image, eventually, free_port, system_docker, unique};
use serde_json::{Value, json};
use xtask::hands::side_by_side;

/// `cargo xtask bench apps` does the same with 200.
const APPS: usize = 40;
const PATIENCE: Duration = Duration::from_secs(60);

/// Container id and start of each app.
fn containers(docker: &Docker, guids: &[String]) -> BTreeMap<String, (Value, Value)> {
    let of = |guid: &String| {
        let seen = docker.inspect(guid).unwrap();
        let facts = (seen["Id"].clone(), seen["State"]["StartedAt"].clone());
        (guid.clone(), facts)
    };
    guids.iter().map(of).collect()
}

#[test]
fn a_change_of_one_app_of_many_leaves_the_containers_of_all_others_alone() {
    let docker = system_docker();
    let agent = Agent::alone();
    let image = Image::busybox(&docker);
    let guids: Vec<String> = (0..APPS).map(|_| unique("many")).collect();
    let _containers: Vec<Container> = guids
        .iter()
        .map(|guid| Container::claim(&docker, guid))
        .collect();
    let mut app = image.app("exec sleep 3600");
    app["stop"] = json!({"grace": "1s"});
    let put = |guid: &str, app: &Value| agent.put(&format!("/api/v1/apps/{guid}"), app);
    side_by_side(APPS, |number| {
        let (status, answer) = put(&guids[number], &app);
        assert_eq!(status, 201, "{answer}");
        Ok(())
    })
    .unwrap();
    let before = containers(&docker, &guids);

    app["env"] = json!({"CHANGED": "yes"});
    let changed = &guids[APPS / 2];
    let (status, answer) = put(changed, &app);
    assert_eq!((status, &answer["outcome"]), (200, &"changed".into()));
    // The agent looks after its apps now and then: give it the chance to touch another one.
    std::thread::sleep(Duration::from_secs(3));
    let mut after = containers(&docker, &guids);
    assert_ne!(after[changed].0, before[changed].0);
    after.insert(changed.clone(), before[changed].clone());
    assert_eq!(after, before);

    side_by_side(APPS, |number| {
        let (status, answer) = agent.delete(&format!("/api/v1/apps/{}", guids[number]));
        assert_eq!(status, 204, "{answer}");
        Ok(())
    })
    .unwrap();
    eventually(PATIENCE, "all containers are gone", || {
        let names = docker.names().unwrap();
        guids.iter().all(|it| !names.contains(it)).then_some(())
    });
    let apps = agent.get_json("/api/v1/apps");
    assert_eq!(apps["apps"].as_array().map(Vec::len), Some(0), "{apps}");
}

/// Process ids of the managed components, which all run.
fn processes(agent: &Agent) -> BTreeMap<String, Value> {
    let stack = agent.get_json("/api/v1/stack");
    let components = stack["components"].as_array().unwrap();
    let managed = components.iter().filter(|one| !one["pid"].is_null());
    managed
        .filter(|one| one["state"] == "running")
        .map(|one| (one["name"].as_str().unwrap().to_owned(), one["pid"].clone()))
        .collect()
}

#[test]
fn apps_and_exporters_that_come_change_and_go_restart_no_managed_component() {
    let docker = system_docker();
    let [write, prometheus, exporter] = [(); 3].map(|()| free_port());
    let agent = Agent::start_with(
        "",
        &format!(
            "[collect]\ninterval = \"1s\"\n[receive]\nremote_write = \"127.0.0.1:{write}\"\n\
             otlp_http = false\notlp_grpc = false\napps = false\n\
             [stack.prometheus]\nmanaged = \"binary\"\nlisten = \"127.0.0.1:{prometheus}\"\n\
             [stack.node_exporter]\nmanaged = \"binary\"\nlisten = \"127.0.0.1:{exporter}\"\n"
        ),
    );
    let image = Image::busybox(&docker);
    let before = eventually(PATIENCE, "both components run", || {
        let processes = processes(&agent);
        (processes.len() == 2).then_some(processes)
    });
    let guids: Vec<String> = (0..3).map(|_| unique("many")).collect();
    let _containers: Vec<Container> = guids
        .iter()
        .map(|guid| Container::claim(&docker, guid))
        .collect();
    for version in ["1", "2"] {
        for guid in &guids {
            let mut app = image.app("exec sleep 3600");
            app["env"] = json!({"VERSION": version});
            app["stop"] = json!({"grace": "1s"});
            let (status, answer) = agent.put(&format!("/api/v1/apps/{guid}"), &app);
            assert!(matches!(status, 200 | 201), "{answer}");
            let metrics = json!({"address": "127.0.0.1:1", "labels": {"guid": guid, "v": version}});
            let (status, answer) = agent.put(&format!("/api/v1/exporters/{guid}"), &metrics);
            assert!(matches!(status, 200 | 201), "{answer}");
        }
    }
    for guid in &guids {
        assert_eq!(agent.delete(&format!("/api/v1/exporters/{guid}")).0, 204);
        assert_eq!(agent.delete(&format!("/api/v1/apps/{guid}")).0, 204);
    }
    // Time to notice, should anything have been started again for it.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(processes(&agent), before);
}
