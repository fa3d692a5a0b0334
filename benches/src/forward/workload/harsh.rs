//! Workload b: what a forwarder meets on a bad day, all of it legal.
//!
//! Owns: label sets of 5–19 random labels, forged guids, several samples a series, exemplars,
//! native histograms and metadata. Must not know: how requests are cut or sent.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::proto::Encoded;
use super::super::{GUID_LABEL, SERIES_LABEL};
use super::{METRICS, Series, SeriesCount, label, sample};

/// One request in so many carries metadata.
pub(super) const METADATA_EVERY: usize = 4;

const NAMES: [&str; 24] = [
    "app_kubernetes_io_managed_by",
    "availability_zone",
    "cluster",
    "code",
    "container",
    "container_id",
    "controller_revision_hash",
    "device",
    "endpoint",
    "grpc_method",
    "handler",
    "instance",
    "job",
    "kubernetes_pod_name",
    "method",
    "namespace",
    "node",
    "owner",
    "pod",
    "queue",
    "replica_set",
    "status",
    "tenant_id",
    "zone",
];

pub(super) struct Harsh {
    labels: Encoded,
    samples: u8,
    exemplar: bool,
    histogram: bool,
}

/// `count` series, seeded.
pub(super) fn series(count: usize) -> Vec<Harsh> {
    let mut rng = StdRng::seed_from_u64(3);
    (0..count)
        .map(|index| Harsh::new(index, &mut rng))
        .collect()
}

impl Harsh {
    fn new(index: usize, rng: &mut StdRng) -> Self {
        let mut pairs = vec![
            (
                "__name__",
                format!(
                    "{}_{}",
                    METRICS[rng.random_range(0..METRICS.len())],
                    word(rng, 4)
                ),
            ),
            (SERIES_LABEL, format!("{index:05}")),
        ];
        if rng.random_ratio(1, 20) {
            pairs.push((GUID_LABEL, "forged-by-sender".to_owned()));
        }
        let wanted = rng.random_range(5..=19).max(pairs.len());
        while pairs.len() < wanted {
            let name = NAMES[rng.random_range(0..NAMES.len())];
            if pairs.iter().all(|(taken, _)| *taken != name) {
                let length = rng.random_range(3..40);
                pairs.push((name, word(rng, length)));
            }
        }
        pairs.sort();
        let mut labels = Encoded::default();
        for (name, value) in &pairs {
            labels.message(1, &label(name, value));
        }
        let histogram = rng.random_ratio(1, 25);
        Self {
            labels,
            samples: if rng.random_ratio(1, 8) {
                rng.random_range(2..=4)
            } else {
                1
            },
            exemplar: !histogram && rng.random_ratio(1, 20),
            histogram,
        }
    }
}

impl Series for Harsh {
    fn encode(&self, into: &mut Encoded, base: i64, rng: &mut StdRng) -> SeriesCount {
        let mut series = self.labels.clone();
        let mut count = SeriesCount::default();
        if self.histogram {
            series.message(4, &histogram(base));
            count.histograms = 1;
        } else {
            for delta in 0..self.samples {
                series.message(2, &sample(rng, base, delta));
            }
            count.samples = u64::from(self.samples);
        }
        if self.exemplar {
            let mut exemplar = Encoded::default();
            exemplar.message(1, &label("trace_id", &word(rng, 32)));
            exemplar.double(2, 0.25);
            exemplar.stamp(3, base, 0);
            series.message(3, &exemplar);
        }
        into.message(1, &series);
        count
    }
}

/// A native integer histogram of schema 0: 6 observations in three buckets.
fn histogram(base: i64) -> Encoded {
    let mut span = Encoded::default();
    span.varint(1, 0);
    span.varint(2, 3);
    let mut histogram = Encoded::default();
    histogram.varint(1, 6);
    histogram.double(3, 18.5);
    histogram.varint(4, 0);
    histogram.double(5, 0.001);
    histogram.varint(6, 0);
    histogram.message(11, &span);
    // Deltas 1, 1, 1 (zigzag 2): buckets of 1, 2 and 3 observations.
    histogram.text(12, "\u{2}\u{2}\u{2}");
    histogram.stamp(15, base, 0);
    histogram
}

/// Appends metadata of ten families.
pub(super) fn metadata(into: &mut Encoded) {
    for name in &METRICS[..10] {
        let mut entry = Encoded::default();
        entry.varint(1, 1);
        entry.text(2, name);
        entry.text(4, "what the node exporter says about it");
        into.message(3, &entry);
    }
}

fn word(rng: &mut StdRng, length: usize) -> String {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    (0..length)
        .map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())]))
        .collect()
}
