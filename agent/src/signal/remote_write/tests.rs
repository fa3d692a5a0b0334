#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use proptest::prelude::*;
use prost::Message as _;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

use super::prom::{
    BucketSpan, Exemplar, Histogram, Label, MetricMetadata, Sample, TimeSeries, WriteRequest,
};
use super::{SeriesLimits, Spliced, Splicer};
use crate::signal::malformed::Malformed;
use crate::signal::schema::WRITE_REQUEST;
use crate::signal::tag::{Policy, Tag};
use crate::signal::weird;

fn tag(guid: &str) -> Tag {
    Tag::new(guid.parse().unwrap())
}

fn splice(raw: &[u8], policy: Policy<'_>) -> Result<(Vec<u8>, Spliced), Malformed> {
    let mut out = vec![1, 2, 3];
    let spliced = Splicer::default().splice(raw, policy, &SeriesLimits::default(), &mut out)?;
    Ok((out, spliced))
}

const NAMES: &[&str] = &[
    "__name__",
    "a",
    "abcdefgh",
    "abcdefghi",
    "abcdefghij",
    "gui",
    "guid",
    "guid\0",
    "guid_",
    "guie",
    "h",
    "instance",
    "job",
    "le",
    "z",
    "ü",
    "zone",
];
const VALUES: &[&str] = &["", "1", "app-1", "app-2", "App", "node", "größe", "+Inf"];

/// A label set as senders make them, and as they should not.
fn labels(rng: &mut StdRng) -> Vec<Label> {
    let mut labels: Vec<Label> = (0..rng.random_range(0..8))
        .map(|_| Label {
            name: (*NAMES.choose(rng).unwrap()).to_owned(),
            value: match rng.random_range(0..20) {
                0 => String::new(),
                1 => "long".repeat(rng.random_range(1..400)),
                _ => (*VALUES[1..].choose(rng).unwrap()).to_owned(),
            },
        })
        .collect();
    if rng.random_bool(0.9) {
        labels.sort();
        labels.dedup_by(|left, right| left.name == right.name);
    }
    if rng.random_bool(0.02) {
        labels.push(Label::default());
    }
    labels
}

pub(crate) fn histogram(rng: &mut StdRng) -> Histogram {
    let float = rng.random_bool(0.5);
    Histogram {
        count_int: (!float).then(|| rng.random()),
        count_float: float.then(|| rng.random()),
        sum: rng.random(),
        schema: rng.random_range(-4..9),
        positive_spans: vec![BucketSpan {
            offset: -3,
            length: 2,
        }],
        positive_deltas: vec![1, -1, rng.random()],
        negative_counts: vec![rng.random(), 0],
        timestamp: rng.random(),
        start_timestamp: rng.random_range(0..2),
        ..Histogram::default()
    }
}

pub(crate) fn sample(rng: &mut StdRng) -> Sample {
    Sample {
        value: if rng.random_bool(0.2) {
            0x7ff0_0000_0000_0002
        } else {
            f64::from(rng.random_range(0..5)).to_bits()
        },
        timestamp: if rng.random_bool(0.1) {
            rng.random()
        } else {
            1_700_000_000_000
        },
        start_timestamp: rng.random_range(0..2),
    }
}

fn request(rng: &mut StdRng) -> WriteRequest {
    let timeseries = (0..rng.random_range(0..5))
        .map(|_| TimeSeries {
            labels: labels(rng),
            samples: (0..rng.random_range(0..3)).map(|_| sample(rng)).collect(),
            exemplars: (0..rng.random_range(0..2))
                .map(|_| Exemplar {
                    labels: labels(rng),
                    value: rng.random(),
                    timestamp: rng.random(),
                })
                .collect(),
            histograms: (0..rng.random_range(0..5) / 3)
                .map(|_| histogram(rng))
                .collect(),
        })
        .collect();
    let metadata = (0..rng.random_range(0..2))
        .map(|_| MetricMetadata {
            r#type: rng.random_range(0..8),
            metric_family_name: "family".to_owned(),
            help: "what it is".to_owned(),
            unit: String::new(),
        })
        .collect();
    WriteRequest {
        timeseries,
        metadata,
    }
}

