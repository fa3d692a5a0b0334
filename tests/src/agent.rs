//! The real agent in a process of its own, judged from outside.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use xtask::child::Running;
use xtask::docker::Docker;
use xtask::dockerd::tail;
use xtask::http::{Request, Response, Server, send};
use xtask::run::{cargo, target_dir};

use crate::free_port;

/// How long the agent may take from its start to its first answer.
const START: Duration = Duration::from_secs(20);

/// The program under test: `GUIDON_BIN`, else a debug build made now.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| match std::env::var_os("GUIDON_BIN") {
    Some(path) => path.into(),
    None => {
        xtask::run::run(cargo().args(["build", "--package", "guidon", "--bin", "guidon"]))
            .expect("build the agent");
        target_dir().join("debug/guidon")
    }
});

/// Path of the agent's program.
#[must_use]
pub fn program() -> &'static Path {
    &PROGRAM
}

/// An agent with a data directory and an API port of its own. Dropping it stops it and then removes
/// the containers of its apps (it would make them again while it runs); after a failed test the end
/// of its log is printed.
#[derive(Debug)]
pub struct Agent {
    folder: TempDir,
    api: String,
    process: Option<Running>,
    /// Guids that were put.
    apps: Mutex<BTreeSet<String>>,
}

impl Agent {
    /// Starts an agent and waits until it is healthy. `top` are top-level keys of its config file,
    /// `sections` whole sections; `data_dir` and `[api] listen` are added here, and
    /// listeners are switched off unless there is a section `[receive]`. Jaeger's listeners and the
    /// output of containers must be asked for.
    #[must_use]
    pub fn start_with(top: &str, sections: &str) -> Self {
        Self::start_on(&format!("127.0.0.1:{}", free_port()), top, sections)
    }

    /// Like [`Agent::start_with`] with its API on a given address; `sections` may begin with more
    /// keys of the section `[api]`.
    #[must_use]
    pub fn start_on(listen: &str, top: &str, sections: &str) -> Self {
        let folder = tempfile::tempdir().expect("make a folder for the agent");
        // Several agents may run at once: only those that are asked to receive listen for it.
        let off = "[receive]\nremote_write = false\notlp_http = false\notlp_grpc = false\n\
                   jaeger = false\napps = false\nlogs = false";
        let receive = match sections.contains("[receive]") {
            true => "",
            false => off,
        };
        // Standard ports are for one agent alone, and so is the output of everybody's containers.
        let mut sections = sections.to_owned();
        for (asked, off) in [
            ("jaeger", "jaeger = false"),
            ("\nlogs = true", "logs = false"),
        ] {
            if !sections.contains(asked) {
                sections = sections.replace("[receive]\n", &format!("[receive]\n{off}\n"));
            }
        }
        let config = format!(
            "{top}\ndata_dir = {:?}\n\n[api]\nlisten = {listen:?}\n{sections}\n\n{receive}\n",
            folder.path().join("data")
        );
        std::fs::write(folder.path().join("guidon.toml"), config).expect("write the config");
        let mut agent = Self {
            folder,
            api: listen.replace("0.0.0.0", "127.0.0.1"),
            process: None,
            apps: Mutex::default(),
        };
        agent.start();
        agent
    }

    /// Like [`Agent::start_with`], collecting every second, with its metrics going to `url`.
    #[must_use]
    pub fn sending_to(url: &str) -> Self {
        Self::start_with(
            "",
            &format!("[collect]\ninterval = \"1s\"\n\n[bus]\nmetrics = {url:?}"),
        )
    }

    /// Like [`Agent::start_with`], collecting every second, without a bus.
    #[must_use]
    pub fn alone() -> Self {
        Self::start_with("", "[collect]\ninterval = \"1s\"")
    }

