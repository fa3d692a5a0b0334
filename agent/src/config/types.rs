//! The sections of the configuration file and their defaults.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Guid;

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// The host guid; absent: derived from the machine id and kept in the data directory.
    pub guid: Option<Guid>,
    /// Where the agent keeps its state. Default `/var/lib/guidon`.
    pub data_dir: PathBuf,
    pub api: Api,
    pub bus: Bus,
    pub collect: Collect,
    pub receive: Receive,
    pub spool: Spool,
    pub docker: Docker,
}

/// `[api]`: the Manager API, console, `/metrics` and `/healthz`.
#[derive(Debug, Clone, PartialEq)]
pub struct Api {
    pub listen: SocketAddr,
    pub token_file: Option<PathBuf>,
}
impl Default for Api {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
            token_file: None,
        }
    }
}

/// `[bus]`: where everything goes. All absent: the local bus.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bus {
    /// Remote-write URLs; each gets every metric.
    pub metrics: Vec<String>,
    /// OTLP/HTTP (or `grpc://host:port`) URLs for logs.
    pub logs: Vec<String>,
    /// OTLP/HTTP (or `grpc://host:port`) URLs for traces.
    pub traces: Vec<String>,
    /// OTLP URLs for metrics that came in as OTLP; absent: they are turned into remote write.
    pub otlp_metrics: Vec<String>,
}

/// `[collect]`: what the agent measures by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Collect {
    pub interval: Duration,
    /// Load the kernel programs.
    pub kernel: bool,
    pub containers: bool,
    pub node: bool,
    /// Run-queue delay and switches: the dear half of the scheduler programs.
    pub run_queue: bool,
    /// Ask the kernel to keep run counts and times of its programs (`BPF_ENABLE_STATS`).
    pub program_statistics: bool,
    /// Counter slots for cgroups; absent: by the host's size.
    pub slots: Option<u32>,
}
impl Default for Collect {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            kernel: true,
            containers: true,
            node: true,
            run_queue: true,
            program_statistics: false,
            slots: None,
        }
    }
}

/// `[receive]`: listeners for other people's data.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Receive {
    pub remote_write: Option<SocketAddr>,
    pub otlp_http: Option<SocketAddr>,
    pub otlp_grpc: Option<SocketAddr>,
    /// Senders, as `address/bits`, whose own guid labels are believed.
    pub trusted: Vec<String>,
}

/// What a full spool does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// Oldest segment goes, counted.
    #[default]
    DropOldest,
    /// New data is refused with back-pressure.
    Refuse,
}

/// What an acknowledgement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A 2xx survives `kill -9` of the agent.
    #[default]
    Spool,
    /// A 2xx means "in memory".
    Memory,
}

/// `[spool]`: the segment log of each destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Spool {
    /// Bound per destination, in bytes.
    pub max_bytes: u64,
    pub when_full: WhenFull,
    pub durability: Durability,
    /// `fsync` this often; absent: leave it to the kernel.
    pub fsync_interval: Option<Duration>,
}
impl Default for Spool {
    fn default() -> Self {
        Self {
            max_bytes: 2 << 30,
            when_full: WhenFull::default(),
            durability: Durability::default(),
            fsync_interval: None,
        }
    }
}

/// `[docker]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Docker {
    pub socket: PathBuf,
}
impl Default for Docker {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/var/run/docker.sock"),
        }
    }
}
