//! Apps on a real Docker: made, kept, changed, healed, gone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that meets the unexpected has failed"
)]

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use guidon::config::{Allow, Guid};
use guidon::drive::{AppState, DriveError, Environment, JaegerAgent, Outcome};
use guidon_tests::driver::{
    Driver, IDLE, Remove, data_dir, eventually, new_guid, shell, shell_with, told,
};
use guidon_tests::{Container, Docker, Image, system_docker, unique};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What every test here has. The driver goes first: it would bring back what is removed after it.
struct Bed {
    driver: Driver,
    remove: RefCell<Vec<Remove>>,
    image: Image,
    docker: Docker,
    data: PathBuf,
    _folder: TempDir,
}

fn socket() -> PathBuf {
    xtask::docker::system_socket()
}

impl Bed {
    async fn new() -> Self {
        let docker = system_docker();
        let (folder, data) = data_dir();
        let driver = Driver::start(&data, &socket());
        driver.connected().await;
        Self {
            driver,
            remove: RefCell::default(),
            image: Image::busybox(&docker),
            docker,
            data,
            _folder: folder,
        }
    }

    /// A guid whose container is removed at the end of the test.
    fn guid(&self) -> Guid {
        let (guid, remove) = new_guid(&self.docker);
        self.remove.borrow_mut().push(remove);
        guid
    }

