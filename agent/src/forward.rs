//! Inlets, lanes, batches, spool, senders, ledger: a frame that was accepted is kept until each of
//! its destinations has given a verdict on it.
//!
//! ```text
//! Inlet ── accept ──► lane ──► writer thread ──► spool ──┐
//!                      (one per destination)  └─ memory ─┴─► sender ──► receiver
//! ```
//! Each destination (a URL for a kind of frame, or the local bus) has a lane of its own: its own
//! queue, thread, directory and sender, so one that is stuck fills only its own. Does not know who
//! produced a frame.
//!
//! Limits, for each destination: `Tuning::queue_bytes` on the way to the disk, `lane_bytes` between
//! disk and sender, one batch of `max_bytes` on the line; `spool.max_bytes` on disk.

mod bus;
mod destination;
mod hot;
mod inlet;
mod lane;
pub mod ledger;
mod options;
mod root;
mod running;
mod send;
pub mod spool;
mod sync;

pub use bus::{BusError, Cursor, InvalidCursor, Page, Reader};
pub use destination::{DestinationId, Route};
pub use inlet::{Inlet, Refused};
pub use ledger::{Ledger, Stage};
pub use options::{Options, Order, RemoteWriteVersion, Tuning};
pub use send::url::InvalidUrl;
pub use spool::SpoolError;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use self::inlet::{Routes, Switch};
use self::root::SpoolRoot;
use self::running::{Running, Workshop};
use self::spool::disk::RealDisk;
use crate::signal::Signal;

/// Why the forwarder cannot run as told.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A destination's URL cannot be used.
    #[error("destination {destination}: {source}")]
    Url {
        /// The URL without credentials.
        destination: String,
        /// What is wrong with it.
        source: InvalidUrl,
    },
    /// Another agent uses the spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// No thread for a destination.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// How a destination does.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct DestinationStatus {
    /// Which frames it gets.
    pub route: Route,
    /// The URL without credentials, or `local`.
    pub destination: String,
    /// Requests with a verdict.
    pub requests: u64,
    /// Attempts that have to be repeated.
    pub retries: u64,
    /// Seconds since it stopped taking data; absent while it does.
    pub failing_seconds: Option<f64>,
    /// The last failure, also when it is over.
    pub last_error: Option<String>,
    /// The receiver's last words about data it refused.
    pub last_refusal: Option<String>,
    /// What waits for it.
    pub holdings: ledger::SpoolRow,
}

/// The forwarder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Forward {
    shop: Arc<Workshop>,
    running: Arc<Mutex<Running>>,
    /// One change at a time.
    changing: Arc<tokio::sync::Mutex<()>>,
}

impl Forward {
    /// Starts lanes and senders on a runtime. Spools that cannot be opened now are tried again
    /// later, except where another agent holds the directory.
    pub fn start(options: Options, runtime: Handle) -> Result<(Self, Inlet), StartError> {
        let shop = Arc::new(Workshop {
            runtime,
            disk: Arc::new(RealDisk),
            root: Arc::new(SpoolRoot::new(&options.data_dir)),
            ledger: Arc::new(Ledger::default()),
            switch: Arc::new(Switch::default()),
        });
        let running = Running::start(&shop, options)?;
        shop.switch.set(running.routes());
        let inlet = Inlet {
            switch: Arc::clone(&shop.switch),
        };
        let forward = Self {
            shop,
            running: Arc::new(Mutex::new(running)),
            changing: Arc::default(),
        };
        Ok((forward, inlet))
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether OTLP metrics have a destination of their own; else they are to be turned into remote
    /// write before they are accepted.
    #[must_use]
    pub fn takes_otlp_metrics(&self) -> bool {
        !self.running().options.bus.otlp_metrics.is_empty()
    }

    /// The books.
    #[must_use]
    pub fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.shop.ledger)
    }

    /// A reader of a signal's local bus; `None` where the signal has a destination.
    #[must_use]
    pub fn bus(&self, signal: Signal) -> Option<Reader> {
        let route = match signal {
            Signal::Metrics => Route::Metrics,
            Signal::Logs => Route::Logs,
            Signal::Traces => Route::Traces,
        };
        self.running().reader(&DestinationId::local(route))
    }

    /// How each destination does.
    #[must_use]
    pub fn destinations(&self) -> Vec<DestinationStatus> {
        self.running().status()
    }

    /// Goes over to other options. Destinations that are in both go on untouched, with new bounds;
    /// what has gone keeps its spool. The data directory stays what it was at the start.
    ///
    /// On an error nothing has changed.
    pub async fn reconfigure(&self, options: Options) -> Result<(), StartError> {
        let _alone = self.changing.lock().await;
        Running::check(&options)?;
        let leaving = self.running().leave(&options);
        for lane in leaving {
            lane.finish(running::RELOAD_GRACE).await;
        }
        let routes = {
            let mut running = self.running();
            let result = running.join(&self.shop, options);
            let routes = running.routes();
            result.map(|()| routes)
        };
        self.shop.switch.set(routes?);
        Ok(())
    }

    /// Takes nothing more, gives senders so long to deliver what is there, and leaves the rest in
    /// the spools. With durability `memory` the rest is dropped, and booked.
    pub async fn shutdown(&self, grace: Duration) {
        let _alone = self.changing.lock().await;
        self.shop.switch.set(Routes {
            closed: true,
            ..Routes::default()
        });
        let lanes = self.running().leave_all();
        let mut ends = Vec::with_capacity(lanes.len());
        for lane in lanes {
            ends.push(tokio::spawn(lane.drain(grace)));
        }
        for end in ends {
            // A lane that panicked has nothing more to say.
            let _ = end.await;
        }
    }
}
