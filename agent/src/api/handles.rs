//! What the API asks of the rest of the agent. `node` connects these to the rooms.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::model::{ClusterStatus, LogTargetStatus, Readiness, ReloadReport, Status};
use crate::config::{ConfigError, Guid, KeptError, Put};
use crate::drive::{App, AppStatus, DriveError, Outcome};
use crate::receive::logs::InvalidTarget;
use crate::signal::series::Format;
use crate::signal::{Frame, Signal};
use crate::stack::{
    ComponentStatus, Exporter, ExporterError, ExporterStatus, Exporters, TargetGroup,
};

/// Everything that the API can ask. Cheap to clone.
#[derive(Clone)]
pub struct Handles {
    pub apps: Arc<dyn AppsHandle>,
    pub status: Arc<dyn StatusHandle>,
    pub metrics: Arc<dyn MetricsHandle>,
    pub logs: Arc<dyn LogsHandle>,
    pub exporters: Arc<dyn ExportersHandle>,
    pub stack: Arc<dyn StackHandle>,
    pub bus: Arc<dyn BusHandle>,
    pub reload: Arc<dyn ReloadHandle>,
}

/// Makes apps exist and go. The API lets a change run to its end even if the caller hangs up.
pub trait AppsHandle: Send + Sync {
    /// Makes the app be as described. Idempotent.
    fn put(&self, guid: Guid, app: App) -> BoxFuture<'_, Result<(Outcome, AppStatus), DriveError>>;
    fn list(&self) -> BoxFuture<'_, Result<Vec<AppStatus>, DriveError>>;
    fn get(&self, guid: Guid) -> BoxFuture<'_, Result<AppStatus, DriveError>>;
    fn remove(&self, guid: Guid) -> BoxFuture<'_, Result<(), DriveError>>;
}

/// Follows files as an app's.
pub trait LogsHandle: Send + Sync {
    /// Idempotent; kept over restarts.
    fn put(
        &self,
        guid: Guid,
        files: Vec<String>,
    ) -> BoxFuture<'_, Result<(Put, LogTargetStatus), LogTargetError>>;
    fn list(&self) -> BoxFuture<'_, Vec<LogTargetStatus>>;
    fn get(&self, guid: Guid) -> BoxFuture<'_, Result<LogTargetStatus, LogTargetError>>;
    fn remove(&self, guid: Guid) -> BoxFuture<'_, Result<(), LogTargetError>>;
}

/// Why files are not followed.
#[derive(Debug, thiserror::Error)]
pub enum LogTargetError {
    /// 422; or 403, where the configuration forbids it.
    #[error(transparent)]
    Invalid(#[from] InvalidTarget),
    /// 404.
    #[error("app {0} has no extra log target")]
    NotFound(Guid),
    /// 503.
    #[error(transparent)]
    Storage(#[from] KeptError),
}

/// Registers exporters.
pub trait ExportersHandle: Send + Sync {
    /// Idempotent; kept over restarts.
    fn put(&self, name: String, exporter: Exporter) -> BoxFuture<'_, Result<Put, ExporterError>>;
    fn list(&self) -> Vec<ExporterStatus>;
    fn get(&self, name: &str) -> Result<ExporterStatus, ExporterError>;
    fn remove(&self, name: String) -> BoxFuture<'_, Result<(), ExporterError>>;
    fn targets(&self) -> Vec<TargetGroup>;
}

impl ExportersHandle for Exporters {
    fn put(&self, name: String, exporter: Exporter) -> BoxFuture<'_, Result<Put, ExporterError>> {
        let exporters = self.clone();
        blocking(move || Self::put(&exporters, &name, exporter)).boxed()
    }

    fn list(&self) -> Vec<ExporterStatus> {
        Self::list(self)
    }

    fn get(&self, name: &str) -> Result<ExporterStatus, ExporterError> {
        Self::get(self, name)
    }

    fn remove(&self, name: String) -> BoxFuture<'_, Result<(), ExporterError>> {
        let exporters = self.clone();
        blocking(move || Self::remove(&exporters, &name)).boxed()
    }

    fn targets(&self) -> Vec<TargetGroup> {
        Self::targets(self)
    }
}

/// Tells how managed components are.
pub trait StackHandle: Send + Sync {
    /// All there are, also those that are off, by name.
    fn list(&self) -> BoxFuture<'_, Vec<ComponentStatus>>;
}

/// Runs what writes to disk where it may wait.
pub(crate) async fn blocking<T: Send + 'static, E: Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Tells how the agent is.
pub trait StatusHandle: Send + Sync {
    fn status(&self) -> BoxFuture<'_, Status>;
    fn cluster(&self) -> ClusterStatus;
    /// Answered for anybody: reasons must hold no secrets.
    fn readiness(&self) -> BoxFuture<'_, Readiness>;
}

/// Which series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsPage {
    /// The agent's own.
    Agent,
    /// What cAdvisor would show.
    Containers,
    /// What node exporter would show.
    Node,
}

/// Renders series in an exposition format.
pub trait MetricsHandle: Send + Sync {
    fn render(
        &self,
        page: MetricsPage,
        format: Format,
    ) -> BoxFuture<'_, Result<Bytes, Unavailable>>;
}

/// Something is switched off or not there yet: 503.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unavailable {
    pub reason: String,
}

/// Where to read the local bus from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// The oldest frame that is kept.
    Oldest,
    /// Only what comes from now on.
    Latest,
    /// After the frames that an earlier page ended with.
    After(String),
}

/// A page of the local bus.
#[derive(Debug, Clone)]
pub struct BusPage {
    /// Oldest first; empty if nothing came in time.
    pub frames: Vec<BusFrame>,
    /// Where the next page starts: visible ASCII, without meaning to a reader.
    pub next: String,
    /// Whether frames between the cursor and this page were dropped before they were read.
    pub skipped: bool,
}

/// A frame of the local bus.
#[derive(Debug, Clone)]
pub struct BusFrame {
    pub frame: Frame,
    /// The cursor of a page that starts behind it.
    pub after: String,
}

/// Reads the local bus.
pub trait BusHandle: Send + Sync {
    /// Frames from `position` on, up to about `max_bytes` of payload but at least one; waits up to
    /// `wait` for the first.
    fn read(
        &self,
        signal: Signal,
        position: Position,
        max_bytes: usize,
        wait: Duration,
    ) -> BoxFuture<'_, Result<BusPage, BusError>>;
}

/// Why the local bus cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The signal goes to a bus of its own: 404.
    #[error("{0} go to the configured bus; there is no local bus for them")]
    Elsewhere(&'static str),
    /// The cursor is not one of ours: 400.
    #[error("the cursor is not one that this agent gave out")]
    BadCursor,
    /// The spool cannot be read: 503.
    #[error("{0}")]
    Unavailable(String),
}

/// Applies a changed configuration.
pub trait ReloadHandle: Send + Sync {
    /// Nothing changes if the new configuration has problems.
    fn reload(&self) -> BoxFuture<'_, Result<ReloadReport, ReloadError>>;
}

/// Why nothing was reloaded.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The new configuration is not valid: 422.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It is valid but could not be put in force (a port that is taken, say): 503.
    #[error("{key}: {message}")]
    Apply { key: String, message: String },
}
