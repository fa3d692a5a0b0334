//! What [`Kernel`](super::Kernel) and [`Events`](super::Events) share: maps, book, keeper, and the
//! operations that keep the kernel's entries and the book together.
//!
//! The one rule: the programs add entries to `SLOTS`, only the agent deletes them, and whoever's
//! deletion succeeded sees to the slot. So a slot is in the pool, or in an entry, or in exactly
//! one pair of hands here.

use std::{
    io,
    mem::offset_of,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Instant,
};

use guidon_common::{CgroupId, HealthRecord, PeerKey, SLOT_INHERITED, SLOT_RELEASED, SlotEntry};

use super::{
    Cgroup, Event, Slot,
    book::{Book, Twins},
    counters::CounterPages,
    host::Hierarchies,
    keeper::Keeper,
    sys::{ANY, Map, NO_EXIST, Pages, Queue},
    tree::{self, Branch},
};

/// Maps of the kernel programs that are read or written by key.
#[derive(Debug)]
pub(super) struct Maps {
    pub(super) slots: Map<u64, SlotEntry>,
    pub(super) containers: Map<u64, u32>,
    pub(super) block_slots: Map<u64, u32>,
    pub(super) free: Arc<Queue<u32>>,
    pub(super) peers: Map<PeerKey, u64>,
    pub(super) loopback_peers: Map<u32, u64>,
    pub(super) udp_ports: Map<u32, u32>,
}

/// The shared state.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) maps: Maps,
    pub(super) pages: Arc<CounterPages>,
    pub(super) health: Pages,
    pub(super) hierarchies: Hierarchies,
    /// Most entries that `SLOTS` can have.
    pub(super) entries: usize,
    pub(super) book: Arc<Mutex<Book>>,
    pub(super) keeper: Keeper,
}

/// Losses, from the mapped page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) events_lost: u64,
    pub(super) slot_misses: u64,
    pub(super) slots_taken: u64,
    pub(super) memory_dropped: u64,
}

impl Shared {
    /// Slots in the pool.
    pub(super) fn free_slots(&self) -> u32 {
        let taken = i64::try_from(self.health().slots_taken).unwrap_or(i64::MAX);
        u32::try_from(self.maps.free.balance().saturating_sub(taken)).unwrap_or(0)
    }

    /// The book. A panic elsewhere does not make it wrong: changes are single steps.
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Losses so far.
    pub(super) fn health(&self) -> Health {
        let word = |offset: usize| {
            let word = self.health.words().get(offset / size_of::<u64>());
            word.map_or(0, |word| word.load(Ordering::Relaxed))
        };
        Health {
            events_lost: word(offset_of!(HealthRecord, events_lost)),
            slot_misses: word(offset_of!(HealthRecord, slot_misses)),
            slots_taken: word(offset_of!(HealthRecord, slots_taken))
                .wrapping_sub(word(offset_of!(HealthRecord, slots_returned))),
            memory_dropped: word(offset_of!(HealthRecord, memory_dropped)),
        }
    }

