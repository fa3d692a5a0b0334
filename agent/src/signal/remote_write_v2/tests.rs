#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use proptest::prelude::*;
use prost::Message as _;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::{EncoderV2, Transcoder, encode_v2};
use crate::signal::malformed::Malformed;
use crate::signal::remote_write::prom::{self, v2};
use crate::signal::remote_write::tests::{histogram, naive, sample};
use crate::signal::remote_write::{SeriesLimits, Spliced, Splicer};
use crate::signal::schema::{REQUEST_V2, WRITE_REQUEST};
use crate::signal::tag::{Policy, Tag};
use crate::signal::weird;

fn transcode(raw: &[u8], trusted: bool) -> Result<(Vec<u8>, Spliced), Malformed> {
    let host = Tag::new("host-1".parse().unwrap());
    let policy = if trusted {
        Policy::Trust { fallback: &host }
    } else {
        Policy::Always(&host)
    };
    let mut out = vec![9];
    let spliced =
        Transcoder::default().transcode(raw, policy, &SeriesLimits::default(), &mut out)?;
    Ok((out, spliced))
}

const SYMBOLS: &[&str] = &[
    "", "__name__", "a", "guid", "app-1", "App", "zone", "up", "x_bucket", "x_sum", "help me",
    "größe",
];

fn refs(rng: &mut StdRng) -> Vec<u32> {
    let mut names: Vec<u32> = (0..rng.random_range(1..5))
        .map(|_| *[1u32, 2, 3, 6, 11].choose(rng).unwrap())
        .collect();
    if rng.random_bool(0.9) {
        names.sort();
        names.dedup();
    }
    names
        .into_iter()
        .flat_map(|name| {
            let from = u32::from(rng.random_bool(0.9));
            [name, rng.random_range(from..12)]
        })
        .collect()
}

fn request(rng: &mut StdRng) -> v2::Request {
    let timeseries = (0..rng.random_range(0..5))
        .map(|_| {
            let histograms = rng.random_bool(0.3);
            v2::TimeSeries {
                labels_refs: refs(rng),
                samples: (0..rng.random_range(0..3) * u32::from(!histograms))
                    .map(|_| sample(rng))
                    .collect(),
                histograms: (0..rng.random_range(0..3) * u32::from(histograms))
                    .map(|_| histogram(rng))
                    .collect(),
                exemplars: (0..rng.random_range(0..2))
                    .map(|_| v2::Exemplar {
                        labels_refs: refs(rng),
                        value: rng.random(),
                        timestamp: rng.random(),
                    })
                    .collect(),
                metadata: rng.random_bool(0.5).then(|| v2::Metadata {
                    r#type: rng.random_range(0..8),
                    help_ref: rng.random_range(0..2) * 10,
                    unit_ref: 0,
                }),
            }
        })
        .collect();
    v2::Request {
        symbols: SYMBOLS.iter().map(|&symbol| symbol.to_owned()).collect(),
        timeseries,
    }
}

fn resolve(symbols: &[String], refs: &[u32]) -> Option<Vec<prom::Label>> {
    if !refs.len().is_multiple_of(2) {
        return None;
    }
    refs.chunks(2)
        .map(|pair| {
            Some(prom::Label {
                name: symbols.get(pair[0] as usize)?.clone(),
                value: symbols.get(pair[1] as usize)?.clone(),
            })
        })
        .collect()
}

