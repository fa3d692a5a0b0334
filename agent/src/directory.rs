//! Who is who: guid, app, container, cgroup id, addresses. Readers load a snapshot without waiting.
//!
//! Knows nothing of how apps are started.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use guidon_common::CgroupId;

use crate::config::Guid;

/// A container as the directory knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// The runtime's id: 64 hex digits.
    pub id: String,
    /// The runtime's name, without a leading slash.
    pub name: String,
    pub image: String,
    /// Absent for containers that guidon did not create.
    pub guid: Option<Guid>,
    /// Unix time of creation and of the latest start, seconds with fraction; 0 = not known.
    pub created_at: f64,
    pub started_at: f64,
    /// Addresses on the runtime's networks.
    pub addresses: Vec<IpAddr>,
    /// Pid of the container's first process; 0 = not running.
    pub pid: u32,
}

/// One consistent view of the directory.
#[derive(Debug, Default)]
pub struct Snapshot {}

impl Snapshot {
    /// The container with this runtime id.
    #[must_use]
    pub fn container(&self, _id: &str) -> Option<&Arc<Container>> {
        None
    }

    /// The container that the cgroup (of the cgroup2 hierarchy) belongs to, also where the cgroup
    /// lies below the container's own.
    #[must_use]
    pub fn by_cgroup(&self, _id: CgroupId) -> Option<&Arc<Container>> {
        None
    }

    /// The running container that owns this address.
    #[must_use]
    pub fn by_address(&self, _address: IpAddr) -> Option<&Arc<Container>> {
        None
    }

    /// Whether an app of this guid is known.
    #[must_use]
    pub fn knows(&self, _guid: &str) -> bool {
        false
    }

    /// Every container, running or lately gone.
    pub fn containers(&self) -> impl Iterator<Item = &Arc<Container>> {
        std::iter::empty()
    }
}

/// The directory. One writer at a time; readers never wait.
#[derive(Debug)]
pub struct Directory {
    host: Guid,
    snapshot: ArcSwap<Snapshot>,
}

impl Directory {
    /// An empty directory on the node that goes by `host`.
    #[must_use]
    pub fn new(host: Guid) -> Self {
        Self {
            host,
            snapshot: ArcSwap::default(),
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

    /// Makes a container known, or replaces what was known of it. Called before a container that
    /// guidon made is started, so that not even its first sample lacks the guid.
    pub fn put(&self, _container: Container) {}

    /// The runtime no longer has this container. It stays resolvable for the retention window.
    pub fn remove(&self, _id: &str) {}

    /// A cgroup was born at `path` (relative to the cgroup2 root, e.g. `/docker/<id>/init`).
    /// Returns the container id that the path belongs to, known to the directory or not.
    pub fn cgroup_born(&self, _id: CgroupId, _path: &str) -> Option<String> {
        None
    }

    /// The cgroup is gone.
    pub fn cgroup_gone(&self, _id: CgroupId) {}
}

/// The container id that a cgroup path belongs to, and the path of the container's own cgroup
/// (a prefix of `path`): cgroupfs and systemd drivers of Docker, containerd, CRI-O and podman.
#[must_use]
pub fn container_of_path(_path: &str) -> Option<(&str, &str)> {
    None
}