    /// Starts it again after [`Agent::stop`] or [`Agent::kill`], with the same config and data.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "the agent runs already");
        let config = self.config_path();
        let arguments = ["run", "--config", config.to_str().expect("a plain path")];
        let running =
            Running::start(program(), &arguments, &self.log_path()).expect("start the agent");
        self.process = Some(running);
        let deadline = Instant::now() + START;
        while !self.is_healthy() {
            if let Some(status) = self.process_mut().ended().expect("ask for the agent") {
                panic!("the agent ended: {status}\n{}", self.log());
            }
            assert!(
                Instant::now() < deadline,
                "the agent is not healthy after {START:?}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGTERM; panics unless it ends in time and with success.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("the agent runs");
        let status = process.stop().expect("stop the agent");
        assert!(
            status.success(),
            "the agent ended with {status}\n{}",
            self.log()
        );
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("the agent runs");
        process.kill().expect("kill the agent");
    }

    /// Any signal.
    pub fn signal(&mut self, signal: Signal) {
        self.process_mut().signal(signal).expect("signal the agent");
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the agent runs").pid()
    }

    /// Whether its process lives (it may still be starting).
    pub fn runs(&mut self) -> bool {
        self.process_mut()
            .ended()
            .expect("ask for the agent")
            .is_none()
    }

    /// Whether `/healthz` says 200.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        let mut request = Request::new("GET", "/healthz");
        request.timeout = Duration::from_secs(2);
        send(&self.server(), &request).is_ok_and(|answer| answer.status == 200)
    }

    /// `host:port` of its API.
    #[must_use]
    pub fn api(&self) -> &str {
        &self.api
    }

    /// Its config file; change it and send SIGHUP, or restart.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("guidon.toml")
    }

    /// Its data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// All that it printed since its first start.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// `GET` of a path.
    #[must_use]
    pub fn get(&self, path: &str) -> Response {
        self.get_with(path, &[])
    }

    /// `GET` of a path with request headers.
    #[must_use]
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::new("GET", path);
        request.headers = headers;
        self.send(&request)
    }

    /// `GET` of a path that answers with JSON and 200.
    #[must_use]
    pub fn get_json(&self, path: &str) -> Value {
        let response = self.get(path);
        assert_eq!(response.status, 200, "GET {path}: {}", response.text());
        response.json().expect("JSON")
    }

    /// `PUT` of JSON; status and answer.
    pub fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        if let Some(guid) = path.strip_prefix("/api/v1/apps/") {
            self.apps.lock().unwrap().insert(guid.to_owned());
        }
        let text = body.to_string();
        let mut request = Request::new("PUT", path);
        request.headers = &[("Content-Type", "application/json")];
        request.body = text.as_bytes();
        let response = self.send(&request);
        (response.status, json_or_null(&response))
    }

    /// `DELETE` of a path; status and answer.
    pub fn delete(&self, path: &str) -> (u16, Value) {
        let response = self.send(&Request::new("DELETE", path));
        (response.status, json_or_null(&response))
    }

    /// Any request to its API; panics if there is no answer.
    #[must_use]
    pub fn send(&self, request: &Request<'_>) -> Response {
        send(&self.server(), request).unwrap_or_else(|error| panic!("{error:#}\n{}", self.log()))
    }

    fn server(&self) -> Server {
        Server::Tcp(self.api.clone())
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn process_mut(&mut self) -> &mut Running {
        self.process.as_mut().expect("the agent runs")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.process = None;
        if std::thread::panicking() {
            eprintln!("the end of the agent's log:\n{}", tail(&self.log_path()));
        }
        // Apps at a daemon of a test's own go with the daemon.
        let docker = Docker::system();
        let names = docker.names().unwrap_or_default();
        for guid in self
            .apps
            .lock()
            .unwrap()
            .iter()
            .filter(|guid| names.contains(guid))
        {
            if let Err(error) = docker.remove(guid) {
                eprintln!("could not remove the container {guid}: {error:#}");
            }
        }
    }
}

/// Answers of `DELETE` may be empty.
fn json_or_null(response: &Response) -> Value {
    if response.body.is_empty() {
        return Value::Null;
    }
    response.json().expect("JSON")
}

/// Runs a subcommand of the agent to its end: exit code, standard output, standard error.
#[must_use]
pub fn guidon(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(program())
        .args(arguments)
        .output()
        .expect("start the agent's program");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}
