//! The sections of the configuration file and their defaults.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Guid, Network};

mod platform;
mod stack;

pub use platform::*;
pub use stack::*;

/// The whole configuration.
#[derive(Debug, Clone, PartialEq)]
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
    /// Absent: the node stands alone.
    pub cluster: Option<Cluster>,
    pub kubernetes: Kubernetes,
    pub stack: Stack,
}
impl Default for Config {
    fn default() -> Self {
        Self {
            guid: None,
            data_dir: PathBuf::from("/var/lib/guidon"),
            api: Api::default(),
            bus: Bus::default(),
            collect: Collect::default(),
            receive: Receive::default(),
            spool: Spool::default(),
            docker: Docker::default(),
            cluster: None,
            kubernetes: Kubernetes::default(),
            stack: Stack::default(),
        }
    }
}

/// `[api]`: the Manager API, console, `/metrics` and `/healthz`.
#[derive(Debug, Clone, PartialEq)]
pub struct Api {
    pub listen: SocketAddr,
    /// File with the bearer token; required (or a client CA) unless `listen` is loopback.
    pub token_file: Option<PathBuf>,
    /// Absent: plain HTTP.
    pub tls: Option<Tls>,
}
impl Default for Api {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
            token_file: None,
            tls: None,
        }
    }
}

/// `[api] tls`: PEM files.
#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    /// Certificate chain, leaf first.
    pub cert: PathBuf,
    pub key: PathBuf,
    /// A client certificate issued by one of these authorities opens the API, like the token does.
    pub client_ca: Option<PathBuf>,
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

/// `[receive]`: listeners for other people's data. An absent address is a listener switched off
/// (`false` in the file).
#[derive(Debug, Clone, PartialEq)]
pub struct Receive {
    pub remote_write: Option<SocketAddr>,
    pub otlp_http: Option<SocketAddr>,
    pub otlp_grpc: Option<SocketAddr>,
    pub jaeger: Jaeger,
    /// Let apps reach what listens on loopback: at the gateway of Docker's default bridge, for
    /// this node's containers alone.
    pub apps: bool,
    /// Follow the output of the node's containers.
    pub logs: bool,
    /// Folders and files of the host that apps' extra log targets may name, with what is below
    /// them. Default `/var/log`.
    pub log_files: Vec<PathBuf>,
    /// Senders whose own guid labels are believed.
    pub trusted: Vec<Network>,
}
impl Default for Receive {
    fn default() -> Self {
        Self {
            remote_write: Some(SocketAddr::from(([127, 0, 0, 1], 10_000))),
            otlp_http: Some(SocketAddr::from(([127, 0, 0, 1], 4318))),
            otlp_grpc: Some(SocketAddr::from(([127, 0, 0, 1], 4317))),
            jaeger: Jaeger::standard(),
            apps: true,
            logs: true,
            log_files: vec![PathBuf::from("/var/log")],
            trusted: Vec::new(),
        }
    }
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
    /// Registry credentials for pulling, in the form of Docker's own `config.json` (`auths`).
    pub credentials_file: Option<PathBuf>,
    pub allow: Allow,
}
impl Default for Docker {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/var/run/docker.sock"),
            credentials_file: None,
            allow: Allow::default(),
        }
    }
}
