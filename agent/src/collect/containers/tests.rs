#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod files;
mod life;
mod model;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};

use guidon_common::CgroupId;
use tempfile::TempDir;

use super::*;
use crate::directory::Container;
use crate::kernel::{ProgramStatus, Status};
use crate::signal::series::{Format, SeriesTable};

pub(super) const PROGRAMS: [&str; 11] = [
    "cpu_time",
    "run_queue",
    "packet_in",
    "packet_out",
    "tcp_retransmit",
    "tcp_state",
    "block_done",
    "oom_task",
    "process_fork",
    "process_exec",
    "process_exit",
];

/// A kernel side whose slots a test writes.
#[derive(Debug, Default)]
pub(super) struct Fake {
    pub(super) slots: Mutex<HashMap<Slot, Counters>>,
    pub(super) memory: Mutex<Vec<Memory>>,
    pub(super) marked: Mutex<Vec<CgroupId>>,
    pub(super) demoted: Mutex<Vec<CgroupId>>,
    pub(super) recycled: Mutex<Vec<Slot>>,
}

impl Fake {
    pub(super) fn run(&self, slot: u32, cpu_ns: u64) {
        self.slots
            .lock()
            .unwrap()
            .entry(Slot(slot))
            .or_default()
            .cpu_ns += cpu_ns;
    }
}

impl Source for Fake {
    fn cgroups(&self) -> Vec<Cgroup> {
        Vec::new()
    }

    fn read(&self, slot: Slot, into: &mut Counters) {
        *into = self
            .slots
            .lock()
            .unwrap()
            .get(&slot)
            .cloned()
            .unwrap_or_default();
    }

    fn mark_container(&self, id: CgroupId) {
        self.marked.lock().unwrap().push(id);
    }

    fn demote(&self, id: CgroupId) {
        self.demoted.lock().unwrap().push(id);
    }

    fn recycle(&self, slot: Slot) {
        self.slots.lock().unwrap().remove(&slot);
        self.recycled.lock().unwrap().push(slot);
    }

    fn memory(&self, into: &mut Vec<Memory>) {
        into.clone_from(&self.memory.lock().unwrap());
    }

    fn status(&self) -> Status {
        let programs = PROGRAMS.map(|name| ProgramStatus {
            name,
            off_because: None,
            run_count: 0,
            run_ns: 0,
        });
        Status {
            programs: programs.to_vec(),
            slots: 100,
            slots_free: 0,
            slot_misses: 0,
            events_lost: 0,
            memory_dropped: 0,
        }
    }
}

/// A collector over a made-up host.
pub(super) struct Host {
    pub(super) kernel: Arc<Fake>,
    pub(super) directory: Arc<Directory>,
    pub(super) collector: ContainerCollector,
    pub(super) table: SeriesTable,
    pub(super) root: TempDir,
    pub(super) now_ms: i64,
}

/// A container id of 64 hex digits.
pub(super) fn container_id(number: u32) -> String {
    format!("{number:064x}")
}

pub(super) fn cgroup(id: u64, path: &str, slot: u32) -> Cgroup {
    Cgroup {
        id: CgroupId(id),
        parent: CgroupId(1),
        path: path.to_owned(),
        slot: Slot(slot),
        inherited: false,
    }
}

pub(super) fn born(id: u64, path: &str, slot: u32) -> Event {
    Event::Born(cgroup(id, path, slot))
}

pub(super) fn removed(id: u64, slot: u32) -> Event {
    Event::Removed {
        id: CgroupId(id),
        slot: Slot(slot),
    }
}

pub(super) fn released(id: u64, slot: u32) -> Event {
    Event::Released {
        id: CgroupId(id),
        slot: Slot(slot),
    }
}

