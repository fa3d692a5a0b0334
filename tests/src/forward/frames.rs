//! Remote-write and OTLP frames with numbered records.

use anyhow::Context;
use bytes::Bytes;
use guidon::signal::{Frame, Kind};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message;

/// `prometheus.WriteRequest`, as far as needed.
#[derive(Clone, PartialEq, Message)]
pub struct WriteRequest {
    /// The series.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// `prometheus.TimeSeries`.
#[derive(Clone, PartialEq, Message)]
pub struct TimeSeries {
    /// Sorted by name.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// In order of time.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
}

/// `prometheus.Label`.
#[derive(Clone, PartialEq, Message)]
pub struct Label {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `prometheus.Sample`.
#[derive(Clone, PartialEq, Message)]
pub struct Sample {
    /// Value.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Milliseconds.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// A remote-write frame with one sample, of the given time, for each of `series` series of a guid.
pub fn metrics(guid: &str, series: usize, time: i64) -> anyhow::Result<Frame> {
    let timeseries = (0..series)
        .map(|number| TimeSeries {
            labels: [
                ("__name__", "up".to_owned()),
                ("guid", guid.to_owned()),
                ("series", number.to_string()),
            ]
            .into_iter()
            .map(|(name, value)| Label {
                name: name.to_owned(),
                value,
            })
            .collect(),
            samples: vec![Sample {
                value: 1.0,
                timestamp: time,
            }],
        })
        .collect();
    let raw = WriteRequest { timeseries }.encode_to_vec();
    Ok(Frame {
        kind: Kind::RemoteWrite,
        raw_len: u32::try_from(raw.len())?,
        payload: Bytes::from(snap::raw::Encoder::new().compress_vec(&raw)?),
        counts: vec![(guid.parse().context("guid")?, u32::try_from(series)?)],
    })
}

/// An OTLP logs frame with one record.
pub fn log(guid: &str, text: &str) -> anyhow::Result<Frame> {
    let record = LogRecord {
        body: Some(AnyValue {
            value: Some(any_value::Value::StringValue(text.to_owned())),
        }),
        ..LogRecord::default()
    };
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: vec![record],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    let raw = request.encode_to_vec();
    Ok(Frame {
        kind: Kind::OtlpLogs,
        raw_len: u32::try_from(raw.len())?,
        payload: Bytes::from(raw),
        counts: vec![(guid.parse().context("guid")?, 1)],
    })
}

/// The texts of an OTLP logs request.
pub fn log_texts(body: &[u8]) -> anyhow::Result<Vec<String>> {
    let request = ExportLogsServiceRequest::decode(body)?;
    let records = request
        .resource_logs
        .into_iter()
        .flat_map(|resource| resource.scope_logs)
        .flat_map(|scope| scope.log_records);
    Ok(records
        .filter_map(|record| match record.body?.value? {
            any_value::Value::StringValue(text) => Some(text),
            _ => None,
        })
        .collect())
}

/// The series and times of a remote-write body, in order.
pub fn samples(body: &[u8]) -> anyhow::Result<Vec<(String, i64)>> {
    let raw = snap::raw::Decoder::new().decompress_vec(body)?;
    let request = WriteRequest::decode(&*raw)?;
    let mut samples = Vec::new();
    for series in request.timeseries {
        let name: Vec<String> = series
            .labels
            .into_iter()
            .filter(|label| label.name != "__name__")
            .map(|label| label.value)
            .collect();
        for sample in series.samples {
            samples.push((name.join("/"), sample.timestamp));
        }
    }
    Ok(samples)
}

/// The texts of a gRPC message with an OTLP logs request.
pub fn grpc_log_texts(body: &[u8]) -> anyhow::Result<Vec<String>> {
    let (prefix, message) = body.split_first_chunk::<5>().context("no prefix")?;
    let [compressed, a, b, c, d] = *prefix;
    let len = u32::from_be_bytes([a, b, c, d]);
    anyhow::ensure!(
        message.len() == len as usize,
        "{} bytes, {len} said",
        message.len()
    );
    if compressed == 0 {
        return log_texts(message);
    }
    let mut raw = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(message), &mut raw)?;
    log_texts(&raw)
}

/// Samples in a remote-write 2.0 body, whose label references must be inside its table.
pub fn samples_v2(body: &[u8]) -> anyhow::Result<usize> {
    let raw = snap::raw::Decoder::new().decompress_vec(body)?;
    let request = RequestV2::decode(&*raw)?;
    let symbols = request.symbols.len();
    let mut samples = 0;
    for series in request.timeseries {
        anyhow::ensure!(
            series
                .labels_refs
                .iter()
                .all(|place| (*place as usize) < symbols)
        );
        samples += series.samples.len();
    }
    Ok(samples)
}

#[derive(Clone, PartialEq, Message)]
struct RequestV2 {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    timeseries: Vec<TimeSeriesV2>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeriesV2 {
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}
