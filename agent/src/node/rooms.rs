//! The rooms of a running agent, and their handles.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::foundation::Foundation;
use super::gateway::{self, Told};
use super::listeners::{Listeners, Surroundings};
use super::stack::sends_node;
use super::targets::tails_containers;
use super::{GRACE, NodeError, NodeOptions, handles, own_metrics};
use crate::api::{Access, Server};
use crate::collect::containers::Source;
use crate::collect::{self, Collector, node::Roots};
use crate::config::{Config, Guid, Kept};
use crate::directory::Directory;
use crate::directory::docker::{Health, Owner, Watcher};
use crate::drive::{Apps, Engine, Settings};
use crate::forward::Forward;
use crate::kernel::Kernel;
use crate::receive::Protocol;
use crate::receive::logs::{self, ContainerLogs, FileTarget, LogTailer};
use crate::stack::{self, Exporters, Stack};

/// Where Docker keeps a folder per container, unless it was told otherwise.
const DOCKER_CONTAINERS: &str = "/var/lib/docker/containers";

/// How often the directory forgets what is gone for long.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// Everything that runs. Shared with the API's handles.
pub(super) struct Rooms {
    pub(super) guid: Guid,
    pub(super) started: Instant,
    pub(super) options: NodeOptions,
    /// The configuration in force.
    pub(super) config: Mutex<Arc<Config>>,
    pub(super) kernel: Result<Arc<Kernel>, String>,
    pub(super) directory: Arc<Directory>,
    pub(super) forward: Forward,
    pub(super) collector: Arc<Collector>,
    pub(super) docker: Health,
    pub(super) apps: Apps,
    pub(super) log_targets: Arc<Kept<FileTarget>>,
    pub(super) exporters: Exporters,
    pub(super) stack: Stack,
    /// Where the API listens.
    pub(super) api_address: SocketAddr,
    /// One reload at a time; also what a reload replaces.
    pub(super) replaceable: tokio::sync::Mutex<Replaceable>,
    pub(super) access: Arc<Access>,
    pub(super) around: Surroundings,
    /// What apps are told of the listeners.
    pub(super) told: Arc<Told>,
    /// Ends everything but the API.
    stop: CancellationToken,
    /// Ends the API, which stays until the rest is down.
    stop_api: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    api: Mutex<Option<JoinHandle<()>>>,
}

/// What a reload can start, stop or replace.
pub(super) struct Replaceable {
    pub(super) listeners: Arc<Listeners>,
    pub(super) logs: Option<Arc<LogTailer>>,
}

impl Rooms {
    pub(super) async fn start(
        foundation: Foundation,
        options: NodeOptions,
        data: Handle,
    ) -> Result<Arc<Self>, NodeError> {
        let config = Arc::new(options.config.clone());
        let guid = foundation.guid;
        let directory = Arc::new(Directory::new(guid.clone()));
        let (kernel, events) = match foundation.kernel {
            Ok((kernel, events)) => (Ok(kernel), Some(events)),
            Err(reason) => (Err(reason), None),
        };
        let (forward, inlet) = Forward::start((&*config).into(), data.clone())?;
        let around = Surroundings {
            directory: Arc::clone(&directory),
            kernel: kernel.as_ref().ok().cloned(),
            inlet: inlet.clone(),
            data: data.clone(),
            relay_token: stack::relay_token(&config.data_dir)?,
        };
        let listeners = Arc::new(Listeners::start(
            &config,
            forward.takes_otlp_metrics(),
            &around,
        )?);
        let server = Server::bind(&config.api).await?;

        let stop = CancellationToken::new();
        let stop_api = CancellationToken::new();
        let mut tasks = Vec::new();

        let owner = Owner::of_data_dir(&config.data_dir);
        let told = Arc::new(Told::new());
        let watcher = Watcher::new(Arc::clone(&directory), config.docker.socket.clone(), owner);
        let docker = watcher.health();
        let apps = Apps::open(
            Settings {
                docker: config.docker.clone(),
                data_dir: config.data_dir.clone(),
                environments: told.environments(),
            },
            Arc::clone(&directory),
            docker.clone(),
            Handle::current(),
        )?;
        let log_targets = Arc::new(Kept::open(config.data_dir.join("log-targets"))?);
        let exporters = Exporters::open(&config.data_dir, guid.clone())?;
        let owner = Owner::of_data_dir(&config.data_dir);
        let engine = Engine::new(config.docker.clone(), owner, told.environments());
        let stack = Stack::start(&config.data_dir, engine).map_err(NodeError::Stack)?;
        let looked_at = exporters.clone();
        tasks.push(until(&stop, async move { looked_at.run().await }));
        tasks.push(until(&stop, watcher.run()));
        let mended = apps.clone();
        tasks.push(until(&stop, async move { mended.run().await }));
        let swept = Arc::clone(&directory);
        tasks.push(until(&stop, async move {
            loop {
                tokio::time::sleep(SWEEP_INTERVAL).await;
                swept.sweep();
            }
        }));

        let source = around
            .kernel
            .clone()
            .map(|kernel| -> Arc<dyn Source> { kernel });
        let collector = Arc::new(Collector::new(
            source,
            Arc::clone(&directory),
            collect_options(&config),
        ));
        collector.send_node(sends_node(&config));
        let collecting = (Arc::clone(&collector), inlet.clone(), stop.clone());
        tasks.push(data.spawn(async move {
            let (collector, inlet, stop) = collecting;
            collector.run(inlet, events, stop).await;
        }));

        tracing::info!(
            %guid,
            api = %server.local_address(),
            receive = listening(&listeners),
            data_dir = %config.data_dir.display(),
            "running"
        );
        let rooms = Arc::new(Self {
            guid,
            started: Instant::now(),
            options,
            config: Mutex::new(config),
            kernel,
            directory,
            forward,
            collector,
            docker,
            apps,
            replaceable: tokio::sync::Mutex::new(Replaceable {
                listeners,
                logs: None,
            }),
            log_targets,
            exporters,
            stack,
            api_address: server.local_address(),
            access: server.access(),
            around,
            told,
            stop: stop.clone(),
            stop_api: stop_api.clone(),
            tasks: Mutex::new(tasks),
            api: Mutex::new(None),
        });
        {
            let replaceable = &mut *rooms.replaceable.lock().await;
            rooms.follow_logs(replaceable, &rooms.config()).await;
        }
        own_metrics::register(&rooms);
        let following = until(&stop, gateway::follow(Arc::downgrade(&rooms)));
        rooms
            .tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(following);
        let serving = tokio::spawn(server.run(handles::of(&rooms), stop_api));
        *rooms.api.lock().unwrap_or_else(PoisonError::into_inner) = Some(serving);
        {
            let replaceable = rooms.replaceable.lock().await;
            rooms.apply_stack(&replaceable, &rooms.config());
        }
        Ok(rooms)
    }

