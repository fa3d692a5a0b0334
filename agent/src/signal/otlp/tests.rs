#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::prelude::*;
use prost::Message as _;
use rand::Rng as _;

use super::generate::{logs, metrics, string, traces};
use super::{OtlpSplicer, SplicedOtlp, messages};
use crate::config::Guid;
use crate::signal::malformed::Malformed;
use crate::signal::tag::{Apps, Policy, Tag};
use crate::signal::wire::Cursor;
use crate::signal::{Signal, schema, weird};

/// What the three requests have in common, for the naive way.
trait Request: prost::Message + Default + PartialEq + Clone + std::fmt::Debug {
    /// Each resource with the records under it.
    fn resources(&mut self) -> Vec<(&mut Option<Resource>, u32)>;
}

impl Request for ExportMetricsServiceRequest {
    fn resources(&mut self) -> Vec<(&mut Option<Resource>, u32)> {
        let points = |data: &Data| match data {
            Data::Gauge(it) => it.data_points.len(),
            Data::Sum(it) => it.data_points.len(),
            Data::Histogram(it) => it.data_points.len(),
            Data::ExponentialHistogram(it) => it.data_points.len(),
            Data::Summary(it) => it.data_points.len(),
        };
        self.resource_metrics
            .iter_mut()
            .map(|entry| {
                let metrics = entry.scope_metrics.iter().flat_map(|it| &it.metrics);
                let count: usize = metrics.filter_map(|it| it.data.as_ref()).map(points).sum();
                (&mut entry.resource, count as u32)
            })
            .collect()
    }
}

impl Request for ExportLogsServiceRequest {
    fn resources(&mut self) -> Vec<(&mut Option<Resource>, u32)> {
        self.resource_logs
            .iter_mut()
            .map(|entry| {
                let count: usize = entry.scope_logs.iter().map(|it| it.log_records.len()).sum();
                (&mut entry.resource, count as u32)
            })
            .collect()
    }
}

impl Request for ExportTraceServiceRequest {
    fn resources(&mut self) -> Vec<(&mut Option<Resource>, u32)> {
        self.resource_spans
            .iter_mut()
            .map(|entry| {
                let count: usize = entry.scope_spans.iter().map(|it| it.spans.len()).sum();
                (&mut entry.resource, count as u32)
            })
            .collect()
    }
}

const CONTAINER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn host() -> Tag {
    Tag::new("host-1".parse().unwrap()).with_container(CONTAINER, "web")
}

/// What a decoder, an editor and an encoder would make of a request. Attributes are put in order,
/// which means nothing.
fn naive<R: Request>(mut request: R, trusted: bool) -> (R, SplicedOtlp) {
    let mut spliced = SplicedOtlp::default();
    let mut counts = BTreeMap::<Guid, u32>::new();
    for (resource, records) in request.resources() {
        spliced.resources += 1;
        let attributes = &mut resource.get_or_insert_default().attributes;
        let text = |pair: &KeyValue| match pair.value.as_ref()?.value.as_ref()? {
            Value::StringValue(text) => text.parse::<Guid>().ok(),
            _ => None,
        };
        let owns: Vec<Option<Guid>> = attributes
            .iter()
            .filter(|pair| pair.key == "guid")
            .map(text)
            .collect();
        let host: Guid = "host-1".parse().unwrap();
        let believed = owns
            .iter()
            .flatten()
            .find(|guid| trusted || **guid == host)
            .cloned();
        spliced.forged += u32::from(owns.len() > usize::from(believed.is_some()));
        attributes.retain(|pair| pair.key != "guid");
        if !trusted {
            for (key, value) in [
                ("container.id", CONTAINER),
                ("container.name", "web"),
                (
                    "service.instance.id",
                    "30ee4c4d-d679-5ee6-b367-7e0a59397972",
                ),
            ] {
                if attributes.iter().all(|pair| pair.key != key) {
                    attributes.push(string(key, value));
                }
            }
        }
        let guid = believed.unwrap_or(host);
        attributes.push(string("guid", guid.as_str()));
        if records > 0 {
            *counts.entry(guid).or_default() += records;
        }
    }
    spliced.counts = counts.into_iter().collect();
    (sorted(request), spliced)
}

fn sorted<R: Request>(mut request: R) -> R {
    for (resource, _) in request.resources() {
        if let Some(resource) = resource {
            resource
                .attributes
                .sort_by(|left, right| format!("{left:?}").cmp(&format!("{right:?}")));
        }
    }
    request
}

fn splice(signal: Signal, raw: &[u8], trusted: bool) -> Result<(Vec<u8>, SplicedOtlp), Malformed> {
    let host = host();
    let policy = if trusted {
        Policy::Trust { fallback: &host }
    } else {
        Policy::Always(&host)
    };
    let mut out = vec![7];
    let mut spliced = OtlpSplicer::default().splice(signal, raw, policy, &mut out)?;
    spliced.counts.sort();
    Ok((out, spliced))
}

