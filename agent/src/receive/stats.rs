//! Counters of the listeners, as plain atomics.

use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

use super::Protocol;
use super::refusal::Reason;
use crate::signal::Signal;

/// HTTP statuses that the listeners answer with.
const STATUSES: [StatusCode; 13] = [
    StatusCode::OK,
    StatusCode::ACCEPTED,
    StatusCode::NO_CONTENT,
    StatusCode::BAD_REQUEST,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

/// gRPC codes, by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Counters since start.
#[derive(Debug, Default)]
pub struct Stats {
    http: [[AtomicU64; STATUSES.len()]; Protocol::ALL.len()],
    grpc: [[AtomicU64; CODES.len()]; Protocol::ALL.len()],
    refused: [[AtomicU64; Reason::ALL.len()]; Protocol::ALL.len()],
    datagrams: [AtomicU64; Protocol::ALL.len()],
    forged: [AtomicU64; 3],
}

/// The counters at one moment; those that are zero are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// `guidon_receive_requests_total{listener,code}`.
    pub requests: Vec<(&'static str, &'static str, u64)>,
    /// `guidon_receive_refused_total{listener,reason}`: requests and connections.
    pub refused: Vec<(&'static str, &'static str, u64)>,
    /// `guidon_receive_datagrams_total{listener}`: datagrams that were read, refused ones included.
    pub datagrams: Vec<(&'static str, u64)>,
    /// `guidon_receive_forged_total{signal}`: series or resources whose own guid was replaced.
    pub forged: Vec<(&'static str, u64)>,
}

impl Stats {
    /// A request was answered with this status.
    pub(super) fn answered(&self, protocol: Protocol, status: StatusCode) {
        let place = STATUSES.iter().position(|&known| known == status);
        if let Some(counter) = place.and_then(|place| self.http.get(protocol as usize)?.get(place))
        {
            add(counter, 1);
        }
    }

    /// A call was answered with this code.
    pub(super) fn answered_grpc(&self, protocol: Protocol, code: tonic::Code) {
        let counters = self.grpc.get(protocol as usize);
        if let Some(counter) = counters.and_then(|counters| counters.get(code as usize)) {
            add(counter, 1);
        }
    }

    /// Datagrams were read.
    pub(super) fn datagrams(&self, protocol: Protocol, count: u64) {
        if let Some(counter) = self.datagrams.get(protocol as usize) {
            add(counter, count);
        }
    }

    /// A request or connection was refused.
    pub(super) fn refused(&self, protocol: Protocol, reason: Reason) {
        self.refused_many(protocol, reason, 1);
    }

    /// So many were.
    pub(super) fn refused_many(&self, protocol: Protocol, reason: Reason, count: u64) {
        let place = Reason::ALL.iter().position(|&known| known == reason);
        if let Some(counter) =
            place.and_then(|place| self.refused.get(protocol as usize)?.get(place))
        {
            add(counter, count);
        }
    }

    /// Guids of this signal were replaced.
    pub(super) fn forged(&self, signal: Signal, count: u32) {
        if let Some(counter) = self.forged.get(signal as usize).filter(|_| count > 0) {
            add(counter, count.into());
        }
    }

    /// All counters that are not zero.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let read = |counter: &AtomicU64| match counter.load(Ordering::Relaxed) {
            0 => None,
            count => Some(count),
        };
        for (protocol, counters) in Protocol::ALL.iter().zip(&self.http) {
            for (status, counter) in STATUSES.iter().zip(counters) {
                let row = |count| (protocol.as_str(), code_text(*status), count);
                snapshot.requests.extend(read(counter).map(row));
            }
        }
        for (protocol, counters) in Protocol::ALL.iter().zip(&self.grpc) {
            for (code, counter) in CODES.iter().zip(counters) {
                let row = |count| (protocol.as_str(), *code, count);
                snapshot.requests.extend(read(counter).map(row));
            }
        }
        for (protocol, counter) in Protocol::ALL.iter().zip(&self.datagrams) {
            let row = |count| (protocol.as_str(), count);
            snapshot.datagrams.extend(read(counter).map(row));
        }
        for (protocol, counters) in Protocol::ALL.iter().zip(&self.refused) {
            for (reason, counter) in Reason::ALL.iter().zip(counters) {
                let row = |count| (protocol.as_str(), reason.as_str(), count);
                snapshot.refused.extend(read(counter).map(row));
            }
        }
        for (signal, counter) in [Signal::Metrics, Signal::Logs, Signal::Traces]
            .iter()
            .zip(&self.forged)
        {
            let row = |count| (signal.as_str(), count);
            snapshot.forged.extend(read(counter).map(row));
        }
        snapshot
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// The status as a label value.
fn code_text(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200 => "200",
        202 => "202",
        204 => "204",
        400 => "400",
        404 => "404",
        405 => "405",
        408 => "408",
        413 => "413",
        415 => "415",
        429 => "429",
        500 => "500",
        503 => "503",
        _ => "504",
    }
}
