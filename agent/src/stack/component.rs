//! What a component wants, as plain data: files, a process or a container, and how it is asked.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A component as it is wanted.
#[derive(Debug, Clone)]
pub struct Component {
    /// What it needs on disk. A change of a file alone is a reload, not a restart.
    pub files: Vec<ManagedFile>,
    pub run: Run,
    /// TCP addresses that it will listen on: they must be free before it is started.
    pub listens: Vec<SocketAddr>,
    /// Answers 2xx once it does its work. Absent: it does so as soon as it runs.
    pub ready_url: Option<String>,
    pub reload: Reload,
    pub version: Version,
    /// Has the program itself judge a file before it replaces the live one.
    pub check: Option<Check>,
    /// How long it may take to end after SIGTERM.
    pub stop_grace: Duration,
}

/// How it runs. Where this changes the component is started anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run {
    Process(Program),
    Container(ContainerSpec),
    /// Somebody else runs it: it is configured, and neither started nor stopped.
    External,
}

/// A program and its command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub path: PathBuf,
    pub args: Vec<String>,
    /// All of its environment but `PATH` and `HOME`.
    pub env: BTreeMap<String, String>,
}

/// A container in the host's network, as root without capabilities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContainerSpec {
    pub image: String,
    /// Replaces the image's entry point.
    pub command: Vec<String>,
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub mounts: Vec<Bind>,
    /// Sees the host's processes.
    pub host_pid: bool,
    /// Keeps these capabilities; all others are dropped.
    pub capabilities: Vec<String>,
}

/// A file or folder of the host in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bind {
    pub source: PathBuf,
    pub target: PathBuf,
    pub read_only: bool,
    /// Mounts of the host below it appear, too, also later ones (`rslave`).
    pub follows_host: bool,
}

/// A file that the component reads.
#[derive(Clone)]
pub struct ManagedFile {
    pub path: PathBuf,
    /// Permission bits, e.g. `0o600`.
    pub mode: u32,
    pub text: Text,
}

/// The content may hold secrets.
impl fmt::Debug for ManagedFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ManagedFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// From the content of the live file, if there is one, to the content it should have; an error says
/// why the live file cannot be understood.
pub type Edit = dyn Fn(Option<&str>) -> Result<String, String> + Send + Sync;

/// What a file should hold.
#[derive(Clone)]
pub enum Text {
    /// This, whatever somebody writes there.
    Whole(String),
    /// What others wrote there, with the agent's parts as they should be.
    Edited(Arc<Edit>),
}

impl Text {
    pub(super) fn wanted(&self, live: Option<&str>) -> Result<String, String> {
        match self {
            Self::Whole(text) => Ok(text.clone()),
            Self::Edited(edit) => edit(live),
        }
    }
}

/// How a running component takes a changed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reload {
    /// `POST` to this URL; another answer than 2xx is a refusal, in the program's words.
    Post(String),
    /// SIGHUP.
    Hangup,
    /// A command, its words one by one; another exit code than 0 is a refusal.
    Command(Vec<String>),
    /// Not at all: it is started anew.
    Restart,
}

/// How the version is learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// A string in a JSON document: the URL and a JSON pointer.
    Json(String, &'static str),
    /// The label `version` of an info metric: the URL of the metrics and the metric's name.
    Metric(String, &'static str),
    /// The program with these arguments prints it: the first word that begins with a digit, after
    /// an optional `v`. Where the component is a container it is asked inside of it.
    Printed(&'static [&'static str]),
    Unknown,
}

/// A command line that judges a file: the component's own program, or another one beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Absent: the component's program (or the container's command).
    pub program: Option<PathBuf>,
    /// The path of the candidate is put behind them.
    pub args: Vec<String>,
}

/// What a component does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ComponentState {
    /// It is not wanted.
    #[default]
    Off,
    /// It runs and is not ready yet.
    Starting,
    /// It runs and is ready.
    Running,
    /// It was ready and no longer answers as it should.
    Unhealthy,
    /// It does not run, and will be started again.
    Backoff,
    /// Somebody else runs it.
    External,
}

impl ComponentState {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::Off,
        Self::Starting,
        Self::Running,
        Self::Unhealthy,
        Self::Backoff,
        Self::External,
    ];

    /// As JSON has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Unhealthy => "unhealthy",
            Self::Backoff => "backoff",
            Self::External => "external",
        }
    }
}

/// A component as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ComponentStatus {
    #[schema(example = "prometheus")]
    pub name: String,
    /// `off`, `binary`, `container` or `external`, as configured.
    #[schema(example = "binary")]
    pub managed: String,
    pub state: ComponentState,
    /// Why it is not running, or not as it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Process id, for a `binary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Container id, for a `container`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When this state began, in seconds since the Unix epoch.
    pub since: u64,
    /// Times it had to be started again because it ended unasked, since the agent's start.
    pub restarts: u64,
    /// Times it took a changed file without a restart, since the agent's start.
    pub reloads: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_file: Option<String>,
    /// The latest thing that went wrong since the agent's start, over or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The end of what it printed.
    #[serde(default)]
    pub log: Vec<String>,
}
