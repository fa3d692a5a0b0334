//! What a round of collection costs with many containers: from the kernel programs alone, with the
//! files too, and what reading the files costs that cAdvisor reads for the same cgroups.
//!
//! Makes cgroups like Docker's (`/docker/<64 hex>` in every hierarchy, a sleeping process in each),
//! runs the collector on this thread without the rest of the agent, and removes them again.
//! As root: `cargo run --release -p guidon-benches --bin collect_round`

#![allow(clippy::print_stdout, reason = "the numbers are the product")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use guidon::collect::containers::{ContainerCollector, Options, Purpose, Source};
use guidon::directory::{Container, Directory};
use guidon::kernel::{self, Kernel};
use guidon::signal::Frame;
use guidon::signal::series::SeriesTable;

#[derive(Parser)]
#[command(about = "CPU time of a collection round over many containers")]
struct Arguments {
    /// Containers.
    #[arg(long, default_value_t = 1000)]
    containers: u32,
    /// Rounds of each kind.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
}

/// The files that cAdvisor reads of a container in every round, by v1 hierarchy.
const V1_FILES: [(&str, &str); 13] = [
    ("cpuacct", "cpuacct.usage"),
    ("cpuacct", "cpuacct.stat"),
    ("cpuacct", "cpuacct.usage_all"),
    ("cpu", "cpu.stat"),
    ("memory", "memory.stat"),
    ("memory", "memory.usage_in_bytes"),
    ("memory", "memory.max_usage_in_bytes"),
    ("memory", "memory.failcnt"),
    ("memory", "memory.limit_in_bytes"),
    ("memory", "memory.numa_stat"),
    ("pids", "pids.current"),
    ("pids", "pids.max"),
    ("blkio", "blkio.throttle.io_service_bytes_recursive"),
];

/// The same on v2.
const V2_FILES: [&str; 13] = [
    "cpu.stat",
    "cpu.max",
    "memory.current",
    "memory.stat",
    "memory.peak",
    "memory.swap.current",
    "memory.events",
    "memory.max",
    "memory.numa_stat",
    "pids.current",
    "pids.max",
    "io.stat",
    "cgroup.procs",
];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let directory = Arc::new(Directory::new("bench".parse()?));
    let options = kernel::Options {
        slots: Some(arguments.containers + 256),
        run_queue: true,
        statistics: false,
    };
    let (kernel, mut events) = Kernel::load(&options).context("load the kernel programs")?;
    let kernel = Arc::new(kernel);
    let fleet = Fleet::make(&directory, arguments.containers)?;

    let mut born = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(10);
    while born.len() < arguments.containers as usize {
        events.drain(&mut born);
        ensure!(
            Instant::now() < deadline,
            "only {} births were told",
            born.len()
        );
        std::thread::sleep(Duration::from_millis(10));
    }

    println!(
        "{} containers, {} rounds of each kind",
        arguments.containers, arguments.rounds
    );
    println!(
        "\n{:<52} {:>10} {:>10} {:>9}",
        "a round of", "CPU ms", "wall ms", "samples"
    );
    for (what, files) in [
        ("kernel programs alone", false),
        ("kernel programs and files", true),
    ] {
        let source = Arc::clone(&kernel) as Arc<dyn Source>;
        let options = Options {
            files,
            ..Options::default()
        };
        let mut collector = ContainerCollector::new(Some(source), Arc::clone(&directory), options);
        collector.resync(&kernel.cgroups(), now_ms());
        let mut table = SeriesTable::new("bench".parse()?, Vec::new());
        let mut frames = Vec::new();
        let mut samples = 0;
        let mut round = |collector: &mut ContainerCollector| {
            collector.pass(&mut table, now_ms(), Purpose::Round);
            frames.clear();
            table.finish(now_ms(), &mut frames);
            samples = frames.iter().map(Frame::records).sum();
        };
        // The first rounds open files and make the label blocks.
        for _ in 0..4 {
            round(&mut collector);
        }
        let (cpu, wall) = measure(arguments.rounds, || round(&mut collector))?;
        println!("{what:<52} {cpu:>10.2} {wall:>10.2} {samples:>9}");
    }
    let mut buffer = Vec::new();
    let mut bytes = 0;
    let (cpu, wall) = measure(arguments.rounds, || {
        bytes = fleet.read_like_cadvisor(&mut buffer)
    })?;
    let what = "open, read, close of 13 files each, no parsing";
    println!("{what:<52} {cpu:>10.2} {wall:>10.2} {:>9}", "-");
    ensure!(bytes > 0, "the files were read");
    Ok(())
}

