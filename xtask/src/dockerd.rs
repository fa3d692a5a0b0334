//! A Docker daemon: the one that runs, or one of our own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::child::Running;
use crate::docker::{Docker, system_socket};
use crate::run::{find_program, step};

/// How long a daemon may take to answer: the first start makes its storage.
const START_TIMEOUT: Duration = Duration::from_secs(90);

const JOURNALD: &str = "/lib/systemd/systemd-journald";

/// Runs its arguments beside a journal; both end with the shell. Its own name is the journal's
/// program.
const WITH_JOURNAL: &str = "\
    mount -t tmpfs tmpfs /run/systemd && mount -t tmpfs tmpfs /run/log || exit 1
    mkdir /run/systemd/journal
    setpriv --pdeathsig KILL -- $0 & journal=$!
    while [ ! -S /run/systemd/journal/socket ]; do sleep 0.1; done
    setpriv --pdeathsig TERM -- \"$@\" & program=$!
    trap 'kill $program' TERM
    wait $program; wait $program
    kill $journal";

/// A daemon that answers. Dropping it stops it only if it was started here.
#[derive(Debug)]
pub struct Dockerd {
    docker: Docker,
    socket: PathBuf,
    /// The program and its arguments.
    command: Vec<String>,
    log: PathBuf,
    process: Option<Running>,
}

impl Dockerd {
    /// The system's daemon; started on the usual socket if none answers.
    pub fn system() -> Result<Self> {
        let socket = system_socket();
        let log = std::env::temp_dir().join(format!("guidon-dockerd-{}.log", std::process::id()));
        let host = format!("--host=unix://{}", socket.display());
        let mut dockerd = Self::new(socket, vec!["dockerd".to_owned(), host], log);
        if !dockerd.docker.answers() {
            step("no Docker answers: starting dockerd, and stopping it again at the end");
            dockerd.start()?;
        }
        Ok(dockerd)
    }

    /// A daemon of its own with all its state below `folder`: for tests that stop and restart it.
    ///
    /// It lives in a network namespace of its own, for a daemon takes possession of the bridge
    /// `docker0` wherever it is: its containers reach one another and nothing else.
    pub fn private(folder: &Path) -> Result<Self> {
        Self::start_private(folder, &["unshare", "--net"])
    }

    /// Like [`Dockerd::private`], with a journal of its own beside it, for the log driver
    /// `journald`. It is kept in memory and goes with the daemon.
    pub fn private_with_journal(folder: &Path) -> Result<Self> {
        if !Path::new(JOURNALD).exists() {
            bail!("{JOURNALD} is missing: `cargo xtask setup`");
        }
        let unshare = ["unshare", "--net", "--mount", "--propagation=private"];
        let shell = ["sh", "-c", WITH_JOURNAL, JOURNALD];
        Self::start_private(folder, &[&unshare[..], &shell[..]].concat())
    }

    fn start_private(folder: &Path, around: &[&str]) -> Result<Self> {
        let at = |name: &str| folder.join(name).display().to_string();
        let mut command: Vec<String> = around.iter().map(|&word| word.to_owned()).collect();
        command.extend([
            "dockerd".to_owned(),
            format!("--host=unix://{}", at("docker.sock")),
            format!("--data-root={}", at("data")),
            format!("--exec-root={}", at("exec")),
            format!("--pidfile={}", at("docker.pid")),
            "--iptables=false".to_owned(),
            "--ip6tables=false".to_owned(),
        ]);
        let mut dockerd = Self::new(
            folder.join("docker.sock"),
            command,
            folder.join("dockerd.log"),
        );
        dockerd.start()?;
        Ok(dockerd)
    }

    fn new(socket: PathBuf, command: Vec<String>, log: PathBuf) -> Self {
        Self {
            docker: Docker::at(&socket),
            socket,
            command,
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
        find_program("dockerd").context("dockerd is missing: `cargo xtask setup`")?;
        let (program, arguments) = self.command.split_first().context("no command")?;
        let program = find_program(program).with_context(|| format!("{program} is missing"))?;
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
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
