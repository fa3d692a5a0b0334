//! The table: interned series, values of the current pass, what the last frames held.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::encode::{STALE_NAN, Writer};
use super::labels::{Pairs, Sorted};
use super::text::{Format, Text};
use super::{Family, Suffix};
use crate::config::Guid;
use crate::signal::Frame;

/// A series of a [`SeriesTable`]. Dies when the table drops the series: [`SeriesTable::set`] then
/// says so, and the producer interns it anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesId {
    index: u32,
    generation: u32,
}

impl SeriesId {
    /// Never a live series: what a producer starts with.
    pub const NONE: Self = Self {
        index: u32::MAX,
        generation: 0,
    };
}

/// The series of one kind, their current values, and what of them went out last.
///
/// Per round and series it copies bytes; it allocates when a series is new, and once per frame.
#[derive(Debug)]
pub struct SeriesTable {
    /// Labels that every series gets.
    common: Vec<(&'static str, String)>,
    families: Vec<Family>,
    family_by_name: HashMap<&'static str, u32>,
    series: Vec<Series>,
    free: Vec<u32>,
    /// By a 128-bit keyed hash of the label block, so that no block is kept twice.
    by_labels: HashMap<u128, SeriesId>,
    hashers: [RandomState; 2],
    owners: Owners,
    pass: u64,
    interned: u64,
    scratch: Vec<u8>,
    writer: Writer,
}

#[derive(Debug)]
struct Series {
    labels: Box<[u8]>,
    key: u128,
    value: f64,
    /// Unix milliseconds; 0 = the round's.
    timestamp_ms: i64,
    /// The pass that set the value last.
    pass: u64,
    /// Order of interning: keeps a histogram's series together in text.
    order: u64,
    family: u32,
    owner: u32,
    generation: u32,
    live: bool,
    /// Was in the latest frames with a value.
    sent: bool,
}

impl SeriesTable {
    /// An empty table. Samples of series without a `guid` label are booked under `host`; `common`
    /// labels are added to every series that does not set them itself.
    #[must_use]
    pub fn new(host: Guid, common: Vec<(&'static str, String)>) -> Self {
        Self {
            common,
            families: Vec::new(),
            family_by_name: HashMap::new(),
            series: Vec::new(),
            free: Vec::new(),
            by_labels: HashMap::new(),
            hashers: [RandomState::new(), RandomState::new()],
            owners: Owners::new(host),
            pass: 0,
            interned: 0,
            scratch: Vec::new(),
            writer: Writer::new(),
        }
    }

    /// Number of live series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_labels.len()
    }

    /// Whether no series is live.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_labels.is_empty()
    }

    /// The series of this family, suffix and labels (in any order; empty values are left out). The
    /// same one for the same labels, as long as it lives.
    pub fn intern(&mut self, family: &Family, suffix: Suffix, labels: &[(&str, &str)]) -> SeriesId {
        let mut sorted = Sorted::new();
        for &(name, value) in labels {
            sorted.add(name, value);
        }
        for (name, value) in &self.common {
            sorted.add(name, value);
        }
        self.scratch.clear();
        sorted.encode(family.name, suffix.as_str(), &mut self.scratch);
        let [low, high] = &self.hashers;
        let key = u128::from(low.hash_one(&self.scratch))
            | u128::from(high.hash_one(&self.scratch)) << 64;
        if let Some(&id) = self.by_labels.get(&key) {
            return id;
        }
        let owner = self.owners.take(sorted.get("guid"));
        let family = self.family(family);
        let id = self.place(key, family, owner);
        self.by_labels.insert(key, id);
        id
    }

    /// Starts a pass: what is not set from here on is not there.
    pub fn begin(&mut self) {
        self.pass += 1;
    }

    /// Sets a value for this pass. False: the series was dropped, intern it anew.
    pub fn set(&mut self, id: SeriesId, value: f64) -> bool {
        self.set_at(id, value, 0)
    }

    /// As [`SeriesTable::set`], for a sample that is older than the round: a final value, at the
    /// Unix time in milliseconds when it was true.
    pub fn set_at(&mut self, id: SeriesId, value: f64, timestamp_ms: i64) -> bool {
        let Some(series) = self.series.get_mut(id.index as usize) else {
            return false;
        };
        if series.generation != id.generation || !series.live {
            return false;
        }
        series.value = value;
        series.timestamp_ms = timestamp_ms;
        series.pass = self.pass;
        true
    }

    /// Interns and sets in one, for producers that keep no ids.
    pub fn put(&mut self, family: &Family, suffix: Suffix, labels: &[(&str, &str)], value: f64) {
        let id = self.intern(family, suffix, labels);
        self.set(id, value);
    }

