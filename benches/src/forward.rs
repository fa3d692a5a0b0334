//! The side-by-side forwarding bench: generator → forwarder → sink on loopback.
//!
//! Owns: the load, the counting sink, the forwarders' command lines, the trial and the report. The
//! generator and the sink are child processes of the bench, so that the CPU time of every party can
//! be told apart. Must not know: how any forwarder works inside.
//!
//! Adding a forwarder is one small struct in `forwarders/` and one line in [`forwarders::all`].
//!
//! Limits: loopback and HTTP/1.1 only; every wait has a deadline; what is started is killed by its
//! process id, and dies with the bench if the bench is killed.

pub mod child;
pub mod forwarders;
pub mod generator;
pub mod http1;
pub mod interrupt;
pub mod machine;
pub mod options;
pub mod relay;
pub mod report;
pub mod sink;
pub mod trial;
pub mod workload;

mod goals;
mod patch;
mod proto;
mod walk;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The guid that every forwarder is asked to put on every series and resource.
pub const GUID: &str = "bench-node";

/// The label (or resource attribute) that carries [`GUID`].
pub const GUID_LABEL: &str = "guid";

/// The label by which the sink knows a series: its number among the generated ones.
pub const SERIES_LABEL: &str = "series";

/// The agent's binary: the one asked for, else that of the variable `GUIDON_BIN` (which
/// `cargo xtask bench` sets to the release build), else `target/release/guidon`.
///
/// # Errors
/// There is none.
pub fn guidon_program(asked: Option<&Path>) -> Result<PathBuf> {
    let path = asked.map_or_else(
        || {
            std::env::var_os("GUIDON_BIN")
                .map_or_else(|| PathBuf::from("target/release/guidon"), PathBuf::from)
        },
        Path::to_owned,
    );
    std::fs::canonicalize(&path).with_context(|| {
        format!(
            "{} is missing: cargo build --release -p guidon",
            path.display()
        )
    })
}
