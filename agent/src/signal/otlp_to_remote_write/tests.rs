#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use proptest::prelude::*;
use prost::Message as _;

use super::{Converted, convert};
use crate::signal::malformed::Malformed;
use crate::signal::otlp::{OtlpSplicer, generate};
use crate::signal::remote_write::prom::{Histogram, TimeSeries, WriteRequest};
use crate::signal::remote_write::{SeriesLimits, Splicer};
use crate::signal::tag::{Policy, Tag};
use crate::signal::{Signal, otlp_json, weird};

const STALE: u64 = 0x7ff0_0000_0000_0002;

fn run(request: &[u8], limit: usize) -> Result<(WriteRequest, Converted), Malformed> {
    let tag = Tag::new("app-1".parse().unwrap());
    let (mut tagged, mut out) = (Vec::new(), vec![1]);
    OtlpSplicer::default().splice(Signal::Metrics, request, Policy::Always(&tag), &mut tagged)?;
    let converted = convert(&tagged, limit, &mut out)?;
    Ok((WriteRequest::decode(&out[..]).unwrap(), converted))
}

/// Converts metrics, given as JSON, of a resource `shop/cart`.
fn metrics(metrics: &str) -> (WriteRequest, Converted) {
    let json = format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[
            {{"key":"service.namespace","value":{{"stringValue":"shop"}}}},
            {{"key":"service.name","value":{{"stringValue":"cart"}}}},
            {{"key":"host.name","value":{{"stringValue":"n1"}}}}]}},
            "scopeMetrics":[{{"scope":{{"name":"lib","version":"2"}},"metrics":[{metrics}]}}]}}]}}"#
    );
    let mut request = Vec::new();
    otlp_json::to_protobuf(Signal::Metrics, json.as_bytes(), 1 << 20, &mut request).unwrap();
    run(&request, 1 << 20).unwrap()
}

/// A series as text, without the labels that all have.
fn text(series: &TimeSeries) -> String {
    let mut name = String::new();
    let mut labels = Vec::new();
    let mut common = 0;
    for label in &series.labels {
        match (label.name.as_str(), label.value.as_str()) {
            ("__name__", value) => value.clone_into(&mut name),
            ("guid", "app-1")
            | ("job", "shop/cart")
            | ("otel_scope_name", "lib")
            | ("otel_scope_version", "2") => common += 1,
            (name, value) => labels.push(format!("{name}={value}")),
        }
    }
    assert!(series.labels.is_sorted(), "{series:?}");
    assert_eq!(
        common,
        if name == "target_info" { 2 } else { 4 },
        "{series:?}"
    );
    let values: Vec<String> = series
        .samples
        .iter()
        .map(|sample| match sample.value {
            STALE => format!("stale@{}", sample.timestamp),
            bits => format!("{}@{}", f64::from_bits(bits), sample.timestamp),
        })
        .collect();
    format!("{name}{{{}}} {}", labels.join(","), values.join(" "))
}

fn texts(request: &WriteRequest) -> Vec<String> {
    request.timeseries.iter().map(text).collect()
}

