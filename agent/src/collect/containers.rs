//! Containers: who counts where, and their values each round.
//!
//! Owns the books that tie cgroups to slots and containers, fed by the caller with the kernel
//! side's events ([`ContainerCollector::on_events`], [`ContainerCollector::resync`]), and the files
//! that tell what the programs do not. Without a kernel side it finds containers by walking the
//! cgroup file system and lives on files alone. Asks the directory for names; knows no runtime.
//!
//! A container is announced by its cgroup, not by the runtime, so none is too short-lived to be
//! seen. What the directory does not know (yet) is held back for [`UNKNOWN_GRACE`], so that no
//! sample goes out under the wrong labels; then it appears with its `id` alone.

mod devices;
mod emit;
mod entry;
mod files;
mod metrics;
mod network;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use guidon_common::CgroupId;

use self::entry::{Base, Entry, Member, Usage, add};
use self::files::Files;
use self::metrics::Places;
use self::network::{Namespaces, Network};
use self::source::Abilities;
use self::table::table;
use super::hierarchy::Hierarchy;
use super::rows::Row;
use super::scan::Budget;
use crate::directory::{Directory, container_of_path};
use crate::kernel::{Cgroup, Counters, Event, Memory, Slot};
use crate::signal::series::SeriesTable;

pub use source::Source;

/// How long a container that the directory does not know is held back.
pub const UNKNOWN_GRACE: Duration = Duration::from_secs(30);

/// Rounds a removed container is sent while its cgroup is not released: memory or sockets of the
/// dead can keep it for long, and add nothing but the last packets of closing connections.
const ROUNDS_ENDED: u8 = 2;

/// Passes between looks at limits and other things that change seldom.
const SELDOM: u32 = 6;

/// What to collect, and where the host's file systems are.
#[derive(Debug, Clone)]
pub struct Options {
    /// `/proc` and `/sys` of the host.
    pub proc: PathBuf,
    /// See [`Options::proc`].
    pub sys: PathBuf,
    /// Read cgroup files and network namespaces; without, only what the programs count.
    pub files: bool,
    /// How long a container that the directory does not know is held back.
    pub unknown_grace: Duration,
    /// Files that may stay open between rounds.
    pub open_files: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            proc: PathBuf::from("/proc"),
            sys: PathBuf::from("/sys"),
            files: true,
            unknown_grace: UNKNOWN_GRACE,
            open_files: usize::MAX,
        }
    }
}

/// What a pass is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The values are sent: what ended has its final sample with this.
    Round,
    /// Somebody looks: nothing is used up.
    Look,
}

/// Collects containers. Blocking: reads files.
#[derive(Debug)]
pub struct ContainerCollector {
    kernel: Option<Arc<dyn Source>>,
    abilities: Abilities,
    directory: Arc<Directory>,
    hierarchy: Hierarchy,
    namespaces: Namespaces,
    budget: Budget,
    options: Options,
    entries: Vec<Option<Entry>>,
    by_container: HashMap<String, usize>,
    cgroups: HashMap<CgroupId, Seat>,
    /// Memory gauges of this pass, by id in the memory controller's hierarchy.
    memory: HashMap<CgroupId, Memory>,
    memory_list: Vec<Memory>,
    device_names: HashMap<(u32, u32), String>,
    buffer: Vec<u8>,
    walks: u64,
}

/// A cgroup in the books.
#[derive(Debug, Clone, Copy)]
struct Seat {
    /// Its container; absent: the final sample went out already.
    entry: Option<usize>,
    /// Its own slot; absent: it counts to a parent's, or nowhere.
    slot: Option<Slot>,
}

impl ContainerCollector {
    /// A collector that knows no cgroup yet: call [`ContainerCollector::resync`] next.
    #[must_use]
    pub fn new(
        kernel: Option<Arc<dyn Source>>,
        directory: Arc<Directory>,
        options: Options,
    ) -> Self {
        let abilities = kernel
            .as_ref()
            .map(|kernel| Abilities::of(&kernel.status()));
        Self {
            kernel,
            abilities: abilities.unwrap_or_default(),
            directory,
            hierarchy: Hierarchy::detect(&options.sys),
            namespaces: Namespaces::new(&options.proc),
            budget: Budget::new(options.open_files),
            options,
            entries: Vec::new(),
            by_container: HashMap::new(),
            cgroups: HashMap::new(),
            memory: HashMap::new(),
            memory_list: Vec::new(),
            device_names: HashMap::new(),
            buffer: Vec::new(),
            walks: 0,
        }
    }

