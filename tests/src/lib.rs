//! What whole-system tests are written with: the real agent, real receivers, real Docker, real
//! cgroups, and sinks that decode what they get and can misbehave on demand.
//!
//! Everything is blocking and panics with the reason when it cannot go on; everything cleans up
//! when it is dropped, also after a failed test. Run by `cargo xtask test agent`, as root.

#![deny(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that meets the unexpected has failed"
)]

pub mod agent;
pub mod cgroup;
pub mod containers;
pub mod driver;
pub mod forward;
pub mod otlp;
pub mod program;
pub mod promtool;
pub mod python;
pub mod remote_write;
pub mod sample;
pub mod server;
pub mod withheld;

pub use agent::Agent;
pub use containers::{Container, Image, system_docker};
pub use otlp::{LogLine, OtlpSink};
pub use program::{Program, PrometheusServer};
pub use remote_write::RemoteWriteSink;
pub use sample::{Labels, Sample};
pub use withheld::InitWatch;
pub use xtask::docker::Docker;
pub use xtask::dockerd::Dockerd;
pub use xtask::http::Response;

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// A port that was free a moment ago.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind a free port");
    listener.local_addr().expect("its address").port()
}

/// A name nobody else uses: `prefix-` and eight random hex digits. Fits a guid.
#[must_use]
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{:08x}", rand::random::<u32>())
}

/// Asks again and again until there is an answer; panics after `timeout`, saying what was awaited.
pub fn eventually<T>(timeout: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "waited {timeout:?} in vain for: {what}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Says that a test cannot run here and why, so that the closing line of `cargo xtask test` counts
/// it as skipped. The test returns right after. Only for what the machine cannot give.
pub fn skip(test: &str, why: &str) {
    eprintln!("skipped: {test}: {why}");
    if let Some(path) = std::env::var_os("GUIDON_TEST_SKIPS") {
        let mut file = std::fs::File::options()
            .append(true)
            .open(path)
            .expect("open the list of skipped tests");
        writeln!(file, "{test}: {why}").expect("write the list of skipped tests");
    }
}
