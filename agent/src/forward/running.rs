//! The lanes that run: starting one, ending one, and going over to other options.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::bus::Reader;
use super::destination::DestinationId;
use super::hot::HotLane;
use super::inlet::{Routes, Switch};
use super::lane::writer::Writer;
use super::lane::{DiskWay, Entrance, MemoryWay, QUEUE_FRAMES, Room, Settings, Way};
use super::ledger::{Book, Ledger, SpoolRow};
use super::options::{Options, Tuning};
use super::root::SpoolRoot;
use super::send::source::{Source, SpoolSource};
use super::send::status::Status;
use super::send::transport::Transport;
use super::send::{Phase, Sender};
use super::spool::disk::Disk;
use super::spool::{Limits, Spool, SpoolError};
use super::{DestinationStatus, Route, StartError};
use crate::config::{Durability, WhenFull};

/// How long a lane that a reload takes away may deliver what it holds in memory only.
pub(crate) const RELOAD_GRACE: Duration = Duration::from_secs(5);
/// Frames a lane in memory has room for, beside its bound in bytes: with the spool behind it …
const LANE_FRAMES: usize = 1024;
/// … and without.
const MEMORY_FRAMES: usize = 8192;

/// What lanes are made of and with.
#[derive(Debug)]
pub(crate) struct Workshop {
    pub(crate) runtime: Handle,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) root: Arc<SpoolRoot>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) switch: Arc<Switch>,
}

/// The lanes and the options they were made for.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) options: Options,
    lanes: BTreeMap<DestinationId, Lane>,
}

/// One destination's lane.
#[derive(Debug)]
pub(crate) struct Lane {
    id: DestinationId,
    on_disk: bool,
    tuning: Tuning,
    entrance: Arc<Entrance>,
    settings: Arc<ArcSwap<Settings>>,
    phase: watch::Sender<Phase>,
    opened: watch::Receiver<Option<Arc<Spool>>>,
    status: Arc<Status>,
    book: Arc<Book>,
    sender: Option<JoinHandle<()>>,
    writer: Option<thread::JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(shop: &Arc<Workshop>, options: Options) -> Result<Self, StartError> {
        Self::check(&options)?;
        let mut running = Self {
            options: options.clone(),
            lanes: BTreeMap::new(),
        };
        if options
            .destinations()
            .iter()
            .any(|id| on_disk(id, &options))
            && let Err(error) = shop.root.hold()
        {
            match error {
                SpoolError::InUse { .. } => return Err(error.into()),
                // A disk in trouble is a state, not an end: each lane tries again.
                SpoolError::Io { .. } | SpoolError::Newer { .. } | SpoolError::Full { .. } => {
                    tracing::error!(%error, "the spool directory cannot be used");
                }
            }
        }
        running.join(shop, options)?;
        Ok(running)
    }

    /// Whether every destination can be one.
    pub(crate) fn check(options: &Options) -> Result<(), StartError> {
        for id in options.destinations() {
            if id.url().is_some() {
                transport(&id, &options.tuning)?;
            }
        }
        Ok(())
    }

    /// Takes out the lanes that the options do not want as they are.
    pub(crate) fn leave(&mut self, options: &Options) -> Vec<Lane> {
        let wanted = options.destinations();
        let mut leaving = Vec::new();
        for (id, lane) in std::mem::take(&mut self.lanes) {
            let stays = wanted.contains(&id)
                && lane.on_disk == on_disk(&id, options)
                && lane.tuning == options.tuning;
            if stays {
                self.lanes.insert(id, lane);
            } else {
                lane.entrance.close();
                leaving.push(lane);
            }
        }
        leaving
    }

    pub(crate) fn leave_all(&mut self) -> Vec<Lane> {
        std::mem::take(&mut self.lanes).into_values().collect()
    }

    /// Starts the lanes that are missing, and tells the others their bounds.
    pub(crate) fn join(
        &mut self,
        shop: &Arc<Workshop>,
        options: Options,
    ) -> Result<(), StartError> {
        for id in options.destinations() {
            match self.lanes.get(&id) {
                Some(lane) => lane.settings.store(Arc::new(settings(&id, &options))),
                None => {
                    let lane = Lane::start(shop, &id, &options)?;
                    self.lanes.insert(id, lane);
                }
            }
        }
        self.options = options;
        Ok(())
    }

    pub(crate) fn routes(&self) -> Routes {
        let mut routes = Routes::default();
        for (id, lane) in &self.lanes {
            routes.of(id.route()).push(Arc::clone(&lane.entrance));
        }
        routes
    }

    pub(crate) fn reader(&self, id: &DestinationId) -> Option<Reader> {
        let lane = self.lanes.get(id)?;
        Some(Reader::new(lane.opened.clone()))
    }

    pub(crate) fn status(&self) -> Vec<DestinationStatus> {
        let lanes = self.lanes.values();
        lanes.map(Lane::status).collect()
    }
}

fn on_disk(id: &DestinationId, options: &Options) -> bool {
    // The local bus is the spool, whatever is promised to senders.
    id.url().is_none() || options.spool.durability == Durability::Spool
}

fn settings(id: &DestinationId, options: &Options) -> Settings {
    let when_full = match id.url() {
        Some(_) => options.spool.when_full,
        // Nobody ever takes anything off the local bus: refusing would be for ever.
        None => WhenFull::DropOldest,
    };
    Settings {
        limits: Limits {
            max_bytes: options.spool.max_bytes,
            when_full,
        },
        fsync_interval: options.spool.fsync_interval,
    }
}

fn transport(id: &DestinationId, tuning: &Tuning) -> Result<Transport, StartError> {
    Transport::new(id, tuning).map_err(|source| StartError::Url {
        destination: id.label(),
        source,
    })
}

