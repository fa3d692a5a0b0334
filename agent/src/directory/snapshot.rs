//! One consistent view of the directory, and how its indexes follow a change.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use guidon_common::CgroupId;

use super::Container;
use super::shards::Shards;
use crate::config::Guid;

/// One consistent view of the directory. Cheap to clone; a clone never changes.
#[derive(Debug, Default, Clone)]
pub struct Snapshot {
    records: Shards<Arc<str>, Record>,
    cgroups: Shards<CgroupId, Cgroup>,
    by_guid: Shards<Guid, Vec<Arc<str>>>,
    by_address: Shards<IpAddr, Arc<str>>,
}

#[derive(Debug, Clone)]
struct Record {
    container: Arc<Container>,
    gone: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Cgroup {
    container: Arc<str>,
    path: Arc<str>,
    gone: Option<Instant>,
}

impl Snapshot {
    /// The container with this runtime id.
    #[must_use]
    pub fn container(&self, id: &str) -> Option<&Arc<Container>> {
        self.records.get(id).map(|record| &record.container)
    }

    /// The container that the cgroup (of the cgroup2 hierarchy) belongs to, also where the cgroup
    /// lies below the container's own, and for a while after it is gone.
    #[must_use]
    pub fn by_cgroup(&self, id: CgroupId) -> Option<&Arc<Container>> {
        self.container(&self.cgroups.get(&id)?.container)
    }

    /// The running container that owns this address.
    #[must_use]
    pub fn by_address(&self, address: IpAddr) -> Option<&Arc<Container>> {
        self.container(self.by_address.get(&address)?)
    }

    /// The containers of an app, running or lately gone.
    pub fn by_guid(&self, guid: &str) -> impl Iterator<Item = &Arc<Container>> {
        self.ids_of(guid).filter_map(|id| self.container(id))
    }

    /// The app's containers that the runtime still has.
    pub fn live_by_guid(&self, guid: &str) -> impl Iterator<Item = &Arc<Container>> {
        self.by_guid(guid)
            .filter(|container| !self.is_gone(&container.id))
    }

    /// Whether an app of this guid is known: it has a container, or had one until lately.
    #[must_use]
    pub fn knows(&self, guid: &str) -> bool {
        self.ids_of(guid).next().is_some()
    }

    /// Every container, running or lately gone, in no particular order.
    pub fn containers(&self) -> impl Iterator<Item = &Arc<Container>> {
        self.records.iter().map(|(_, record)| &record.container)
    }

    /// Whether the runtime no longer has this container.
    #[must_use]
    pub fn is_gone(&self, id: &str) -> bool {
        self.records
            .get(id)
            .is_some_and(|record| record.gone.is_some())
    }

    /// Every live cgroup that belongs to a container: its id, its path, and the container's id; in
    /// no particular order.
    pub fn cgroups(&self) -> impl Iterator<Item = (CgroupId, &str, &str)> {
        self.cgroups
            .iter()
            .filter(|(_, cgroup)| cgroup.gone.is_none())
            .map(|(&id, cgroup)| (id, &*cgroup.path, &*cgroup.container))
    }

    fn ids_of(&self, guid: &str) -> impl Iterator<Item = &Arc<str>> {
        guid.parse::<Guid>()
            .ok()
            .and_then(|guid| self.by_guid.get(&guid))
            .into_iter()
            .flatten()
    }

    /// Whether anything changed.
    pub(super) fn put(&mut self, mut container: Container) -> bool {
        let old = self.records.get(container.id.as_str()).cloned();
        if let Some(old) = &old {
            if container.guid.is_none() {
                container.guid.clone_from(&old.container.guid);
            }
            if old.gone.is_none() && *old.container == container {
                return false;
            }
        }
        let id: Arc<str> = container.id.as_str().into();
        if let Some(old) = &old {
            self.release_addresses(&id, &old.container);
            self.leave_guid(&id, &old.container);
        }
        for &address in &container.addresses {
            // The runtime hands an address out anew only when its last owner stopped, so the
            // newest claim is the true one even where the stop was not seen yet.
            self.by_address.insert(address, Arc::clone(&id));
        }
        if let Some(guid) = &container.guid {
            let mut ids = self.by_guid.get(guid).cloned().unwrap_or_default();
            ids.push(Arc::clone(&id));
            self.by_guid.insert(guid.clone(), ids);
        }
        let record = Record {
            container: Arc::new(container),
            gone: None,
        };
        self.records.insert(id, record);
        true
    }

    /// The id, if the container was there and not gone already.
    pub(super) fn mark_gone(&mut self, id: &str, now: Instant) -> Option<Arc<str>> {
        let record = self.records.get(id).cloned()?;
        if record.gone.is_some() {
            return None;
        }
        let id: Arc<str> = id.into();
        self.release_addresses(&id, &record.container);
        let mut container = Container::clone(&record.container);
        container.pid = 0;
        container.addresses.clear();
        let record = Record {
            container: Arc::new(container),
            gone: Some(now),
        };
        self.records.insert(Arc::clone(&id), record);
        Some(id)
    }

    /// Drops a container that is gone since then; one that came back meanwhile stays.
    pub(super) fn forget(&mut self, id: &Arc<str>, since: Instant) -> bool {
        match self.records.get(id) {
            Some(record) if record.gone == Some(since) => {
                let container = Arc::clone(&record.container);
                self.leave_guid(id, &container);
                self.records.remove(id);
                true
            }
            _ => false,
        }
    }

    pub(super) fn add_cgroup(&mut self, id: CgroupId, path: &str, container: &str) -> bool {
        if let Some(known) = self.cgroups.get(&id)
            && known.gone.is_none()
            && *known.path == *path
        {
            return false;
        }
        let cgroup = Cgroup {
            container: container.into(),
            path: path.into(),
            gone: None,
        };
        self.cgroups.insert(id, cgroup);
        true
    }

    pub(super) fn mark_cgroup_gone(&mut self, id: CgroupId, now: Instant) -> bool {
        match self.cgroups.get(&id).cloned() {
            Some(cgroup) if cgroup.gone.is_none() => {
                let gone = Some(now);
                self.cgroups.insert(id, Cgroup { gone, ..cgroup });
                true
            }
            _ => false,
        }
    }

    pub(super) fn forget_cgroup(&mut self, id: CgroupId, since: Instant) -> bool {
        let due = |cgroup: &Cgroup| cgroup.gone == Some(since);
        self.cgroups.get(&id).is_some_and(due) && self.cgroups.remove(&id).is_some()
    }

    pub(super) fn live_cgroups(&self) -> Vec<CgroupId> {
        let live = self
            .cgroups
            .iter()
            .filter(|(_, cgroup)| cgroup.gone.is_none());
        live.map(|(&id, _)| id).collect()
    }

    fn release_addresses(&mut self, id: &Arc<str>, container: &Container) {
        for address in &container.addresses {
            if self.by_address.get(address) == Some(id) {
                self.by_address.remove(address);
            }
        }
    }

    fn leave_guid(&mut self, id: &Arc<str>, container: &Container) {
        let Some(guid) = &container.guid else { return };
        let mut ids = self.by_guid.get(guid).cloned().unwrap_or_default();
        ids.retain(|other| other != id);
        if ids.is_empty() {
            self.by_guid.remove(guid);
        } else {
            self.by_guid.insert(guid.clone(), ids);
        }
    }
}