    /// Ids of the same path in the cgroup v1 hierarchies.
    pub(super) fn twins(&self, path: &str) -> Twins {
        let mount = |hierarchy: &'_ Option<super::host::Hierarchy>| -> Option<PathBuf> {
            hierarchy
                .as_ref()
                .and_then(|hierarchy| hierarchy.mount.clone())
        };
        let block = mount(&self.hierarchies.block);
        let memory = mount(&self.hierarchies.memory);
        tree::twins(block.as_deref(), memory.as_deref(), path)
    }

    /// Enters a cgroup that the kernel told of or a walk found; says whether it is news.
    pub(super) fn enter(&self, cgroup: &Cgroup) -> bool {
        if self.book().knows(cgroup.id) {
            return false;
        }
        let twins = self.twins(&cgroup.path);
        if !self.book().enter(cgroup.clone(), twins) {
            return false;
        }
        self.map_block(twins, cgroup.slot);
        true
    }

    /// A cgroup of a cgroup v1 hierarchy was made.
    pub(super) fn enter_twin(&self, hierarchy: u32, id: CgroupId, path: &str) {
        let is = |known: &Option<super::host::Hierarchy>| {
            known
                .as_ref()
                .is_some_and(|known| known.number == hierarchy)
        };
        let joined = self.book().join_twin(path, |twins| {
            if is(&self.hierarchies.block) {
                twins.block = Some(id);
            }
            if is(&self.hierarchies.memory) {
                twins.memory = Some(id);
            }
        });
        if let Some((slot, twins)) = joined {
            self.map_block(twins, slot);
        }
    }

    /// Block I/O of the cgroup's twin counts to the slot.
    fn map_block(&self, twins: Twins, slot: Slot) {
        if let Some(id) = twins.block
            && slot.0 != 0
            && let Err(error) = self.maps.block_slots.set(&id.0, &slot.0, ANY)
        {
            tracing::warn!(slot = slot.0, %error, "cannot count block i/o of a cgroup");
        }
    }

    fn unmap_block(&self, twins: Twins) {
        if let Some(id) = twins.block {
            log_failure(self.maps.block_slots.delete(&id.0), id);
        }
    }

    /// A cgroup was released: its entry goes, its own slot waits for its last reader.
    pub(super) fn release(&self, id: CgroupId) -> Option<Event> {
        let Some(departed) = self.book().release(id) else {
            self.release_stranger(id);
            return None;
        };
        log_failure(self.maps.slots.delete(&id.0), id);
        log_failure(self.maps.containers.delete(&id.0), id);
        self.unmap_block(departed.twins);
        Some(Event::Released {
            id,
            slot: departed.cgroup.slot,
        })
    }

    /// A cgroup that was never in the book (its birth was lost, or it went during a walk) may hold
    /// a slot all the same.
    fn release_stranger(&self, id: CgroupId) {
        let Ok(Some(entry)) = self.maps.slots.get(&id.0) else {
            return;
        };
        let deleted = log_failure(self.maps.slots.delete(&id.0), id);
        if deleted && entry.flags & SLOT_INHERITED == 0 {
            self.surrender(Slot(entry.slot));
        }
    }

    fn surrender(&self, slot: Slot) {
        if slot.0 != 0 {
            self.book().surrender(slot);
            self.keeper.take_back(slot);
        }
    }

    /// See [`super::Kernel::demote`].
    pub(super) fn demote(&self, id: CgroupId) {
        log_failure(self.maps.containers.delete(&id.0), id);
        let Some((slot, users)) = self.book().demote(id) else {
            return;
        };
        let mut deleted = false;
        for (user, twins) in users {
            let gone = log_failure(self.maps.slots.delete(&user.0), user);
            deleted |= gone && user == id;
            self.unmap_block(twins);
        }
        if deleted {
            self.keeper.take_back(slot);
        }
    }

    /// See [`super::Kernel::recycle`].
    pub(super) fn recycle(&self, slot: Slot) {
        let recycled = self.book().recycle(slot);
        if recycled {
            self.keeper.take_back(slot);
        }
    }

    /// Gives a cgroup that a walk found a slot, as the kernel does at birth. The kernel may have
    /// done so meanwhile: then that one is it. Only before the counting programs are attached: CPUs
    /// remember which cgroups have no slot.
    pub(super) fn adopt(&self, branch: Branch) -> io::Result<()> {
        let slot = self.maps.free.pop()?.unwrap_or(0);
        let mut cgroup = Cgroup {
            id: branch.id,
            parent: branch.parent,
            path: branch.path.clone(),
            slot: Slot(slot),
            inherited: false,
        };
        let entered = slot != 0 && self.try_enter_slot(branch.id, slot)?;
        if !entered {
            self.describe_slot(&mut cgroup);
        } else if !tree::exists(&self.hierarchies.unified, &branch) {
            // It went between the walk and now, perhaps before there was an entry to mark.
            if self.maps.slots.delete(&branch.id.0)? {
                self.maps.free.push(&slot)?;
            }
            return Ok(());
        }
        self.enter(&cgroup);
        Ok(())
    }

    /// Makes an entry; if there is one, or no room for one, the slot goes back to the pool. Nothing
    /// counted to it.
    fn try_enter_slot(&self, id: CgroupId, slot: u32) -> io::Result<bool> {
        let entry = SlotEntry { slot, flags: 0 };
        match self.maps.slots.set(&id.0, &entry, NO_EXIST) {
            Ok(()) => Ok(true),
            Err(error) => {
                self.maps.free.push(&slot)?;
                match error.raw_os_error() {
                    Some(libc::EEXIST | libc::E2BIG) => Ok(false),
                    _ => Err(error),
                }
            }
        }
    }

    /// Takes slot and inheritance from the kernel's entry; without one it counts to the host.
    fn describe_slot(&self, cgroup: &mut Cgroup) {
        let entry = self.maps.slots.get(&cgroup.id.0).ok().flatten();
        cgroup.slot = Slot(entry.map_or(0, |entry| entry.slot));
        cgroup.inherited = entry.is_some_and(|entry| entry.flags & SLOT_INHERITED != 0);
    }

    /// After lost events: compares the book with the tree and the kernel's entries, and tells the
    /// difference as the events that were lost. Cgroups of which birth and release both were lost
    /// only give their slot back.
    pub(super) fn reconcile(&self, into: &mut Vec<Event>) -> io::Result<()> {
        let branches = tree::walk(&self.hierarchies.unified)?;
        let found: std::collections::HashSet<CgroupId> =
            branches.iter().map(|branch| branch.id).collect();
        for branch in branches {
            let mut cgroup = Cgroup {
                id: branch.id,
                parent: branch.parent,
                path: branch.path,
                slot: Slot(0),
                inherited: false,
            };
            self.describe_slot(&mut cgroup);
            if self.enter(&cgroup) {
                into.push(Event::Born(cgroup));
            }
        }
        let now = Instant::now();
        let present = self.book().present();
        for id in present.into_iter().filter(|id| !found.contains(id)) {
            let slot = self.book().remove(id, now);
            into.extend(slot.map(|slot| Event::Removed { id, slot }));
        }
        let entries = self.maps.slots.keys(2 * self.entries)?;
        let is_released = |id: &u64| {
            let entry = self.maps.slots.get(id).ok().flatten();
            entry.is_some_and(|entry| entry.flags & SLOT_RELEASED != 0)
        };
        for id in entries.into_iter().filter(is_released) {
            into.extend(self.release(CgroupId(id)));
        }
        // What has no entry has nothing that could still change.
        let dying = self.book().dying();
        for id in dying {
            if matches!(self.maps.slots.get(&id.0), Ok(None)) {
                into.extend(self.release(id));
            }
        }
        Ok(())
    }
}

/// Failing to delete is worth a line, and as good as "there was none".
fn log_failure(deleted: io::Result<bool>, id: CgroupId) -> bool {
    deleted.unwrap_or_else(|error| {
        tracing::warn!(cgroup = id.0, %error, "cannot delete a cgroup's entry");
        false
    })
}
