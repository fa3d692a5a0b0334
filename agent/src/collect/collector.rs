//! The collector as the agent runs it: rounds at aligned times, events in between, and answers for
//! whoever looks.
//!
//! Everything that blocks (files, the books' lock) runs on blocking threads. A round that takes
//! longer than the interval makes later ones fall out, which is counted. Frames that the way to the
//! bus refuses are offered again with the next round, oldest first, up to [`MAX_HELD_BYTES`]; what
//! is over is given up and counted.

mod delivery;
mod rounds;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::state::State;
use super::containers::{self, Source};
use super::node::Roots;
use super::own::{Labels, Own};
use super::rows::Row;
use super::{catalogue::own as families, own};
use crate::directory::Directory;
use crate::forward::Inlet;
use crate::kernel::{Event, Events};
use crate::signal::series::Format;

pub use self::delivery::MAX_HELD_BYTES;

/// What to collect, and how often.
#[derive(Debug, Clone)]
pub struct Options {
    /// From round to round.
    pub interval: Duration,
    /// Absent: no container metrics.
    pub containers: Option<containers::Options>,
    /// Absent: no host metrics.
    pub node: Option<Roots>,
    /// The host's name: the `instance` label.
    pub instance: String,
}

/// Which series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// Of containers: what cAdvisor would show.
    Containers,
    /// Of the host: what node exporter would show.
    Node,
    /// Of the agent itself.
    Agent,
}

/// This part of collection is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("collection of {0} is switched off")]
pub struct Off(pub &'static str);

/// How collection stands after the latest round.
#[derive(Debug, Clone, Default)]
pub struct Overview {
    /// Rounds since the start, those that fell out not counted.
    pub rounds: u64,
    /// How long the latest took, from its tick until its frames were made.
    pub last_round: Duration,
    /// Series in the latest round's frames.
    pub series: u64,
    /// Containers that are alive.
    pub containers: u64,
    /// The live table: the host first, then a row per guid, then containers without.
    pub rows: Vec<Row>,
}

/// Collects. Shared freely.
#[derive(Debug)]
pub struct Collector {
    state: Arc<State>,
    own: Arc<Own>,
    overview: ArcSwap<Overview>,
    interval: watch::Sender<Duration>,
    meters: Meters,
    kernel: Option<Arc<dyn Source>>,
    /// Slot misses that the log knows of.
    misses_told: AtomicU64,
}

/// What the collector counts about itself.
#[derive(Debug)]
struct Meters {
    rounds: own::Counter,
    skipped: own::Counter,
    samples_dropped: own::Counter,
    parts: [own::Gauge; 4],
    series: [own::Gauge; 3],
    containers: own::Gauge,
}

impl Meters {
    fn new(own: &Own) -> Self {
        let label = |name: &'static str, value: &str| -> Labels { vec![(name, value.to_owned())] };
        let part = |name: &str| own.gauge(families::DURATION, label("part", name));
        let table = |name: &str| own.gauge(families::SERIES, label("table", name));
        Self {
            rounds: own.counter(families::ROUNDS, Labels::new()),
            skipped: own.counter(families::ROUNDS_SKIPPED, Labels::new()),
            samples_dropped: own.counter(families::SAMPLES_DROPPED, Labels::new()),
            parts: ["containers", "node", "agent", "deliver"].map(part),
            series: ["containers", "node", "agent"].map(table),
            containers: own.gauge(families::CONTAINERS, Labels::new()),
        }
    }
}

impl Collector {
    /// A collector that has not looked at anything yet.
    #[must_use]
    pub fn new(
        kernel: Option<Arc<dyn Source>>,
        directory: Arc<Directory>,
        options: Options,
    ) -> Self {
        let own = Arc::new(Own::default());
        let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        own.gauge(families::BUILD_INFO, version).set(1.0);
        own.source(own::process);
        let asked = kernel.clone();
        own.source(move |out| {
            own::kernel(asked.as_ref().map(|kernel| kernel.status()).as_ref(), out)
        });
        Self {
            meters: Meters::new(&own),
            interval: watch::Sender::new(options.interval),
            kernel: kernel.clone(),
            misses_told: AtomicU64::new(0),
            state: Arc::new(State::new(kernel, directory, options, Arc::clone(&own))),
            own,
            overview: ArcSwap::default(),
        }
    }

    /// The agent's own metrics: other rooms register theirs here.
    #[must_use]
    pub fn own(&self) -> &Arc<Own> {
        &self.own
    }

    /// Rounds come this often from the next one on.
    pub fn set_interval(&self, interval: Duration) {
        self.interval.send_replace(interval);
    }

    /// Whether host metrics go to the bus, from the next round on; they are shown either way. For
    /// when a node exporter sends the same.
    pub fn send_node(&self, sends: bool) {
        self.state.sends_node.store(sends, Ordering::Relaxed);
    }

    /// How collection stands.
    #[must_use]
    pub fn overview(&self) -> Arc<Overview> {
        self.overview.load_full()
    }

    /// Runs until `shutdown`, then makes a last round. Returns when its frames were offered.
    ///
    /// # Panics
    /// Outside a tokio runtime with time, and I/O if there are events.
    pub async fn run(&self, inlet: Inlet, events: Option<Events>, shutdown: CancellationToken) {
        self.state.blocking(State::resync).await;
        let follow = async {
            match events {
                Some(events) => self.follow(events, &shutdown).await,
                None => shutdown.cancelled().await,
            }
        };
        tokio::join!(follow, self.rounds(inlet, &shutdown));
    }

    /// Says once that slots run out; the counter has the rest.
    fn tell_of_misses(&self) {
        let misses = self
            .kernel
            .as_ref()
            .map_or(0, |kernel| kernel.status().slot_misses);
        if misses > 0 && self.misses_told.swap(misses, Ordering::Relaxed) == 0 {
            tracing::warn!(
                misses,
                "no free counter slots: new cgroups count to the host; raise collect.slots"
            );
        }
    }

    /// Takes kernel events into the books as they come.
    async fn follow(&self, mut events: Events, shutdown: &CancellationToken) {
        let mut batch: Vec<Event> = Vec::new();
        loop {
            let lost = tokio::select! {
                () = shutdown.cancelled() => return,
                lost = events.next(&mut batch) => lost,
            };
            let happened = std::mem::take(&mut batch);
            self.state
                .blocking(move |state| {
                    state.on_events(&happened);
                    if lost {
                        tracing::warn!("kernel events were lost, reading all cgroups");
                        state.resync();
                    }
                })
                .await;
        }
    }

    /// Series with the values of the moment, in an exposition format.
    ///
    /// # Errors
    /// The part is switched off.
    pub async fn text(&self, page: Page, format: Format) -> Result<String, Off> {
        let text = self
            .state
            .blocking(move |state| state.text(page, format))
            .await;
        text.unwrap_or_else(|| Ok(String::new()))
    }
}