impl Lane {
    fn start(
        shop: &Arc<Workshop>,
        id: &DestinationId,
        options: &Options,
    ) -> Result<Self, StartError> {
        let tuning = options.tuning.clone();
        let (phase, watched) = watch::channel(Phase::Run);
        let (announce, opened) = watch::channel(None);
        let book = shop.ledger.book(id);
        let status = Arc::new(Status::default());
        let settings = Arc::new(ArcSwap::from_pointee(settings(id, options)));
        let sender = match id.url() {
            None => None,
            Some(_) => Some(Sender {
                id: id.clone(),
                transport: transport(id, &tuning)?,
                tuning: tuning.clone(),
                book: Arc::clone(&book),
                status: Arc::clone(&status),
                phase: watched,
            }),
        };
        let on_disk = on_disk(id, options);
        let (way, sender, writer) = if on_disk {
            let hot = Arc::new(HotLane::new(LANE_FRAMES, tuning.lane_bytes));
            let room = Room::new(tuning.queue_bytes, QUEUE_FRAMES);
            let (way, commands) = DiskWay::new(&room);
            let writer = Writer {
                id: id.clone(),
                root: Arc::clone(&shop.root),
                dir: shop.root.dir(id),
                disk: Arc::clone(&shop.disk),
                settings: Arc::clone(&settings),
                commands,
                room: Arc::clone(&room),
                lane: sender.is_some().then(|| Arc::clone(&hot)),
                opened: announce,
                book: Arc::clone(&book),
            };
            let writer = thread::Builder::new()
                .name(format!("spool-{}", id.route().as_str()))
                .spawn(move || writer.run())
                .map_err(StartError::Thread)?;
            let commits = way.queue();
            let order = match id.route() {
                Route::Metrics => tuning.metrics_order,
                Route::OtlpMetrics | Route::Logs | Route::Traces => tuning.otlp_order,
            };
            let sender = sender.map(|sender| {
                let opened = opened.clone();
                let book = Arc::clone(&book);
                let ready = move |spool| SpoolSource::new(spool, hot, commits, room, book, order);
                shop.runtime.spawn(send_from_spool(sender, opened, ready))
            });
            (Way::Disk(way), sender, Some(writer))
        } else {
            let bytes = tuning
                .memory_bytes
                .min(usize::try_from(options.spool.max_bytes).unwrap_or(usize::MAX));
            let hot = Arc::new(HotLane::new(MEMORY_FRAMES, bytes));
            let room = Room::new(bytes, MEMORY_FRAMES);
            let way = MemoryWay::new(hot, Arc::clone(&settings), Arc::clone(&book), room);
            let held = Arc::clone(&way);
            book.held_by(move || held.holdings());
            let source = Source::memory(Arc::clone(&way));
            let sender = sender.map(|sender| shop.runtime.spawn(sender.run(source)));
            (Way::Memory(way), sender, None)
        };
        Ok(Self {
            id: id.clone(),
            on_disk,
            entrance: Arc::new(Entrance::new(id.clone(), way, tuning.accept_wait)),
            tuning,
            settings,
            phase,
            opened,
            status,
            book,
            sender,
            writer,
        })
    }

    /// Ends the lane: what is on disk stays there, what is in memory only gets a grace.
    pub(crate) async fn finish(self, grace: Duration) {
        if self.on_disk {
            self.phase.send_replace(Phase::Stop);
        }
        self.drain(grace).await;
    }

    /// Ends the lane when it is empty, or when the grace is over.
    pub(crate) async fn drain(mut self, grace: Duration) {
        self.entrance.close();
        self.phase.send_if_modified(|phase| {
            *phase == Phase::Run && {
                *phase = Phase::Drain;
                true
            }
        });
        if let Some(mut sender) = self.sender.take()
            && tokio::time::timeout(grace, &mut sender).await.is_err()
        {
            self.phase.send_replace(Phase::Stop);
            // It has panicked or ended: either way it is gone.
            let _ = sender.await;
        }
        if let Some(writer) = self.writer.take() {
            let joined = tokio::task::spawn_blocking(move || writer.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!(destination = %self.id, "the spool's thread died");
            }
        }
        // The book outlives the lane: what is left stays as it was.
        let left = self.book.holdings();
        self.book.held_by(move || left);
    }

    fn status(&self) -> DestinationStatus {
        let health = self.status.health();
        let holdings = self.book.holdings();
        DestinationStatus {
            route: self.id.route(),
            destination: self.id.label(),
            requests: health.requests,
            retries: health.retries,
            failing_seconds: health.failing_for.map(|since| since.as_secs_f64()),
            last_error: health.last_error,
            last_refusal: health.last_refusal,
            holdings: SpoolRow {
                signal: self.id.signal().as_str(),
                destination: self.id.label(),
                records: holdings.spooled,
                bytes: holdings.bytes,
                in_flight: holdings.in_flight,
                resent: self.book.resent(),
            },
        }
    }
}

/// Sends as soon as the spool is open.
async fn send_from_spool(
    mut sender: Sender,
    mut opened: watch::Receiver<Option<Arc<Spool>>>,
    ready: impl FnOnce(Arc<Spool>) -> SpoolSource,
) {
    let spool = tokio::select! {
        spool = opened.wait_for(Option::is_some) => spool.ok().and_then(|spool| spool.clone()),
        _ = sender.phase.wait_for(|phase| *phase == Phase::Stop) => None,
    };
    if let Some(spool) = spool {
        sender.run(Source::Spool(Box::new(ready(spool)))).await;
    }
}
