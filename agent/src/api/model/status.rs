//! `GET /api/v1/status`: the agent at one glance.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::stack::ComponentStatus;

/// The state of the agent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The host guid.
    pub guid: String,
    pub version: String,
    pub uptime_seconds: f64,
    pub collect: CollectStatus,
    pub kernel: KernelStatus,
    pub forward: ForwardStatus,
    pub docker: DockerStatus,
    /// The managed components that are not off, without what they printed.
    #[serde(default)]
    pub stack: Vec<ComponentStatus>,
    /// Configured keys that this version does not act on yet.
    pub inactive: Vec<String>,
    /// A row per guid, and one for each container without.
    pub guids: Vec<GuidRow>,
}

/// Collection rounds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct CollectStatus {
    pub interval_seconds: f64,
    /// Rounds since the start. Rates exist from the second on.
    pub rounds: u64,
    /// How long the latest round took.
    pub last_round_seconds: f64,
    /// Series of the latest round.
    pub series: u64,
    /// Containers of the latest round.
    pub containers: u64,
}

/// The kernel programs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct KernelStatus {
    pub loaded: bool,
    /// Why they are not loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub programs: Vec<Program>,
    pub slots: u32,
    pub slots_free: u32,
    /// Times a cgroup got no slot and was counted to the host.
    pub slot_misses: u64,
    /// Events that the ring buffer had no room for.
    pub events_lost: u64,
}

/// One kernel program.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Program {
    pub name: String,
    pub attached: bool,
    /// Why it is not attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Runs, where the kernel keeps them (`collect.program_statistics`).
    pub run_count: u64,
    /// Time spent in it, likewise.
    pub run_seconds: f64,
}

/// The way to the bus.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct ForwardStatus {
    /// One line per signal.
    pub ledger: Vec<LedgerLine>,
    pub destinations: Vec<Destination>,
}

/// The books of one signal: received + collected = sent + spooled + in flight + dropped, for each
/// destination.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct LedgerLine {
    #[schema(example = "metrics")]
    pub signal: String,
    pub received: u64,
    pub collected: u64,
    pub sent: u64,
    pub spooled: u64,
    pub in_flight: u64,
    /// By reason.
    pub dropped: BTreeMap<String, u64>,
}

/// One receiver of one signal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Destination {
    pub signal: String,
    /// Its URL, or `local` for the local bus.
    pub destination: String,
    /// Whether the latest request was taken.
    pub healthy: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Records that wait in the spool or in memory.
    pub waiting_records: u64,
    pub spool_bytes: u64,
    pub spool_max_bytes: u64,
}

/// The container runtime.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct DockerStatus {
    pub connected: bool,
    /// Why it is not connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Running containers.
    pub containers: u64,
}

/// What belongs to one guid uses, summed over its containers. Rates are over the latest interval;
/// absent before there are two rounds, or where nothing measures them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct GuidRow {
    /// Absent for containers that guidon did not make.
    pub guid: Option<String>,
    /// The container's name; the host's name in the row of the host guid.
    pub name: String,
    pub containers: u64,
    /// CPU seconds per second.
    pub cpu_cores: Option<f64>,
    /// Seconds that runnable tasks waited for a CPU, per second.
    pub run_queue_seconds_per_second: Option<f64>,
    pub memory_bytes: Option<u64>,
    pub receive_bytes_per_second: Option<f64>,
    pub transmit_bytes_per_second: Option<f64>,
    pub read_bytes_per_second: Option<f64>,
    pub write_bytes_per_second: Option<f64>,
}