#[test]
fn numbers_become_gauges_and_counters() {
    let (request, converted) = metrics(
        r#"{"name":"queue.length","unit":"{item}","description":"how many",
            "gauge":{"dataPoints":[
              {"asInt":"-3","timeUnixNano":"5000000","attributes":[
                {"key":"queue.name","value":{"stringValue":"a"}},
                {"key":"queue_name","value":{"stringValue":"b"}},
                {"key":"guid","value":{"stringValue":"forged"}},
                {"key":"job","value":{"stringValue":"forged"}},
                {"key":"n","value":{"arrayValue":{"values":[{"intValue":"1"},{"boolValue":true}]}}}]},
              {"flags":1,"timeUnixNano":"6000000"},
              {"timeUnixNano":"6000000"}]}},
           {"name":"io","unit":"By","sum":{"aggregationTemporality":2,"isMonotonic":true,
            "dataPoints":[{"asDouble":1.5,"timeUnixNano":"7000000","exemplars":[
              {"asDouble":0.5,"timeUnixNano":"6000000","traceId":"5b8efff798038103d269b633813fc60c",
               "filteredAttributes":[{"key":"k","value":{"stringValue":"v"}}]}]}]}},
           {"name":"open","sum":{"aggregationTemporality":2,"dataPoints":[{"asInt":1}]}},
           {"name":"d","sum":{"aggregationTemporality":1,"dataPoints":[{"asInt":1}]}}"#,
    );
    assert_eq!(
        texts(&request),
        [
            "queue_length{n=[1,true],queue_name=a;b} -3@5",
            "queue_length{} stale@6",
            "io_bytes_total{} 1.5@7",
            "open{} 1@0",
            "target_info{host_name=n1} 1@7",
        ]
    );
    let exemplar = &request.timeseries[2].exemplars[0];
    let labels: Vec<&str> = exemplar.labels.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(labels, ["trace_id", "k"]);
    assert_eq!((exemplar.value, exemplar.timestamp), (0.5f64.to_bits(), 6));
    let described: Vec<(i32, &str, &str)> = request
        .metadata
        .iter()
        .map(|it| (it.r#type, it.metric_family_name.as_str(), it.help.as_str()))
        .collect();
    assert_eq!(
        described,
        [
            (2, "queue_length", "how many"),
            (1, "io_bytes_total", ""),
            (2, "open", "")
        ]
    );
    assert_eq!(converted.rejected, 2);
    assert_eq!(
        converted.message,
        "\"queue.length\": data point has no value"
    );
    assert_eq!(converted.written.counts, [("app-1".parse().unwrap(), 5)]);
    assert_eq!(converted.written.exemplars, 1);
}

#[test]
fn histograms_become_buckets_and_summaries_quantiles() {
    let (request, _) = metrics(
        r#"{"name":"wait","unit":"s","histogram":{"aggregationTemporality":2,"dataPoints":[
             {"count":"6","sum":4.5,"bucketCounts":["1","2","3"],"explicitBounds":[0.005,1],
              "timeUnixNano":"1000000","exemplars":[{"asDouble":0.5},{"asInt":"9"},{"asDouble":0.001}]},
             {"count":"2","timeUnixNano":"2000000"},
             {"count":"2","bucketCounts":["1","0","1"],"explicitBounds":[2,1]}]}},
           {"name":"old","summary":{"dataPoints":[{"count":"3","sum":1,"timeUnixNano":"1000000",
             "quantileValues":[{"quantile":0.5,"value":0.1},{"quantile":1,"value":0.9}]}]}}"#,
    );
    assert_eq!(
        texts(&request),
        [
            "wait_seconds_sum{} 4.5@1",
            "wait_seconds_count{} 6@1",
            "wait_seconds_bucket{le=0.005} 1@1",
            "wait_seconds_bucket{le=1} 3@1",
            "wait_seconds_bucket{le=+Inf} 6@1",
            "wait_seconds_count{} 2@2",
            "wait_seconds_bucket{le=+Inf} 2@2",
            "old_sum{} 1@1",
            "old_count{} 3@1",
            "old{quantile=0.5} 0.1@1",
            "old{quantile=1} 0.9@1",
            "target_info{host_name=n1} 1@2",
        ]
    );
    let exemplars: Vec<usize> = request.timeseries[2..5]
        .iter()
        .map(|series| series.exemplars.len())
        .collect();
    assert_eq!(exemplars, [1, 1, 1]);
}

/// What a native histogram says: boundary index and count of each bucket that is not empty.
fn buckets(spans: &[(i32, u32)], deltas: &[i64]) -> Vec<(i32, i64)> {
    let mut found = Vec::new();
    let (mut index, mut count) = (0, 0);
    let mut deltas = deltas.iter();
    for &(offset, length) in spans {
        index += offset;
        for _ in 0..length {
            count += deltas.next().unwrap();
            if count != 0 {
                found.push((index, count));
            }
            index += 1;
        }
    }
    assert!(deltas.next().is_none());
    found
}

