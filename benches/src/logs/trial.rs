//! One run of one shipper over some number of files.
//!
//! The shipper is at rest with every (empty) log open; then all lines are appended at once, and its
//! CPU time is taken until the last one is at the sink. Work put off is counted: what is measured
//! ends two seconds after that.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::containers::Containers;
use super::shippers::Shipper;
use crate::forward::interrupt;

/// With no line arriving for this long, what is missing is lost.
const STALL: Duration = Duration::from_secs(20);

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which program.
    pub shipper: Shipper,
    /// Followed files.
    pub files: usize,
    /// Lines over all of them.
    pub lines: u64,
    /// First of two ports.
    pub port: u16,
    /// The agent's binary, if it is not the usual one.
    pub program: Option<PathBuf>,
}

/// What a run gave; memory in bytes.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Lines at the sink.
    pub lines: u64,
    /// From the first line in a file to the last one at the sink.
    pub seconds: f64,
    /// The shipper's CPU seconds.
    pub cpu_seconds: f64,
    /// Resident with every file open and empty.
    pub idle_rss: u64,
    /// Highest resident size.
    pub peak_rss: u64,
}

/// Runs a plan below `directory`.
///
/// # Errors
/// Something cannot be started, or lines are missing or too many at the end.
pub fn run(plan: &Plan, directory: &Path) -> Result<Measured> {
    let folder = tempfile::tempdir_in(directory)?;
    let lines_each = plan.lines / plan.files as u64;
    let containers = Arc::new(Containers::make(folder.path(), plan.files, lines_each)?);
    let program = plan.program.as_deref();
    let mut running = plan
        .shipper
        .start(&containers, folder.path(), plan.port, program)?;
    let opened = || open_logs(running.child.id(), containers.root());
    wait_for(plan.files, opened).with_context(|| running.child.log_tail())?;
    // The rest of its start.
    interrupt::sleep(Duration::from_secs(2))?;
    let idle_rss = running.child.memory("VmRSS")?;
    let cpu_before = running.child.cpu_seconds()?;
    let start = Instant::now();
    containers.fill()?;
    let (mut arrived, mut last) = (0, Instant::now());
    while arrived < containers.lines() {
        interrupt::sleep(Duration::from_millis(20))?;
        let now = running.arrived()?;
        if now != arrived {
            (arrived, last) = (now, Instant::now());
        } else if last.elapsed() > STALL {
            bail!(
                "{} of {} lines are missing\n{}",
                containers.lines() - arrived,
                containers.lines(),
                running.child.log_tail()
            );
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    interrupt::sleep(Duration::from_secs(2))?;
    let measured = Measured {
        lines: running.arrived()?,
        seconds,
        cpu_seconds: running.child.cpu_seconds()? - cpu_before,
        idle_rss,
        peak_rss: running.child.memory("VmHWM")?,
    };
    running.child.stop(Duration::from_secs(10))?;
    if measured.lines != containers.lines() {
        bail!("{} lines arrived of {}", measured.lines, containers.lines());
    }
    Ok(measured)
}

/// How many of the logs a process has open.
fn open_logs(pid: u32, root: &Path) -> Result<usize> {
    let mut open = 0;
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        // A descriptor may close between the listing and the look.
        let target = std::fs::read_link(entry?.path());
        open += usize::from(target.is_ok_and(|target| target.starts_with(root)));
    }
    Ok(open)
}

fn wait_for(files: usize, open: impl Fn() -> Result<usize>) -> Result<()> {
    let start = Instant::now();
    loop {
        let now = open()?;
        if now >= files {
            return Ok(());
        }
        if start.elapsed() > Duration::from_secs(60) {
            bail!("only {now} of {files} logs are open after a minute");
        }
        interrupt::sleep(Duration::from_millis(100))?;
    }
}
