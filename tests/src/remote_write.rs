//! A remote-write 1.0 receiver that really decodes, keeps every sample, and notes each break of the
//! protocol.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prost::Message;

use crate::eventually;
use crate::sample::{Labels, Sample, matches};
use crate::server::{Fault, Received, Server};

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<Metadata>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<WireSample>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct WireSample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    family: String,
    #[prost(string, tag = "4")]
    help: String,
}

#[derive(Debug, Default)]
struct Store {
    requests: u64,
    series: BTreeMap<Labels, Vec<Sample>>,
    problems: Vec<String>,
}

/// The receiver. Dropping it closes its port.
#[derive(Debug)]
pub struct RemoteWriteSink {
    server: Server,
    store: Arc<Mutex<Store>>,
}

impl RemoteWriteSink {
    /// Starts one on a free port.
    #[must_use]
    pub fn start() -> Self {
        let store = Arc::new(Mutex::new(Store::default()));
        let kept = Arc::clone(&store);
        let server = Server::start(move |received| kept.lock().unwrap().take(&received));
        Self { server, store }
    }

    /// What to put into `[bus] metrics`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/api/v1/write", self.server.address())
    }

    /// Misbehaves from now on; [`Fault::None`] ends it.
    pub fn set_fault(&self, fault: Fault) {
        self.server.set_fault(fault);
    }

    /// Requests taken so far (not those that met a fault).
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.store.lock().unwrap().requests
    }

    /// All series that have these labels, with their samples in order of arrival.
    #[must_use]
    pub fn series(&self, wanted: &[(&str, &str)]) -> Vec<(Labels, Vec<Sample>)> {
        let store = self.store.lock().unwrap();
        store
            .series
            .iter()
            .filter(|(labels, _)| matches(labels, wanted))
            .map(|(labels, samples)| (labels.clone(), samples.clone()))
            .collect()
    }

    /// The newest sample that is no stale marker of the one series with these labels; `None` while
    /// there is none. Panics if several series fit.
    #[must_use]
    pub fn latest(&self, wanted: &[(&str, &str)]) -> Option<Sample> {
        let series = self.series(wanted);
        assert!(series.len() <= 1, "{wanted:?} fits several: {series:?}");
        let (_, samples) = series.into_iter().next()?;
        samples.into_iter().rev().find(|sample| !sample.is_stale())
    }

    /// Waits for a sample of the one series with these labels.
    pub fn wait_for(&self, wanted: &[(&str, &str)], timeout: Duration) -> Sample {
        eventually(timeout, &format!("a sample of {wanted:?}"), || {
            self.latest(wanted)
        })
    }

    /// What broke the protocol: headers, label order, empty labels, samples out of order.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.store.lock().unwrap().problems.clone()
    }

    /// Forgets all samples.
    pub fn clear(&self) {
        self.store.lock().unwrap().series.clear();
    }
}

impl Store {
    fn take(&mut self, received: &Received) -> (u16, Vec<u8>) {
        self.requests += 1;
        for (name, value) in [
            ("content-encoding", "snappy"),
            ("content-type", "application/x-protobuf"),
            ("x-prometheus-remote-write-version", "0.1.0"),
        ] {
            let found = received.headers.get(name);
            if found.is_none_or(|found| found != value) {
                self.problems.push(format!("header {name} is {found:?}"));
            }
        }
        let decoded = snap::raw::Decoder::new()
            .decompress_vec(&received.body)
            .map_err(|error| error.to_string())
            .and_then(|raw| WriteRequest::decode(&*raw).map_err(|error| error.to_string()));
        match decoded {
            Ok(request) => {
                for series in request.timeseries {
                    self.keep(series);
                }
                (204, Vec::new())
            }
            Err(error) => {
                self.problems.push(error.clone());
                (400, error.into())
            }
        }
    }

    fn keep(&mut self, series: TimeSeries) {
        let names: Vec<&String> = series.labels.iter().map(|label| &label.name).collect();
        if !names.is_sorted_by(|left, right| left < right) {
            self.problems.push(format!("labels not sorted: {names:?}"));
        }
        let labels: Labels = series
            .labels
            .into_iter()
            .map(|label| (label.name, label.value))
            .collect();
        if !labels.contains_key("__name__") || labels.values().any(String::is_empty) {
            self.problems.push(format!("bad labels: {labels:?}"));
        }
        let kept = self.series.entry(labels).or_default();
        for sample in series.samples {
            if let Some(last) = kept.last()
                && last.timestamp >= sample.timestamp
            {
                let (before, now) = (last.timestamp, sample.timestamp);
                self.problems
                    .push(format!("sample at {now} after {before}"));
            }
            kept.push(Sample {
                timestamp: sample.timestamp,
                value: sample.value,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use xtask::http::{Request, Server, send};

    use super::{Fault, Label, RemoteWriteSink, TimeSeries, WireSample, WriteRequest};

    fn post(sink: &RemoteWriteSink, labels: &[(&str, &str)], timestamp: i64) -> Option<u16> {
        let labels = labels.iter().map(|(name, value)| Label {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        });
        let series = TimeSeries {
            labels: labels.collect(),
            samples: vec![WireSample {
                value: 1.5,
                timestamp,
            }],
        };
        let request = WriteRequest {
            timeseries: vec![series],
            metadata: Vec::new(),
        };
        let body = snap::raw::Encoder::new()
            .compress_vec(&request.encode_to_vec())
            .unwrap();
        let mut post = Request::new("POST", "/api/v1/write");
        post.headers = &[
            ("Content-Encoding", "snappy"),
            ("Content-Type", "application/x-protobuf"),
            ("X-Prometheus-Remote-Write-Version", "0.1.0"),
        ];
        post.body = &body;
        let server = Server::Tcp(sink.server.address().to_string());
        Some(send(&server, &post).ok()?.status)
    }

    #[test]
    fn samples_are_decoded_and_found_by_label() {
        let sink = RemoteWriteSink::start();
        assert_eq!(
            post(&sink, &[("__name__", "up"), ("guid", "g")], 7),
            Some(204)
        );
        let sample = sink.latest(&[("guid", "g")]).unwrap();
        assert_eq!((sample.timestamp, sample.value), (7, 1.5));
        assert!(sink.latest(&[("guid", "h")]).is_none());
        assert!(sink.problems().is_empty());
    }

    #[test]
    fn breaks_of_the_protocol_are_noted() {
        let sink = RemoteWriteSink::start();
        post(&sink, &[("guid", "g"), ("__name__", "up")], 7);
        assert_eq!(sink.problems().len(), 1, "order of labels");
        post(&sink, &[("__name__", "up"), ("guid", "")], 7);
        assert_eq!(sink.problems().len(), 2, "empty label");
        post(&sink, &[("__name__", "up"), ("guid", "g")], 7);
        assert_eq!(sink.problems().len(), 3, "sample not newer");
    }

    #[test]
    fn faults_are_what_they_say() {
        let sink = RemoteWriteSink::start();
        let labels = [("__name__", "up")];
        sink.set_fault(Fault::Status(500, "no"));
        assert_eq!(post(&sink, &labels, 1), Some(500));
        sink.set_fault(Fault::Garbage);
        assert_eq!(post(&sink, &labels, 2), None);
        sink.set_fault(Fault::None);
        assert_eq!(post(&sink, &labels, 3), Some(204));
        assert_eq!(sink.series(&[])[0].1.len(), 1);
    }
}