    /// The configuration in force.
    pub(super) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stops everything in the order that loses nothing.
    pub(super) async fn shutdown(&self) {
        // First of all: what they still have goes through the listeners.
        self.stack.stop().await;
        {
            let replaceable = &mut *self.replaceable.lock().await;
            replaceable.listeners.stop().await;
            stop_logs(replaceable.logs.take()).await;
        }
        self.stop.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            // One that panicked has nothing left to stop; its panic is in the log.
            let _ = task.await;
        }
        self.forward.shutdown(GRACE).await;
        self.stop_api.cancel();
        let api = self
            .api
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(api) = api {
            let _ = api.await;
        }
        tracing::info!("stopped");
    }
}

/// Runs a task on the current runtime until it ends or is told to stop.
fn until(
    stop: &CancellationToken,
    task: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    let stop = stop.clone();
    tokio::spawn(async move {
        let _ = stop.run_until_cancelled(task).await;
    })
}

fn collect_options(config: &Config) -> collect::Options {
    collect::Options {
        interval: config.collect.interval,
        containers: config.collect.containers.then(Default::default),
        node: config.collect.node.then(Roots::default),
        instance: host_name(),
    }
}

/// The host's name, as `instance` has it.
pub(super) fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

fn listening(listeners: &Listeners) -> String {
    let word = |&(protocol, address): &(Protocol, std::net::SocketAddr)| {
        format!("{} {address}", protocol.as_str())
    };
    listeners
        .addresses()
        .iter()
        .map(word)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Starts tailing; where that cannot be, says so and goes on without.
pub(super) fn start_logs(config: &Config, around: &Surroundings) -> Option<Arc<LogTailer>> {
    let options = logs::Options {
        containers: tails_containers(config).then(|| ContainerLogs {
            folder: DOCKER_CONTAINERS.into(),
            socket: config.docker.socket.clone(),
        }),
        state: config.data_dir.join("logs"),
        host: around.directory.host().clone(),
    };
    let started = LogTailer::start(
        options,
        Arc::clone(&around.directory),
        around.inlet.clone(),
        around.data.clone(),
    );
    match started {
        Ok(tailer) => Some(Arc::new(tailer)),
        Err(error) => {
            tracing::error!(%error, "logs are not tailed: the state folder cannot be used");
            None
        }
    }
}

/// Stops tailing; joins a thread, so off the runtime.
pub(super) async fn stop_logs(logs: Option<Arc<LogTailer>>) {
    if let Some(logs) = logs {
        let _ = tokio::task::spawn_blocking(move || drop(logs)).await;
    }
}