impl Host {
    pub(super) fn new(with_kernel: bool, prepare: impl FnOnce(&Path)) -> Self {
        let root = TempDir::new().unwrap();
        std::fs::create_dir_all(root.path().join("proc")).unwrap();
        prepare(root.path());
        let kernel = Arc::new(Fake::default());
        let host: crate::config::Guid = "node-7".parse().unwrap();
        let directory = Arc::new(Directory::new(host.clone()));
        let options = Options {
            proc: root.path().join("proc"),
            sys: root.path().join("sys"),
            ..Options::default()
        };
        let source = with_kernel.then(|| Arc::clone(&kernel) as Arc<dyn Source>);
        Self {
            collector: ContainerCollector::new(source, Arc::clone(&directory), options),
            kernel,
            directory,
            table: SeriesTable::new(host, Vec::new()),
            root,
            now_ms: 1_000_000,
        }
    }

    /// Tells the directory of container `number`, and returns its cgroup path.
    pub(super) fn know(&self, number: u32, guid: &str) -> String {
        self.directory.put(Container {
            id: container_id(number),
            name: if guid.is_empty() {
                "foreign".into()
            } else {
                guid.into()
            },
            image: "demo".into(),
            guid: guid.parse().ok(),
            ..Container::default()
        });
        self.path(number)
    }

    pub(super) fn path(&self, number: u32) -> String {
        format!("/docker/{}", container_id(number))
    }

    pub(super) fn events(&mut self, events: &[Event]) {
        self.collector.on_events(events, self.now_ms);
    }

    /// Ten seconds later: what a round sends, as `name{labels}` to value, and the timestamps.
    pub(super) fn round(&mut self) -> Samples {
        self.now_ms += 10_000;
        self.collector
            .pass(&mut self.table, self.now_ms, Purpose::Round);
        let mut frames = Vec::new();
        self.table.finish(self.now_ms, &mut frames);
        Samples::of(&frames)
    }

    pub(super) fn look(&mut self) -> String {
        self.collector
            .pass(&mut self.table, self.now_ms, Purpose::Look);
        self.table.text(Format::Prometheus)
    }
}

/// Samples of a round.
#[derive(Debug, Default)]
pub(super) struct Samples(pub(super) BTreeMap<String, (f64, i64)>);

#[derive(Clone, PartialEq, prost::Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Pair>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Pair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

impl Samples {
    fn of(frames: &[crate::signal::Frame]) -> Self {
        let mut samples = BTreeMap::new();
        for frame in frames {
            let raw = snap::raw::Decoder::new()
                .decompress_vec(&frame.payload)
                .unwrap();
            let request: WriteRequest = prost::Message::decode(raw.as_slice()).unwrap();
            for series in request.timeseries {
                let labels: BTreeMap<_, _> = series
                    .labels
                    .iter()
                    .map(|label| (&*label.name, &*label.value))
                    .collect();
                let rest: Vec<_> = labels
                    .iter()
                    .filter(|&(&name, _)| !matches!(name, "__name__" | "id" | "image" | "name"))
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                let key = format!("{}{{{}}}", labels["__name__"], rest.join(","));
                let sample = &series.samples[0];
                let old = samples.insert(key.clone(), (sample.value, sample.timestamp));
                assert!(old.is_none(), "{key} twice in one round");
            }
        }
        Self(samples)
    }

    /// The value of a series, which must be there and not end.
    #[track_caller]
    pub(super) fn value(&self, key: &str) -> f64 {
        let &(value, _) = self
            .0
            .get(key)
            .unwrap_or_else(|| panic!("no {key} in {:#?}", self.0));
        assert!(!value.is_nan(), "{key} ended");
        value
    }

    #[track_caller]
    pub(super) fn at(&self, key: &str) -> i64 {
        self.0[key].1
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|(value, _)| !value.is_nan())
    }

    /// Whether all there is are stale markers, and at least one.
    pub(super) fn all_ended(&self) -> bool {
        !self.0.is_empty() && self.0.values().all(|(value, _)| value.is_nan())
    }
}

pub(super) fn cpu(guid: &str) -> String {
    format!("container_cpu_usage_seconds_total{{cpu=total,guid={guid}}}")
}
