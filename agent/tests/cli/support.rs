//! The program, and an agent's API for it to talk to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use guidon::api::model::{
    ClusterStatus, CollectStatus, Destination, DockerStatus, ForwardStatus, GuidRow, KernelStatus,
    LedgerLine, LogTargetStatus, Program, Readiness, ReloadReport, Status,
};
use guidon::api::{
    AppsHandle, BusError, BusFrame, BusHandle, BusPage, Handles, LogTargetError, LogsHandle,
    MetricsHandle, MetricsPage, Position, ReloadError, ReloadHandle, Server, StackHandle,
    StatusHandle, Unavailable,
};
use guidon::config::{Api, Guid, Put};
use guidon::drive::{self, App, AppState, AppStatus, DriveError};
use guidon::receive::logs::FollowedFile;
use guidon::signal::series::Format;
use guidon::signal::{Frame, Signal};
use guidon::stack::{ComponentState, ComponentStatus, Exporters};
use tokio_util::sync::CancellationToken;

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The program with these arguments, and nothing of our own environment that could change it.
pub(crate) fn guidon(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guidon"));
    command.args(args);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GUIDON") {
            command.env_remove(name);
        }
    }
    command
}

pub(crate) fn run(mut command: Command) -> Outcome {
    let output = command.output().unwrap();
    Outcome {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// An API on a free port, with fakes behind it, until it is dropped.
pub(crate) struct Agent {
    address: SocketAddr,
    fakes: Arc<Fakes>,
    shutdown: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    pub(crate) fn start(token_file: Option<&Path>) -> Self {
        let config = Api {
            listen: "127.0.0.1:0".parse().unwrap(),
            token_file: token_file.map(Path::to_owned),
            ..Api::default()
        };
        let fakes = Arc::new(Fakes {
            rounds: AtomicU64::new(2),
            ..Fakes::default()
        });
        let shutdown = CancellationToken::new();
        let (tell_address, address) = mpsc::channel();
        let thread = std::thread::spawn({
            let (fakes, shutdown) = (Arc::clone(&fakes), shutdown.clone());
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let server = Server::bind(&config).await.unwrap();
                    tell_address.send(server.local_address()).unwrap();
                    server.run(Fakes::handles(&fakes), shutdown).await;
                });
            }
        });
        Self {
            address: address.recv().unwrap(),
            fakes,
            shutdown,
            thread: Some(thread),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The program as a client of this agent.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = guidon(args);
        command.env("GUIDON_API", format!("http://{}", self.address));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        run(self.command(args))
    }

    pub(crate) fn set_rounds(&self, rounds: u64) {
        self.fakes.rounds.store(rounds, Ordering::Relaxed);
    }

    /// A frame comes to the local bus.
    pub(crate) fn put_frame(&self, frame: Frame) {
        self.fakes.frames.lock().unwrap().push(frame);
        self.fakes.frame_came.notify_one();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

#[derive(Default)]
struct Fakes {
    apps: Mutex<BTreeMap<Guid, App>>,
    logs: Mutex<BTreeMap<Guid, Vec<String>>>,
    exporters: Registered,
    rounds: AtomicU64,
    frames: Mutex<Vec<Frame>>,
    frame_came: tokio::sync::Notify,
}

/// Exporters as they are, in a folder of their own.
struct Registered {
    exporters: Exporters,
    _folder: tempfile::TempDir,
}

impl Default for Registered {
    fn default() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let exporters = Exporters::open(folder.path(), "node-7".parse().unwrap());
        Self {
            exporters: exporters.unwrap(),
            _folder: folder,
        }
    }
}

fn target((guid, files): (&Guid, &Vec<String>)) -> LogTargetStatus {
    LogTargetStatus {
        guid: guid.clone(),
        files: files.clone(),
        following: vec![FollowedFile {
            path: files[0].clone(),
            read_bytes: 10,
            lag_bytes: 2048,
        }],
        problems: vec!["/b is no regular file".to_owned()],
    }
}

impl LogsHandle for Fakes {
    fn put(
        &self,
        guid: Guid,
        files: Vec<String>,
    ) -> BoxFuture<'_, Result<(Put, LogTargetStatus), LogTargetError>> {
        let seen = target((&guid, &files));
        self.logs.lock().unwrap().insert(guid, files);
        async { Ok((Put::Created, seen)) }.boxed()
    }

    fn list(&self) -> BoxFuture<'_, Vec<LogTargetStatus>> {
        async { self.logs.lock().unwrap().iter().map(target).collect() }.boxed()
    }

    fn get(&self, guid: Guid) -> BoxFuture<'_, Result<LogTargetStatus, LogTargetError>> {
        async move {
            let logs = self.logs.lock().unwrap();
            let found = logs.get_key_value(&guid).map(target);
            found.ok_or(LogTargetError::NotFound(guid))
        }
        .boxed()
    }

    fn remove(&self, guid: Guid) -> BoxFuture<'_, Result<(), LogTargetError>> {
        async move {
            let gone = self.logs.lock().unwrap().remove(&guid);
            gone.map(|_| ()).ok_or(LogTargetError::NotFound(guid))
        }
        .boxed()
    }
}

impl StackHandle for Fakes {
    fn list(&self) -> BoxFuture<'_, Vec<ComponentStatus>> {
        async { vec![component()] }.boxed()
    }
}

fn component() -> ComponentStatus {
    ComponentStatus {
        name: "prometheus".into(),
        managed: "binary".into(),
        state: ComponentState::Backoff,
        reason: Some("it ended with code 1".into()),
        restarts: 2,
        log: vec!["no space".into()],
        ..ComponentStatus::default()
    }
}

