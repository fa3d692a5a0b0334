//! What must hold of everything that is accepted.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use crate::prom::{TimeSeries, WriteRequest, v2};
use crate::signal::otlp::OtlpSplicer;
use crate::signal::remote_write::Splicer;
use crate::signal::remote_write_v2::{Transcoder, encode_v2};
use crate::signal::{Fault, Policy, SeriesLimits, Signal, Tag, otlp_json, otlp_to_remote_write, snappy};

/// Bytes that a request may become; small, so that limits are met.
const LIMIT: usize = 1 << 20;

fn tag() -> Tag {
    Tag::new("host-1".parse().unwrap()).with_container("0123456789abcdef", "web")
}

fn limits() -> SeriesLimits {
    SeriesLimits {
        series: 500,
        labels: 40,
        name_bytes: 200,
        value_bytes: 300,
        expanded_bytes: LIMIT,
    }
}

fn policies(tag: &Tag) -> [Policy<'_>; 2] {
    [Policy::Always(tag), Policy::Trust { fallback: tag }]
}

/// A 1.0 request: what comes out is what went in, but for the guid, in order.
pub fn rw1(raw: &[u8]) {
    let tag = tag();
    for policy in policies(&tag) {
        let mut out = Vec::new();
        let Ok(spliced) = Splicer::default().splice(raw, policy, &limits(), &mut out) else {
            continue;
        };
        let sent = WriteRequest::decode(raw).expect("what is accepted decodes");
        let kept = WriteRequest::decode(&out[..]).expect("what comes out decodes");
        assert_eq!(sent.metadata, kept.metadata);
        assert_eq!(spliced.series as usize, kept.timeseries.len());
        assert_eq!(sent.timeseries.len(), kept.timeseries.len());
        let mut records = 0;
        for (sent, kept) in sent.timeseries.iter().zip(&kept.timeseries) {
            same_series(sent, kept);
            records += kept.samples.len() + kept.histograms.len();
        }
        let counted: u32 = spliced.counts.iter().map(|(_, count)| count).sum();
        assert_eq!(counted as usize, records);
        let mut again = Vec::new();
        Splicer::default()
            .splice(&out, policy, &SeriesLimits::default(), &mut again)
            .expect("what comes out is acceptable");
        assert_eq!(again, out);
        let mut second = Vec::new();
        encode_v2(&out, &mut second).expect("a frame can be encoded as 2.0");
        let decoded = v2::Request::decode(&second[..]).expect("2.0 decodes");
        assert!(decoded.timeseries.len() >= kept.timeseries.len());
        let policy = Policy::Trust { fallback: &tag };
        Transcoder::default()
            .transcode(&second, policy, &SeriesLimits::default(), &mut again)
            .expect("2.0 is acceptable");
    }
}

/// The same but for the guid, which is there once, and the order of labels.
fn same_series(sent: &TimeSeries, kept: &TimeSeries) {
    assert!(kept.labels.is_sorted_by(|left, right| left.name < right.name));
    assert_eq!(kept.labels.iter().filter(|it| it.name == "guid").count(), 1);
    let others = |series: &TimeSeries| {
        let mut labels = series.labels.clone();
        labels.retain(|label| label.name != "guid" && !label.value.is_empty());
        labels.sort();
        labels
    };
    assert_eq!(others(sent), others(kept));
    assert_eq!(sent.samples, kept.samples);
    assert_eq!(sent.histograms, kept.histograms);
    assert_eq!(sent.exemplars, kept.exemplars);
}

/// A 2.0 request: what comes out is 1.0 that the splicer has nothing to mend in.
pub fn rw2(raw: &[u8]) {
    let tag = tag();
    for policy in policies(&tag) {
        let mut out = Vec::new();
        let Ok(spliced) = Transcoder::default().transcode(raw, policy, &limits(), &mut out) else {
            continue;
        };
        let sent = v2::Request::decode(raw).expect("what is accepted decodes");
        let kept = WriteRequest::decode(&out[..]).expect("what comes out decodes");
        assert_eq!(sent.timeseries.len(), kept.timeseries.len());
        for (sent, kept) in sent.timeseries.iter().zip(&kept.timeseries) {
            assert_eq!(sent.samples, kept.samples);
            assert_eq!(sent.histograms, kept.histograms);
            assert_eq!(sent.exemplars.len(), kept.exemplars.len());
        }
        let mut again = Vec::new();
        let second = Splicer::default()
            .splice(&out, policy, &SeriesLimits::default(), &mut again)
            .expect("what comes out is acceptable");
        assert_eq!(again, out);
        assert_eq!(second.counts, spliced.counts);
    }
}

