//! Many apps on one host: what happens to one touches no other.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use guidon_tests::{Agent, Container, Docker, Image, eventually, system_docker, unique};
use serde_json::Value;
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
    app["stop"] = serde_json::json!({"grace": "1s"});
    let put = |guid: &str, app: &Value| agent.put(&format!("/api/v1/apps/{guid}"), app);
    side_by_side(APPS, |number| {
        let (status, answer) = put(&guids[number], &app);
        assert_eq!(status, 201, "{answer}");
        Ok(())
    })
    .unwrap();
    let before = containers(&docker, &guids);

    app["env"] = serde_json::json!({"CHANGED": "yes"});
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
