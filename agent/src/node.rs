//! Puts it together: builds the rooms from the configuration, runs, reloads, shuts down.
//!
//! Two runtimes: `data` (all cores) for what carries records, `control` (the main thread) for
//! Docker, the API and signals, so that health and the Manager are answered while data is
//! saturated. Nothing here decides anything that a room could decide.
//!
//! Start: kernel programs, then capabilities are given away, then threads. Shutdown: listeners
//! first, then a last round of collection, then the forwarder drains within [`GRACE`] and leaves
//! the rest in the spool.

mod capabilities;
mod foundation;
mod gateway;
mod handles;
mod listeners;
mod own_metrics;
mod reload;
mod rooms;
mod stack;
mod status;
mod targets;

use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use self::foundation::Foundation;
use self::rooms::Rooms;
use crate::api::ServeError;
use crate::config::{Config, HostGuidError, KeptError};
use crate::drive::DriveError;
use crate::forward::StartError;
use crate::stack::{ExporterError, RelayTokenError};

/// How long senders may go on delivering after the agent was told to stop.
pub const GRACE: Duration = Duration::from_secs(5);

/// What `guidon run` was told.
#[derive(Debug)]
pub struct NodeOptions {
    /// The configuration as loaded at start.
    pub config: Config,
    /// The file it came from, if one was named; reload reads it again.
    pub config_path: Option<PathBuf>,
}

/// Why the node cannot run.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The data directory cannot be made.
    #[error("data_dir {}: {source}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The host guid is not known.
    #[error(transparent)]
    HostGuid(#[from] HostGuidError),
    /// Capabilities could not be given away.
    #[error("cannot drop capabilities: {0}")]
    Capabilities(#[source] std::io::Error),
    /// No threads.
    #[error("cannot start a runtime: {0}")]
    Runtime(#[source] std::io::Error),
    /// A listener of `[receive]` cannot be bound.
    #[error("{key}: cannot listen on {address}: {source}")]
    Listen {
        /// The key of the configuration.
        key: &'static str,
        /// The address asked for.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The API cannot be served.
    #[error(transparent)]
    Api(#[from] ServeError),
    /// The forwarder cannot start.
    #[error(transparent)]
    Forward(#[from] StartError),
    /// What apps should run cannot be read.
    #[error(transparent)]
    Apps(#[from] DriveError),
    /// What log files are followed cannot be read.
    #[error(transparent)]
    LogTargets(#[from] KeptError),
    /// Managed components could not be known.
    #[error(transparent)]
    RelayToken(#[from] RelayTokenError),
    /// The folder of managed components cannot be made.
    #[error("data_dir: cannot make the folder of managed components: {0}")]
    Stack(#[source] std::io::Error),
    /// What exporters there are cannot be read.
    #[error(transparent)]
    Exporters(#[from] ExporterError),
}

/// Runs until SIGTERM or SIGINT.
pub fn run(options: NodeOptions) -> Result<(), NodeError> {
    let foundation = Foundation::lay(&options.config)?;
    let data = tokio::runtime::Builder::new_multi_thread()
        .thread_name("data")
        .enable_all()
        .build()
        .map_err(NodeError::Runtime)?;
    let control = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(NodeError::Runtime)?;
    let outcome = control.block_on(async {
        let rooms = Rooms::start(foundation, options, data.handle().clone()).await?;
        until_told_to_stop(&rooms).await?;
        rooms.shutdown().await;
        Ok(())
    });
    // A task that hangs in a blocking call must not keep a finished agent alive.
    data.shutdown_timeout(Duration::from_secs(1));
    control.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn until_told_to_stop(rooms: &Rooms) -> Result<(), NodeError> {
    let listen = |kind| signal(kind).map_err(NodeError::Runtime);
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hangup = listen(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => rooms.reload_and_tell().await,
        }
    }
    tracing::info!(grace_seconds = GRACE.as_secs(), "stopping");
    Ok(())
}
