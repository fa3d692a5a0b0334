//! Jaeger: what old SDKs still send, turned into OTLP spans.
//!
//! Owns the Thrift compact and binary codecs, the `jaeger.thrift` and `jaeger.api_v2` models, and
//! their mapping to OTLP as the OpenTelemetry specification's Jaeger page and the collector's
//! translator have it. Knows nothing of sockets: the listeners are beside it.
//!
//! Limits: nesting [`thrift::MAX_DEPTH`]; list lengths are checked against the bytes that are left
//! before anything is reserved, so memory stays proportional to the datagram.

pub mod api_v2;
pub mod model;
pub mod thrift;
pub mod translate;

pub use model::{Batch, decode_agent_message, decode_batch};
pub use thrift::{Protocol, ThriftError};
pub use translate::to_resource_spans;

#[cfg(test)]
pub(in crate::receive) mod tests;
