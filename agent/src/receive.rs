//! Listeners for other people's data: remote write, OTLP. Knows nothing of what happens after the inlet.

pub mod jaeger;
pub mod logs;
