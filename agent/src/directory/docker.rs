//! Docker's containers in the directory: list and inspect, then follow the event stream.
//!
//! Owns one connection for events and short ones for questions. Identity comes from labels that the
//! driver sets and from the Engine API alone: never from Docker's layer folders, and statistics are
//! not asked for at all.
//!
//! After every lost connection the whole list is read again, so that what vanished meanwhile leaves
//! the directory. Between reconnects a periodic list repairs what a dropped event would have left.

mod connection;
mod events;
mod health;
mod record;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptions};
use futures_util::StreamExt;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Directory;
use events::{Change, Changes};

pub use connection::{ASK_TIMEOUT, ConnectError, connect, reason};
pub use health::{Connection, Health};
pub use record::{LABEL_GUID, LABEL_OWNER, LABEL_STACK, Owner, unix_seconds};

/// Containers inspected at a time: enough to hide the round trip, few enough that other users of
/// the daemon are served.
const INSPECTS_AT_ONCE: usize = 8;

/// How often the daemon is asked for a sign of life, and the list compared.
const PING_EVERY: Duration = Duration::from_secs(20);
const LIST_EVERY: Duration = Duration::from_secs(300);

/// Pause before the first reconnect, and the longest one. Each pause is drawn between half and
/// the whole of a value that doubles.
const BACKOFF: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Keeps a [`Directory`] in step with a Docker daemon.
#[derive(Debug)]
pub struct Watcher {
    directory: Arc<Directory>,
    socket: PathBuf,
    owner: Owner,
    health: Health,
}

/// Why a session with the daemon ended.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{}", reason(.0))]
    Docker(#[from] bollard::errors::Error),
    #[error("no answer within {ASK_TIMEOUT:?}")]
    Silent(#[from] tokio::time::error::Elapsed),
    #[error("the event stream ended")]
    StreamEnded,
    #[error("events came faster than they were understood")]
    Overrun,
}

impl Watcher {
    /// A watcher of the daemon behind the unix socket. Containers that carry `owner`'s label get
    /// the guid of their other label; all others are foreign.
    #[must_use]
    pub fn new(directory: Arc<Directory>, socket: PathBuf, owner: Owner) -> Self {
        Self {
            directory,
            socket,
            owner,
            health: Health::default(),
        }
    }

    /// The state of the connection, kept current.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Watches until dropped.
    pub async fn run(self) {
        let mut backoff = BACKOFF;
        loop {
            let error = match self.session().await {
                Err(error) => error,
                Ok(never) => match never {},
            };
            if self.health.lost(&error.to_string()) {
                let socket = self.socket.display();
                tracing::warn!(%error, %socket, "docker is away; will keep trying");
                backoff = BACKOFF;
            }
            self.directory.sweep();
            let jitter = rand::random_range(0.5..1.0);
            tokio::time::sleep(backoff.mul_f64(jitter)).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    async fn session(&self) -> Result<std::convert::Infallible, SessionError> {
        let docker = connect(&self.socket).await?;
        // Listened to before the list is read: what happens in between is seen twice, not never.
        let mut changes = Changes::follow(&docker);
        self.list(&docker, true).await?;
        self.health.connected();
        tracing::info!(socket = %self.socket.display(), "docker is watched");

        let start = Instant::now();
        let mut ping = interval_at(start + PING_EVERY, PING_EVERY);
        let mut list = interval_at(start + LIST_EVERY, LIST_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        list.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                more = changes.next(&mut batch) => {
                    more?;
                    self.apply(&docker, &mut batch).await?;
                }
                _ = ping.tick() => {
                    tokio::time::timeout(ASK_TIMEOUT, docker.ping()).await??;
                    self.directory.sweep();
                }
                _ = list.tick() => self.list(&docker, false).await?,
            }
        }
    }

    /// Compares the directory with the daemon's list. `inspect_all`: also what looks unchanged.
    async fn list(&self, docker: &Docker, inspect_all: bool) -> Result<(), SessionError> {
        // Taken before the question: what the driver announces after it is not missing from the
        // answer, it is newer.
        let before = Arc::clone(&self.directory.load());
        let known = before.containers().filter(|one| !before.is_gone(&one.id));
        let mut vanished: HashSet<_> = known.map(|container| container.id.clone()).collect();

        let options = ListContainersOptions {
            all: true,
            ..Default::default()
        };
        let listed = docker.list_containers(Some(options));
        let listed = tokio::time::timeout(ASK_TIMEOUT, listed).await??;
        let mut ask = Vec::new();
        let mut found = Vec::new();
        for summary in &listed {
            let Some(id) = &summary.id else { continue };
            let seen = before.container(id).filter(|_| vanished.remove(id));
            if inspect_all || seen.is_none_or(|seen| record::differs(seen, summary)) {
                ask.push(id.clone());
            }
            if seen.is_none() {
                found.extend(record::from_summary(summary, &self.owner));
            }
        }
        self.directory.put_all(found);
        for id in &vanished {
            self.directory.remove(id);
        }
        self.inspect(docker, running_first(ask, &listed)).await
    }

    async fn apply(&self, docker: &Docker, batch: &mut Vec<Change>) -> Result<(), SessionError> {
        let mut ask = Vec::new();
        for change in batch.drain(..) {
            match change {
                // The event itself names the container: even one that is gone before it could be
                // inspected gets its name.
                Change::Created { id, attributes } => {
                    if self.directory.load().container(&id).is_none() {
                        let container = record::from_event(&id, &attributes, &self.owner);
                        self.directory.put(container);
                    }
                    ask.push(id);
                }
                Change::Look { id } => ask.push(id),
                Change::Stopped { id } => self.directory.update(&id, |container| {
                    container.pid = 0;
                    container.addresses.clear();
                }),
                Change::Gone { id } => {
                    self.directory.remove(&id);
                    ask.retain(|other| *other != id);
                }
            }
        }
        ask.sort_unstable();
        ask.dedup();
        self.inspect(docker, ask).await
    }

    async fn inspect(&self, docker: &Docker, ids: Vec<String>) -> Result<(), SessionError> {
        let answers = futures_util::stream::iter(ids.into_iter().map(|id| async move {
            let question = docker.inspect_container(&id, None::<InspectContainerOptions>);
            let answer = tokio::time::timeout(ASK_TIMEOUT, question).await;
            (id, answer)
        }));
        let mut answers = answers.buffer_unordered(INSPECTS_AT_ONCE);
        while let Some((id, answer)) = answers.next().await {
            match answer? {
                Ok(answer) => {
                    if let Some(container) = record::from_inspect(&answer, &self.owner) {
                        self.directory.put(container);
                    }
                }
                // Gone since it was named; its event says so too, unless it was never known.
                Err(error) if connection::is_not_found(&error) => self.directory.remove(&id),
                // One container the daemon cannot tell about must not blind us to the others.
                Err(error) if connection::answered(&error) => {
                    tracing::warn!(id, error = reason(&error), "container cannot be inspected");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Running containers have samples waiting for their name.
fn running_first(mut ids: Vec<String>, listed: &[ContainerSummary]) -> Vec<String> {
    let running: HashSet<_> = listed
        .iter()
        .filter(|summary| record::runs(summary))
        .filter_map(|summary| summary.id.as_deref())
        .collect();
    ids.sort_by_key(|id| !running.contains(id.as_str()));
    ids
}