/// The request as 1.0, by the book; `None`: it is to be refused.
fn downgrade(request: &v2::Request) -> Option<prom::WriteRequest> {
    let mut described = Vec::new();
    let mut out = prom::WriteRequest::default();
    if request
        .symbols
        .first()
        .is_some_and(|first| !first.is_empty())
    {
        return None;
    }
    for series in &request.timeseries {
        if !series.samples.is_empty() && !series.histograms.is_empty() {
            return None;
        }
        let labels = resolve(&request.symbols, &series.labels_refs)?;
        if let Some(metadata) = &series.metadata {
            for reference in [metadata.help_ref, metadata.unit_ref] {
                if reference != 0 && reference as usize >= request.symbols.len() {
                    return None;
                }
            }
        }
        if let (Some(metadata), Some(name)) = (
            &series.metadata,
            labels
                .iter()
                .find(|label| label.name == "__name__" && !label.value.is_empty()),
        ) && (metadata.r#type, metadata.help_ref, metadata.unit_ref) != (0, 0, 0)
            && !described.contains(&name.value)
        {
            described.push(name.value.clone());
            let suffixes: &[&str] = match metadata.r#type {
                3 => &["_bucket", "_sum", "_count"],
                5 => &["_sum", "_count"],
                _ => &[],
            };
            let family = suffixes
                .iter()
                .find_map(|suffix| name.value.strip_suffix(suffix))
                .unwrap_or(&name.value);
            let text = |reference: u32| {
                let symbol = request.symbols.get(reference as usize);
                symbol.cloned().unwrap_or_default()
            };
            out.metadata.push(prom::MetricMetadata {
                r#type: metadata.r#type,
                metric_family_name: family.to_owned(),
                help: text(metadata.help_ref),
                unit: text(metadata.unit_ref),
            });
        }
        let exemplars = series
            .exemplars
            .iter()
            .map(|exemplar| {
                Some(prom::Exemplar {
                    labels: resolve(&request.symbols, &exemplar.labels_refs)?,
                    value: exemplar.value,
                    timestamp: exemplar.timestamp,
                })
            })
            .collect::<Option<_>>()?;
        out.timeseries.push(prom::TimeSeries {
            labels,
            samples: series.samples.clone(),
            exemplars,
            histograms: series.histograms.clone(),
        });
    }
    Some(out)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("GUIDON_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(500)
    ))]

    #[test]
    fn property_test_transcode_equals_decode_edit_encode(
        mut rng in weird::seeds(), trusted: bool, odds in prop_oneof![Just(0.0), 0.0..0.5f64],
        mutations in 0..2
    ) {
        let plain = request(&mut rng).encode_to_vec();
        let mut raw = weird::rewrite(&plain, &REQUEST_V2, odds, &mut rng);
        if mutations == 1 {
            raw = weird::mutate(&raw, &mut rng);
        }
        let decoded = v2::Request::decode(&raw[..]);
        if mutations == 0 {
            prop_assert_eq!(&decoded.clone().unwrap(), &v2::Request::decode(&plain[..]).unwrap());
        }
        let expected = decoded
            .ok()
            .and_then(|request| downgrade(&request))
            .and_then(|request| naive(request, "host-1", trusted));
        match (transcode(&raw, trusted), expected) {
            (Ok((out, mut spliced)), Some((request, counts))) => {
                spliced.counts.sort();
                prop_assert_eq!(spliced, counts);
                prop_assert_eq!(prom::WriteRequest::decode(&out[..]).unwrap(), request);
            }
            (Ok(_), None) => prop_assert!(false, "accepted what must be refused"),
            (Err(error), Some(_)) => prop_assert!(mutations == 1, "refused: {error}"),
            (Err(_), None) => {}
        }
    }

    #[test]
    fn property_test_a_frame_encoded_as_2_0_and_back_is_the_same(
        mut rng in weird::seeds(), odds in 0.0..0.3f64
    ) {
        let request = downgrade(&request(&mut rng)).unwrap();
        let raw = weird::rewrite(&request.encode_to_vec(), &WRITE_REQUEST, odds, &mut rng);
        let host = Tag::new("host-1".parse().unwrap());
        let policy = Policy::Always(&host);
        let (mut v1, mut as_v2) = (Vec::new(), Vec::new());
        if Splicer::default()
            .splice(&raw, policy, &SeriesLimits::default(), &mut v1)
            .is_ok()
        {
            encode_v2(&v1, &mut as_v2).unwrap();
            let decoded = v2::Request::decode(&as_v2[..]).unwrap();
            let mut symbols = decoded.symbols.clone();
            symbols.sort();
            symbols.dedup();
            prop_assert_eq!(symbols.len(), decoded.symbols.len(), "symbols are unique");
            // And our own 2.0 receiver takes it.
            let (again, _) = transcode(&as_v2, false).unwrap();
            let expected = prom::WriteRequest::decode(&v1[..]).unwrap();
            let again = prom::WriteRequest::decode(&again[..]).unwrap();
            prop_assert_eq!(again.timeseries, expected.timeseries);
            // Metadata finds its way where a series of the family is there.
            for metadata in again.metadata {
                let same = |known: &prom::MetricMetadata| {
                    (known.r#type, &known.help) == (metadata.r#type, &metadata.help)
                };
                prop_assert!(expected.metadata.iter().any(same));
            }
        }
    }
}

