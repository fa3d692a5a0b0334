//! A Docker daemon: the one that runs, or one of our own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::child::Running;
use crate::docker::{Docker, system_socket};
use crate::run::{find_program, step};

/// How long a daemon may take to answer: the first start makes its storage.
const START_TIMEOUT: Duration = Duration::from_secs(90);

/// A daemon that answers. Dropping it stops it only if it was started here.
#[derive(Debug)]
pub struct Dockerd {
    docker: Docker,
    socket: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    process: Option<Running>,
}

impl Dockerd {
    /// The system's daemon; started on the usual socket if none answers.
    pub fn system() -> Result<Self> {
        let socket = system_socket();
        let log = std::env::temp_dir().join(format!("guidon-dockerd-{}.log", std::process::id()));
        let host = format!("--host=unix://{}", socket.display());
        let mut dockerd = Self::new(socket, vec![host], log);
        if !dockerd.docker.answers() {
            step("no Docker answers: starting dockerd, and stopping it again at the end");
            dockerd.start()?;
        }
        Ok(dockerd)
    }

    /// A daemon of its own with all its state below `folder`: for tests that stop and restart it.
    /// Its containers have no network but `none` and `host`.
    pub fn private(folder: &Path) -> Result<Self> {
        let at = |name: &str| folder.join(name).display().to_string();
        let arguments = vec![
            format!("--host=unix://{}", at("docker.sock")),
            format!("--data-root={}", at("data")),
            format!("--exec-root={}", at("exec")),
            format!("--pidfile={}", at("docker.pid")),
            "--bridge=none".to_owned(),
            "--iptables=false".to_owned(),
            "--ip6tables=false".to_owned(),
        ];
        let mut dockerd = Self::new(
            folder.join("docker.sock"),
            arguments,
            folder.join("dockerd.log"),
        );
        dockerd.start()?;
        Ok(dockerd)
    }

    fn new(socket: PathBuf, arguments: Vec<String>, log: PathBuf) -> Self {
        Self {
            docker: Docker::at(&socket),
            socket,
            arguments,
            log,
            process: None,
        }
    }

    /// The daemon's API.
    #[must_use]
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// The daemon's socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Stops a daemon that was started here (its containers end with it); others stay.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.stop()?;
        }
        Ok(())
    }

    /// Starts the daemon and waits until it answers.
    pub fn start(&mut self) -> Result<()> {
        let program = find_program("dockerd").context("dockerd is missing: `cargo xtask setup`")?;
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let mut process = Running::start(&program, &arguments, &self.log)?;
        let deadline = Instant::now() + START_TIMEOUT;
        while !self.docker.answers() {
            let ended = process.ended()?;
            if ended.is_some() || Instant::now() >= deadline {
                bail!(
                    "dockerd {}; the end of its log ({}):\n{}",
                    ended.map_or_else(
                        || format!("does not answer after {START_TIMEOUT:?}"),
                        |status| format!("ended: {status}")
                    ),
                    self.log.display(),
                    tail(&self.log)
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        self.process = Some(process);
        Ok(())
    }
}

/// The last lines of a log file, for an error message.
#[must_use]
pub fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
