#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::config::Guid;
use crate::signal::{Frame, Kind};

#[derive(Clone, PartialEq, prost::Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<Metadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Metadata {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "4")]
    help: String,
}

const CPU: Family = Family {
    name: "container_cpu_usage_seconds_total",
    help: "CPU time.",
    kind: MetricType::Counter,
};
const MEMORY: Family = Family {
    name: "container_memory_usage_bytes",
    help: "Memory \\ with a\nbreak.",
    kind: MetricType::Gauge,
};
const DELAY: Family = Family {
    name: "container_cpu_run_queue_seconds",
    help: "Wait for a CPU.",
    kind: MetricType::Histogram,
};

fn host() -> Guid {
    "node-7".parse().unwrap()
}

fn table() -> SeriesTable {
    SeriesTable::new(host(), Vec::new())
}

fn decode(frame: &Frame) -> WriteRequest {
    assert_eq!(frame.kind, Kind::RemoteWrite);
    let raw = snap::raw::Decoder::new()
        .decompress_vec(&frame.payload)
        .unwrap();
    assert_eq!(raw.len(), frame.raw_len as usize);
    prost::Message::decode(raw.as_slice()).unwrap()
}

/// A sample that was sent: labels in wire order, value bits, timestamp.
type Sent = (Vec<(String, String)>, u64, i64);

/// What a round sent.
fn round(table: &mut SeriesTable, at: i64) -> Vec<Sent> {
    let mut frames = Vec::new();
    table.finish(at, &mut frames);
    let mut sent = Vec::new();
    for frame in &frames {
        let request = decode(frame);
        assert_eq!(frame.records(), request.timeseries.len() as u64);
        for series in request.timeseries {
            let labels = series
                .labels
                .into_iter()
                .map(|label| (label.name, label.value))
                .collect();
            assert_eq!(series.samples.len(), 1);
            let sample = &series.samples[0];
            sent.push((labels, sample.value.to_bits(), sample.timestamp));
        }
    }
    sent
}

#[test]
fn a_series_goes_out_with_sorted_labels_and_without_empty_ones() {
    let mut table = SeriesTable::new(host(), vec![("instance", "vm".into())]);
    table.begin();
    let labels = [
        ("name", "web"),
        ("image", ""),
        ("guid", "app-1"),
        ("cpu", "total"),
    ];
    table.put(&CPU, Suffix::None, &labels, 12.5);
    let sent = round(&mut table, 1_000);
    let expected = [
        ("__name__", "container_cpu_usage_seconds_total"),
        ("cpu", "total"),
        ("guid", "app-1"),
        ("instance", "vm"),
        ("name", "web"),
    ];
    let expected = expected
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    assert_eq!(sent, vec![(expected, 12.5f64.to_bits(), 1_000)]);
}

#[test]
fn a_series_that_ends_gets_one_stale_marker_and_is_dropped() {
    let mut table = table();
    table.begin();
    let id = table.intern(&CPU, Suffix::None, &[("name", "a")]);
    assert!(table.set(id, 1.0));
    round(&mut table, 1);
    table.begin();
    let stale = round(&mut table, 2);
    assert_eq!(stale.len(), 1);
    assert_eq!((stale[0].1, stale[0].2), (STALE_NAN, 2));
    table.begin();
    assert!(!table.set(id, 2.0), "the id died with the series");
    assert!(round(&mut table, 3).is_empty());
    assert!(table.is_empty());
    let again = table.intern(&MEMORY, Suffix::None, &[("name", "b")]);
    assert!(
        !table.set(id, 2.0),
        "an old id does not reach the place's new owner"
    );
    assert!(table.set(again, 2.0));
}

#[test]
fn reading_text_does_not_disturb_staleness() {
    let mut table = table();
    let id = table.intern(&CPU, Suffix::None, &[("name", "a")]);
    table.begin();
    table.set(id, 1.0);
    round(&mut table, 1);
    // A scrape sees the series gone, and then one that never reaches a round.
    table.begin();
    assert!(table.text(Format::Prometheus).is_empty());
    table.begin();
    let brief = table.intern(&CPU, Suffix::None, &[("name", "brief")]);
    table.set(brief, 9.0);
    assert!(table.text(Format::Prometheus).contains("brief"));
    table.begin();
    let sent = round(&mut table, 2);
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(sent[0].1, STALE_NAN);
    assert!(table.is_empty());
}

#[test]
fn a_final_sample_keeps_its_own_timestamp() {
    let mut table = table();
    table.begin();
    let id = table.intern(&CPU, Suffix::None, &[("name", "a")]);
    table.set_at(id, 3.0, 777);
    assert_eq!(round(&mut table, 1_000)[0].2, 777);
    table.begin();
    table.set(id, 4.0);
    assert_eq!(round(&mut table, 2_000)[0].2, 2_000);
}

