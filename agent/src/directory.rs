//! Who is who: guid, app, container, cgroup id, addresses. Readers load a snapshot without waiting.
//!
//! Owns the records and their indexes; [`docker`] fills them from the runtime. Knows nothing of how
//! apps are started, nor of what is measured about them.
//!
//! Writers take turns behind a mutex, change a copy that shares all but the touched shards with
//! the old view, and publish it before they return. What a runtime or the kernel reports gone
//! stays resolvable for [`RETENTION`], so that late final samples still find their guid; at most
//! [`MAX_GONE`] gone entries are kept, the oldest leave first.

pub mod docker;
mod path;
mod shards;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use guidon_common::CgroupId;
use tokio::sync::watch;

use crate::config::Guid;

pub use path::container_of_path;
pub use snapshot::Snapshot;

/// How long a container or cgroup that is gone can still be looked up.
pub const RETENTION: Duration = Duration::from_secs(300);

/// Most gone containers and cgroups that are kept, together; about 1 KiB each.
pub const MAX_GONE: usize = 8192;

/// A container as the directory knows it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Container {
    /// The runtime's id: 64 hex digits.
    pub id: String,
    /// The runtime's name, without a leading slash.
    pub name: String,
    /// The image as it was asked for.
    pub image: String,
    /// Absent for containers that guidon did not create.
    pub guid: Option<Guid>,
    /// One of the agent's own components: no app, and it passes on what apps send to it.
    pub is_component: bool,
    /// Unix time of creation, seconds with fraction; 0 = not known.
    pub created_at: f64,
    /// Unix time of the latest start, seconds with fraction; 0 = not known.
    pub started_at: f64,
    /// Addresses on the runtime's networks. Empty while the container does not run.
    pub addresses: Vec<IpAddr>,
    /// Pid of the container's first process; 0 = not running.
    pub pid: u32,
    /// Where the runtime puts the container's output.
    pub log: LogSource,
}

/// Where a runtime puts a container's output.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogSource {
    /// The runtime's log driver, e.g. `json-file`; empty = not known.
    pub driver: String,
    /// The log file on the host, for drivers that write one.
    pub path: Option<PathBuf>,
    /// The output is that of a terminal: one stream, lines end in `\r\n`.
    pub is_tty: bool,
}

/// The directory. One writer at a time; readers never wait.
#[derive(Debug)]
pub struct Directory {
    host: Guid,
    snapshot: ArcSwap<Snapshot>,
    /// The writers' side: what leaves, and when. Also makes writers take turns.
    expiry: Mutex<VecDeque<(Instant, Gone)>>,
    retention: Duration,
    changed: watch::Sender<u64>,
}

/// What waits for the end of its retention.
#[derive(Debug, Clone)]
enum Gone {
    Container(Arc<str>),
    Cgroup(CgroupId),
}

impl Directory {
    /// An empty directory on the node that goes by `host`.
    #[must_use]
    pub fn new(host: Guid) -> Self {
        Self::with_retention(host, RETENTION)
    }

    /// As [`Directory::new`], with another window for what is gone.
    #[must_use]
    pub fn with_retention(host: Guid, retention: Duration) -> Self {
        Self {
            host,
            snapshot: ArcSwap::default(),
            expiry: Mutex::default(),
            retention,
            changed: watch::Sender::new(0),
        }
    }

    /// The node's own guid.
    #[must_use]
    pub fn host(&self) -> &Guid {
        &self.host
    }

