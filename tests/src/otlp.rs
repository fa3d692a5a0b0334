//! An OTLP/HTTP receiver that decodes and keeps what it gets.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use prost::Message;

use crate::server::{Fault, Received, Server};

/// Everything that came in, in order.
#[derive(Debug, Clone, Default)]
pub struct Exports {
    /// To `/v1/logs`.
    pub logs: Vec<ExportLogsServiceRequest>,
    /// To `/v1/traces`.
    pub traces: Vec<ExportTraceServiceRequest>,
    /// To `/v1/metrics`.
    pub metrics: Vec<ExportMetricsServiceRequest>,
    /// Requests that could not be decoded, or went elsewhere.
    pub problems: Vec<String>,
}

/// A log record as a reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Text attributes of its resource.
    pub resource: BTreeMap<String, String>,
    /// Its own text attributes.
    pub attributes: BTreeMap<String, String>,
    /// The body, which must be text.
    pub text: String,
    /// Its severity number.
    pub severity: i32,
    /// When it was written, nanoseconds since the Unix epoch.
    pub time_ns: u64,
}

impl LogLine {
    /// The guid of its resource; empty without one.
    #[must_use]
    pub fn guid(&self) -> &str {
        self.resource.get("guid").map_or("", String::as_str)
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref()?.value.as_ref()? {
        AnyValue::StringValue(text) => Some((pair.key.clone(), text.clone())),
        _ => None,
    };
    attributes.iter().filter_map(text).collect()
}

/// The log records of requests, in order.
#[must_use]
pub fn log_lines(requests: &[ExportLogsServiceRequest]) -> Vec<LogLine> {
    let mut lines = Vec::new();
    for logs in requests.iter().flat_map(|it| &it.resource_logs) {
        let resource = texts(&logs.resource.as_ref().expect("a resource").attributes);
        for record in logs.scope_logs.iter().flat_map(|it| &it.log_records) {
            let body = record.body.as_ref().and_then(|body| body.value.clone());
            let Some(AnyValue::StringValue(text)) = body else {
                panic!("{record:?} has no text");
            };
            lines.push(LogLine {
                resource: resource.clone(),
                attributes: texts(&record.attributes),
                text,
                severity: record.severity_number,
                time_ns: record.time_unix_nano,
            });
        }
    }
    lines
}

/// The receiver. Dropping it closes its port.
#[derive(Debug)]
pub struct OtlpSink {
    server: Server,
    exports: Arc<Mutex<Exports>>,
}

impl OtlpSink {
    /// Starts one on a free port.
    #[must_use]
    pub fn start() -> Self {
        let exports = Arc::new(Mutex::new(Exports::default()));
        let kept = Arc::clone(&exports);
        let server = Server::start(move |received| {
            let mut exports = kept.lock().unwrap();
            match exports.take(&received) {
                // An empty answer is an `Export…ServiceResponse` that says: full success.
                Ok(()) => (200, Vec::new()),
                Err(problem) => {
                    exports.problems.push(problem.clone());
                    (400, problem.into())
                }
            }
        });
        Self { server, exports }
    }

    /// What to put into `[bus]` for a signal: `logs`, `traces` or `metrics`.
    #[must_use]
    pub fn url(&self, signal: &str) -> String {
        format!("http://{}/v1/{signal}", self.server.address())
    }

    /// Misbehaves from now on; [`Fault::None`] ends it.
    pub fn set_fault(&self, fault: Fault) {
        self.server.set_fault(fault);
    }

    /// The log records so far.
    #[must_use]
    pub fn lines(&self) -> Vec<LogLine> {
        log_lines(&self.exports.lock().unwrap().logs)
    }

    /// The log records since the last call; they are not kept.
    #[must_use]
    pub fn take_lines(&self) -> Vec<LogLine> {
        let requests = std::mem::take(&mut self.exports.lock().unwrap().logs);
        log_lines(&requests)
    }

    /// A copy of everything so far.
    #[must_use]
    pub fn exports(&self) -> Exports {
        self.exports.lock().unwrap().clone()
    }
}

impl Exports {
    fn take(&mut self, received: &Received) -> Result<(), String> {
        let body = match received.headers.get("content-encoding") {
            None => received.body.to_vec(),
            Some(coding) if coding == "gzip" => {
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(&*received.body)
                    .read_to_end(&mut plain)
                    .map_err(|error| error.to_string())?;
                plain
            }
            Some(coding) => return Err(format!("coding {coding:?}")),
        };
        let wrong = |error: prost::DecodeError| error.to_string();
        match received.path.as_str() {
            "/v1/logs" => self
                .logs
                .push(ExportLogsServiceRequest::decode(&*body).map_err(wrong)?),
            "/v1/traces" => {
                self.traces
                    .push(ExportTraceServiceRequest::decode(&*body).map_err(wrong)?);
            }
            "/v1/metrics" => {
                self.metrics
                    .push(ExportMetricsServiceRequest::decode(&*body).map_err(wrong)?);
            }
            other => return Err(format!("path {other}")),
        }
        Ok(())
    }
}
