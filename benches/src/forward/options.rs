//! The command line of the bench.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::workload::Workload;

/// Compares forwarders: generator → forwarder → sink on loopback, in alternating runs.
#[derive(Debug, Parser)]
#[command(name = "forward")]
pub struct Options {
    /// What the bench runs itself as.
    #[command(subcommand)]
    pub role: Option<Role>,
    /// What is measured.
    #[command(flatten)]
    pub bench: Bench,
}

/// Parts of the bench that run as processes of their own.
#[derive(Debug, Subcommand)]
pub enum Role {
    /// The counting sink.
    #[command(hide = true)]
    Sink {
        /// Where to listen.
        listen: SocketAddr,
        /// How many series to expect.
        series: usize,
    },
    /// The relay, which keeps a copy of what it passes on.
    #[command(hide = true)]
    Relay {
        /// Where to listen.
        listen: SocketAddr,
        /// Where to send.
        sink: SocketAddr,
        /// Where to keep the copies.
        directory: PathBuf,
    },
    /// The load generator; takes orders on standard input.
    #[command(hide = true)]
    Generate {
        /// Which load.
        workload: Workload,
        /// How many series.
        series: usize,
        /// Samples or records in a request.
        per_request: usize,
        /// Connections.
        connections: usize,
    },
}

/// What is measured.
#[derive(Debug, Clone, Args)]
pub struct Bench {
    /// Loads to send, comma-separated.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["a", "traces", "logs"])]
    pub workload: Vec<Workload>,
    /// Forwarders to compare, comma-separated (guidon-spool, guidon-memory, vmagent,
    /// prometheus-agent, relay, direct); all of them by default.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Alternating runs of each forwarder; medians are reported.
    #[arg(long, default_value_t = 5)]
    pub runs: usize,
    /// Measured seconds of saturating load.
    #[arg(long, default_value_t = 8.0)]
    pub seconds: f64,
    /// Seconds of saturating load before those.
    #[arg(long, default_value_t = 1.5)]
    pub warmup: f64,
    /// Samples a second of the fixed-rate part; 0 leaves it out. Remote write only.
    #[arg(long, default_value_t = 50_000.0)]
    pub fixed_rate: f64,
    /// Measured seconds of the fixed-rate part.
    #[arg(long, default_value_t = 8.0)]
    pub fixed_seconds: f64,
    /// How long a forwarder may take to deliver what it has acknowledged.
    #[arg(long, default_value_t = 60.0)]
    pub drain_seconds: f64,
    /// Series of the remote-write loads.
    #[arg(long, default_value_t = 10_000)]
    pub series: usize,
    /// Samples in a remote-write request.
    #[arg(long, default_value_t = 2_000)]
    pub samples: usize,
    /// Spans or log records in an OTLP request.
    #[arg(long, default_value_t = 1_000)]
    pub records: usize,
    /// Connections of the generator.
    #[arg(long, default_value_t = 4)]
    pub connections: usize,
    /// The agent's binary; by default that of GUIDON_BIN, else target/release/guidon.
    #[arg(long)]
    pub guidon: Option<PathBuf>,
    /// First of the ports used, all on 127.0.0.1.
    #[arg(long, default_value_t = 27_000)]
    pub port: u16,
    /// Where forwarders keep their files while they run; the system's temporary directory by
    /// default. Must not be a tmpfs, or durability costs nothing.
    #[arg(long)]
    pub directory: Option<PathBuf>,
    /// Write every single measurement here as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Exit with 1 also if a goal for guidon is missed.
    #[arg(long)]
    pub gate: bool,
}