    /// The current view.
    pub fn load(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// Resolves after each publication (several may be seen as one); the value is the number of
    /// publications so far. Load the snapshot after the change was seen, not before.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Makes a container known, or replaces what was known of it. Called before a container that
    /// guidon made is started, so that not even its first sample lacks the guid. Visible to
    /// [`Directory::load`] when this returns.
    ///
    /// A guid, once known, stays: a record without one does not take it away.
    pub fn put(&self, container: Container) {
        self.put_all([container]);
    }

    /// [`Directory::put`] for many, published at once.
    pub fn put_all(&self, containers: impl IntoIterator<Item = Container>) {
        self.edit(|snapshot, _| {
            let mut changed = false;
            for container in containers {
                changed |= snapshot.put(container);
            }
            changed
        });
    }

    /// Changes a record that exists; nothing happens where it does not, or is gone.
    pub fn update(&self, id: &str, change: impl FnOnce(&mut Container)) {
        self.edit(|snapshot, _| {
            let Some(current) = snapshot.container(id).filter(|_| !snapshot.is_gone(id)) else {
                return false;
            };
            let mut next = Container::clone(current);
            change(&mut next);
            next.id = id.to_owned();
            snapshot.put(next)
        });
    }

    /// The runtime no longer has this container. It stays resolvable for the retention window, but
    /// no longer owns its addresses.
    pub fn remove(&self, id: &str) {
        self.edit(|snapshot, leaving| {
            let now = Instant::now();
            let Some(id) = snapshot.mark_gone(id, now) else {
                return false;
            };
            leaving.push_back((now, Gone::Container(id)));
            true
        });
    }

    /// A cgroup was born at `path` (relative to the cgroup2 root, e.g. `/docker/<id>/init`).
    /// Returns the container id that the path belongs to, known to the directory or not.
    pub fn cgroup_born(&self, id: CgroupId, path: &str) -> Option<String> {
        let (container, _) = container_of_path(path)?;
        self.edit(|snapshot, _| snapshot.add_cgroup(id, path, container));
        Some(container.to_owned())
    }

    /// The cgroup is gone. It stays resolvable for the retention window.
    pub fn cgroup_gone(&self, id: CgroupId) {
        self.edit(|snapshot, leaving| {
            let now = Instant::now();
            let marked = snapshot.mark_cgroup_gone(id, now);
            if marked {
                leaving.push_back((now, Gone::Cgroup(id)));
            }
            marked
        });
    }

    /// The truth after events were lost: every live cgroup with its path. What is not among them
    /// is gone.
    pub fn cgroups_are<'a>(&self, live: impl IntoIterator<Item = (CgroupId, &'a str)>) {
        let live: HashMap<_, _> = live.into_iter().collect();
        self.edit(|snapshot, leaving| {
            let now = Instant::now();
            let mut changed = false;
            for gone in snapshot.live_cgroups() {
                if !live.contains_key(&gone) {
                    changed |= snapshot.mark_cgroup_gone(gone, now);
                    leaving.push_back((now, Gone::Cgroup(gone)));
                }
            }
            for (&id, path) in &live {
                if let Some((container, _)) = container_of_path(path) {
                    changed |= snapshot.add_cgroup(id, path, container);
                }
            }
            changed
        });
    }

    /// Forgets what has been gone for longer than the retention window. Every write does this too;
    /// a caller with a clock keeps the promise on a quiet node.
    pub fn sweep(&self) {
        self.edit(|_, _| false);
    }

    /// Runs `change` on a copy of the snapshot and publishes it if anything changed. A copy costs
    /// four reference counts and, per touched index, one shard.
    fn edit(&self, change: impl FnOnce(&mut Snapshot, &mut VecDeque<(Instant, Gone)>) -> bool) {
        // A writer that panicked left the published snapshot whole: it had only changed its copy.
        let mut leaving = self.expiry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Snapshot::clone(&self.snapshot.load());
        let mut changed = change(&mut next, &mut leaving);
        while leaving.len() > MAX_GONE
            || leaving
                .front()
                .is_some_and(|(since, _)| since.elapsed() >= self.retention)
        {
            changed |= match leaving.pop_front() {
                Some((since, Gone::Container(id))) => next.forget(&id, since),
                Some((since, Gone::Cgroup(id))) => next.forget_cgroup(id, since),
                None => false,
            };
        }
        if changed {
            self.snapshot.store(Arc::new(next));
            self.changed.send_modify(|version| *version += 1);
        }
    }
}
