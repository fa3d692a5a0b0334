//! Who holds which slot: the agent's copy of what the kernel's programs were told and did.
//!
//! Fed by events and walks of the cgroup tree, both of which may tell the same twice: a birth is
//! taken once per id, and ids are not reused. Makes no system calls; the entries in the kernel are
//! its callers' business.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use guidon_common::CgroupId;

use super::{Cgroup, Slot};

/// A removed cgroup whose last reference does not go (on cgroup v2 a page cache page suffices to
/// hold one) is taken for released after this time: no process can be left, and what its sockets
/// may still send goes to the host.
pub(super) const RELEASE_WAIT: Duration = Duration::from_secs(5);

/// What a slot is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// In the pool, or taken from it by a birth that was not told yet.
    Pool,
    /// Counting.
    Cgroup(CgroupId),
    /// Its cgroup is released; its final values are still to be read.
    Final,
    /// With the keeper.
    Keeper,
}

/// Ids of the same cgroup in cgroup v1 hierarchies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Twins {
    /// In the blkio hierarchy.
    pub(super) block: Option<CgroupId>,
    /// In the memory hierarchy.
    pub(super) memory: Option<CgroupId>,
}

#[derive(Debug)]
struct Entry {
    cgroup: Cgroup,
    twins: Twins,
    removed: Option<Instant>,
}

/// The book.
#[derive(Debug)]
pub(super) struct Book {
    entries: HashMap<CgroupId, Entry>,
    by_path: HashMap<String, CgroupId>,
    by_memory_id: HashMap<CgroupId, CgroupId>,
    /// Slot 0 is the host's and never changes hands.
    slots: Vec<Holder>,
    removals: VecDeque<(Instant, CgroupId)>,
}

/// A cgroup that left the book.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Departed {
    pub(super) cgroup: Cgroup,
    pub(super) twins: Twins,
}

impl Book {
    /// All slots in the pool.
    pub(super) fn new(slots: u32) -> Self {
        Self {
            entries: HashMap::new(),
            by_path: HashMap::new(),
            by_memory_id: HashMap::new(),
            slots: vec![Holder::Pool; slots as usize],
            removals: VecDeque::new(),
        }
    }

    /// Enters a cgroup; says whether it is news.
    pub(super) fn enter(&mut self, cgroup: Cgroup, twins: Twins) -> bool {
        if self.entries.contains_key(&cgroup.id) {
            return false;
        }
        if !cgroup.inherited {
            self.hold(cgroup.slot, Holder::Cgroup(cgroup.id));
        }
        self.by_path.insert(cgroup.path.clone(), cgroup.id);
        if let Some(memory) = twins.memory {
            self.by_memory_id.insert(memory, cgroup.id);
        }
        self.entries.insert(
            cgroup.id,
            Entry {
                cgroup,
                twins,
                removed: None,
            },
        );
        true
    }

    /// The twin of a cgroup that has this path, if there is one: gives it to `note` to complete,
    /// and returns the cgroup with its twins.
    pub(super) fn join_twin(
        &mut self,
        path: &str,
        note: impl FnOnce(&mut Twins),
    ) -> Option<(Slot, Twins)> {
        let id = *self.by_path.get(path)?;
        let entry = self.entries.get_mut(&id)?;
        note(&mut entry.twins);
        if let Some(memory) = entry.twins.memory {
            self.by_memory_id.insert(memory, id);
        }
        Some((entry.cgroup.slot, entry.twins))
    }

    /// The cgroup2 id of a cgroup of the memory hierarchy.
    pub(super) fn by_memory_id(&self, id: CgroupId) -> Option<CgroupId> {
        self.by_memory_id.get(&id).copied()
    }

    /// Whether the id is in the book, removed or not.
    pub(super) fn knows(&self, id: CgroupId) -> bool {
        self.entries.contains_key(&id)
    }

    /// Notes that a cgroup's directory is gone; returns its slot if that is news.
    pub(super) fn remove(&mut self, id: CgroupId, now: Instant) -> Option<Slot> {
        let entry = self.entries.get_mut(&id)?;
        if entry.removed.is_some() {
            return None;
        }
        entry.removed = Some(now);
        let slot = entry.cgroup.slot;
        let path = &entry.cgroup.path;
        // A new cgroup may have the same path already.
        if self.by_path.get(path) == Some(&id) {
            self.by_path.remove(path);
        }
        self.removals.push_back((now, id));
        Some(slot)
    }

