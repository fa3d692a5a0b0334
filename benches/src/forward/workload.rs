//! What is sent: the workloads and their requests.
//!
//! - **a**: node-exporter-like series in order: 10 labels, about 298 bytes a sample raw.
//! - **as**: the same series, shuffled.
//! - **b**: harsh ([`harsh`]): shuffled, 5–19 labels, random names and ids, forged guids, several
//!   samples a series, exemplars, native histograms, metadata.
//! - **traces**, **logs** ([`otlp`]): OTLP exports of four resources.
//!
//! Owns: series, their split over connections and the requests built from them. Must not know: how
//! requests are sent. Everything is seeded: two runs send the same bytes but for timestamps.

mod harsh;
mod otlp;

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::SERIES_LABEL;
use super::proto::Encoded;

/// A request's timestamps lie at most this many ms after its base, so bases that are further apart
/// keep every series in order.
pub const BASE_STEP_MS: i64 = 5;

/// Requests a connection goes round, at most; more would only cost memory.
const RING: usize = 40;

/// Which load is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// Node-exporter-like series in order.
    A,
    /// The same, shuffled.
    As,
    /// Harsh series.
    B,
    /// OTLP spans.
    Traces,
    /// OTLP log records.
    Logs,
}

impl Workload {
    /// The name used on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::As => "as",
            Self::B => "b",
            Self::Traces => "traces",
            Self::Logs => "logs",
        }
    }

    /// Whether this is OTLP rather than remote write.
    pub fn is_otlp(self) -> bool {
        matches!(self, Self::Traces | Self::Logs)
    }

    /// What one record is called in reports.
    pub fn unit(self) -> &'static str {
        match self {
            Self::A | Self::As | Self::B => "samples",
            Self::Traces => "spans",
            Self::Logs => "log records",
        }
    }

    /// Where receivers take it.
    pub fn path(self) -> &'static str {
        match self {
            Self::A | Self::As | Self::B => "/api/v1/write",
            Self::Traces => "/v1/traces",
            Self::Logs => "/v1/logs",
        }
    }
}

/// One request before compression.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) encoded: Encoded,
    /// Float samples, spans or log records in it.
    pub(crate) records: u64,
}

/// One series' place in the load, encoded anew for every request it is in.
trait Series {
    /// Appends the `TimeSeries` message and says how many float samples and histograms it holds.
    fn encode(&self, into: &mut Encoded, base: i64, rng: &mut StdRng) -> SeriesCount;
}

#[derive(Debug, Clone, Copy, Default)]
struct SeriesCount {
    samples: u64,
    histograms: u64,
}

/// The requests that connection `connection` of `connections` sends round and round, their
/// timestamps counted from `base` (ms). Each series belongs to one connection, so that its order is
/// defined; `per_request` samples (or spans, or log records) are in each request.
pub(crate) fn requests(
    workload: Workload,
    series: usize,
    per_request: usize,
    connections: usize,
    connection: usize,
    base: i64,
) -> Vec<Request> {
    match workload {
        Workload::A | Workload::As => {
            let plain: Vec<_> = (0..series).map(Plain::new).collect();
            let order = order(series, workload == Workload::As);
            ring(
                &plain,
                share(&order, connections, connection),
                per_request,
                base,
                0,
            )
        }
        Workload::B => {
            let harsh = harsh::series(series);
            let order = order(series, true);
            ring(
                &harsh,
                share(&order, connections, connection),
                per_request,
                base,
                harsh::METADATA_EVERY,
            )
        }
        Workload::Traces => otlp::traces(per_request, connection),
        Workload::Logs => otlp::logs(per_request, connection),
    }
}

/// The requests of one connection that has all series, before compression, and the records in each:
/// for benches of the wire without HTTP.
pub fn bodies(workload: Workload, series: usize, per_request: usize) -> Vec<(Vec<u8>, u64)> {
    // Any time will do.
    requests(workload, series, per_request, 1, 0, 1_700_000_000_000)
        .into_iter()
        .map(|request| (request.encoded.bytes, request.records))
        .collect()
}

fn order(series: usize, shuffled: bool) -> Vec<usize> {
    let mut order: Vec<_> = (0..series).collect();
    if shuffled {
        order.shuffle(&mut StdRng::seed_from_u64(7));
    }
    order
}

fn share(order: &[usize], connections: usize, connection: usize) -> &[usize] {
    let each = order.len() / connections;
    &order[connection * each..(connection + 1) * each]
}

