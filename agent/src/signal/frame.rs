//! Frames: bytes plus counts, the unit that rooms hand one another.

use bytes::Bytes;

use crate::config::Guid;

/// What a record is to a user: the `signal` label of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    Metrics,
    Logs,
    Traces,
}

impl Signal {
    /// As it stands in labels and paths.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Traces => "traces",
        }
    }
}

/// How a frame's bytes are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A snappy block (with its length preamble) of a `prometheus.WriteRequest` (1.0).
    RemoteWrite = 1,
    /// An uncompressed `ExportMetricsServiceRequest`.
    OtlpMetrics = 2,
    /// An uncompressed `ExportLogsServiceRequest`.
    OtlpLogs = 3,
    /// An uncompressed `ExportTraceServiceRequest`.
    OtlpTraces = 4,
}

impl Kind {
    /// The signal the ledger books a frame of this kind under.
    #[must_use]
    pub fn signal(self) -> Signal {
        match self {
            Self::RemoteWrite | Self::OtlpMetrics => Signal::Metrics,
            Self::OtlpLogs => Signal::Logs,
            Self::OtlpTraces => Signal::Traces,
        }
    }
}

/// Records per guid in a frame, for the ledger. Each guid at most once.
pub type GuidCounts = Vec<(Guid, u32)>;

/// Tagged bytes of one kind, with what the ledger needs to know of them.
#[derive(Debug, Clone)]
pub struct Frame {
    pub kind: Kind,
    /// The encoded request, see [`Kind`].
    pub payload: Bytes,
    /// Length of the payload before compression; equal to its length where it is not compressed.
    pub raw_len: u32,
    /// Samples (native histograms count as one), log records, or spans: per guid.
    pub counts: GuidCounts,
}

impl Frame {
    /// Records in all, over all guids.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.counts.iter().map(|&(_, count)| u64::from(count)).sum()
    }
}
