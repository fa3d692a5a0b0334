//! What ships the logs: guidon, and rsyslog beside it where it is installed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::containers::Containers;
use super::engine;
use super::line_sink::LineSink;
use crate::forward::child::Child;
use crate::forward::{GUID, guidon_program, sink};

/// Longest start of a shipper.
const START: Duration = Duration::from_secs(60);

/// A program that follows log files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shipper {
    /// Joins pieces, tags with the guid, OTLP over HTTP, through its spool on disk.
    Guidon,
    /// `imfile` to `omfwd`: each line as it stands in the file, over TCP, through memory.
    Rsyslog,
}

/// A shipper at work, and the sink that counts what it sends.
#[derive(Debug)]
pub struct Running {
    /// The shipper's process.
    pub child: Child,
    sink: Sink,
    servers: Vec<Serving>,
}

/// A server on a thread of its own; it ends only when it fails.
type Serving = JoinHandle<Result<()>>;

#[derive(Debug)]
enum Sink {
    Otlp(SocketAddr),
    Lines(LineSink),
}

impl Running {
    /// Lines at the sink.
    ///
    /// # Errors
    /// The sink does not answer, or says that records came without their guid.
    pub fn arrived(&self) -> Result<u64> {
        ensure!(
            !self.servers.iter().any(JoinHandle::is_finished),
            "a server of the bench has ended"
        );
        match &self.sink {
            Sink::Lines(sink) => Ok(sink.lines()),
            Sink::Otlp(address) => {
                let counts = sink::counts(*address)?;
                ensure!(
                    counts.untagged == 0 && counts.malformed == 0,
                    "not what it should be: {counts:?}"
                );
                Ok(counts.records)
            }
        }
    }
}

impl Shipper {
    /// Its name in the report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Guidon => "guidon",
            Self::Rsyslog => "rsyslog",
        }
    }

    /// Starts it on the containers' logs, empty as yet, with its state in `folder`, with ports from
    /// `port` on.
    ///
    /// # Errors
    /// It cannot be started or does not become ready.
    pub fn start(
        self,
        containers: &Arc<Containers>,
        folder: &Path,
        port: u16,
        program: Option<&Path>,
    ) -> Result<Running> {
        let address = |offset| SocketAddr::from(([127, 0, 0, 1], port + offset));
        match self {
            Self::Guidon => guidon(containers, folder, address(0), address(1), program),
            Self::Rsyslog => rsyslog(containers, folder, address(0)),
        }
    }
}

fn guidon(
    containers: &Arc<Containers>,
    folder: &Path,
    sink: SocketAddr,
    api: SocketAddr,
    program: Option<&Path>,
) -> Result<Running> {
    let data = folder.join("data");
    std::fs::create_dir(&data)?;
    let data = data.canonicalize()?;
    let socket = folder.join("docker.sock");
    let (containers, owned, at) = (Arc::clone(containers), data.clone(), socket.clone());
    let servers = vec![
        serve(move || async move { engine::serve(&at, containers, &owned).await }),
        serve(move || sink::serve(sink, 0)),
    ];
    let config = folder.join("guidon.toml");
    std::fs::write(&config, configuration(&data, &socket, sink, api))?;
    let arguments = ["run", "--config", &config.display().to_string()].map(str::to_owned);
    let program = guidon_program(program)?;
    let mut child = Child::start("guidon", &program, &arguments, folder, false)?;
    child.wait_ready(api, Some("/readyz"), START)?;
    Ok(Running {
        child,
        sink: Sink::Otlp(sink),
        servers,
    })
}

fn configuration(data: &Path, socket: &Path, sink: SocketAddr, api: SocketAddr) -> String {
    format!(
        r#"guid = "{GUID}"
data_dir = {data:?}

[api]
listen = "{api}"

[bus]
logs = "http://{sink}/v1/logs"

[docker]
socket = {socket:?}

[collect]
kernel = false
containers = false
node = false

[receive]
remote_write = false
otlp_http = false
otlp_grpc = false
jaeger = false
apps = false
"#
    )
}

fn rsyslog(containers: &Containers, folder: &Path, sink: SocketAddr) -> Result<Running> {
    let counting = LineSink::start(sink)?;
    let config = folder.join("rsyslog.conf");
    let text = format!(
        r#"global(workDirectory="{folder}" maxMessageSize="64k")
module(load="imfile" mode="inotify")
template(name="line" type="string" string="%msg%\n")
input(type="imfile" file="{logs}/*/*-json.log" tag="bench" freshStartTail="off" ruleset="ship")
ruleset(name="ship") {{
    action(type="omfwd" target="127.0.0.1" port="{port}" protocol="tcp" template="line")
}}
"#,
        folder = folder.display(),
        logs = containers.root().display(),
        port = sink.port(),
    );
    std::fs::write(&config, text)?;
    let pid_file = folder.join("rsyslog.pid");
    let arguments = ["-n", "-f", &config.display().to_string(), "-i"].map(str::to_owned);
    let arguments = [&arguments[..], &[pid_file.display().to_string()]].concat();
    let child = Child::start("rsyslog", &rsyslogd(), &arguments, folder, false)?;
    Ok(Running {
        child,
        sink: Sink::Lines(counting),
        servers: Vec::new(),
    })
}

/// Where Debian has it.
#[must_use]
pub fn rsyslogd() -> PathBuf {
    PathBuf::from("/usr/sbin/rsyslogd")
}

/// Runs a server on a thread of its own, until the process ends.
fn serve<Server>(server: impl FnOnce() -> Server + Send + 'static) -> Serving
where
    Server: Future<Output = Result<()>>,
{
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(server())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_agent_accepts_the_configuration_it_is_given() {
        let addresses = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let (data, socket) = (Path::new("/tmp/data"), Path::new("/tmp/docker.sock"));
        let text = configuration(data, socket, addresses[0], addresses[1]);
        let config = guidon::config::Config::parse(&text, &Vec::new()).unwrap();
        assert!(config.receive.logs);
        assert_eq!(config.docker.socket, socket);
    }
}
