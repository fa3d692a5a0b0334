//! The directory follows a real Docker: foreign containers, renames, restarts, deaths.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that meets the unexpected has failed"
)]

use std::sync::Arc;

use guidon::directory::{Container as Known, Directory};
use guidon_tests::driver::{Driver, data_dir, eventually};
use guidon_tests::{Container, Docker, Image, system_docker, unique};
use serde_json::Value;

fn call(docker: &Docker, method: &str, path: &str) {
    let response = docker.call(method, path, &Value::Null).unwrap();
    response.success().unwrap();
}

fn known(directory: &Directory, id: &str) -> Option<Arc<Known>> {
    let view = directory.load();
    view.container(id).filter(|_| !view.is_gone(id)).cloned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_container_is_followed_from_birth_to_death() {
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let (_folder, data) = data_dir();
    let socket = xtask::docker::system_socket();
    let before = Container::run(&docker, &image, &unique("directory"), "sleep 1000");
    let driver = Driver::start(&data, &socket);
    driver.connected().await;
    let directory = &driver.directory;
    let seen = known(directory, &before.id()).expect("what ran before is known when connected");
    assert!(seen.pid != 0 && seen.guid.is_none());

    let name = unique("directory");
    let container = Container::run(&docker, &image, &name, "sleep 1000");
    let id = container.id();
    let runs = || known(directory, &id).is_some_and(|known| known.pid != 0);
    eventually("a new one is seen", runs).await;
    let first = known(directory, &id).unwrap();
    assert_eq!(
        (first.name.as_str(), first.image.as_str()),
        (name.as_str(), image.name())
    );
    assert_eq!(first.guid, None);
    assert!(first.created_at > 0.0 && first.started_at >= first.created_at);
    let address = first.addresses[0];

    let renamed = unique("directory");
    call(
        &docker,
        "POST",
        &format!("/containers/{id}/rename?name={renamed}"),
    );
    let has_name = || known(directory, &id).is_some_and(|known| known.name == renamed);
    eventually("its new name is seen", has_name).await;

    call(&docker, "POST", &format!("/containers/{id}/restart?t=0"));
    eventually("its restart is seen", || {
        let again = known(directory, &id).unwrap();
        again.pid != 0 && again.pid != first.pid && again.started_at > first.started_at
    })
    .await;

    call(&docker, "POST", &format!("/containers/{id}/kill"));
    eventually("its death is seen", || {
        known(directory, &id).unwrap().pid == 0
    })
    .await;
    assert!(
        directory
            .load()
            .by_address(address)
            .is_none_or(|other| other.id != id)
    );
    docker.remove(&id).unwrap();
    eventually("its removal is seen", || known(directory, &id).is_none()).await;
    let kept = Arc::clone(directory.load().container(&id).expect("still resolvable"));
    assert_eq!(kept.name, renamed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn even_a_container_that_lives_a_moment_gets_its_name() {
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let (_folder, data) = data_dir();
    let driver = Driver::start(&data, &xtask::docker::system_socket());
    driver.connected().await;
    let names: Vec<_> = (0..5).map(|_| unique("directory-brief")).collect();
    for name in &names {
        let container = Container::run(&docker, &image, name, "true");
        drop(container);
    }
    for name in &names {
        eventually("a short life is on record", || {
            let view = driver.directory.load();
            view.containers()
                .any(|known| known.name == *name && known.image == image.name())
        })
        .await;
    }
}