/// CPU and wall time per call, in milliseconds.
fn measure(calls: u32, mut work: impl FnMut()) -> Result<(f64, f64)> {
    let cpu = cpu_ms()?;
    let since = Instant::now();
    for _ in 0..calls {
        work();
    }
    let wall = since.elapsed().as_secs_f64() * 1e3;
    let cpu = cpu_ms()? - cpu;
    Ok((cpu / f64::from(calls), wall / f64::from(calls)))
}

/// CPU time of this thread; exact to a tick, which is little over all the calls.
fn cpu_ms() -> Result<f64> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    let ns = stat
        .split_whitespace()
        .next()
        .context("schedstat is empty")?;
    Ok(ns.parse::<f64>()? / 1e6)
}

fn now_ms() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// Cgroups with a sleeper in each; gone when dropped.
struct Fleet {
    roots: Vec<PathBuf>,
    paths: Vec<String>,
    sleepers: Vec<Child>,
}

impl Fleet {
    fn make(directory: &Directory, count: u32) -> Result<Self> {
        let mut fleet = Self {
            roots: hierarchies()?,
            paths: Vec::new(),
            sleepers: Vec::new(),
        };
        for number in 0..count {
            let id = format!("{:08x}{number:056x}", std::process::id());
            directory.put(Container {
                id: id.clone(),
                name: format!("bench-{number}"),
                image: "registry.example/team/service:1.2.3".to_owned(),
                guid: Some(format!("bench-{number}").parse()?),
                ..Container::default()
            });
            let path = format!("docker/{id}");
            fleet.paths.push(path.clone());
            let sleeper = Command::new("sleep").arg("3600").spawn()?;
            let pid = sleeper.id().to_string();
            fleet.sleepers.push(sleeper);
            for root in &fleet.roots {
                let folder = root.join(&path);
                fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
                fs::write(folder.join("cgroup.procs"), &pid)?;
            }
        }
        Ok(fleet)
    }

    /// Reads what cAdvisor reads; returns the bytes.
    fn read_like_cadvisor(&self, buffer: &mut Vec<u8>) -> usize {
        let root = Path::new("/sys/fs/cgroup");
        let v2 = root.join("cgroup.controllers").exists();
        let mut bytes = 0;
        let mut read = |file: PathBuf| {
            buffer.clear();
            let opened = fs::File::open(file);
            bytes += opened
                .and_then(|mut file| std::io::Read::read_to_end(&mut file, buffer))
                .unwrap_or(0);
        };
        for path in &self.paths {
            if v2 {
                V2_FILES
                    .iter()
                    .for_each(|file| read(root.join(path).join(file)));
            } else {
                V1_FILES.iter().for_each(|(controller, file)| {
                    read(root.join(controller).join(path).join(file))
                });
            }
        }
        bytes
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for sleeper in &mut self.sleepers {
            let _ = sleeper.kill();
            let _ = sleeper.wait();
        }
        for path in &self.paths {
            for root in &self.roots {
                let _ = fs::remove_dir(root.join(path));
            }
        }
    }
}

/// All mounted hierarchies, cgroup2 first.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mut roots: Vec<(bool, PathBuf)> = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let path = fields.next()?;
            let kind = fields.next()?;
            let options = fields.next()?;
            let counted = ["cpu", "cpuacct", "memory", "blkio", "pids"];
            let v1 = kind == "cgroup" && options.split(',').any(|option| counted.contains(&option));
            (v1 || kind == "cgroup2").then(|| (v1, PathBuf::from(path)))
        })
        .collect();
    roots.sort();
    roots.dedup();
    Ok(roots.into_iter().map(|(_, path)| path).collect())
}
