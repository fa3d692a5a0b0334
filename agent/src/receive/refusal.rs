//! Why a request is refused, and what its sender is told: whose fault, and when to try again.

use std::time::Duration;

use http::StatusCode;
use tonic::Code;

use super::budget::Exhausted;
use super::jaeger::api_v2::InvalidBatch;
use super::jaeger::thrift::ThriftError;
use crate::forward::Refused;
use crate::signal::Malformed;
use crate::signal::otlp_json::JsonError;
use crate::signal::snappy::SnappyError;

/// How long a sender is asked to wait where nobody knows better.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A request that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("sender is in no container of this node")]
    Stranger,
    #[error("no such path: {0}")]
    NotFound(&'static str),
    #[error("only POST is allowed")]
    Method,
    #[error("only GET is allowed")]
    OnlyGet,
    #[error("{0}")]
    Query(&'static str),
    #[error("{0}")]
    ContentType(&'static str),
    #[error("{0}")]
    ContentEncoding(&'static str),
    #[error("{what} is larger than {limit} bytes")]
    TooLarge { what: &'static str, limit: usize },
    #[error("body did not arrive within {0:?}")]
    BodyTime(Duration),
    #[error("body ended early: {0}")]
    BodyBroken(String),
    #[error("{0}")]
    Snappy(#[from] SnappyError),
    #[error("gzip is corrupt: {0}")]
    Gzip(String),
    #[error("gRPC message frame: {0}")]
    GrpcFrame(&'static str),
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    Json(#[from] JsonError),
    #[error("not a Jaeger batch: {0}")]
    Thrift(#[from] ThriftError),
    #[error("not a Jaeger batch: {0}")]
    Protobuf(String),
    #[error("not a Jaeger batch: {0}")]
    Batch(#[from] InvalidBatch),
    #[error("overloaded: {0}")]
    Exhausted(#[from] Exhausted),
    #[error("overloaded: {0}")]
    Sink(#[from] Refused),
}

/// Why, in one word: the label of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Wrong path, method, type or encoding.
    Protocol,
    /// Larger than a limit.
    TooLarge,
    /// Did not arrive in time, or not at all.
    Body,
    /// Cannot be uncompressed.
    Compression,
    /// Is not what it says it is.
    Malformed,
    /// The receivers' own memory or connections.
    Overload,
    /// A queue or spool behind the inlet.
    Full,
    /// The spool cannot be written.
    Spool,
    /// The agent is going.
    Closing,
    /// Came from elsewhere to a listener for this node's containers.
    Stranger,
    /// Datagrams that the kernel dropped because the socket's buffer was full.
    SocketFull,
}

impl Reason {
    /// All there are.
    pub const ALL: [Self; 11] = [
        Self::Protocol,
        Self::TooLarge,
        Self::Body,
        Self::Compression,
        Self::Malformed,
        Self::Overload,
        Self::Full,
        Self::Spool,
        Self::Closing,
        Self::Stranger,
        Self::SocketFull,
    ];

    /// As it stands in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::TooLarge => "too_large",
            Self::Body => "body",
            Self::Compression => "compression",
            Self::Malformed => "malformed",
            Self::Overload => "overload",
            Self::Full => "full",
            Self::Spool => "spool",
            Self::Closing => "closing",
            Self::Stranger => "stranger",
            Self::SocketFull => "socket_full",
        }
    }
}

impl Refusal {
    /// Its class.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Stranger => Reason::Stranger,
            Self::NotFound(_)
            | Self::Method
            | Self::OnlyGet
            | Self::Query(_)
            | Self::ContentType(_)
            | Self::ContentEncoding(_) => Reason::Protocol,
            Self::TooLarge { .. } | Self::Snappy(SnappyError::TooLarge { .. }) => Reason::TooLarge,
            Self::BodyTime(_) | Self::BodyBroken(_) => Reason::Body,
            Self::Snappy(_) | Self::Gzip(_) => Reason::Compression,
            Self::Malformed(error) if error.is_limit() => Reason::TooLarge,
            Self::Malformed(_)
            | Self::Json(_)
            | Self::GrpcFrame(_)
            | Self::Thrift(_)
            | Self::Protobuf(_)
            | Self::Batch(_) => Reason::Malformed,
            Self::Exhausted(_) => Reason::Overload,
            Self::Sink(Refused::Full { .. }) => Reason::Full,
            Self::Sink(Refused::Spool { .. }) => Reason::Spool,
            Self::Sink(Refused::Closing) => Reason::Closing,
        }
    }

    /// For HTTP.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Stranger => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Method | Self::OnlyGet => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentType(_) | Self::ContentEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } | Self::Snappy(SnappyError::TooLarge { .. }) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::BodyTime(_) => StatusCode::REQUEST_TIMEOUT,
            Self::BodyBroken(_)
            | Self::Query(_)
            | Self::Snappy(_)
            | Self::Gzip(_)
            | Self::GrpcFrame(_)
            | Self::Malformed(_)
            | Self::Json(_)
            | Self::Thrift(_)
            | Self::Protobuf(_)
            | Self::Batch(_) => StatusCode::BAD_REQUEST,
            Self::Exhausted(_) | Self::Sink(Refused::Full { .. }) => StatusCode::TOO_MANY_REQUESTS,
            Self::Sink(Refused::Spool { .. } | Refused::Closing) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// For gRPC.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Stranger => Code::PermissionDenied,
            Self::NotFound(_) | Self::Method | Self::OnlyGet => Code::Unimplemented,
            Self::ContentType(_) | Self::ContentEncoding(_) => Code::Unimplemented,
            Self::TooLarge { .. } | Self::Snappy(SnappyError::TooLarge { .. }) => {
                Code::ResourceExhausted
            }
            Self::BodyTime(_) => Code::DeadlineExceeded,
            Self::BodyBroken(_)
            | Self::Query(_)
            | Self::Snappy(_)
            | Self::Gzip(_)
            | Self::GrpcFrame(_)
            | Self::Malformed(_)
            | Self::Json(_)
            | Self::Thrift(_)
            | Self::Protobuf(_)
            | Self::Batch(_) => Code::InvalidArgument,
            Self::Exhausted(_) | Self::Sink(Refused::Full { .. }) => Code::ResourceExhausted,
            Self::Sink(Refused::Spool { .. } | Refused::Closing) => Code::Unavailable,
        }
    }

    /// When to try again; absent: never, not with this request.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Sink(Refused::Full { retry_after, .. }) => Some(*retry_after),
            Self::Exhausted(_) | Self::Sink(_) => Some(RETRY_AFTER),
            _ => None,
        }
    }
}