/// Requests that walk `order` cyclically until they are back at its start (or [`RING`] of them).
fn ring<S: Series>(
    series: &[S],
    order: &[usize],
    per_request: usize,
    base: i64,
    metadata_every: usize,
) -> Vec<Request> {
    let mut rng = StdRng::seed_from_u64(11);
    let mut requests = Vec::new();
    let mut cursor = 0;
    loop {
        let mut request = Request::default();
        let mut count = SeriesCount::default();
        let mut elements = 0;
        while (count.samples + count.histograms) < per_request as u64 && elements < order.len() {
            let added = series[order[cursor]].encode(&mut request.encoded, base, &mut rng);
            count.samples += added.samples;
            count.histograms += added.histograms;
            elements += 1;
            cursor = (cursor + 1) % order.len();
        }
        if metadata_every > 0 && requests.len() % metadata_every == 0 {
            harsh::metadata(&mut request.encoded);
        }
        request.records = count.samples;
        requests.push(request);
        if cursor == 0 || requests.len() == RING {
            return requests;
        }
    }
}

const METRICS: [&str; 40] = [
    "node_cpu_seconds_total",
    "node_cpu_guest_seconds_total",
    "node_cpu_scaling_frequency_hertz",
    "node_disk_discard_time_seconds_total",
    "node_disk_discarded_sectors_total",
    "node_disk_flush_requests_total",
    "node_disk_io_time_seconds_total",
    "node_disk_io_time_weighted_seconds_total",
    "node_disk_read_bytes_total",
    "node_disk_read_time_seconds_total",
    "node_disk_reads_completed_total",
    "node_disk_reads_merged_total",
    "node_disk_write_time_seconds_total",
    "node_disk_writes_completed_total",
    "node_disk_writes_merged_total",
    "node_disk_written_bytes_total",
    "node_filesystem_avail_bytes",
    "node_filesystem_device_error",
    "node_filesystem_files",
    "node_filesystem_files_free",
    "node_filesystem_free_bytes",
    "node_filesystem_readonly",
    "node_filesystem_size_bytes",
    "node_hwmon_temp_celsius",
    "node_interrupts_total",
    "node_network_carrier_changes_total",
    "node_network_mtu_bytes",
    "node_network_receive_bytes_total",
    "node_network_receive_compressed_total",
    "node_network_receive_drop_total",
    "node_network_receive_errs_total",
    "node_network_receive_multicast_total",
    "node_network_receive_packets_total",
    "node_network_transmit_bytes_total",
    "node_network_transmit_carrier_total",
    "node_network_transmit_colls_total",
    "node_network_transmit_drop_total",
    "node_network_transmit_packets_total",
    "node_schedstat_running_seconds_total",
    "node_softnet_processed_total",
];

/// A series of workloads a and as: an encoded label set.
struct Plain {
    labels: Encoded,
}

impl Plain {
    fn new(index: usize) -> Self {
        let host = index / 1_000;
        let within = index % 1_000;
        let metric = METRICS[within / 25 % METRICS.len()];
        let mut labels = Encoded::default();
        for (name, value) in [
            ("__name__", metric),
            ("cluster", "production-eu-central-1"),
            ("container", "node-exporter"),
            (
                "device",
                &format!("nvme{}n1p{}", within % 25 / 5, within % 5),
            ),
            ("endpoint", "metrics"),
            ("instance", &format!("10.20.31.{}:9100", 100 + host)),
            ("job", "node-exporter"),
            ("namespace", "kube-monitoring"),
            ("pod", &format!("node-exporter-{}", 40_001 + host * 7_919)),
            (SERIES_LABEL, &format!("{index:05}")),
        ] {
            labels.message(1, &label(name, value));
        }
        Self { labels }
    }
}

impl Series for Plain {
    fn encode(&self, into: &mut Encoded, base: i64, rng: &mut StdRng) -> SeriesCount {
        let mut series = self.labels.clone();
        series.message(2, &sample(rng, base, 0));
        into.message(1, &series);
        SeriesCount {
            samples: 1,
            histograms: 0,
        }
    }
}

fn label(name: &str, value: &str) -> Encoded {
    let mut label = Encoded::default();
    label.text(1, name);
    label.text(2, value);
    label
}

/// A sample whose value looks like a counter's: large, with a few decimals.
fn sample(rng: &mut StdRng, base: i64, delta: u8) -> Encoded {
    let mut sample = Encoded::default();
    sample.double(1, f64::from(rng.random_range(1_u32..4_000_000)) * 0.25);
    sample.stamp(2, base, delta);
    sample
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_sends_each_of_its_series_equally_often_and_no_other() {
        let mut seen = Vec::new();
        for connection in 0..4 {
            let requests = requests(Workload::A, 10_000, 2_000, 4, connection, 1_700_000_000_000);
            assert_eq!(requests.len(), 5);
            for request in requests {
                assert_eq!(request.records, 2_000);
                seen.push(request.encoded.stamps.len());
            }
        }
        assert_eq!(seen, [2_000; 20]);
    }

    #[test]
    fn workload_a_is_about_298_bytes_a_sample_raw() {
        let requests = requests(Workload::A, 10_000, 2_000, 1, 0, 1_700_000_000_000);
        let bytes: usize = requests
            .iter()
            .map(|request| request.encoded.bytes.len())
            .sum();
        let each = bytes as f64 / 10_000.0;
        assert!((290.0..306.0).contains(&each), "{each}");
    }
}