impl Fakes {
    fn handles(this: &Arc<Self>) -> Handles {
        Handles {
            apps: this.clone(),
            status: this.clone(),
            metrics: this.clone(),
            logs: this.clone(),
            exporters: Arc::new(this.exporters.exporters.clone()),
            stack: this.clone(),
            bus: this.clone(),
            reload: this.clone(),
        }
    }

    fn view(guid: &Guid, app: &App) -> AppStatus {
        AppStatus {
            guid: guid.clone(),
            state: AppState::Running,
            app: Some(app.clone()),
            containers: Vec::new(),
            cgroups: Vec::new(),
            last_error: None,
            progress: None,
        }
    }
}

impl AppsHandle for Fakes {
    fn put(
        &self,
        guid: Guid,
        app: App,
    ) -> BoxFuture<'_, Result<(drive::Outcome, AppStatus), DriveError>> {
        let view = Self::view(&guid, &app);
        self.apps.lock().unwrap().insert(guid, app);
        async { Ok((drive::Outcome::Created, view)) }.boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<AppStatus>, DriveError>> {
        let apps = self.apps.lock().unwrap();
        let views = apps.iter().map(|(guid, app)| Self::view(guid, app));
        let views = views.collect();
        async { Ok(views) }.boxed()
    }

    fn get(&self, guid: Guid) -> BoxFuture<'_, Result<AppStatus, DriveError>> {
        let app = self.apps.lock().unwrap().get(&guid).cloned();
        async move {
            let app = app.ok_or_else(|| DriveError::NotFound(guid.clone()))?;
            Ok(Self::view(&guid, &app))
        }
        .boxed()
    }

    fn remove(&self, guid: Guid) -> BoxFuture<'_, Result<(), DriveError>> {
        let gone = self.apps.lock().unwrap().remove(&guid);
        async { gone.map(|_| ()).ok_or(DriveError::NotFound(guid)) }.boxed()
    }
}

impl StatusHandle for Fakes {
    fn status(&self) -> BoxFuture<'_, Status> {
        let status = status(self.rounds.load(Ordering::Relaxed));
        async { status }.boxed()
    }

    fn cluster(&self) -> ClusterStatus {
        ClusterStatus::default()
    }

    fn readiness(&self) -> BoxFuture<'_, Readiness> {
        async { Readiness::default() }.boxed()
    }
}

fn status(rounds: u64) -> Status {
    Status {
        guid: "node-7".into(),
        version: "0.1.0".into(),
        uptime_seconds: 65.0,
        collect: CollectStatus {
            interval_seconds: 10.0,
            rounds,
            last_round_seconds: 0.0012,
            series: 900,
            containers: 1,
        },
        kernel: KernelStatus {
            loaded: true,
            programs: vec![
                Program {
                    name: "sched_switch".into(),
                    attached: true,
                    run_count: 4,
                    run_seconds: 1e-6,
                    ..Program::default()
                },
                Program {
                    name: "tcp_retransmit".into(),
                    reason: Some("no BTF".into()),
                    ..Program::default()
                },
            ],
            ..KernelStatus::default()
        },
        forward: ForwardStatus {
            ledger: vec![LedgerLine {
                signal: "metrics".into(),
                received: 5,
                collected: 10,
                sent: 9,
                spooled: 3,
                in_flight: 1,
                dropped: [("rejected".to_owned(), 2)].into(),
            }],
            destinations: vec![Destination {
                signal: "metrics".into(),
                destination: "http://a/w".into(),
                healthy: true,
                ..Destination::default()
            }],
        },
        docker: DockerStatus {
            connected: false,
            reason: Some("connection refused".into()),
            containers: 0,
        },
        stack: vec![component()],
        inactive: vec!["cluster".into()],
        guids: vec![
            GuidRow {
                guid: Some("node-7".into()),
                name: "host".into(),
                ..GuidRow::default()
            },
            GuidRow {
                guid: Some("shop".into()),
                name: "shop".into(),
                containers: 1,
                cpu_cores: Some(0.25),
                run_queue_seconds_per_second: Some(0.0015),
                memory_bytes: Some(1 << 20),
                ..GuidRow::default()
            },
        ],
    }
}

impl MetricsHandle for Fakes {
    fn render(
        &self,
        _: MetricsPage,
        _: Format,
    ) -> BoxFuture<'_, Result<bytes::Bytes, Unavailable>> {
        async { Ok(bytes::Bytes::new()) }.boxed()
    }
}

impl BusHandle for Fakes {
    fn read(
        &self,
        _: Signal,
        position: Position,
        _: usize,
        wait: Duration,
    ) -> BoxFuture<'_, Result<BusPage, BusError>> {
        async move {
            let start = match position {
                Position::Oldest => 0,
                Position::Latest => self.frames.lock().unwrap().len(),
                Position::After(cursor) => cursor.parse().map_err(|_| BusError::BadCursor)?,
            };
            if self.frames.lock().unwrap().len() <= start {
                let came = self.frame_came.notified();
                tokio::time::timeout(wait, came).await.ok();
            }
            let frames = self.frames.lock().unwrap();
            let frames: Vec<BusFrame> = frames
                .iter()
                .enumerate()
                .skip(start)
                .map(|(index, frame)| BusFrame {
                    frame: frame.clone(),
                    after: (index + 1).to_string(),
                })
                .collect();
            Ok(BusPage {
                next: (start + frames.len()).to_string(),
                frames,
                skipped: false,
            })
        }
        .boxed()
    }
}

impl ReloadHandle for Fakes {
    fn reload(&self) -> BoxFuture<'_, Result<ReloadReport, ReloadError>> {
        async { Ok(ReloadReport::default()) }.boxed()
    }
}