fn check<R: Request>(
    signal: Signal,
    request: &R,
    trusted: bool,
    odds: f64,
    mutate: bool,
    rng: &mut rand::rngs::StdRng,
) {
    let (message, _) = messages(signal);
    let mut raw = weird::rewrite(&request.encode_to_vec(), message, odds, rng);
    if mutate {
        raw = weird::mutate(&raw, rng);
    }
    // As deep as it is, and so deep that the bound is met somewhere inside.
    for depth in [1, schema::MAX_DEPTH - rng.random_range(0..8)] {
        assert_eq!(
            schema::check(&mut Cursor::new(&raw), &raw, message, depth),
            schema::check_carefully(&mut Cursor::new(&raw), &raw, message, depth),
            "short cuts change nothing"
        );
    }
    let decoded = R::decode(&raw[..]);
    match splice(signal, &raw, trusted) {
        Ok((out, spliced)) => {
            let decoded = decoded.expect("what is accepted decodes");
            if !mutate {
                assert_eq!(&decoded, request);
            }
            let (expected, mut counts) = naive(decoded, trusted);
            if mutate {
                // A metric of two types is possible; a decoder sees only the last one's points.
                counts.counts.clone_from(&spliced.counts);
            }
            assert_eq!(spliced, counts);
            assert_eq!(sorted(R::decode(&out[..]).unwrap()), expected);
            let (again, _) = splice(signal, &out, trusted).unwrap();
            assert_eq!(again, out, "a second splice changes nothing");
        }
        Err(error) => assert!(mutate, "refused: {error}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("GUIDON_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(200)
    ))]

    #[test]
    fn property_test_splice_equals_decode_edit_encode(
        mut rng in weird::seeds(), trusted: bool, mutate: bool,
        odds in prop_oneof![Just(0.0), 0.0..0.4f64]
    ) {
        let request = metrics(&mut rng);
        check(Signal::Metrics, &request, trusted, odds, mutate, &mut rng);
        let request = logs(&mut rng);
        check(Signal::Logs, &request, trusted, odds, mutate, &mut rng);
        let request = traces(&mut rng);
        check(Signal::Traces, &request, trusted, odds, mutate, &mut rng);
    }
}

#[test]
fn nesting_is_bounded_below_what_the_official_decoders_take() {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue};
    use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
    let nested = |depth: usize| {
        let mut body = AnyValue {
            value: Some(Value::StringValue("deep".to_owned())),
        };
        for _ in 0..depth {
            body = AnyValue {
                value: Some(Value::ArrayValue(ArrayValue { values: vec![body] })),
            };
        }
        ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                scope_logs: vec![ScopeLogs {
                    log_records: vec![LogRecord {
                        body: Some(body),
                        ..LogRecord::default()
                    }],
                    ..ScopeLogs::default()
                }],
                ..ResourceLogs::default()
            }],
        }
        .encode_to_vec()
    };
    let (out, _) = splice(Signal::Logs, &nested(29), false).unwrap();
    ExportLogsServiceRequest::decode(&out[..]).unwrap();
    let error = splice(Signal::Logs, &nested(30), false).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("messages are nested more than 64 deep"),
        "{error}"
    );
    // Far deeper than any stack, by hand.
    let mut bytes = Vec::new();
    for number in (0..4000).map(|level| [1, 5][level % 2]).chain([5, 2, 2, 1]) {
        let mut outer = Vec::new();
        crate::signal::wire::put_len(&mut outer, number, &bytes);
        bytes = outer;
    }
    let error = splice(Signal::Logs, &bytes, false).unwrap_err();
    assert!(error.to_string().contains("nested more than 64 deep"));
}

#[test]
fn a_refusal_says_what_where() {
    let refuse = |raw: &[u8]| splice(Signal::Traces, raw, false).unwrap_err().to_string();
    assert_eq!(
        refuse(&[0x08, 0x01]),
        "byte 0: field 1 of ExportTraceServiceRequest has the wrong wire type"
    );
    // ResourceSpans, ScopeSpans, Span, trace id of three bytes.
    assert_eq!(
        refuse(&[0x0a, 9, 0x12, 7, 0x12, 5, 0x0a, 3, 1, 2, 3]),
        "resource 0, byte 8: traceId is 3 bytes long, not 16 or none"
    );
    // Resource, attribute, key.
    assert_eq!(
        refuse(&[0x0a, 0, 0x0a, 7, 0x0a, 5, 0x0a, 3, 0x0a, 1, 0xff]),
        "resource 1, byte 10: key is not valid UTF-8"
    );
    assert_eq!(
        refuse(&[0x0a, 200]),
        "byte 1: ends in the middle of a field"
    );
}

#[test]
fn what_a_relay_passes_on_is_the_apps_whose_host_it_names() {
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

    let host = host();
    let host_guid = host.guid().as_str();
    let app = |name: &str| (name == "app-9").then(|| name.parse().unwrap());
    let policy = Policy::Relay {
        fallback: &host,
        apps: Apps(&app),
    };
    for (own, host_name, expected, forged) in [
        (None, Some("app-9"), "app-9", 0),
        (Some(host_guid), Some("app-9"), "app-9", 0),
        (Some("app-2"), Some("app-9"), "app-2", 0),
        (Some("No Guid"), Some("app-9"), "app-9", 1),
        (None, Some("elsewhere"), host_guid, 0),
        (Some(host_guid), None, host_guid, 0),
    ] {
        let given = [("guid", own), ("host.name", host_name)];
        let given = given
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource {
                    attributes: given.map(|(key, value)| string(key, value)).collect(),
                    ..Resource::default()
                }),
                scope_spans: vec![ScopeSpans {
                    spans: vec![Span::default()],
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        let mut out = Vec::new();
        let raw = request.encode_to_vec();
        let spliced = OtlpSplicer::default().splice(Signal::Traces, &raw, policy, &mut out);
        let spliced = spliced.unwrap();
        let case = format!("{own:?} {host_name:?}");
        let read = ExportTraceServiceRequest::decode(&out[..]).unwrap();
        let resource = read.resource_spans[0].resource.as_ref().unwrap();
        let guids = resource.attributes.iter().filter(|it| it.key == "guid");
        assert_eq!(
            guids.collect::<Vec<_>>(),
            [&string("guid", expected)],
            "{case}"
        );
        assert_eq!(spliced.counts[0].0.as_str(), expected, "{case}");
        assert_eq!(spliced.forged, forged, "{case}");
    }
}