/// What a decoder, an editor and an encoder would make of a request; `None`: it is to be refused.
pub(crate) fn naive(
    mut request: WriteRequest,
    host: &str,
    trusted: bool,
) -> Option<(WriteRequest, Spliced)> {
    let mut spliced = Spliced {
        metadata: request.metadata.len() as u32,
        ..Spliced::default()
    };
    let mut counts = std::collections::BTreeMap::<String, u32>::new();
    for series in &mut request.timeseries {
        if series.labels.iter().any(|label| label.name.is_empty()) {
            return None;
        }
        series.labels.retain(|label| !label.value.is_empty());
        series.labels.sort();
        if series.labels.is_empty()
            || series
                .labels
                .windows(2)
                .any(|pair| pair[0].name == pair[1].name)
        {
            return None;
        }
        let own = series
            .labels
            .iter()
            .find(|label| label.name == "guid")
            .map(|label| label.value.clone());
        let guid = match &own {
            Some(own) if trusted && crate::config::Guid::is_valid(own) => own.clone(),
            _ => host.to_owned(),
        };
        spliced.forged += u32::from(own.is_some_and(|own| own != guid));
        series.labels.retain(|label| label.name != "guid");
        series.labels.push(Label {
            name: "guid".to_owned(),
            value: guid.clone(),
        });
        series.labels.sort();
        spliced.series += 1;
        spliced.samples += series.samples.len() as u32;
        spliced.histograms += series.histograms.len() as u32;
        spliced.exemplars += series.exemplars.len() as u32;
        let records = series.samples.len() + series.histograms.len();
        if records > 0 {
            *counts.entry(guid).or_default() += records as u32;
        }
    }
    spliced.counts = counts
        .into_iter()
        .map(|(guid, count)| (guid.parse().unwrap(), count))
        .collect();
    Some((request, spliced))
}

/// Splices and compares with the naive way.
fn check(raw: &[u8], trusted: bool) {
    let host = tag("host-1");
    let policy = if trusted {
        Policy::Trust { fallback: &host }
    } else {
        Policy::Always(&host)
    };
    let decoded = WriteRequest::decode(raw);
    let expected = decoded
        .ok()
        .and_then(|request| naive(request, "host-1", trusted));
    match (splice(raw, policy), expected) {
        (Ok((out, mut spliced)), Some((request, counts))) => {
            spliced.counts.sort();
            assert_eq!(spliced, counts);
            assert_eq!(WriteRequest::decode(&out[..]).unwrap(), request);
            let (again, second) = splice(&out, policy).expect("the output is acceptable");
            assert_eq!(again, out, "a second splice changes nothing");
            assert_eq!(second.forged, 0);
        }
        (Err(_), None) => {}
        (Ok(_), None) => panic!("accepted what must be refused"),
        (Err(error), Some(_)) => panic!("refused: {error}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("GUIDON_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(500)
    ))]

    #[test]
    fn property_test_splice_equals_decode_edit_encode(
        mut rng in weird::seeds(), trusted: bool, odds in prop_oneof![Just(0.0), 0.0..0.5f64]
    ) {
        let plain = request(&mut rng).encode_to_vec();
        let raw = weird::rewrite(&plain, &WRITE_REQUEST, odds, &mut rng);
        prop_assert_eq!(
            WriteRequest::decode(&raw[..]).unwrap(),
            WriteRequest::decode(&plain[..]).unwrap()
        );
        check(&raw, trusted);
    }

    #[test]
    fn property_test_mutated_requests_never_panic_and_what_is_accepted_decodes(
        mut rng in weird::seeds(), trusted: bool
    ) {
        let plain = request(&mut rng).encode_to_vec();
        let raw = weird::rewrite(&plain, &WRITE_REQUEST, 0.1, &mut rng);
        let raw = weird::mutate(&raw, &mut rng);
        let host = tag("host-1");
        if let Ok((out, _)) = splice(&raw, if trusted {
            Policy::Trust { fallback: &host }
        } else {
            Policy::Always(&host)
        }) {
            // Groups apart, which only their decoder takes, both agree on what is legal.
            let theirs = WriteRequest::decode(&raw[..]).expect("what is accepted decodes");
            let (expected, _) = naive(theirs, "host-1", trusted).expect("and is acceptable");
            prop_assert_eq!(WriteRequest::decode(&out[..]).unwrap(), expected);
        }
    }
}

fn series(labels: &[(&str, &str)]) -> TimeSeries {
    TimeSeries {
        labels: labels
            .iter()
            .map(|&(name, value)| Label {
                name: name.to_owned(),
                value: value.to_owned(),
            })
            .collect(),
        samples: vec![Sample {
            value: 0,
            timestamp: 1,
            start_timestamp: 0,
        }],
        ..TimeSeries::default()
    }
}