/// An export request.
pub fn otlp(signal: Signal, raw: &[u8]) {
    let tag = tag();
    for policy in policies(&tag) {
        let mut out = Vec::new();
        let mut splicer = OtlpSplicer::default();
        let spliced = match splicer.splice(signal, raw, policy, &mut out) {
            Ok(spliced) => spliced,
            Err(error) => {
                let ours_alone = error.is_limit()
                    || matches!(error.fault(), Fault::IdLength { .. } | Fault::Group);
                assert!(ours_alone || decode(signal, raw).is_err(), "refused: {error}");
                continue;
            }
        };
        decodes(signal, raw);
        decodes(signal, &out);
        let mut again = Vec::new();
        let second = splicer
            .splice(signal, &out, policy, &mut again)
            .expect("what comes out is acceptable");
        assert_eq!(again, out);
        assert_eq!(second.counts, spliced.counts);
        if signal == Signal::Metrics
            && let Ok(converted) = otlp_to_remote_write::convert(&out, LIMIT, &mut again)
        {
            let written = WriteRequest::decode(&again[..]).expect("remote write decodes");
            assert_eq!(written.timeseries.len(), converted.written.series as usize);
            let policy = Policy::Trust { fallback: &tag };
            let mut spliced = Vec::new();
            // Attributes may be longer than labels are allowed to be; nothing else is wrong.
            let generous = SeriesLimits {
                labels: 10_000,
                name_bytes: LIMIT,
                value_bytes: LIMIT,
                ..SeriesLimits::default()
            };
            Splicer::default()
                .splice(&again, policy, &generous, &mut spliced)
                .expect("remote write is acceptable");
            assert_eq!(spliced, again);
        }
    }
}

fn decodes(signal: Signal, raw: &[u8]) {
    decode(signal, raw).expect("what is accepted decodes");
}

fn decode(signal: Signal, raw: &[u8]) -> Result<(), prost::DecodeError> {
    match signal {
        Signal::Metrics => ExportMetricsServiceRequest::decode(raw).map(drop),
        Signal::Logs => ExportLogsServiceRequest::decode(raw).map(drop),
        Signal::Traces => ExportTraceServiceRequest::decode(raw).map(drop),
    }
}

/// JSON of each signal: what is accepted is well-formed protobuf within its limit.
pub fn json(body: &[u8]) {
    for signal in [Signal::Metrics, Signal::Logs, Signal::Traces] {
        let mut raw = Vec::new();
        if otlp_json::to_protobuf(signal, body, LIMIT, &mut raw).is_ok() {
            decodes(signal, &raw);
            otlp(signal, &raw);
        }
    }
}

/// Blocks: decoding agrees with the crate's, and merging with concatenating.
pub fn snappy(data: &[u8]) {
    let mut scratch = Vec::new();
    let ours = snappy::decode(data, LIMIT, &mut scratch).map(<[u8]>::to_vec);
    if let Ok(ours) = &ours {
        let theirs = snap::raw::Decoder::new().decompress_vec(data);
        assert_eq!(theirs.as_ref(), Ok(ours));
    }
    let mut encoder = snappy::Encoder::default();
    let block = encoder.encode(data).expect("small").to_vec();
    let mut contents = Vec::new();
    let mut blocks: Vec<&[u8]> = vec![&block];
    contents.extend_from_slice(data);
    if let Ok(ours) = ours {
        blocks.extend([data, &block]);
        contents.extend_from_slice(&ours);
        contents.extend_from_slice(data);
    }
    let mut merged = Vec::new();
    snappy::merge(blocks.into_iter(), &mut merged).expect("valid blocks merge");
    let read = snap::raw::Decoder::new().decompress_vec(&merged);
    assert_eq!(read, Ok(contents));
}