#[test]
fn frames_count_samples_by_guid_and_stay_bounded() {
    let mut table = table();
    table.begin();
    for index in 0..12_000 {
        let guid = format!("app-{}", index % 3);
        let name = index.to_string();
        let guid = if index % 4 == 3 { "" } else { &guid };
        table.put(&CPU, Suffix::None, &[("guid", guid), ("name", &name)], 1.0);
    }
    let mut frames = Vec::new();
    table.finish(5, &mut frames);
    let mut by_guid: BTreeMap<String, u32> = BTreeMap::new();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for frame in &frames {
        assert!(frame.records() <= MAX_FRAME_SAMPLES as u64);
        assert!((frame.raw_len as usize) < MAX_FRAME_BYTES + 4_096);
        let guids: BTreeSet<_> = frame.counts.iter().map(|(guid, _)| guid.clone()).collect();
        assert_eq!(guids.len(), frame.counts.len(), "each guid once");
        for (guid, count) in &frame.counts {
            *by_guid.entry(guid.to_string()).or_default() += count;
        }
        for series in decode(frame).timeseries {
            let guid = series.labels.iter().find(|label| label.name == "guid");
            let guid = guid.map_or("node-7", |label| label.value.as_str());
            *seen.entry(guid.to_owned()).or_default() += 1;
        }
    }
    assert_eq!(by_guid, seen);
    assert_eq!(by_guid["node-7"], 3_000);
}

#[test]
fn owners_that_lose_their_series_make_room_for_others() {
    let mut table = table();
    for round_number in 0..200 {
        table.begin();
        let guid = format!("app-{round_number}");
        table.put(&CPU, Suffix::None, &[("guid", &guid)], 1.0);
        let mut frames = Vec::new();
        table.finish(round_number, &mut frames);
        let counted: BTreeSet<_> = frames[0]
            .counts
            .iter()
            .map(|(guid, _)| guid.to_string())
            .collect();
        let mut expected = BTreeSet::from([guid]);
        if round_number > 0 {
            expected.insert(format!("app-{}", round_number - 1));
        }
        assert_eq!(counted, expected);
    }
    assert!(table.len() <= 2);
}

#[test]
fn metadata_names_the_families_in_use() {
    let mut table = table();
    table.begin();
    table.put(&CPU, Suffix::None, &[], 1.0);
    table.put(&DELAY, Suffix::Count, &[], 1.0);
    let mut frames = Vec::new();
    table.metadata(&mut frames);
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].records(), 0);
    let entries: Vec<_> = decode(&frames[0])
        .metadata
        .into_iter()
        .map(|entry| (entry.name, entry.kind, entry.help))
        .collect();
    let expected = [(CPU, 1), (DELAY, 3)];
    let expected: Vec<_> = expected
        .map(|(family, kind)| (family.name.to_owned(), kind, family.help.to_owned()))
        .to_vec();
    assert_eq!(entries, expected);
}

#[test]
fn text_is_grouped_by_family_with_heads_and_escapes() {
    let mut table = table();
    table.begin();
    table.put(
        &MEMORY,
        Suffix::None,
        &[("name", "a\"b\\c\nd")],
        f64::INFINITY,
    );
    table.put(&CPU, Suffix::None, &[("name", "x")], 0.25);
    table.put(&MEMORY, Suffix::None, &[("name", "z")], 4096.0);
    assert_eq!(
        table.text(Format::Prometheus),
        "# HELP container_cpu_usage_seconds_total CPU time.\n\
         # TYPE container_cpu_usage_seconds_total counter\n\
         container_cpu_usage_seconds_total{name=\"x\"} 0.25\n\
         # HELP container_memory_usage_bytes Memory \\\\ with a\\nbreak.\n\
         # TYPE container_memory_usage_bytes gauge\n\
         container_memory_usage_bytes{name=\"a\\\"b\\\\c\\nd\"} +Inf\n\
         container_memory_usage_bytes{name=\"z\"} 4096\n"
    );
}

#[test]
fn open_metrics_names_a_counters_family_without_its_suffix_and_ends() {
    let mut table = table();
    table.begin();
    table.put(&CPU, Suffix::None, &[], 1.0);
    table.put(&DELAY, Suffix::Bucket, &[("le", "+Inf")], 2.0);
    table.put(&DELAY, Suffix::Count, &[], 2.0);
    assert_eq!(
        table.text(Format::OpenMetrics),
        "# HELP container_cpu_run_queue_seconds Wait for a CPU.\n\
         # TYPE container_cpu_run_queue_seconds histogram\n\
         container_cpu_run_queue_seconds_bucket{le=\"+Inf\"} 2\n\
         container_cpu_run_queue_seconds_count 2\n\
         # HELP container_cpu_usage_seconds CPU time.\n\
         # TYPE container_cpu_usage_seconds counter\n\
         container_cpu_usage_seconds_total 1\n\
         # EOF\n"
    );
}