    fn id(&self, name: &str) -> String {
        self.docker.inspect(name).unwrap()["Id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn is_running(&self, name: &str) -> bool {
        self.docker
            .inspect(name)
            .is_ok_and(|seen| seen["State"]["Running"] == json!(true))
    }

    fn call(&self, method: &str, path: &str) {
        let response = self.docker.call(method, path, &Value::Null).unwrap();
        response.success().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apps_hostname_and_name_are_its_guid_and_it_is_known_everywhere() {
    let bed = Bed::new().await;
    let guid = bed.guid();
    let app = shell(bed.image.name(), IDLE);
    let outcome = bed
        .driver
        .apps
        .put(guid.clone(), app.clone())
        .await
        .unwrap();
    assert_eq!(outcome, Outcome::Created);

    let seen = bed.docker.inspect(guid.as_str()).unwrap();
    assert_eq!(seen["Name"], json!(format!("/{guid}")));
    assert_eq!(seen["Config"]["Hostname"], json!(guid.as_str()));
    let id = seen["Id"].as_str().unwrap();

    let pid = seen["State"]["Pid"].as_u64().unwrap();
    let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let unified = cgroups
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .unwrap();
    let (found, own) = guidon::directory::container_of_path(unified).unwrap();
    assert_eq!((found, own), (id, unified));

    let directory = &bed.driver.directory;
    eventually("the watcher adds pid and address", || {
        let view = directory.load();
        view.container(id).is_some_and(|known| {
            u64::from(known.pid) == pid && known.addresses.len() == 1 && known.started_at > 0.0
        })
    })
    .await;
    let view = directory.load();
    let known = view.container(id).unwrap();
    assert_eq!(known.guid.as_ref(), Some(&guid));
    assert_eq!(known.image, bed.image.name());
    assert_eq!(view.by_address(known.addresses[0]).unwrap().id, id);
    assert!(known.log.path.as_ref().unwrap().exists());

    let status = bed.driver.apps.get(&guid).await.unwrap();
    assert_eq!(status.state, AppState::Running);
    assert_eq!(status.app.as_ref(), Some(&app));
    assert_eq!(status.containers[0].id, id);
    assert_eq!(status.cgroups, [unified]);
    let listed = bed.driver.apps.list().await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].containers[0].name, guid.as_str());
    assert_eq!(listed[0].state, AppState::Running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_again_touches_nothing_and_a_change_replaces_the_container() {
    let bed = Bed::new().await;
    let guid = bed.guid();
    let put = |app| bed.driver.apps.put(guid.clone(), app);
    let one = shell(bed.image.name(), IDLE);
    put(one.clone()).await.unwrap();
    let first = bed.id(guid.as_str());
    let started = bed.docker.inspect(&first).unwrap()["State"]["StartedAt"].clone();
    assert_eq!(put(one).await.unwrap(), Outcome::Unchanged);
    let again = bed.docker.inspect(guid.as_str()).unwrap();
    assert_eq!(
        (&again["Id"], &again["State"]["StartedAt"]),
        (&json!(first), &started)
    );

    let other = shell_with(bed.image.name(), IDLE, json!({"env": {"COLOUR": "red"}}));
    assert_eq!(put(other).await.unwrap(), Outcome::Changed);
    let second = bed.docker.inspect(guid.as_str()).unwrap();
    assert_ne!(second["Id"], json!(first));
    assert_eq!(second["Config"]["Hostname"], json!(guid.as_str()));
    assert!(bed.docker.inspect(&first).is_err(), "the old one is gone");
    let env = second["Config"]["Env"].as_array().unwrap();
    assert!(env.contains(&json!("COLOUR=red")));
    let view = bed.driver.directory.load();
    let live: Vec<_> = view.live_by_guid(guid.as_str()).collect();
    assert_eq!(live.len(), 1);
    assert_eq!(json!(live[0].id), second["Id"]);
    assert!(view.is_gone(&first), "still resolvable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_container_of_that_name_is_a_conflict_and_is_left_alone() {
    let bed = Bed::new().await;
    let guid = bed.guid();
    let foreign = Container::run(&bed.docker, &bed.image, guid.as_str(), "sleep 1000");
    let id = foreign.id();
    let app = shell(bed.image.name(), IDLE);
    let error = bed.driver.apps.put(guid.clone(), app).await.unwrap_err();
    assert!(matches!(error, DriveError::Conflict { .. }), "{error}");
    assert!(error.to_string().contains(&id[..12]), "{error}");
    assert!(matches!(
        bed.driver.apps.get(&guid).await,
        Err(DriveError::NotFound(_))
    ));
    assert!(matches!(
        bed.driver.apps.delete(&guid).await,
        Err(DriveError::NotFound(_))
    ));
    assert_eq!(foreign.id(), id);
    assert!(bed.is_running(guid.as_str()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_app_is_gone_from_docker_disk_and_list() {
    let bed = Bed::new().await;
    let guid = bed.guid();
    let app = shell(bed.image.name(), IDLE);
    bed.driver.apps.put(guid.clone(), app).await.unwrap();
    let stored = bed.data.join(format!("apps/{guid}.json"));
    assert!(stored.exists());
    bed.driver.apps.delete(&guid).await.unwrap();
    assert!(bed.docker.inspect(guid.as_str()).is_err());
    assert!(!stored.exists());
    assert!(bed.driver.apps.list().await.is_empty());
    let again = bed.driver.apps.delete(&guid).await;
    assert!(matches!(again, Err(DriveError::NotFound(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_ignores_its_signal_is_killed_after_its_grace() {
    let bed = Bed::new().await;
    let guid = bed.guid();
    let script = "trap '' TERM; while :; do sleep 1; done";
    let app = shell_with(bed.image.name(), script, json!({"stop": {"grace": "2s"}}));
    bed.driver.apps.put(guid.clone(), app).await.unwrap();
    let start = Instant::now();
    bed.driver.apps.delete(&guid).await.unwrap();
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(1900) && took < Duration::from_secs(8),
        "{took:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_removed_renamed_or_left_half_made_by_hand_comes_back() {
    let bed = Bed::new().await;
    let guid = bed.guid();
    let renamed = unique("directory");
    let app = shell(bed.image.name(), IDLE);
    bed.driver.apps.put(guid.clone(), app).await.unwrap();
    let first = bed.id(guid.as_str());

    bed.docker.remove(&first).unwrap();
    eventually("a removed container comes back", || {
        bed.is_running(guid.as_str())
    })
    .await;
    let second = bed.id(guid.as_str());
    assert_ne!(first, second);

    let _claim = Container::claim(&bed.docker, &renamed);
    bed.call(
        "POST",
        &format!("/containers/{second}/rename?name={renamed}"),
    );
    eventually("a renamed container gets its name back", || {
        bed.docker.inspect(guid.as_str()).is_ok()
    })
    .await;
    assert_eq!(bed.id(guid.as_str()), second, "the same container");
    let status = bed.driver.apps.get(&guid).await.unwrap();
    assert_eq!((status.state, status.last_error), (AppState::Running, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_is_paused_by_hand_stays_so_and_says_it() {
    let bed = Bed::new().await;
    let (paused, other) = (bed.guid(), bed.guid());
    for guid in [&paused, &other] {
        let app = shell(bed.image.name(), IDLE);
        bed.driver.apps.put(guid.clone(), app).await.unwrap();
    }
    let id = bed.id(paused.as_str());
    bed.call("POST", &format!("/containers/{id}/pause"));
    // Something to mend, so that everything is looked at.
    bed.docker.remove(&bed.id(other.as_str())).unwrap();
    eventually("the other one comes back", || {
        bed.is_running(other.as_str())
    })
    .await;
    let status = bed.driver.apps.get(&paused).await.unwrap();
    assert_eq!((status.state, status.last_error), (AppState::Paused, None));
    assert_eq!(bed.id(paused.as_str()), id, "the same container");
    bed.call("POST", &format!("/containers/{id}/unpause"));
    let status = bed.driver.apps.get(&paused).await.unwrap();
    assert_eq!(status.state, AppState::Running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_agent_finds_its_apps_and_heals_them_when_it_starts() {
    let mut bed = Bed::new().await;
    let kept = bed.guid();
    let lost = bed.guid();
    let unfinished = bed.guid();
    let app = shell(bed.image.name(), IDLE);
    for guid in [&kept, &lost] {
        bed.driver
            .apps
            .put(guid.clone(), app.clone())
            .await
            .unwrap();
    }
    let id = bed.id(kept.as_str());
    // As `kill -9` would leave it between create and store.
    let labels = bed.docker.inspect(&id).unwrap()["Config"]["Labels"].clone();
    let mut orphan = labels.clone();
    orphan["io.guidon.guid"] = json!(unfinished.as_str());
    let body = json!({"Image": bed.image.name(), "Cmd": ["true"], "Labels": orphan});
    bed.docker.create(unfinished.as_str(), &body).unwrap();
    // As it would leave a replacement before its predecessor went.
    let spare = format!("{kept}.next");
    let body = json!({"Image": bed.image.name(), "Cmd": ["true"], "Labels": labels});
    bed.docker.create(&spare, &body).unwrap();

    let (folder, nowhere) = data_dir();
    bed.driver = Driver::start(&nowhere, &socket());
    bed.docker.remove(lost.as_str()).unwrap();
    bed.driver.connected().await;
    let foreign = bed
        .driver
        .directory
        .load()
        .container(&id)
        .unwrap()
        .guid
        .clone();
    assert_eq!(foreign, None, "another agent's app is foreign");
    let conflict = bed.driver.apps.put(kept.clone(), app.clone()).await;
    assert!(matches!(conflict, Err(DriveError::Conflict { .. })));
    drop(folder);

    bed.driver = Driver::start(&bed.data, &socket());
    bed.driver.connected().await;
    let known = bed
        .driver
        .directory
        .load()
        .container(&id)
        .unwrap()
        .guid
        .clone();
    assert_eq!(known.as_ref(), Some(&kept));
    assert_eq!(bed.driver.apps.list().await.len(), 2);
    eventually("the lost app comes back", || bed.is_running(lost.as_str())).await;
    eventually("half-made containers are cleared away", || {
        let names = bed.docker.names().unwrap();
        !names.contains(&spare) && !names.contains(&unfinished.to_string())
    })
    .await;
    assert_eq!(bed.id(kept.as_str()), id, "what was right is not touched");
    let same = bed.driver.apps.put(kept.clone(), app).await.unwrap();
    assert_eq!(same, Outcome::Unchanged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn puts_of_one_guid_follow_one_another_and_different_ones_go_side_by_side() {
    let bed = Bed::new().await;
    let guid = bed.guid();
    let puts = (0..4).map(|number| {
        let app = shell_with(bed.image.name(), IDLE, json!({"env": {"N": number}}));
        let (apps, guid) = (bed.driver.apps.clone(), guid.clone());
        tokio::spawn(async move { apps.put(guid, app).await })
    });
    let mut outcomes = Vec::new();
    for put in puts.collect::<Vec<_>>() {
        outcomes.push(put.await.unwrap().unwrap());
    }
    let created = outcomes
        .iter()
        .filter(|outcome| **outcome == Outcome::Created);
    assert_eq!(created.count(), 1, "{outcomes:?}");
    let names = bed.docker.names().unwrap();
    let of_app = names.iter().filter(|name| name.starts_with(guid.as_str()));
    assert_eq!(of_app.count(), 1);

    let many: Vec<_> = (0..6).map(|_| bed.guid()).collect();
    let app = shell(bed.image.name(), IDLE);
    let puts: Vec<_> = many
        .iter()
        .map(|guid| {
            let (apps, guid, app) = (bed.driver.apps.clone(), guid.clone(), app.clone());
            tokio::spawn(async move { apps.put(guid, app).await.unwrap() })
        })
        .collect();
    for put in puts {
        put.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_is_missing_is_named_and_awaited() {
    let bed = Bed::new().await;
    let guid = bed.guid();
    let missing = unique("directory-missing");
    let app = shell_with(&missing, IDLE, json!({"pull": "never"}));
    let error = bed.driver.apps.put(guid.clone(), app).await.unwrap_err();
    assert_eq!(
        (error.code(), error.field()),
        ("image_not_available", Some("image"))
    );
    assert!(error.to_string().contains(&missing), "{error}");
    let status = bed.driver.apps.get(&guid).await.unwrap();
    assert_eq!(status.state, AppState::Failed);
    assert!(status.last_error.unwrap().contains(&missing));

    let tag = format!("/images/{}/tag?repo={missing}&tag=latest", bed.image.name());
    bed.call("POST", &tag);
    eventually("the app runs once its image is there", || {
        bed.is_running(guid.as_str())
    })
    .await;
    bed.driver.apps.delete(&guid).await.unwrap();
    bed.docker.remove_image(&missing).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_no_registry_has_is_a_clear_error() {
    let bed = Bed::new().await;
    let guid = bed.guid();
    // Nothing listens there.
    let app = shell("127.0.0.1:23999/nothing/here:1", IDLE);
    let error = bed.driver.apps.put(guid.clone(), app).await.unwrap_err();
    assert_eq!(error.field(), Some("image"));
    assert!(error.to_string().contains("connection refused"), "{error}");
    bed.driver.apps.delete(&guid).await.unwrap();
    assert!(bed.driver.apps.list().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_docker_cannot_start_names_the_field_and_heals_with_its_cause() {
    let bed = Bed::new().await;
    let guid = bed.guid();
    let mut app = shell(bed.image.name(), IDLE);
    app.command = vec!["/no/such/program".to_owned()];
    let error = bed.driver.apps.put(guid.clone(), app).await.unwrap_err();
    assert_eq!(
        (error.code(), error.field()),
        ("docker_refused", Some("command")),
        "{error}"
    );
    assert_eq!(
        bed.driver.apps.get(&guid).await.unwrap().state,
        AppState::Failed
    );

    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = shell_with(
        bed.image.name(),
        IDLE,
        json!({"ports": [format!("{port}:80")]}),
    );
    let error = bed.driver.apps.put(guid.clone(), app).await.unwrap_err();
    assert_eq!(error.field(), Some("ports"), "{error}");
    drop(listener);
    eventually("the app starts once its port is free", || {
        bed.is_running(guid.as_str())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_cannot_be_made_leaves_the_old_container_running() {
    let bed = Bed::new().await;
    let guid = bed.guid();
    let good = shell(bed.image.name(), IDLE);
    bed.driver
        .apps
        .put(guid.clone(), good.clone())
        .await
        .unwrap();
    let id = bed.id(guid.as_str());

    let forbidden = shell_with(bed.image.name(), IDLE, json!({"privileged": true}));
    let error = bed
        .driver
        .apps
        .put(guid.clone(), forbidden)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            DriveError::Forbidden {
                rule: "privileged",
                ..
            }
        ),
        "{error}"
    );
    let refused = json!({"log": {"driver": "no-such-driver"}});
    let refused = shell_with(bed.image.name(), IDLE, refused);
    let error = bed
        .driver
        .apps
        .put(guid.clone(), refused)
        .await
        .unwrap_err();
    assert_eq!(error.field(), Some("log.driver"), "{error}");
    assert_eq!(bed.driver.apps.get(&guid).await.unwrap().app, Some(good));

    let missing = shell_with("no-such-image", IDLE, json!({"pull": "never"}));
    bed.driver
        .apps
        .put(guid.clone(), missing)
        .await
        .unwrap_err();
    assert_eq!(bed.id(guid.as_str()), id);
    assert!(bed.is_running(guid.as_str()));
    let status = bed.driver.apps.get(&guid).await.unwrap();
    assert_eq!(status.state, AppState::Running);
    assert!(status.last_error.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_field_reaches_docker() {
    let mut bed = Bed::new().await;
    let guid = bed.guid();
    let (folder, data) = data_dir();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "s3cret\n").unwrap();
    bed.driver = Driver::with(&data, &socket(), |settings| {
        settings.docker.allow = Allow {
            secret_files: vec![secret.clone()],
            host_mounts: vec![folder.path().to_owned()],
            capabilities: vec!["NET_ADMIN".to_owned()],
            ..Allow::default()
        };
        settings.environments = told(Environment {
            otlp_http: Some("http://172.17.0.1:4318".to_owned()),
            jaeger_agent: Some(JaegerAgent {
                host: "172.17.0.1".to_owned(),
                port: 6831,
            }),
            jaeger_sampling: None,
        });
    });
    bed.driver.connected().await;
    let app = shell_with(
        bed.image.name(),
        IDLE,
        json!({
            "env": {"COLOUR": "blue"}, "secrets": {"TOKEN": secret},
            "ports": ["80", "0.0.0.0::81/udp"],
            "mounts": [{"type": "tmpfs", "target": "/scratch", "size": "1MiB"},
                format!("{}:/host:ro", folder.path().display())],
            "limits": {"cpus": 0.5, "memory": "64MiB", "swap": 0, "pids": 50},
            "restart": "on-failure:3", "user": "1000:1000", "workdir": "/tmp",
            "labels": {"team": "a"}, "health": {"test": ["true"], "interval": "2s"},
            "stop": {"grace": "3s", "signal": "SIGTERM"},
            "log": {"driver": "json-file", "options": {"max-size": "1m"}},
            "init": true, "read_only": true, "cap_add": ["NET_ADMIN"], "cap_drop": ["ALL"],
        }),
    );
    bed.driver.apps.put(guid.clone(), app).await.unwrap();
    let seen = bed.docker.inspect(guid.as_str()).unwrap();
    let env = seen["Config"]["Env"].as_array().unwrap();
    for pair in [
        "COLOUR=blue".to_owned(),
        "TOKEN=s3cret".to_owned(),
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://172.17.0.1:4318".to_owned(),
        format!("OTEL_RESOURCE_ATTRIBUTES=guid={guid},service.instance.id={guid}"),
        format!("OTEL_SERVICE_NAME={guid}"),
        "JAEGER_AGENT_HOST=172.17.0.1".to_owned(),
        format!("JAEGER_TAGS=guid={guid}"),
    ] {
        assert!(env.contains(&json!(pair)), "{pair} is not in {env:?}");
    }
    let host = &seen["HostConfig"];
    let bindings = &host["PortBindings"];
    assert_eq!(bindings["80/tcp"][0]["HostIp"], json!("127.0.0.1"));
    assert_eq!(bindings["81/udp"][0]["HostIp"], json!("0.0.0.0"));
    assert_eq!(host["NanoCpus"], json!(500_000_000));
    assert_eq!(host["Memory"], json!(64 << 20));
    assert_eq!(host["MemorySwap"], json!(64 << 20));
    assert_eq!(host["PidsLimit"], json!(50));
    let restart = json!({"Name": "on-failure", "MaximumRetryCount": 3});
    assert_eq!(host["RestartPolicy"], restart);
    assert_eq!(host["LogConfig"]["Config"]["max-size"], json!("1m"));
    assert_eq!(
        (&host["Init"], &host["ReadonlyRootfs"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(host["CapAdd"], json!(["NET_ADMIN"]));
    assert_eq!(host["CapDrop"], json!(["ALL"]));
    assert_eq!(host["Mounts"].as_array().unwrap().len(), 2);
    let config = &seen["Config"];
    assert_eq!(
        (&config["User"], &config["WorkingDir"]),
        (&json!("1000:1000"), &json!("/tmp"))
    );
    assert_eq!(
        (&config["StopSignal"], &config["StopTimeout"]),
        (&json!("SIGTERM"), &json!(3))
    );
    assert_eq!(config["Labels"]["team"], json!("a"));
    assert_eq!(config["Healthcheck"]["Test"], json!(["CMD", "true"]));
    let shown = serde_json::to_string(&bed.driver.apps.get(&guid).await.unwrap()).unwrap();
    assert!(!shown.contains("s3cret"), "{shown}");
    let stored = std::fs::read_to_string(data.join(format!("apps/{guid}.json"))).unwrap();
    assert!(!stored.contains("s3cret"), "{stored}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_joins_every_network_it_names() {
    let bed = Bed::new().await;
    let guid = bed.guid();
    let networks = [unique("directory-net"), unique("directory-net")];
    for name in &networks {
        let body = json!({"Name": name});
        let made = bed.docker.call("POST", "/networks/create", &body).unwrap();
        made.success().unwrap();
    }
    let app = shell_with(bed.image.name(), IDLE, json!({"networks": networks}));
    bed.driver.apps.put(guid.clone(), app).await.unwrap();
    let seen = bed.docker.inspect(guid.as_str()).unwrap();
    let joined = seen["NetworkSettings"]["Networks"].as_object().unwrap();
    let mut joined: Vec<_> = joined.keys().cloned().collect();
    joined.sort();
    let mut expected = networks.to_vec();
    expected.sort();
    assert_eq!(joined, expected);
    let id = bed.id(guid.as_str());
    let directory = &bed.driver.directory;
    let addresses = || directory.load().container(&id).unwrap().addresses.len();
    eventually("both addresses are known", || addresses() == 2).await;
    let body = json!({"Container": id, "Force": true});
    let path = format!("/networks/{}/disconnect", networks[1]);
    bed.docker
        .call("POST", &path, &body)
        .unwrap()
        .success()
        .unwrap();
    eventually("a network that was left is noticed", || addresses() == 1).await;

    let nowhere = shell_with(bed.image.name(), IDLE, json!({"networks": ["no-such-net"]}));
    let error = bed
        .driver
        .apps
        .put(guid.clone(), nowhere)
        .await
        .unwrap_err();
    assert_eq!(error.field(), Some("networks"), "{error}");
    bed.driver.apps.delete(&guid).await.unwrap();
    for name in &networks {
        bed.call("DELETE", &format!("/networks/{name}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_restarts_by_policy_and_a_finished_job_stays_finished() {
    let bed = Bed::new().await;
    let job = bed.guid();
    let service = bed.guid();
    let script = "exit 3";
    let once = shell_with(bed.image.name(), script, json!({"restart": "no"}));
    bed.driver
        .apps
        .put(job.clone(), once.clone())
        .await
        .unwrap();
    let again = shell_with(bed.image.name(), "sleep 0.3", json!({"restart": "always"}));
    bed.driver.apps.put(service.clone(), again).await.unwrap();
    eventually("docker restarts the service", || {
        bed.docker.inspect(service.as_str()).unwrap()["RestartCount"].as_u64() >= Some(1)
    })
    .await;
    let status = bed.driver.apps.get(&job).await.unwrap();
    assert_eq!(status.state, AppState::Exited);
    assert_eq!(status.containers[0].exit_code, Some(3));
    let listed = bed.driver.apps.list().await;
    let listed = listed.iter().find(|app| app.guid == job).unwrap();
    assert_eq!(
        (listed.state, listed.containers[0].exit_code),
        (AppState::Exited, Some(3))
    );
    let id = bed.id(job.as_str());
    assert_eq!(
        bed.driver.apps.put(job.clone(), once).await.unwrap(),
        Outcome::Unchanged
    );
    assert_eq!(bed.id(job.as_str()), id);
}