    /// Ends a round: appends this pass's values as remote-write frames. A series that was in the
    /// last round's frames and was not set in this pass gets a stale marker, and is dropped; one
    /// that never went out is dropped without.
    pub fn finish(&mut self, timestamp_ms: i64, frames: &mut Vec<Frame>) {
        for index in 0..self.series.len() {
            let series = &mut self.series[index];
            if !series.live {
                continue;
            }
            if series.pass == self.pass {
                let at = if series.timestamp_ms == 0 {
                    timestamp_ms
                } else {
                    series.timestamp_ms
                };
                self.writer
                    .series(&series.labels, series.value.to_bits(), at, series.owner);
                series.sent = true;
            } else {
                if series.sent {
                    self.writer
                        .series(&series.labels, STALE_NAN, timestamp_ms, series.owner);
                }
                self.drop_series(index);
            }
            if self.writer.is_full() {
                self.writer.flush(|owner| self.owners.guid(owner), frames);
            }
        }
        self.writer.flush(|owner| self.owners.guid(owner), frames);
        self.owners.sweep();
    }

    /// Appends frames with type and help of every family that has a series; they hold no samples.
    pub fn metadata(&mut self, frames: &mut Vec<Frame>) {
        let mut used = vec![false; self.families.len()];
        for series in self.series.iter().filter(|series| series.live) {
            used[series.family as usize] = true;
        }
        for (family, _) in self.families.iter().zip(used).filter(|&(_, used)| used) {
            self.writer.metadata(family);
            if self.writer.is_full() {
                self.writer.flush(|owner| self.owners.guid(owner), frames);
            }
        }
        self.writer.flush(|owner| self.owners.guid(owner), frames);
    }

    /// This pass's values in an exposition format.
    #[must_use]
    pub fn text(&self, format: Format) -> String {
        let mut shown: Vec<&Series> = self
            .series
            .iter()
            .filter(|series| series.live && series.pass == self.pass)
            .collect();
        let name = |series: &Series| self.families[series.family as usize].name;
        shown.sort_unstable_by_key(|series| (name(series), series.order));
        let mut text = Text::new(format, shown.len());
        for series in shown {
            text.family(&self.families[series.family as usize]);
            let mut sample = text.sample();
            for (name, value) in Pairs::of(&series.labels) {
                sample.label(name, value);
            }
            sample.value(series.value);
        }
        text.finish()
    }

    fn family(&mut self, family: &Family) -> u32 {
        let next = self.families.len() as u32;
        let index = *self.family_by_name.entry(family.name).or_insert(next);
        if index == next {
            self.families.push(*family);
        }
        index
    }

    fn place(&mut self, key: u128, family: u32, owner: u32) -> SeriesId {
        self.interned += 1;
        let mut series = Series {
            labels: self.scratch.as_slice().into(),
            key,
            value: 0.0,
            timestamp_ms: 0,
            pass: 0,
            order: self.interned,
            family,
            owner,
            generation: 1,
            live: true,
            sent: false,
        };
        if let Some(index) = self.free.pop() {
            let old = &mut self.series[index as usize];
            series.generation = old.generation.wrapping_add(1);
            let generation = series.generation;
            *old = series;
            return SeriesId { index, generation };
        }
        self.series.push(series);
        SeriesId {
            index: (self.series.len() - 1) as u32,
            generation: 1,
        }
    }

    fn drop_series(&mut self, index: usize) {
        let series = &mut self.series[index];
        series.live = false;
        series.labels = Box::default();
        self.by_labels.remove(&series.key);
        self.owners.release(series.owner);
        self.free.push(index as u32);
    }
}

/// The guids that samples are booked under, by index; index 0 is the host.
#[derive(Debug)]
struct Owners {
    slots: Vec<(Guid, u32)>,
    by_guid: HashMap<Guid, u32>,
    /// Without a series since this round; their slots are free after the frames are closed.
    idle: Vec<u32>,
    free: Vec<u32>,
}

impl Owners {
    fn new(host: Guid) -> Self {
        Self {
            slots: vec![(host.clone(), 1)],
            by_guid: HashMap::from([(host, 0)]),
            idle: Vec::new(),
            free: Vec::new(),
        }
    }

    /// The index of the owner; what is no guid belongs to the host.
    fn take(&mut self, guid: Option<&str>) -> u32 {
        let Some(guid) = guid.and_then(|text| text.parse::<Guid>().ok()) else {
            self.slots[0].1 += 1;
            return 0;
        };
        if let Some(&index) = self.by_guid.get(&guid) {
            self.slots[index as usize].1 += 1;
            return index;
        }
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = (guid.clone(), 1);
                index
            }
            None => {
                self.slots.push((guid.clone(), 1));
                (self.slots.len() - 1) as u32
            }
        };
        self.by_guid.insert(guid, index);
        index
    }

    fn release(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.1 -= 1;
        if slot.1 == 0 {
            self.idle.push(index);
        }
    }

    /// The frames that named them are closed: forgets owners without series.
    fn sweep(&mut self) {
        while let Some(index) = self.idle.pop() {
            let (guid, series) = &self.slots[index as usize];
            if *series == 0 && self.by_guid.get(guid) == Some(&index) {
                self.by_guid.remove(guid);
                self.free.push(index);
            }
        }
    }

    fn guid(&self, index: u32) -> &Guid {
        &self.slots[index as usize].0
    }
}
