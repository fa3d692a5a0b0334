//! What a round works on, behind locks that only blocking threads take.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Off, Options, Page};
use crate::collect::containers::{ContainerCollector, Purpose, Source};
use crate::collect::node::NodeCollector;
use crate::collect::own::Own;
use crate::collect::rows::Row;
use crate::config::Guid;
use crate::directory::Directory;
use crate::kernel::Event;
use crate::signal::Frame;
use crate::signal::series::{Format, SeriesTable, render};

/// How often type and help of the families are sent.
const METADATA_EVERY: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(super) struct State {
    host: Guid,
    instance: String,
    kernel: Option<Arc<dyn Source>>,
    containers: Option<Mutex<(ContainerCollector, SeriesTable)>>,
    node: Option<Mutex<(NodeCollector, SeriesTable)>>,
    /// Whether host metrics go to the bus, and whether they did in the latest round.
    pub(super) sends_node: AtomicBool,
    sent_node: AtomicBool,
    own: Arc<Own>,
    own_table: Mutex<SeriesTable>,
    described: Mutex<Option<Instant>>,
}

/// What a round made.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) frames: Vec<Frame>,
    /// Containers, node, agent.
    pub(super) took: [Duration; 3],
    pub(super) series: [usize; 3],
    pub(super) containers: usize,
    pub(super) rows: Vec<Row>,
}

impl State {
    pub(super) fn new(
        kernel: Option<Arc<dyn Source>>,
        directory: Arc<Directory>,
        options: Options,
        own: Arc<Own>,
    ) -> Self {
        let host = directory.host().clone();
        let of_host = vec![
            ("guid", host.to_string()),
            ("instance", options.instance.clone()),
        ];
        let containers = options.containers.map(|options| {
            let collector = ContainerCollector::new(kernel.clone(), directory, options);
            Mutex::new((collector, SeriesTable::new(host.clone(), Vec::new())))
        });
        let node = options.node.map(|roots| {
            Mutex::new((
                NodeCollector::new(roots),
                SeriesTable::new(host.clone(), of_host.clone()),
            ))
        });
        Self {
            host: host.clone(),
            instance: options.instance,
            kernel,
            containers,
            node,
            sends_node: AtomicBool::new(true),
            sent_node: AtomicBool::new(false),
            own,
            own_table: Mutex::new(SeriesTable::new(host, of_host)),
            described: Mutex::default(),
        }
    }

    /// Runs something on a blocking thread. Absent: it panicked, which is logged; the next one finds
    /// the state as it was left.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Option<T> {
        let state = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&state)).await {
            Ok(done) => Some(done),
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(%error, "collection failed");
                }
                None
            }
        }
    }

    /// Compares the books with all cgroups that there are.
    pub(super) fn resync(&self) {
        if let (Some(kernel), Some(containers)) = (&self.kernel, &self.containers) {
            let mut containers = lock(containers);
            containers.0.resync(&kernel.cgroups(), now_ms());
        }
    }

    pub(super) fn on_events(&self, events: &[Event]) {
        if let Some(containers) = &self.containers {
            lock(containers).0.on_events(events, now_ms());
        }
    }

    /// Sets all values, and makes frames of them.
    pub(super) fn round(&self) -> Round {
        let mut round = Round::default();
        let describe = self.is_description_due();
        if let Some(containers) = &self.containers {
            let since = Instant::now();
            let (collector, table) = &mut *lock(containers);
            let now_ms = now_ms();
            collector.pass(table, now_ms, Purpose::Round);
            finish(table, now_ms, describe, &mut round.frames);
            round.rows = collector.rows();
            round.containers = collector.len();
            round.series[0] = table.len();
            round.took[0] = since.elapsed();
        }
        if let Some(node) = &self.node {
            let since = Instant::now();
            let (collector, table) = &mut *lock(node);
            let now_ms = now_ms();
            let sends = self.sends_node.load(Ordering::Relaxed);
            if self.sent_node.swap(sends, Ordering::Relaxed) && !sends {
                // An empty pass ends the series.
                table.begin();
                finish(table, now_ms, false, &mut round.frames);
            }
            collector.pass(table, now_ms);
            let mut unsent = Vec::new();
            let frames = if sends {
                &mut round.frames
            } else {
                &mut unsent
            };
            finish(table, now_ms, describe, frames);
            round
                .rows
                .insert(0, collector.row(self.host.clone(), &self.instance));
            round.series[1] = table.len();
            round.took[1] = since.elapsed();
        }
        let since = Instant::now();
        let table = &mut *lock(&self.own_table);
        table.begin();
        for family in self.own.gather() {
            family.put_into(table);
        }
        finish(table, now_ms(), describe, &mut round.frames);
        round.series[2] = table.len();
        round.took[2] = since.elapsed();
        round
    }

    fn is_description_due(&self) -> bool {
        let mut described = lock(&self.described);
        let due = described.is_none_or(|at| at.elapsed() >= METADATA_EVERY);
        if due {
            *described = Some(Instant::now());
        }
        due
    }

    pub(super) fn text(&self, page: Page, format: Format) -> Result<String, Off> {
        match page {
            Page::Containers => {
                let containers = self.containers.as_ref().ok_or(Off("containers"))?;
                let (collector, table) = &mut *lock(containers);
                collector.pass(table, now_ms(), Purpose::Look);
                Ok(table.text(format))
            }
            Page::Agent => Ok(render(&self.own.gather(), format)),
            Page::Node => {
                let node = self.node.as_ref().ok_or(Off("the node"))?;
                let (collector, table) = &mut *lock(node);
                collector.pass(table, now_ms());
                Ok(table.text(format))
            }
        }
    }
}

fn finish(table: &mut SeriesTable, now_ms: i64, describe: bool, frames: &mut Vec<Frame>) {
    table.finish(now_ms, frames);
    if describe {
        table.metadata(frames);
    }
}

/// A collector that panicked half-way leaves values of one pass unset; the next pass sets them all.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn now_ms() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