fn refusal(timeseries: Vec<TimeSeries>) -> String {
    let raw = WriteRequest {
        timeseries,
        metadata: Vec::new(),
    }
    .encode_to_vec();
    splice(&raw, Policy::Always(&tag("host-1")))
        .unwrap_err()
        .to_string()
}

#[test]
fn a_refusal_says_what_where() {
    let good = series(&[("__name__", "up")]);
    assert_eq!(
        refusal(vec![good.clone(), series(&[("__name__", "up"), ("", "x")])]),
        "time series 1, byte 42: label name is empty"
    );
    assert_eq!(
        refusal(vec![series(&[("a", "1"), ("a", "1")])]),
        "time series 0, byte 12: label \"a\" is there twice"
    );
    assert_eq!(
        refusal(vec![good.clone(), good, TimeSeries::default()]),
        "time series 2, byte 46: series has no label"
    );
    let many: Vec<(String, String)> = (0..200)
        .map(|index| (format!("l{index:03}"), "v".to_owned()))
        .collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert!(refusal(vec![series(&many)]).ends_with(": more than 128 labels"));
    let long = "v".repeat(20_000);
    assert!(
        refusal(vec![series(&[("a", &long)])])
            .ends_with(": label value is longer than 16384 bytes")
    );
    assert!(
        refusal(vec![series(&[(&long, "v")])]).ends_with(": label name is longer than 1024 bytes")
    );

    let host = tag("host-1");
    let refuse = |raw: &[u8]| splice(raw, Policy::Always(&host)).unwrap_err().to_string();
    assert_eq!(
        refuse(&[0x0a, 0x05, 0x0a]),
        "byte 1: ends in the middle of a field"
    );
    assert_eq!(
        refuse(&[0x0a, 0x06, 0x0a, 0x04, 0x0a, 0x02, 0xff, 0xfe]),
        "time series 0, byte 6: label name is not valid UTF-8"
    );
    assert_eq!(
        refuse(&[0x08, 0x01]),
        "byte 0: field 1 of WriteRequest has the wrong wire type"
    );
    assert_eq!(
        refuse(&[0x0a, 0x02, 0x10, 0x01]),
        "time series 0, byte 2: field 2 of TimeSeries has the wrong wire type"
    );
    assert_eq!(refuse(&[0x53]), "byte 0: protobuf groups are not allowed");
}

#[test]
fn unknown_fields_survive_everywhere() {
    let host = tag("h");
    // Label with field 7, series with field 9, request with field 15.
    let raw = [
        &[0x0a, 0x12][..],
        &[0x0a, 0x08, 0x0a, 0x01, b'z', 0x12, 0x01, b'v', 0x38, 0x05],
        &[0x48, 0x63],
        &[0x0a, 0x04, 0x0a, 0x00, 0x12, 0x00],
        &[0x78, 0x21],
    ]
    .concat();
    // The second label has an empty name: make it a proper one.
    let mut raw = raw;
    raw.splice(14..20, [0x48, 0x64, 0x48, 0x65, 0x48, 0x66]);
    let (out, _) = splice(&raw, Policy::Always(&host)).unwrap();
    let expected = [
        &[0x0a, 0x1d][..],
        &[
            0x0a, 0x09, 0x0a, 0x04, b'g', b'u', b'i', b'd', 0x12, 0x01, b'h',
        ],
        &[0x0a, 0x08, 0x0a, 0x01, b'z', 0x12, 0x01, b'v', 0x38, 0x05],
        &[0x48, 0x63, 0x48, 0x64, 0x48, 0x65, 0x48, 0x66],
        &[0x78, 0x21],
    ]
    .concat();
    assert_eq!(out, expected);
}

#[test]
fn large_shuffled_requests_take_both_paths_alike() {
    let mut rng = <StdRng as rand::SeedableRng>::seed_from_u64(1);
    let mut request = WriteRequest::default();
    for index in 0..3000 {
        let mut labels: Vec<(String, String)> = (0..rng.random_range(5..40))
            .map(|label| (format!("label_{label:02}"), "value-é".repeat(index % 3 + 1)))
            .collect();
        if index % 7 == 0 {
            labels.push(("guid".to_owned(), "somebody-else".to_owned()));
        }
        if index % 5 == 0 {
            labels.shuffle(&mut rng);
        } else {
            labels.sort();
        }
        let labels: Vec<(&str, &str)> = labels
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        request.timeseries.push(series(&labels));
    }
    let raw = request.encode_to_vec();
    assert!(raw.len() > 1 << 20);
    check(&raw, false);
    check(&raw, true);
}