#[test]
fn exponential_histograms_become_native_ones() {
    let (request, converted) = metrics(
        r#"{"name":"size","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[
             {"count":"12","sum":9.5,"scale":3,"zeroCount":"2","timeUnixNano":"1000000",
              "positive":{"offset":-2,"bucketCounts":["1","0","0","2","0","0","0","3"]},
              "negative":{"offset":5,"bucketCounts":["4"]}},
             {"count":"15","scale":10,"positive":{"offset":-5,"bucketCounts":["1","2","3","4","5"]}},
             {"count":"1","scale":-5},
             {"count":"1","flags":1,"sum":3},
             {"count":"1","scale":0,"positive":{"offset":2147483647,"bucketCounts":["0","1"]}}]}}"#,
    );
    let histograms: Vec<&Histogram> = request
        .timeseries
        .iter()
        .flat_map(|series| &series.histograms)
        .collect();
    let spans = |spans: &[crate::signal::remote_write::prom::BucketSpan]| {
        spans
            .iter()
            .map(|span| (span.offset, span.length))
            .collect::<Vec<_>>()
    };
    let first = histograms[0];
    assert_eq!((first.count_int, first.zero_count_int), (Some(12), Some(2)));
    assert_eq!((first.schema, first.timestamp), (3, 1));
    assert_eq!(first.sum, 9.5f64.to_bits());
    assert_eq!(first.zero_threshold, 1e-128f64.to_bits());
    // Bucket i of OTLP reaches to base^(i+1), which is native bucket i+1.
    assert_eq!(
        buckets(&spans(&first.positive_spans), &first.positive_deltas),
        [(-1, 1), (2, 2), (6, 3)]
    );
    assert_eq!(
        spans(&first.positive_spans),
        [(-1, 4), (3, 1)],
        "small gaps are written"
    );
    assert_eq!(
        buckets(&spans(&first.negative_spans), &first.negative_deltas),
        [(6, 4)]
    );
    // Two steps coarser: four buckets become one, those that end at 2^0 stay below it.
    let second = histograms[1];
    assert_eq!(second.schema, 8);
    assert_eq!(
        buckets(&spans(&second.positive_spans), &second.positive_deltas),
        [(-1, 1), (0, 14)]
    );
    let stale = histograms[2];
    assert_eq!((stale.sum, stale.count_int), (STALE, Some(STALE)));
    assert_eq!(histograms.len(), 3);
    assert_eq!(converted.rejected, 2);
    assert_eq!(converted.message, "\"size\": scale is below -4");
    assert_eq!(converted.written.histograms, 3);
}

#[test]
fn what_would_grow_beyond_its_limit_is_refused() {
    let points = r#"{"asInt":1},"#.repeat(5000);
    let json = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"scope":{{"name":"{}"}},
            "metrics":[{{"name":"m","gauge":{{"dataPoints":[{points}{{}}]}}}}]}}]}}]}}"#,
        "x".repeat(1000)
    );
    let mut request = Vec::new();
    otlp_json::to_protobuf(Signal::Metrics, json.as_bytes(), 1 << 20, &mut request).unwrap();
    let error = run(&request, 1 << 20).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("request, as remote write, is longer than 1048576 bytes"),
        "{error}"
    );
    // A point with more parts than is sane is left out, the others are not.
    let attributes = r#"{"key":"k","value":{"stringValue":"v"}},"#.repeat(3000);
    let (request, converted) = metrics(&format!(
        r#"{{"name":"m","gauge":{{"dataPoints":[
            {{"asInt":1,"attributes":[{attributes}{{}}]}},{{"asInt":2}}]}}}}"#
    ));
    assert_eq!(texts(&request)[0], "m{} 2@0");
    assert_eq!(
        converted.message,
        "\"m\": data point has too many attributes or exemplars"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("GUIDON_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(200)
    ))]

    #[test]
    fn property_test_what_is_converted_is_acceptable_remote_write_and_adds_up(
        mut rng in weird::seeds(), mutate: bool, odds in 0.0..0.2f64
    ) {
        let mut request: ExportMetricsServiceRequest = generate::metrics(&mut rng);
        for entry in &mut request.resource_metrics {
            for metric in entry.scope_metrics.iter_mut().flat_map(|it| &mut it.metrics) {
                metric.name.push('m');
            }
        }
        let (message, _) = crate::signal::otlp::messages(Signal::Metrics);
        let mut raw = weird::rewrite(&request.encode_to_vec(), message, odds, &mut rng);
        if mutate {
            raw = weird::mutate(&raw, &mut rng);
        }
        if let Ok((request, converted)) = run(&raw, 1 << 24) {
            let samples: usize = request.timeseries.iter().map(|it| it.samples.len()).sum();
            let histograms: usize = request.timeseries.iter().map(|it| it.histograms.len()).sum();
            let written = &converted.written;
            prop_assert_eq!(written.samples as usize, samples);
            prop_assert_eq!(written.histograms as usize, histograms);
            prop_assert_eq!(written.series as usize, request.timeseries.len());
            let counted: u32 = written.counts.iter().map(|(_, count)| count).sum();
            prop_assert_eq!(counted as usize, samples + histograms);
            prop_assert_eq!(converted.rejected == 0, converted.message.is_empty());
            // It is in order, and the splicer has nothing to mend but what is its own.
            let tag = Tag::new("app-1".parse().unwrap());
            let policy = Policy::Trust { fallback: &tag };
            let raw = request.encode_to_vec();
            let mut out = Vec::new();
            let limits = SeriesLimits::default();
            Splicer::default().splice(&raw, policy, &limits, &mut out).unwrap();
            prop_assert_eq!(out, raw);
        }
    }
}
