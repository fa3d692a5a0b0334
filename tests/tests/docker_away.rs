//! Docker away, hanging, lying and restarted: apps say so, and are as they should be afterwards.
//!
//! The restarts are of a daemon of its own, so that nobody else's containers are touched.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that meets the unexpected has failed"
)]

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use guidon::config::Guid;
use guidon::drive::{AppState, DriveError, Outcome};
use guidon_tests::driver::{Driver, IDLE, data_dir, eventually, shell, shell_with};
use guidon_tests::{Docker, Dockerd, Image, unique};
use serde_json::{Value, json};

fn guid() -> Guid {
    unique("directory").parse().unwrap()
}

fn runs(docker: &Docker, name: &str) -> bool {
    let seen = docker.inspect(name);
    seen.is_ok_and(|seen| seen["State"]["Running"] == json!(true))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apps_asked_for_while_docker_is_away_come_when_it_comes() {
    let (folder, data) = data_dir();
    let socket = folder.path().join("docker.sock");
    let driver = Driver::start(&data, &socket);
    let app = shell_with("demo", IDLE, json!({"networks": ["none"]}));
    let (wanted, unwanted) = (guid(), guid());
    for guid in [&wanted, &unwanted] {
        let error = driver
            .apps
            .put(guid.clone(), app.clone())
            .await
            .unwrap_err();
        assert!(matches!(error, DriveError::Unavailable { .. }), "{error}");
    }
    let status = driver.apps.get(&wanted).await.unwrap();
    assert_eq!(
        (status.state, status.app),
        (AppState::Unknown, Some(app.clone()))
    );
    let error = driver.apps.delete(&unwanted).await.unwrap_err();
    assert!(matches!(error, DriveError::Unavailable { .. }), "{error}");
    assert!(!driver.health.get().connected);
    assert!(driver.health.get().last_error.is_some());

    // Only now, and not even with the image.
    let dockerd = Dockerd::private(folder.path()).unwrap();
    let docker = dockerd.docker();
    eventually("the app says what it lacks", || {
        let status = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(driver.apps.get(&wanted))
        });
        status.is_ok_and(|status| status.state == AppState::Failed)
    })
    .await;
    let image = Image::busybox(docker);
    let tag = format!("/images/{}/tag?repo=demo&tag=latest", image.name());
    docker
        .call("POST", &tag, &Value::Null)
        .unwrap()
        .success()
        .unwrap();
    eventually("the app runs", || runs(docker, wanted.as_str())).await;
    assert!(docker.inspect(unwanted.as_str()).is_err());
    assert!(!data.join(format!("apps/{unwanted}.json")).exists());
    let same = driver.apps.put(wanted.clone(), app).await.unwrap();
    assert_eq!(same, Outcome::Unchanged);
    drop(driver);
    docker.remove(wanted.as_str()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_of_docker_everything_is_as_it_should_be() {
    let (folder, data) = data_dir();
    let mut dockerd = Dockerd::private(folder.path()).unwrap();
    let docker = dockerd.docker().clone();
    let image = Image::busybox(&docker);
    let driver = Driver::start(&data, &folder.path().join("docker.sock"));
    driver.connected().await;
    let (stays, goes) = (guid(), guid());
    let app = shell_with(image.name(), IDLE, json!({"networks": ["none"]}));
    for guid in [&stays, &goes] {
        driver.apps.put(guid.clone(), app.clone()).await.unwrap();
    }
    let foreign = unique("directory");
    let body = json!({"Image": image.name(), "Cmd": ["sleep", "1000"],
        "HostConfig": {"NetworkMode": "none"}});
    let foreign_id = docker.create(&foreign, &body).unwrap();
    docker.start(&foreign_id).unwrap();
    let id = docker.inspect(stays.as_str()).unwrap()["Id"]
        .as_str()
        .unwrap()
        .to_owned();
    let directory = &driver.directory;
    let pid = |id: &str| directory.load().container(id).map_or(0, |known| known.pid);
    eventually("both are seen", || pid(&id) != 0 && pid(&foreign_id) != 0).await;
    let first_pid = pid(&id);

    dockerd.stop().unwrap();
    eventually("the loss is seen", || !driver.health.get().connected).await;
    let error = driver.apps.put(guid(), app.clone()).await.unwrap_err();
    assert!(matches!(error, DriveError::Unavailable { .. }), "{error}");
    assert_eq!(
        driver.apps.get(&stays).await.unwrap().state,
        AppState::Unknown
    );
    driver.apps.delete(&goes).await.unwrap_err();
    // Gone while nobody looked, as after a crash of the disk.
    let lost = folder.path().join("data/containers").join(&foreign_id);
    std::fs::remove_dir_all(lost).unwrap();

    dockerd.start().unwrap();
    driver.connected().await;
    eventually("the app runs again, with a new pid", || {
        runs(&docker, stays.as_str()) && pid(&id) != 0 && pid(&id) != first_pid
    })
    .await;
    assert_eq!(docker.inspect(stays.as_str()).unwrap()["Id"], json!(id));
    assert!(directory.load().is_gone(&foreign_id));
    eventually("what was to go is gone", || {
        docker.inspect(goes.as_str()).is_err()
    })
    .await;
    eventually("what was asked for meanwhile has come", || {
        docker.names().unwrap().len() == 2
    })
    .await;
    drop(driver);
    for name in docker.names().unwrap() {
        docker.remove(&name).unwrap();
    }
}

/// A stand-in for the daemon that answers each request with `answer`, then hangs up.
fn stand_in(socket: &Path, answer: impl Fn(&str) -> Option<String> + Send + 'static) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let request = head_of(&mut stream);
            if let Some(answer) = answer(&request) {
                // The other side may be gone.
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
}

fn head_of(stream: &mut UnixStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn json_answer(body: &Value) -> String {
    let body = body.to_string();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_dies_mid_way_or_talks_nonsense_is_away_and_not_the_end() {
    let (folder, data) = data_dir();
    let socket = folder.path().join("docker.sock");
    let driver = Driver::start(&data, &socket);
    let version = json_answer(&json!({"ApiVersion": "1.41", "MinAPIVersion": "1.12"}));
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"Id\": \"ab";
    for nonsense in [
        None,
        Some(half.to_owned()),
        Some("SSH-2.0-OpenSSH\r\n".to_owned()),
        Some(json_answer(&json!([1, 2, 3]))),
        Some("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".to_owned()),
    ] {
        let version = version.clone();
        let shown = format!("{nonsense:?}");
        stand_in(&socket, move |request| {
            if request.contains("/version") {
                Some(version.clone())
            } else {
                nonsense.clone()
            }
        });
        let put = driver.apps.put(guid(), shell("demo", IDLE));
        let error = tokio::time::timeout(Duration::from_secs(20), put).await;
        let error = error.expect("an answer in time").unwrap_err();
        let away = matches!(
            error,
            DriveError::Unavailable { .. } | DriveError::Refused { .. }
        );
        assert!(away, "{shown}: {error}");
        assert!(!driver.health.get().connected, "{shown}");
        std::fs::remove_file(&socket).unwrap();
    }
    let dockerd = Dockerd::private(folder.path()).unwrap();
    driver.connected().await;
    let image = Image::busybox(dockerd.docker());
    let guid = guid();
    let app = shell_with(image.name(), IDLE, json!({"networks": ["none"]}));
    driver.apps.put(guid.clone(), app).await.unwrap();
    assert!(runs(dockerd.docker(), guid.as_str()));
    driver.apps.delete(&guid).await.unwrap();
}
