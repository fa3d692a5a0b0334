//! What all listeners share, and who answers which protocol.

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use super::budget::{Budget, Hold};
use super::buffers::Buffers;
use super::jaeger::thrift;
use super::peers::{Peers, Sender};
use super::reply::Reply;
use super::stats::Stats;
use super::whole_body::WholeBody;
use super::workbench::Workbenches;
use super::{Limits, Reason, Sink, grpc, jaeger_http, otlp_http, remote_write};

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// Prometheus remote write 1.0 and 2.0: `POST /write` and `/api/v1/write`.
    RemoteWrite,
    /// OTLP over HTTP: `POST /v1/{metrics,logs,traces}`, protobuf and JSON.
    OtlpHttp,
    /// OTLP over gRPC.
    OtlpGrpc,
    /// Jaeger's agent over UDP: `emitBatch` in Thrift's compact protocol.
    JaegerCompact,
    /// The same in Thrift's binary protocol.
    JaegerBinary,
    /// Jaeger's collector over HTTP: `POST /api/traces`, a Thrift batch.
    JaegerHttp,
    /// Jaeger's collector over gRPC: `jaeger.api_v2.CollectorService/PostSpans`.
    JaegerGrpc,
    /// Jaeger's agent over HTTP: what share of their traces clients shall keep.
    JaegerSampling,
}

impl Protocol {
    /// All there are, by number.
    pub const ALL: [Self; 8] = [
        Self::RemoteWrite,
        Self::OtlpHttp,
        Self::OtlpGrpc,
        Self::JaegerCompact,
        Self::JaegerBinary,
        Self::JaegerHttp,
        Self::JaegerGrpc,
        Self::JaegerSampling,
    ];

    /// The `listener` label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RemoteWrite => "remote_write",
            Self::OtlpHttp => "otlp_http",
            Self::OtlpGrpc => "otlp_grpc",
            Self::JaegerCompact => "jaeger_compact",
            Self::JaegerBinary => "jaeger_binary",
            Self::JaegerHttp => "jaeger_http",
            Self::JaegerGrpc => "jaeger_grpc",
            Self::JaegerSampling => "jaeger_sampling",
        }
    }

    /// How datagrams are written, where the listener takes datagrams.
    #[must_use]
    pub fn datagrams(self) -> Option<thrift::Protocol> {
        match self {
            Self::JaegerCompact => Some(thrift::Protocol::Compact),
            Self::JaegerBinary => Some(thrift::Protocol::Binary),
            _ => None,
        }
    }

    pub(super) fn is_grpc(self) -> bool {
        matches!(self, Self::OtlpGrpc | Self::JaegerGrpc)
    }
}

/// What becomes of metrics that come in as OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OtlpMetrics {
    /// They are turned into remote write: no destination takes OTLP metrics.
    #[default]
    Convert,
    /// They go on as they are.
    Forward,
}

/// The receivers' shared state: one for all listeners of a node.
#[derive(Debug)]
pub struct Receiver<S> {
    pub(super) sink: S,
    pub(super) limits: Limits,
    pub(super) otlp_metrics: OtlpMetrics,
    pub(super) budget: Arc<Budget>,
    pub(super) stats: Arc<Stats>,
    pub(super) benches: Workbenches,
    pub(super) buffers: Buffers,
    pub(super) peers: AnyPeers,
}

/// Peers behind a pointer.
pub(super) struct AnyPeers(pub(super) Arc<dyn Peers>);

impl std::fmt::Debug for AnyPeers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Peers")
    }
}

impl<S: Sink> Receiver<S> {
    /// Shared state with counters at zero.
    #[must_use]
    pub fn new(
        sink: S,
        peers: Arc<dyn Peers>,
        otlp_metrics: OtlpMetrics,
        limits: Limits,
    ) -> Arc<Self> {
        Arc::new(Self {
            sink,
            limits,
            otlp_metrics,
            budget: Budget::new(&limits),
            stats: Arc::default(),
            benches: Workbenches::new(),
            buffers: Buffers::new(),
            peers: AnyPeers(peers),
        })
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// The memory and connections in use.
    #[must_use]
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Answers a request. `hold` is the memory it may take.
    pub(super) async fn answer(
        &self,
        protocol: Protocol,
        request: Request<Incoming>,
        sender: Arc<Sender>,
        hold: Hold,
    ) -> Response<Reply> {
        if protocol.is_grpc() {
            return grpc::answer(self, protocol, request, &sender, hold).await;
        }
        let request = WholeBody::of(request);
        let response = match protocol {
            Protocol::RemoteWrite => remote_write::answer(self, request, &sender, hold).await,
            Protocol::OtlpHttp => otlp_http::answer(self, request, &sender, hold).await,
            Protocol::JaegerHttp => jaeger_http::answer(self, request, &sender, hold).await,
            Protocol::JaegerSampling => jaeger_http::sampling(self, &request),
            Protocol::OtlpGrpc
            | Protocol::JaegerGrpc
            | Protocol::JaegerCompact
            | Protocol::JaegerBinary => {
                self.stats.refused(protocol, Reason::Protocol);
                let mut response = Response::new(Reply::default());
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
        };
        self.stats.answered(protocol, response.status());
        response
    }
}
