//! Storms: a process of its own in a cgroup of its own, on one CPU, doing one thing only.

use std::{
    fmt, fs,
    io::{Read, Write},
    net::UdpSocket,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::ValueEnum;

/// Steps between two looks at the clock.
const BATCH: u64 = 64;

/// What the process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Storm {
    /// Two threads on one CPU hand a byte to and fro: nothing but context switches.
    Switches,
    /// Datagrams from the process to itself.
    Packets,
}

impl fmt::Display for Storm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Switches => "ns per context switch",
            Self::Packets => "ns per UDP packet, sent and received",
        })
    }
}

impl Storm {
    /// Runs it in a new cgroup; returns nanoseconds per step.
    ///
    /// # Errors
    /// If the cgroup or the process cannot be made.
    pub fn run(self, span: Duration) -> Result<f64> {
        let cgroup = Cgroup::new()?;
        let output = Command::new(std::env::current_exe()?)
            .args(["--storm", self.name()])
            .arg(format!("--span={}", span.as_millis()))
            .arg("--join")
            .arg(&cgroup.folder)
            .output()
            .context("start a storm")?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim()
            .parse()
            .with_context(|| format!("a storm said {text:?}: {output:?}"))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Switches => "switches",
            Self::Packets => "packets",
        }
    }
}

struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    fn new() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let root = mounts
            .lines()
            .find_map(|line| {
                let mut fields = line.split(' ').skip(1);
                let (point, kind) = (fields.next()?, fields.next()?);
                (kind == "cgroup2").then_some(point)
            })
            .context("no cgroup2 is mounted")?;
        let folder = Path::new(root).join(format!("guidon-bench-{:08x}", rand::random::<u32>()));
        fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(Self { folder })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The process has ended, but leaves its cgroup a moment later.
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The storm's own process: joins the cgroup, does its work and prints nanoseconds per step.
///
/// # Errors
/// If it cannot join, or the work fails.
#[allow(clippy::print_stdout, reason = "the answer to the process above")]
pub fn work(storm: Storm, span: Duration, join: Option<&Path>) -> Result<()> {
    if let Some(folder) = join {
        fs::write(folder.join("cgroup.procs"), "0").context("join the cgroup")?;
    }
    let mut one = rustix::thread::CpuSet::new();
    one.set(0);
    rustix::thread::sched_setaffinity(None, &one).context("stay on one cpu")?;
    let (steps, elapsed) = match storm {
        Storm::Switches => switches(span)?,
        Storm::Packets => packets(span)?,
    };
    println!("{}", elapsed.as_nanos() as f64 / steps as f64);
    Ok(())
}

/// Two switches per turn.
fn switches(span: Duration) -> Result<(u64, Duration)> {
    let (mut read_ping, mut write_ping) = std::io::pipe()?;
    let (mut read_pong, mut write_pong) = std::io::pipe()?;
    let other = thread::spawn(move || {
        let mut byte = [0];
        while read_ping.read(&mut byte).is_ok_and(|count| count == 1)
            && write_pong.write_all(&byte).is_ok()
        {}
    });
    let mut byte = [1];
    let result = repeat(span, || {
        write_ping.write_all(&byte)?;
        read_pong.read_exact(&mut byte)?;
        Ok(())
    });
    drop(write_ping);
    if other.join().is_err() {
        anyhow::bail!("the other thread panicked");
    }
    let (turns, elapsed) = result?;
    Ok((2 * turns, elapsed))
}

fn packets(span: Duration) -> Result<(u64, Duration)> {
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    sender.connect(receiver.local_addr()?)?;
    let mut buffer = [7; 64];
    repeat(span, || {
        sender.send(&buffer)?;
        receiver.recv(&mut buffer)?;
        Ok(())
    })
}

fn repeat(span: Duration, mut step: impl FnMut() -> Result<()>) -> Result<(u64, Duration)> {
    let start = Instant::now();
    let mut steps = 0;
    loop {
        for _ in 0..BATCH {
            step()?;
        }
        steps += BATCH;
        let elapsed = start.elapsed();
        if elapsed >= span {
            return Ok((steps, elapsed));
        }
    }
}
