//! The series of one container: which there are, and their places in the table.

use super::super::catalogue::containers as families;
use crate::signal::series::{Family, SeriesId, SeriesTable, Suffix};

/// Labels that every series of a container carries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity<'a> {
    pub(super) guid: &'a str,
    pub(super) name: &'a str,
    pub(super) id: &'a str,
    pub(super) image: &'a str,
}

/// Declares the series with labels that are known beforehand.
macro_rules! metrics {
    ($($metric:ident => $family:ident $(. $suffix:ident)? [$($label:literal = $value:literal),*];)*) => {
        /// A series that every container may have once.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Metric { $($metric),* }

        type Spec = (&'static Family, Suffix, &'static [(&'static str, &'static str)]);
        static SPECS: &[Spec] = &[
            $((&families::$family, metrics!(@suffix $($suffix)?), &[$(($label, $value)),*])),*
        ];
        const METRICS: usize = [$(Metric::$metric),*].len();
    };
    (@suffix) => { Suffix::None };
    (@suffix $suffix:ident) => { Suffix::$suffix };
}

metrics! {
    CpuUsage => CPU_USAGE ["cpu" = "total"];
    CpuUser => CPU_USER [];
    CpuSystem => CPU_SYSTEM [];
    CpuPeriods => CPU_PERIODS [];
    CpuThrottledPeriods => CPU_THROTTLED_PERIODS [];
    CpuThrottledSeconds => CPU_THROTTLED_SECONDS [];
    RunQueueSum => RUN_QUEUE.Sum [];
    RunQueueCount => RUN_QUEUE.Count [];
    SwitchesVoluntary => SWITCHES ["type" = "voluntary"];
    SwitchesInvoluntary => SWITCHES ["type" = "involuntary"];
    Forks => FORKS [];
    Execs => EXECS [];
    Exits => EXITS [];
    MemoryUsage => MEMORY_USAGE [];
    MemoryWorkingSet => MEMORY_WORKING_SET [];
    MemoryRss => MEMORY_RSS [];
    MemoryCache => MEMORY_CACHE [];
    MemorySwap => MEMORY_SWAP [];
    MemoryMapped => MEMORY_MAPPED [];
    MemoryMaxUsage => MEMORY_MAX_USAGE [];
    MemoryFailcnt => MEMORY_FAILCNT [];
    FaultsContainer => MEMORY_FAILURES ["failure_type" = "pgfault", "scope" = "container"];
    FaultsHierarchy => MEMORY_FAILURES ["failure_type" = "pgfault", "scope" = "hierarchy"];
    MajorFaultsContainer => MEMORY_FAILURES ["failure_type" = "pgmajfault", "scope" = "container"];
    MajorFaultsHierarchy => MEMORY_FAILURES ["failure_type" = "pgmajfault", "scope" = "hierarchy"];
    OomEvents => OOM_EVENTS [];
    ReceiveBytes => RECEIVE_BYTES [];
    ReceivePackets => RECEIVE_PACKETS [];
    TransmitBytes => TRANSMIT_BYTES [];
    TransmitPackets => TRANSMIT_PACKETS [];
    SocketReceiveBytes => SOCKET_RECEIVE_BYTES [];
    SocketReceivePackets => SOCKET_RECEIVE_PACKETS [];
    SocketTransmitBytes => SOCKET_TRANSMIT_BYTES [];
    SocketTransmitPackets => SOCKET_TRANSMIT_PACKETS [];
    TcpRetransmits => TCP_RETRANSMITS [];
    TcpConnects => TCP_CONNECTS [];
    TcpAccepts => TCP_ACCEPTS [];
    TcpFailures => TCP_FAILURES [];
    FsReadsBytes => FS_READS_BYTES [];
    FsWritesBytes => FS_WRITES_BYTES [];
    FsReads => FS_READS [];
    FsWrites => FS_WRITES [];
    FsReadSeconds => FS_READ_SECONDS [];
    FsWriteSeconds => FS_WRITE_SECONDS [];
    Processes => PROCESSES [];
    Threads => THREADS [];
    ThreadsMax => THREADS_MAX [];
    PressureCpuWaiting => PRESSURE_CPU_WAITING [];
    PressureCpuStalled => PRESSURE_CPU_STALLED [];
    PressureMemoryWaiting => PRESSURE_MEMORY_WAITING [];
    PressureMemoryStalled => PRESSURE_MEMORY_STALLED [];
    PressureIoWaiting => PRESSURE_IO_WAITING [];
    PressureIoStalled => PRESSURE_IO_STALLED [];
    StartTime => START_TIME [];
    LastSeen => LAST_SEEN [];
    SpecCpuPeriod => SPEC_CPU_PERIOD [];
    SpecCpuQuota => SPEC_CPU_QUOTA [];
    SpecCpuShares => SPEC_CPU_SHARES [];
    SpecMemoryLimit => SPEC_MEMORY_LIMIT [];
    SpecMemoryReservation => SPEC_MEMORY_RESERVATION [];
    SpecMemorySwapLimit => SPEC_MEMORY_SWAP_LIMIT [];
}

