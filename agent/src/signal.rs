//! The wire: remote write and OTLP as bytes, frames, label blocks, splicing a guid in.
//!
//! Knows nothing of where bytes come from or go to. Every signal is a concatenation: a
//! remote-write body is repeated field 1 (`TimeSeries`), an OTLP export is repeated field 1
//! (`ResourceMetrics|Logs|Spans`), so merging is appending.
//!
//! Everything that comes from outside is validated here, as bytes: what a splicer accepts, any
//! receiver can decode. Limits are checked before anything is allocated for what they limit.

pub mod frame;
mod malformed;
pub mod otlp;
pub mod otlp_json;
pub mod otlp_to_remote_write;
pub mod remote_write;
pub mod remote_write_v2;
mod schema;
pub mod series;
pub mod snappy;
mod tag;
#[cfg(test)]
mod weird;
pub(crate) mod wire;

/// Encoders of protocol buffers, for rooms that answer in them.
pub(crate) mod protobuf {
    pub(crate) use super::wire::{put_len, put_tag, put_varint};
}

pub use frame::{Frame, GuidCounts, Kind, Signal};
pub use malformed::{Fault, Malformed};
pub use otlp::{OtlpSplicer, SplicedOtlp};
pub use remote_write::{SeriesLimits, Spliced};
pub use tag::{Apps, GUID_KEY, Policy, Tag};
