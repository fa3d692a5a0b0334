//! Frames as JSON, for people and for programs without protobuf.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde_json::Value;

use crate::api::model::{FrameView, SampleValue, SampleView, SeriesView};
use crate::signal::{Frame, Kind};

/// A frame's bytes before compression must fit this; the agent makes none that is larger.
const MOST_RAW_BYTES: usize = 256 << 20;
/// The value that says: this series has ended (Prometheus' stale marker).
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// The name of a kind, as it stands in JSON and headers.
pub(super) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::RemoteWrite => "remote_write",
        Kind::OtlpMetrics => "otlp_metrics",
        Kind::OtlpLogs => "otlp_logs",
        Kind::OtlpTraces => "otlp_traces",
    }
}

/// Appends the frame's request, not compressed: requests of one kind are concatenations.
pub(super) fn append_raw(frame: &Frame, into: &mut Vec<u8>) -> Result<(), String> {
    match frame.kind {
        Kind::RemoteWrite => into.extend_from_slice(&uncompressed(&frame.payload)?),
        Kind::OtlpMetrics | Kind::OtlpLogs | Kind::OtlpTraces => {
            into.extend_from_slice(&frame.payload);
        }
    }
    Ok(())
}

/// The frame decoded. One that cannot be says so, and does not spoil the page.
pub(super) fn view(frame: &Frame) -> FrameView {
    let mut view = FrameView {
        kind: kind_name(frame.kind).to_owned(),
        guids: frame
            .counts
            .iter()
            .map(|(guid, count)| (guid.to_string(), *count))
            .collect(),
        series: None,
        request: None,
        error: None,
    };
    let payload = &frame.payload[..];
    let outcome =
        match frame.kind {
            Kind::RemoteWrite => series(payload).map(|series| view.series = Some(series)),
            Kind::OtlpMetrics => otlp::<ExportMetricsServiceRequest>(payload)
                .map(|request| view.request = Some(request)),
            Kind::OtlpLogs => otlp::<ExportLogsServiceRequest>(payload)
                .map(|request| view.request = Some(request)),
            Kind::OtlpTraces => otlp::<ExportTraceServiceRequest>(payload)
                .map(|request| view.request = Some(request)),
        };
    view.error = outcome.err();
    view
}

/// OTLP/JSON of an OTLP request.
fn otlp<T: Message + Default + serde::Serialize>(payload: &[u8]) -> Result<Value, String> {
    let request = T::decode(payload).map_err(|error| error.to_string())?;
    serde_json::to_value(request).map_err(|error| error.to_string())
}

fn series(payload: &[u8]) -> Result<Vec<SeriesView>, String> {
    let raw = uncompressed(payload)?;
    let request = WriteRequest::decode(&raw[..]).map_err(|error| error.to_string())?;
    let series = request.timeseries.into_iter().map(|series| SeriesView {
        labels: series
            .labels
            .into_iter()
            .map(|label| (label.name, label.value))
            .collect(),
        samples: series
            .samples
            .iter()
            .map(|sample| SampleView {
                timestamp_ms: sample.timestamp,
                value: value(sample.value),
            })
            .collect(),
        histograms: series.histograms.len(),
    });
    Ok(series.collect())
}

/// JSON has no number for these.
fn value(value: f64) -> SampleValue {
    if value.is_finite() {
        SampleValue::Number(value)
    } else if value.to_bits() == STALE {
        SampleValue::Word("stale".into())
    } else if value.is_nan() {
        SampleValue::Word("NaN".into())
    } else if value > 0.0 {
        SampleValue::Word("+Inf".into())
    } else {
        SampleValue::Word("-Inf".into())
    }
}

fn uncompressed(block: &[u8]) -> Result<Vec<u8>, String> {
    match snap::raw::decompress_len(block) {
        Ok(length) if length > MOST_RAW_BYTES => Err(format!("{length} bytes are too many")),
        Ok(_) => snap::raw::Decoder::new()
            .decompress_vec(block)
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// `prometheus.WriteRequest` (remote write 1.0), as far as it is shown.
#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    /// Only counted.
    #[prost(bytes = "vec", repeated, tag = "4")]
    histograms: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}