    /// Takes a released cgroup out of the book. Its own slot waits for [`Book::recycle`].
    pub(super) fn release(&mut self, id: CgroupId) -> Option<Departed> {
        let Entry { cgroup, twins, .. } = self.entries.remove(&id)?;
        if self.by_path.get(&cgroup.path) == Some(&id) {
            self.by_path.remove(&cgroup.path);
        }
        if let Some(memory) = twins.memory {
            self.by_memory_id.remove(&memory);
        }
        if self.holder(cgroup.slot) == Some(Holder::Cgroup(id)) {
            self.hold(cgroup.slot, Holder::Final);
        }
        Some(Departed { cgroup, twins })
    }

    /// Cgroups removed longer than [`RELEASE_WAIT`] ago and still not released, children first.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<CgroupId> {
        let mut overdue = Vec::new();
        while let Some(&(removed, id)) = self.removals.front() {
            if now.duration_since(removed) < RELEASE_WAIT {
                break;
            }
            self.removals.pop_front();
            if self.entries.contains_key(&id) {
                overdue.push(id);
            }
        }
        overdue
    }

    /// When [`Book::overdue`] may have something.
    pub(super) fn next_overdue(&self) -> Option<Instant> {
        self.removals
            .front()
            .map(|(removed, _)| *removed + RELEASE_WAIT)
    }

    /// Whether the slot's final values were still to be read; now it is the keeper's.
    pub(super) fn recycle(&mut self, slot: Slot) -> bool {
        let last = self.holder(slot) == Some(Holder::Final);
        if last {
            self.hold(slot, Holder::Keeper);
        }
        last
    }

    /// Takes a cgroup's own slot away, and that of all that inherited it: they count to the host
    /// from now on. Returns the slot, now the keeper's, with the cgroups and their twins.
    pub(super) fn demote(&mut self, id: CgroupId) -> Option<(Slot, Vec<(CgroupId, Twins)>)> {
        let slot = self.entries.get(&id)?.cgroup.slot;
        if self.holder(slot) != Some(Holder::Cgroup(id)) {
            return None;
        }
        self.hold(slot, Holder::Keeper);
        let users = self
            .entries
            .values_mut()
            .filter(|entry| entry.cgroup.slot == slot)
            .map(|entry| {
                entry.cgroup.slot = Slot(0);
                entry.cgroup.inherited = false;
                (entry.cgroup.id, entry.twins)
            })
            .collect();
        Some((slot, users))
    }

    /// The keeper puts the slot into the pool.
    pub(super) fn free(&mut self, slot: Slot) {
        self.hold(slot, Holder::Pool);
    }

    /// The slot goes to the keeper without its cgroup ever having been in the book.
    pub(super) fn surrender(&mut self, slot: Slot) {
        self.hold(slot, Holder::Keeper);
    }

    /// Ids of cgroups that are not removed.
    pub(super) fn present(&self) -> Vec<CgroupId> {
        let present = self
            .entries
            .values()
            .filter(|entry| entry.removed.is_none());
        present.map(|entry| entry.cgroup.id).collect()
    }

    /// Ids of removed cgroups that are not released.
    pub(super) fn dying(&self) -> Vec<CgroupId> {
        let dying = self
            .entries
            .values()
            .filter(|entry| entry.removed.is_some());
        dying.map(|entry| entry.cgroup.id).collect()
    }

    /// Cgroups that are not removed, parents before children.
    pub(super) fn cgroups(&self) -> Vec<Cgroup> {
        let present = self
            .entries
            .values()
            .filter(|entry| entry.removed.is_none());
        let mut cgroups: Vec<Cgroup> = present.map(|entry| entry.cgroup.clone()).collect();
        // A parent's path is the beginning of its child's.
        cgroups.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        cgroups
    }

    fn holder(&self, slot: Slot) -> Option<Holder> {
        self.slots
            .get(slot.0 as usize)
            .copied()
            .filter(|_| slot.0 != 0)
    }

    fn hold(&mut self, slot: Slot, holder: Holder) {
        if slot.0 != 0
            && let Some(known) = self.slots.get_mut(slot.0 as usize)
        {
            *known = holder;
        }
    }
}

#[cfg(test)]
mod tests;
