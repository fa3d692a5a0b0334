//! What the forwarder is told: destinations and bounds from the configuration, and the tuning that
//! has no key of its own.

use std::path::PathBuf;
use std::time::Duration;

use super::destination::{DestinationId, Route};
use crate::config::{Bus, Config, Spool};

/// Everything [`super::Forward::start`] needs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// Where to.
    pub bus: Bus,
    /// Bounds and durability.
    pub spool: Spool,
    /// The spool lives in `spool` below it.
    pub data_dir: PathBuf,
    /// The rest.
    pub tuning: Tuning,
}

impl From<&Config> for Options {
    fn from(config: &Config) -> Self {
        Self {
            bus: config.bus.clone(),
            spool: config.spool.clone(),
            data_dir: config.data_dir.clone(),
            tuning: Tuning::default(),
        }
    }
}

impl Options {
    /// The destinations to run. A signal that has none gets the local bus; the local bus of metrics
    /// takes remote-write frames, since OTLP is turned into them where nobody asks for OTLP.
    #[must_use]
    pub fn destinations(&self) -> Vec<DestinationId> {
        let mut all = Vec::new();
        let routes = [
            (Route::Metrics, &self.bus.metrics),
            (Route::OtlpMetrics, &self.bus.otlp_metrics),
            (Route::Logs, &self.bus.logs),
            (Route::Traces, &self.bus.traces),
        ];
        for (route, urls) in routes {
            if urls.is_empty() && route != Route::OtlpMetrics {
                all.push(DestinationId::local(route));
            }
            for url in urls {
                let id = DestinationId::remote(route, url);
                if !all.contains(&id) {
                    all.push(id);
                }
            }
        }
        all
    }
}

/// In which order a backlog and fresh data go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Oldest first, always. What a receiver that refuses out-of-order samples needs.
    Strict,
    /// After an outage fresh data and backlog take turns, fresh first.
    FreshFirst,
}

/// The remote-write version to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteWriteVersion {
    /// 1.0: batches go as they are kept, so this costs least of the agent.
    V1,
    /// 2.0 where the receiver takes it, else 1.0.
    Auto,
    /// 2.0 only.
    V2,
}

/// Settings with good defaults. Durations and sizes are bounds, not targets, unless said.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// A batch is sent at once when it has so many records …
    pub enough_records: u64,
    /// … or so many bytes of payload …
    pub enough_bytes: usize,
    /// … or when its oldest record is this old.
    pub linger: Duration,
    /// Most records of a batch, unless one frame has more.
    pub max_records: u64,
    /// Most payload bytes of a batch, unless one frame has more.
    pub max_bytes: usize,
    /// Most bytes of a batch before compression, unless one frame has more. Receivers limit this.
    pub max_raw_bytes: u64,
    /// Order of remote write. [`Order::Strict`] unless every receiver takes samples out of order.
    pub metrics_order: Order,
    /// Order of OTLP, whose receivers take records in any order.
    pub otlp_order: Order,
    /// Compress OTLP with gzip.
    pub otlp_gzip: bool,
    /// Remote-write version.
    pub remote_write_version: RemoteWriteVersion,
    /// Time for a connection.
    pub connect_timeout: Duration,
    /// Time for a request, from the first byte out to the last byte in.
    pub request_timeout: Duration,
    /// The first pause after a failure; doubled each time, jittered.
    pub backoff_min: Duration,
    /// The longest pause by our own choice.
    pub backoff_max: Duration,
    /// The longest pause a `Retry-After` can ask for.
    pub retry_after_max: Duration,
    /// How long one batch is retried on statuses that OTLP calls final and a broken receiver gives
    /// too (500 and the like), before it is taken at its word.
    pub patience: Duration,
    /// Bytes of frames that may wait for the disk, for each destination.
    pub queue_bytes: usize,
    /// Bytes of frames kept in memory between disk and sender, for each destination.
    pub lane_bytes: usize,
    /// Bytes of frames kept in memory with durability `memory`, for each destination.
    pub memory_bytes: usize,
    /// How long [`super::Inlet::accept`] waits for room before it refuses.
    pub accept_wait: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            enough_records: 8_000,
            enough_bytes: 256 << 10,
            linger: Duration::from_millis(250),
            max_records: 40_000,
            max_bytes: 2 << 20,
            max_raw_bytes: 8 << 20,
            metrics_order: Order::Strict,
            otlp_order: Order::FreshFirst,
            otlp_gzip: false,
            remote_write_version: RemoteWriteVersion::V1,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            backoff_min: Duration::from_millis(30),
            backoff_max: Duration::from_secs(30),
            retry_after_max: Duration::from_secs(300),
            patience: Duration::from_secs(300),
            queue_bytes: 4 << 20,
            lane_bytes: 4 << 20,
            memory_bytes: 32 << 20,
            accept_wait: Duration::from_secs(2),
        }
    }
}
