//! The rooms `directory` and `drive` alone, against a real Docker: no kernel programs, no bus.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use guidon::config::{self, Guid};
use guidon::directory::Directory;
use guidon::directory::docker::{Health, Owner, Watcher};
use guidon::drive::{App, Apps, Environment, Environments, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use xtask::docker::Docker;

use crate::unique;

/// What apps in networks of their own are told, from the start and for good.
#[must_use]
pub fn told(bridge: Environment) -> watch::Receiver<Environments> {
    watch::Sender::new(Environments {
        settled: true,
        bridge,
        host: Environment::default(),
    })
    .subscribe()
}

/// Directory, watcher and apps on one data directory. Dropping it is a `kill -9`: nothing is
/// cleaned up in Docker, see [`Remove`].
#[derive(Debug)]
pub struct Driver {
    /// What the watcher and the apps fill.
    pub directory: Arc<Directory>,
    /// The watcher's connection.
    pub health: Health,
    /// The apps.
    pub apps: Apps,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Driver {
    /// Starts against the daemon behind `socket`. Call it inside a runtime.
    #[must_use]
    pub fn start(data_dir: &Path, socket: &Path) -> Self {
        Self::with(data_dir, socket, |_| {})
    }

    /// Likewise, with other settings.
    #[must_use]
    pub fn with(data_dir: &Path, socket: &Path, change: impl FnOnce(&mut Settings)) -> Self {
        let host = "host-1".parse().expect("a guid");
        let directory = Arc::new(Directory::new(host));
        let owner = Owner::of_data_dir(data_dir);
        let watcher = Watcher::new(Arc::clone(&directory), socket.to_owned(), owner);
        let health = watcher.health();
        let mut settings = Settings {
            docker: config::Docker {
                socket: socket.to_owned(),
                ..config::Docker::default()
            },
            data_dir: data_dir.to_owned(),
            environments: told(Environment::default()),
        };
        change(&mut settings);
        let apps = Apps::open(
            settings,
            Arc::clone(&directory),
            health.clone(),
            Handle::current(),
        )
        .expect("open the apps");
        let mending = apps.clone();
        let tasks = vec![
            AbortOnDropHandle::new(tokio::spawn(watcher.run())),
            AbortOnDropHandle::new(tokio::spawn(async move { mending.run().await })),
        ];
        Self {
            directory,
            health,
            apps,
            _tasks: tasks,
        }
    }

    /// Waits until the watcher has read Docker's list.
    pub async fn connected(&self) {
        eventually("docker is watched", || self.health.get().connected).await;
    }
}

/// A description that runs a shell script.
#[must_use]
pub fn shell(image: &str, script: &str) -> App {
    shell_with(image, script, json!({}))
}

/// Likewise, with further fields.
#[must_use]
pub fn shell_with(image: &str, script: &str, more: Value) -> App {
    let mut app = json!({"image": image, "command": ["/bin/sh", "-c", script],
        "stop": {"grace": "1s"}});
    let fields = app.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    App::from_json(app.to_string().as_bytes()).expect("a description")
}

/// A script that ends at once when it is asked to.
pub const IDLE: &str = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done";

/// A new guid, and its container's removal at the end of the test.
#[must_use]
pub fn new_guid(docker: &Docker) -> (Guid, Remove) {
    let guid: Guid = unique("directory").parse().expect("a guid");
    let remove = Remove {
        docker: docker.clone(),
        name: guid.to_string(),
    };
    (guid, remove)
}

/// Removes a container when it is dropped, and what a half-done replacement would leave.
#[derive(Debug)]
pub struct Remove {
    docker: Docker,
    name: String,
}

impl Drop for Remove {
    fn drop(&mut self) {
        for name in [self.name.clone(), format!("{}.next", self.name)] {
            if let Err(error) = self.docker.remove(&name) {
                eprintln!("could not remove the container {name}: {error:#}");
            }
        }
    }
}

/// A folder for an agent's data.
#[must_use]
pub fn data_dir() -> (TempDir, PathBuf) {
    let folder = TempDir::with_prefix("directory-").expect("a folder");
    let path = folder.path().join("data");
    std::fs::create_dir(&path).expect("a folder");
    (folder, path)
}

/// Waits up to 30 s for something to become true.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not within 30 s: {what}");
}
