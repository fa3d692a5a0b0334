//! What the fuzz targets share: invariants of everything that is accepted, and inputs that have the
//! structure of protocol buffers.
//!
//! A target fails by a panic: ours, or that of an assertion here. Errors are expected.
//!
//! The rooms under test are compiled here, from the agent's own files, rather than as a dependency:
//! the agent brings hundreds of crates that no target needs and the fuzzer's compiler flags would
//! build once more.

pub mod check;
#[path = "../../agent/src/signal/remote_write/prom.rs"]
#[allow(dead_code)]
mod prom;
pub mod seeds;
pub mod tree;

/// The folder that the rooms' files are in.
#[path = "../../agent/src"]
#[allow(dead_code, unused_imports)]
mod rooms {
    /// Of the configuration only what a guid is.
    #[path = "config"]
    pub mod config {
        mod guid;
        pub use guid::{Guid, InvalidGuid};
    }
    pub mod signal;
}

pub use rooms::{config, signal};
