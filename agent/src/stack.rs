//! Well-known programs as managed components, and what is scraped beside the agent.
//!
//! [`Stack`] holds a task per component; [`component`] says what one wants, `prometheus` and its
//! siblings make that of the configuration. [`Exporters`] are the node's registered exporters and
//! the document that tells a Prometheus of them. Knows nothing of guids' bookkeeping: a guid is a
//! label here.
//!
//! Nothing is touched that no agent of this data directory started, but the files and the reload
//! of `external` components.

mod ask;
mod backoff;
pub mod component;
mod container;
pub mod exporters;
mod files;
mod instance;
mod log_file;
mod plan;
mod process;
mod secrets;
mod supervisor;
pub mod vector;

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Managed, Secret, TokenError, atomic};
use crate::directory::docker::Owner;
use crate::drive::Engine;

use self::backoff::Backoff;
use self::component::Component;
use self::container::Containers;
use self::files::Files;
use self::instance::Home;
use self::log_file::LogFile;
use self::secrets::Secrets;
use self::supervisor::Supervisor;

pub use component::{ComponentState, ComponentStatus};
pub use exporters::{
    Exporter, ExporterError, ExporterHealth, ExporterState, ExporterStatus, Exporters, Scheme,
    TargetGroup,
};
pub use plan::{Around, exporters as managed_exporters, reached_at};

/// How often it is looked whether a component has ended, and how long at most.
const LOOK_FOR_END: Duration = Duration::from_millis(50);
const LONGEST_END: Duration = Duration::from_secs(30);
/// Bytes of randomness in a relay token.
const TOKEN_BYTES: usize = 32;

/// The secret by which the agent's listeners know its own components: made once, then kept in the
/// data directory.
pub fn relay_token(data_dir: &Path) -> Result<Secret, RelayTokenError> {
    let folder = data_dir.join("stack");
    let path = folder.join("relay-token");
    let failed = |source| RelayTokenError::Write {
        path: path.clone(),
        source,
    };
    if !path.exists() {
        make_folder(&folder).map_err(failed)?;
        let random: [u8; TOKEN_BYTES] = rand::random();
        let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let part = folder.join(".relay-token");
        let written = atomic::prepare(&part, 0o600, token.as_bytes());
        written
            .and_then(|()| atomic::replace(&part, &path))
            .map_err(failed)?;
    }
    Ok(Secret::read_token(&path)?)
}

/// Why there is no relay token.
#[derive(Debug, thiserror::Error)]
pub enum RelayTokenError {
    /// It cannot be kept.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is kept is none.
    #[error(transparent)]
    Read(#[from] TokenError),
}

/// All components, in stages: one is stopped before those that it sends to.
const STAGES: [&[&str]; 2] = [
    &["prometheus", "vector", "jaeger_agent"],
    &["node_exporter", "jaeger_collector"],
];

/// A Docker that does not answer must not keep the agent from its own end.
const MOST_STOPPING: Duration = Duration::from_secs(22);

/// What is wanted of a component.
#[derive(Debug, Clone, Default)]
struct Wanted {
    managed: Managed,
    /// Absent: off.
    component: Option<Component>,
}

/// The managed components of a node.
#[derive(Debug)]
pub struct Stack {
    folder: PathBuf,
    containers: Arc<Containers>,
    secrets: Secrets,
    members: BTreeMap<&'static str, Member>,
}

#[derive(Debug)]
struct Member {
    wanted: watch::Sender<Wanted>,
    status: Arc<Mutex<ComponentStatus>>,
    log: LogFile,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Stack {
    /// Starts the tasks; nothing is wanted before [`Stack::apply`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn start(data_dir: &Path, engine: Engine) -> io::Result<Self> {
        let folder = data_dir.canonicalize()?.join("stack");
        make_folder(&folder)?;
        let containers = Arc::new(Containers::new(engine, Owner::of_data_dir(data_dir).0));
        let secrets = Secrets::default();
        let mut members = BTreeMap::new();
        for &name in STAGES.iter().copied().flatten() {
            let home = Home {
                name,
                folder: folder.join(name),
                log: LogFile::new(folder.join(name).join("log")),
                containers: Arc::clone(&containers),
                secrets: secrets.clone(),
            };
            let (sender, wanted) = watch::channel(Wanted::default());
            let status = Arc::new(Mutex::new(ComponentStatus {
                name: name.to_owned(),
                ..ComponentStatus::default()
            }));
            let (log, stop) = (home.log.clone(), CancellationToken::new());
            let supervisor = Supervisor {
                files: Files::new(home.folder.clone()),
                home,
                wanted,
                status: Arc::clone(&status),
                stop: stop.clone(),
                backoff: Backoff::new(),
            };
            members.insert(
                name,
                Member {
                    wanted: sender,
                    status,
                    log,
                    stop,
                    task: Mutex::new(Some(tokio::spawn(supervisor.run()))),
                },
            );
        }
        Ok(Self {
            folder,
            containers,
            secrets,
            members,
        })
    }

    /// Makes the components be as configured. Those that are so already are not touched.
    pub fn apply(&self, config: &Config, around: &Around) {
        self.secrets.add(&around.relay_token);
        around
            .api_token
            .iter()
            .for_each(|token| self.secrets.add(token));
        for (name, managed, component) in plan::components(config, around, &self.folder) {
            if let Some(member) = self.members.get(name) {
                member.wanted.send_replace(Wanted { managed, component });
            }
        }
    }

    /// Ends a component and waits for its end, for a while: somebody else needs what it has.
    pub async fn end(&self, name: &str) {
        let Some(member) = self.members.get(name) else {
            return;
        };
        member.wanted.send_replace(Wanted::default());
        let ended = async {
            while member.status().state != ComponentState::Off {
                tokio::time::sleep(LOOK_FOR_END).await;
            }
        };
        if tokio::time::timeout(LONGEST_END, ended).await.is_err() {
            tracing::warn!(
                component = name,
                "does not end: what it has cannot be taken over"
            );
        }
    }

    /// How they are, all of them, by name.
    pub async fn list(&self) -> Vec<ComponentStatus> {
        let mut list = Vec::new();
        for member in self.members.values() {
            let mut status = member.status();
            status.log = match &status.container {
                Some(id) => self.containers.log(id).await,
                None if status.managed == Managed::Binary.as_str() => member.log.end(),
                None => Vec::new(),
            };
            for line in &mut status.log {
                *line = self.secrets.mask(std::mem::take(line));
            }
            list.push(status);
        }
        list
    }

    /// How they are, without what they printed.
    #[must_use]
    pub fn overview(&self) -> Vec<ComponentStatus> {
        self.members.values().map(Member::status).collect()
    }

    /// Ends all that the agent runs, senders first. What does not end in time is left to the next
    /// agent.
    pub async fn stop(&self) {
        if tokio::time::timeout(MOST_STOPPING, self.stop_stages())
            .await
            .is_err()
        {
            tracing::warn!("not every managed component could be ended");
        }
    }

    async fn stop_stages(&self) {
        for stage in STAGES {
            let members = || stage.iter().filter_map(|name| self.members.get(name));
            for member in members() {
                member.stop.cancel();
            }
            for member in members() {
                let task = member
                    .task
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take();
                if let Some(task) = task {
                    // One that panicked has nothing left to stop; its panic is in the log.
                    let _ = task.await;
                }
            }
        }
    }
}

impl Member {
    fn status(&self) -> ComponentStatus {
        self.status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Makes a folder that only the agent's user may enter.
fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