    /// Containers in the books, gone ones without a final sample included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_container.len()
    }

    /// Whether there is no container.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_container.is_empty()
    }

    /// What happened to cgroups, in order, at about `now_ms`.
    pub fn on_events(&mut self, events: &[Event], now_ms: i64) {
        for event in events {
            match event {
                Event::Born(cgroup) => self.born(cgroup, now_ms, now_ms),
                Event::Removed { id, .. } => self.removed(*id, now_ms),
                Event::Released { id, .. } => self.released(*id, now_ms),
            }
        }
    }

    /// Every live cgroup: at start, and after events were lost (those that the kernel side makes up
    /// for it come first). What is in the books and not among them was removed. CPU time that the
    /// programs did not see (from before they were attached, or of cgroups that came and went while
    /// events were lost) is taken over from the kernel's own accounting.
    pub fn resync(&mut self, cgroups: &[Cgroup], now_ms: i64) {
        let live: HashSet<CgroupId> = cgroups.iter().map(|cgroup| cgroup.id).collect();
        let gone = self.cgroups.keys().filter(|id| !live.contains(id)).copied();
        for id in gone.collect::<Vec<_>>() {
            self.removed(id, now_ms);
        }
        for cgroup in cgroups {
            let born_ms = walk::made_ms(&self.hierarchy, &cgroup.path).unwrap_or(now_ms);
            self.born(cgroup, now_ms, born_ms);
        }
        for index in 0..self.entries.len() {
            self.rebase(index);
        }
    }

    fn born(&mut self, cgroup: &Cgroup, now_ms: i64, born_ms: i64) {
        // Ids are not used twice: it was found by a walk before its event came, or again.
        if self.cgroups.contains_key(&cgroup.id) {
            return;
        }
        let own_slot = (!cgroup.inherited && cgroup.slot.0 != 0).then_some(cgroup.slot);
        let container = self.directory.cgroup_born(cgroup.id, &cgroup.path);
        let own_path = container_of_path(&cgroup.path).map(|(_, own_path)| own_path);
        let (Some(container), Some(own_path)) = (container, own_path) else {
            if let (Some(kernel), Some(_)) = (&self.kernel, own_slot) {
                kernel.demote(cgroup.id);
            }
            return;
        };
        if let (Some(kernel), Some(_)) = (&self.kernel, own_slot) {
            kernel.mark_container(cgroup.id);
        }
        let index = self.entry_of(&container, own_path, now_ms, born_ms);
        self.cgroups.insert(
            cgroup.id,
            Seat {
                entry: Some(index),
                slot: own_slot,
            },
        );
        let Some(entry) = self.entries[index].as_mut() else {
            return;
        };
        entry.has_slots |= own_slot.is_some();
        if cgroup.path.len() == own_path.len() {
            entry.begin(born_ms);
        }
        entry.members.push(Member {
            cgroup: cgroup.id,
            slot: own_slot,
            below: cgroup.path[own_path.len()..].to_owned(),
            removed: false,
        });
    }

    /// The container's entry, made if there is none.
    fn entry_of(&mut self, container: &str, path: &str, now_ms: i64, born_ms: i64) -> usize {
        if let Some(&index) = self.by_container.get(container) {
            return index;
        }
        let entry = Entry {
            id: container.to_owned(),
            path: path.to_owned(),
            known: None,
            seen_ms: now_ms,
            born_ms,
            members: Vec::new(),
            has_slots: false,
            gone: Counters::default(),
            base: Base::default(),
            ended_ms: None,
            rounds_ended: 0,
            sent_ms: 0,
            files: Files::new(&self.hierarchy, path, &self.budget),
            limits: files::Limits::default(),
            stats: files::Stats::default(),
            network: Network::default(),
            memory_id: None,
            places: Places::new(),
            passes: 0,
            usage: Usage::default(),
            walk: self.walks,
        };
        let index = self
            .entries
            .iter()
            .position(Option::is_none)
            .unwrap_or_else(|| {
                self.entries.push(None);
                self.entries.len() - 1
            });
        self.entries[index] = Some(entry);
        self.by_container.insert(container.to_owned(), index);
        index
    }

    fn removed(&mut self, id: CgroupId, now_ms: i64) {
        self.directory.cgroup_gone(id);
        let Some(entry) = self.entry_with(id) else {
            return;
        };
        if let Some(member) = entry.members.iter_mut().find(|member| member.cgroup == id) {
            member.removed = true;
        }
        let lives = |member: &Member| member.below.is_empty() && !member.removed;
        if !entry.members.iter().any(lives) {
            entry.end(now_ms);
        }
    }

    fn released(&mut self, id: CgroupId, now_ms: i64) {
        let Some(seat) = self.cgroups.get(&id).copied() else {
            return;
        };
        let mut last = Counters::default();
        if let (Some(kernel), Some(slot)) = (&self.kernel, seat.slot) {
            kernel.read(slot, &mut last);
            kernel.recycle(slot);
        }
        if let Some(entry) = self.entry_with(id) {
            add(&mut entry.gone, &last);
            entry.members.retain(|member| member.cgroup != id);
            if entry.members.is_empty() {
                entry.end(now_ms);
            }
        }
        self.cgroups.remove(&id);
    }

    fn entry_with(&mut self, id: CgroupId) -> Option<&mut Entry> {
        let index = self.cgroups.get(&id)?.entry?;
        self.entries.get_mut(index)?.as_mut()
    }

    /// Takes over what the kernel accounted and the programs did not see.
    fn rebase(&mut self, index: usize) {
        let Some(kernel) = self.kernel.clone() else {
            return;
        };
        let Some(entry) = self.entries[index]
            .as_mut()
            .filter(|entry| entry.ended_ms.is_none())
        else {
            return;
        };
        // Both grow while they are read: a reading between two equal sums is exact.
        for _ in 0..3 {
            let before = sum(&*kernel, entry);
            let accounted = entry.files.cpu_ns(&mut self.buffer);
            let after = sum(&*kernel, entry);
            if let Some(accounted) = accounted {
                let counted = after.cpu_ns;
                entry.base.cpu_ns = entry.base.cpu_ns.max(accounted.saturating_sub(counted));
            }
            if before.cpu_ns == after.cpu_ns {
                break;
            }
        }
        let counted = sum(&*kernel, entry).oom_kills;
        if let Some(kills) = entry.files.oom_kills(&mut self.buffer) {
            entry.base.oom_kills = entry.base.oom_kills.max(kills.saturating_sub(counted));
        }
    }

    /// Sets the values of all containers in the table, in a new pass.
    pub fn pass(&mut self, table: &mut SeriesTable, now_ms: i64, purpose: Purpose) {
        table.begin();
        if self.kernel.is_none() {
            self.walk(now_ms);
        }
        self.refresh_memory();
        let snapshot = Arc::clone(&self.directory.load());
        for index in 0..self.entries.len() {
            let Some(mut entry) = self.entries[index].take() else {
                continue;
            };
            let keep = self.collect(&mut entry, &snapshot, table, now_ms, purpose);
            if keep {
                self.entries[index] = Some(entry);
                continue;
            }
            self.by_container.remove(&entry.id);
            for member in &entry.members {
                if let Some(seat) = self.cgroups.get_mut(&member.cgroup) {
                    seat.entry = None;
                }
            }
        }
    }

    fn refresh_memory(&mut self) {
        let Some(kernel) = &self.kernel else { return };
        kernel.memory(&mut self.memory_list);
        self.memory.clear();
        self.memory
            .extend(self.memory_list.drain(..).map(|memory| (memory.id, memory)));
    }

    /// Rates and gauges of the latest round: a row per guid, a container without one for itself.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        table(self.entries.iter().flatten())
    }
}

/// All that the programs counted for a container.
fn sum(kernel: &dyn Source, entry: &Entry) -> Counters {
    let mut total = entry.gone.clone();
    let mut one = Counters::default();
    for slot in entry.members.iter().filter_map(|member| member.slot) {
        kernel.read(slot, &mut one);
        add(&mut total, &one);
    }
    total
}