/// Run-queue buckets that are exported: upper bounds of 2^10, 2^12, … 2^30 ns, and infinity.
pub(super) const BUCKET_BOUNDS: [&str; 12] = [
    "0.000001024",
    "0.000004096",
    "0.000016384",
    "0.000065536",
    "0.000262144",
    "0.001048576",
    "0.004194304",
    "0.016777216",
    "0.067108864",
    "0.268435456",
    "1.073741824",
    "+Inf",
];

/// Places of a container's series in the table.
#[derive(Debug)]
pub(super) struct Places {
    fixed: Box<[SeriesId; METRICS]>,
    buckets: [SeriesId; BUCKET_BOUNDS.len()],
    /// Series with labels of their own, by family and label values.
    varied: Vec<(&'static str, String, SeriesId)>,
}

impl Places {
    pub(super) fn new() -> Self {
        Self {
            fixed: Box::new([SeriesId::NONE; METRICS]),
            buckets: [SeriesId::NONE; BUCKET_BOUNDS.len()],
            varied: Vec::new(),
        }
    }

    /// Forgets them all: the container's labels changed.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }
}

/// Sets values of one container in the table's current pass.
pub(super) struct Setter<'a> {
    pub(super) table: &'a mut SeriesTable,
    pub(super) places: &'a mut Places,
    pub(super) identity: Identity<'a>,
    /// When the values were true, in Unix milliseconds; 0 = now.
    pub(super) at_ms: i64,
}

impl Setter<'_> {
    pub(super) fn set(&mut self, metric: Metric, value: f64) {
        let place = &mut self.places.fixed[metric as usize];
        if !self.table.set_at(*place, value, self.at_ms) {
            let (family, suffix, labels) = SPECS[metric as usize];
            *place = intern(self.table, family, suffix, self.identity, labels);
            self.table.set_at(*place, value, self.at_ms);
        }
    }

    pub(super) fn set_if(&mut self, metric: Metric, value: Option<f64>) {
        if let Some(value) = value {
            self.set(metric, value);
        }
    }

    /// The run-queue histogram, from the program's log2 buckets.
    pub(super) fn run_queue(&mut self, buckets: &[u64], sum_ns: u64) {
        let mut cumulative = 0;
        let mut next = buckets.iter();
        for (at, bound) in BUCKET_BOUNDS.into_iter().enumerate() {
            // Bucket i of the program ends at 2^(i+1) ns: ten of them lie below the first bound,
            // two more below each further one, all below infinity.
            let below = match at {
                0 => 10,
                _ if at + 1 == BUCKET_BOUNDS.len() => buckets.len(),
                _ => 2,
            };
            cumulative += next.by_ref().take(below).sum::<u64>();
            let place = &mut self.places.buckets[at];
            if !self.table.set_at(*place, cumulative as f64, self.at_ms) {
                let labels = [("le", bound)];
                *place = intern(
                    self.table,
                    &families::RUN_QUEUE,
                    Suffix::Bucket,
                    self.identity,
                    &labels,
                );
                self.table.set_at(*place, cumulative as f64, self.at_ms);
            }
        }
        self.set(Metric::RunQueueSum, sum_ns as f64 * 1e-9);
        self.set(Metric::RunQueueCount, cumulative as f64);
    }

    /// A series with labels that are not known beforehand; `key` tells it from others of the family.
    pub(super) fn varied(
        &mut self,
        family: &'static Family,
        key: &str,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        let known = self
            .places
            .varied
            .iter_mut()
            .find(|(name, other, _)| *name == family.name && other == key);
        match known {
            Some((_, _, place)) => {
                if !self.table.set_at(*place, value, self.at_ms) {
                    *place = intern(self.table, family, Suffix::None, self.identity, labels);
                    self.table.set_at(*place, value, self.at_ms);
                }
            }
            None => {
                let place = intern(self.table, family, Suffix::None, self.identity, labels);
                self.table.set_at(place, value, self.at_ms);
                self.places
                    .varied
                    .push((family.name, key.to_owned(), place));
            }
        }
    }
}

fn intern(
    table: &mut SeriesTable,
    family: &Family,
    suffix: Suffix,
    identity: Identity<'_>,
    labels: &[(&str, &str)],
) -> SeriesId {
    let mut all = [("", ""); 8];
    let own = [
        ("guid", identity.guid),
        ("id", identity.id),
        ("image", identity.image),
        ("name", identity.name),
    ];
    for (slot, label) in all.iter_mut().zip(own.iter().chain(labels)) {
        *slot = *label;
    }
    table.intern(family, suffix, &all)
}
