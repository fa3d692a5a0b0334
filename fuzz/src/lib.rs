//! What the fuzz targets share: invariants of everything that is accepted, and inputs that have the
//! structure of protocol buffers.
//!
//! A target fails by a panic: ours, or that of an assertion here. Errors are expected.

pub mod check;
#[path = "../../agent/src/signal/remote_write/prom.rs"]
#[allow(dead_code)]
mod prom;
pub mod tree;