#[test]
fn an_encoder_that_is_kept_remembers_nothing_of_the_request_before() {
    let request = |values: [&str; 2]| {
        let series = values.map(|value| prom::TimeSeries {
            labels: vec![prom::Label {
                name: "a".to_owned(),
                value: value.to_owned(),
            }],
            samples: vec![prom::Sample::default()],
            ..prom::TimeSeries::default()
        });
        prom::WriteRequest {
            timeseries: series.to_vec(),
            metadata: Vec::new(),
        }
        .encode_to_vec()
    };
    let mut kept = EncoderV2::default();
    let mut out = Vec::new();
    // The second one has the same where the first one ended as where it begins itself.
    for values in [["x", "y"], ["z", "z"], ["z", "x"]] {
        let raw = request(values);
        kept.encode(&raw, &mut out).unwrap();
        let mut fresh = Vec::new();
        encode_v2(&raw, &mut fresh).unwrap();
        assert_eq!(out, fresh);
        let (again, _) = transcode(&out, true).unwrap();
        let again = prom::WriteRequest::decode(&again[..]).unwrap();
        let found: Vec<&str> = again
            .timeseries
            .iter()
            .map(|series| series.labels[0].value.as_str())
            .collect();
        assert_eq!(found, values);
    }
}

fn refusal(request: &v2::Request) -> String {
    transcode(&request.encode_to_vec(), false)
        .unwrap_err()
        .to_string()
}

#[test]
fn a_refusal_says_what_where() {
    let symbols = |list: &[&str]| list.iter().map(|&symbol| symbol.to_owned()).collect();
    let request = |symbols, labels_refs| v2::Request {
        symbols,
        timeseries: vec![v2::TimeSeries {
            labels_refs,
            ..v2::TimeSeries::default()
        }],
    };
    assert_eq!(
        refusal(&request(symbols(&["a", "b"]), vec![0, 1])),
        "byte 2: first symbol is not the empty string"
    );
    assert_eq!(
        refusal(&request(symbols(&["", "a"]), vec![1])),
        "time series 0, byte 7: odd number of label references"
    );
    assert_eq!(
        refusal(&request(symbols(&["", "a"]), vec![1, 9])),
        "time series 0, byte 10: reference 9 is outside of the 2 symbols"
    );
    assert_eq!(
        refusal(&request(symbols(&["", "a"]), vec![0, 1])),
        "time series 0, byte 7: label name is empty"
    );
    assert_eq!(
        refusal(&request(symbols(&["", "a"]), vec![1, 1, 1, 1])),
        "time series 0, byte 7: label \"a\" is there twice"
    );
    assert_eq!(
        refusal(&request(symbols(&["", "a"]), vec![])),
        "time series 0, byte 7: series has no label"
    );
}

#[test]
fn references_cannot_make_a_giant_of_a_small_request() {
    let mut symbols = vec![String::new()];
    symbols.extend((0..100).map(|index| format!("{index:03}")));
    symbols.push("v".repeat(16 << 10));
    let labels_refs: Vec<u32> = (1..=100).flat_map(|name| [name, 101]).collect();
    let series = v2::TimeSeries {
        labels_refs: labels_refs.clone(),
        ..v2::TimeSeries::default()
    };
    let many = v2::Request {
        symbols: symbols.clone(),
        timeseries: vec![series.clone(); 1000],
    };
    assert!(refusal(&many).ends_with("references resolved, is longer than 67108864 bytes"));
    let exemplars = v2::Request {
        symbols,
        timeseries: vec![v2::TimeSeries {
            exemplars: vec![
                v2::Exemplar {
                    labels_refs,
                    ..v2::Exemplar::default()
                };
                1000
            ],
            ..series
        }],
    };
    assert!(refusal(&exemplars).ends_with("references resolved, is longer than 67108864 bytes"));
}
