//! The wire: remote write and OTLP as bytes, frames, label blocks, splicing a guid in.
//!
//! Knows nothing of where bytes come from or go to. Every signal is a concatenation: a
//! remote-write body is repeated field 1 (`TimeSeries`), an OTLP export is repeated field 1
//! (`ResourceMetrics|Logs|Spans`), so merging is appending.

pub mod frame;
pub mod series;

pub use frame::{Frame, GuidCounts, Kind, Signal};
