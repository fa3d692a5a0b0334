//! Containers and images that are gone after the test.

use std::sync::{LazyLock, Mutex};

use serde_json::{Value, json};
use xtask::docker::Docker;
use xtask::dockerd::Dockerd;
use xtask::hands::side_by_side;
use xtask::image::{import_busybox, import_program};
use xtask::run::find_program;

use crate::unique;

/// The system's daemon; started from a thread that lives as long as the test program if none runs.
static SYSTEM: LazyLock<Docker> = LazyLock::new(|| {
    let (sender, started) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let dockerd = Dockerd::system().expect("a Docker daemon");
        sender
            .send(dockerd.docker().clone())
            .expect("a test that waits");
        // The daemon ends with the thread that started it; see `xtask::child`.
        loop {
            std::thread::park();
        }
    });
    started.recv().expect("a Docker daemon")
});

/// The system's Docker daemon.
#[must_use]
pub fn system_docker() -> Docker {
    SYSTEM.clone()
}

/// An image under a name of its own. Dropping it removes it.
#[derive(Debug)]
pub struct Image {
    docker: Docker,
    name: String,
}

impl Image {
    /// Imports busybox into the daemon.
    #[must_use]
    pub fn busybox(docker: &Docker) -> Self {
        let name = unique("guidon-test");
        import_busybox(docker, &name).expect("import busybox");
        Self {
            docker: docker.clone(),
            name,
        }
    }

    /// Imports a program from Debian, and nothing beside it, into the daemon.
    #[must_use]
    pub fn of_program(docker: &Docker, program: &str) -> Self {
        let name = unique("guidon-test");
        let path = find_program(program)
            .unwrap_or_else(|| panic!("{program} is missing: `cargo xtask setup test`"));
        import_program(docker, &name, &path).expect("import the program");
        Self {
            docker: docker.clone(),
            name,
        }
    }

    /// Its name, without a tag.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The body of `PUT /api/v1/apps/{guid}` for an app that runs a shell script.
    #[must_use]
    pub fn app(&self, script: &str) -> Value {
        json!({
            "driver": "docker",
            "image": self.name,
            "command": ["/bin/sh", "-c", script],
        })
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if let Err(error) = self.docker.remove_image(&self.name) {
            eprintln!("could not remove the image {}: {error:#}", self.name);
        }
    }
}

/// A container; made here, or only to be removed at the end of a test. Dropping it removes it.
#[derive(Debug)]
pub struct Container {
    docker: Docker,
    /// Name or id.
    pub name: String,
}

impl Container {
    /// Runs a shell script in a new container that guidon knows nothing of.
    #[must_use]
    pub fn run(docker: &Docker, image: &Image, name: &str, script: &str) -> Self {
        let container = Self::claim(docker, name);
        docker
            .run_shell(name, image.name(), script)
            .expect("run a container");
        container
    }

    /// Takes responsibility for removing a container that something else makes.
    #[must_use]
    pub fn claim(docker: &Docker, name: &str) -> Self {
        Self {
            docker: docker.clone(),
            name: name.to_owned(),
        }
    }

    /// What Docker says of it.
    #[must_use]
    pub fn inspect(&self) -> Value {
        self.docker
            .inspect(&self.name)
            .expect("inspect a container")
    }

    /// Its 64 hex digits.
    #[must_use]
    pub fn id(&self) -> String {
        self.inspect()["Id"].as_str().expect("an id").to_owned()
    }
}

/// Removes many, some at a time: Docker takes a while for each.
pub fn remove_all(containers: Vec<Container>) {
    let containers = Mutex::new(containers);
    let count = containers.lock().unwrap().len();
    side_by_side(count, |_| {
        let container = containers.lock().unwrap().pop();
        drop(container);
        Ok(())
    })
    .expect("remove containers");
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Err(error) = self.docker.remove(&self.name) {
            eprintln!("could not remove the container {}: {error:#}", self.name);
        }
    }
}