#[test]
fn plain_samples_render_as_a_table_does() {
    let families = [
        FamilySamples::new(CPU).with(vec![("name", "x".into()), ("image", String::new())], 0.25),
        FamilySamples::single(MEMORY, 1.0),
    ];
    let mut table = table();
    table.begin();
    for family in &families {
        family.put_into(&mut table);
    }
    for format in [Format::Prometheus, Format::OpenMetrics] {
        assert_eq!(render(&families, format), table.text(format));
    }
}

#[test]
fn the_format_follows_the_accept_header() {
    let prometheus = "application/openmetrics-text;version=1.0.0,\
                      application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    for (accept, expected) in [
        (None, Format::Prometheus),
        (Some("*/*"), Format::Prometheus),
        (Some("text/plain"), Format::Prometheus),
        (Some(prometheus), Format::OpenMetrics),
        (
            Some("application/openmetrics-text;version=9.0.0, text/plain"),
            Format::Prometheus,
        ),
        (
            Some("application/openmetrics-text;q=0.1,text/plain;q=0.5"),
            Format::Prometheus,
        ),
        (Some("application/openmetrics-text;q=0"), Format::Prometheus),
        (Some(";;q=,,="), Format::Prometheus),
    ] {
        assert_eq!(Format::from_accept(accept), expected, "{accept:?}");
    }
}

/// One sample line back into labels (with the name) and value.
fn parse_line(line: &str) -> (BTreeMap<String, String>, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let mut labels = BTreeMap::new();
    let (name, mut rest) = series.split_once('{').unwrap_or((series, "}"));
    labels.insert("__name__".to_owned(), name.to_owned());
    while rest != "}" {
        let (label, quoted) = rest.trim_start_matches(',').split_once("=\"").unwrap();
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => value.push(match characters.next().unwrap().1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.insert(label.to_owned(), value);
        rest = &quoted[end + 1..];
    }
    (labels, value.parse().unwrap())
}

proptest! {
    #[test]
    fn property_test_frames_and_text_hold_exactly_what_was_set(
        rounds in prop::collection::vec(
            prop::collection::btree_map(
                ("[a-c]", any::<String>(), prop::option::of("[a-z]{1,3}")),
                any::<f64>(),
                0..12,
            ),
            1..6,
        )
    ) {
        let mut table = table();
        let mut last: BTreeSet<BTreeMap<String, String>> = BTreeSet::new();
        for (index, values) in rounds.iter().enumerate() {
            table.begin();
            let mut expected: BTreeMap<BTreeMap<String, String>, u64> = BTreeMap::new();
            for ((family, name, guid), value) in values {
                let family = match family.as_str() { "a" => CPU, "b" => MEMORY, _ => DELAY };
                let suffix = if family.kind == MetricType::Histogram { Suffix::Sum } else { Suffix::None };
                let guid = guid.as_deref().unwrap_or("");
                table.put(&family, suffix, &[("name", name), ("guid", guid)], *value);
                let mut labels = BTreeMap::from([
                    ("__name__".to_owned(), format!("{}{}", family.name, suffix.as_str())),
                ]);
                for (label, value) in [("name", name.as_str()), ("guid", guid)] {
                    if !value.is_empty() {
                        labels.insert(label.to_owned(), value.to_owned());
                    }
                }
                expected.insert(labels, value.to_bits());
            }
            for line in table.text(Format::Prometheus).split('\n').filter(|line| !line.is_empty() && !line.starts_with('#')) {
                let (labels, value) = parse_line(line);
                let bits = expected.get(&labels).copied().map(f64::from_bits);
                prop_assert!(bits.is_some(), "{line}");
                prop_assert!(bits.is_some_and(|bits| bits == value || bits.is_nan() && value.is_nan()));
            }
            let current: BTreeSet<_> = expected.keys().cloned().collect();
            for ended in last.difference(&current) {
                expected.insert(ended.clone(), STALE_NAN);
            }
            let mut sent = BTreeMap::new();
            for (labels, bits, at) in round(&mut table, index as i64) {
                prop_assert!(labels.is_sorted(), "{labels:?}");
                prop_assert_eq!(at, index as i64);
                sent.insert(labels.into_iter().collect::<BTreeMap<_, _>>(), bits);
            }
            prop_assert_eq!(&sent, &expected);
            last = current;
        }
    }
}
