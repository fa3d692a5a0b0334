//! What the agent costs while nothing happens: `cargo xtask bench idle`.
//!
//! Starts containers that sleep, then the agent with all its collectors and a sink to ship to, and
//! reads the agent's CPU time and memory from `/proc`. Fails if the goals are missed or if too few
//! samples arrived for the agent to have looked at every container in every interval. Needs root
//! and Docker; removes what it made.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints a report"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use guidon_benches::forward::child::Child;
use guidon_benches::forward::{guidon_program, interrupt, machine, sink};
use serde_json::json;
use xtask::docker::Docker;
use xtask::hands::side_by_side;
use xtask::image::import_busybox;

const MIB: f64 = 1024.0 * 1024.0;
const GOAL_CPU_PERCENT: f64 = 1.0;
const GOAL_MIB: f64 = 64.0;

/// A container has more series than this at any time; fewer samples mean it was not looked at.
const LEAST_SERIES_PER_CONTAINER: u64 = 5;

/// Measures the agent at rest with sleeping containers around it.
#[derive(Debug, Parser)]
#[command(name = "idle")]
struct Options {
    /// Containers to start.
    #[arg(long, default_value_t = 100)]
    containers: usize,
    /// Measured seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The collection interval in seconds.
    #[arg(long, default_value_t = 10)]
    interval: u64,
    /// The agent's binary; by default that of GUIDON_BIN, else target/release/guidon.
    #[arg(long)]
    guidon: Option<PathBuf>,
    /// First of two ports used on 127.0.0.1.
    #[arg(long, default_value_t = 27_100)]
    port: u16,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    interrupt::listen()?;
    let program = guidon_program(options.guidon.as_deref())?;
    let docker = Docker::system();
    if !docker.answers() {
        bail!("Docker does not answer: `cargo xtask setup test`");
    }
    let sink = SocketAddr::from(([127, 0, 0, 1], options.port));
    let api = SocketAddr::from(([127, 0, 0, 1], options.port + 1));
    std::thread::spawn(move || {
        let served = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Into::into)
            .and_then(|runtime| runtime.block_on(sink::serve(sink, 0)));
        if let Err(error) = served {
            eprintln!("sink: {error:#}");
        }
    });

    eprintln!("starting {} containers", options.containers);
    let crowd = Crowd::start(docker, options.containers)?;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("guidon.toml");
    std::fs::write(&config, configuration(&options, folder.path(), sink, api))?;
    let mut agent = Child::start(
        "guidon",
        &program,
        &[
            "run".to_owned(),
            "--config".to_owned(),
            config.display().to_string(),
        ],
        folder.path(),
        false,
    )?;
    agent.wait_ready(api, Some("/readyz"), Duration::from_secs(30))?;
    let rest = measure(&agent, sink, &options);
    let stopped = agent.stop(Duration::from_secs(10))?;
    let left = crowd.remove()?;
    let rest = rest.with_context(|| agent.log_tail())?;
    if !stopped {
        eprintln!("the agent did not end within 10 s of SIGTERM");
    }
    if left > 0 {
        eprintln!("{left} cgroups of removed containers had to be removed by hand");
    }
    Ok(report(&options, &rest))
}

fn configuration(options: &Options, folder: &Path, sink: SocketAddr, api: SocketAddr) -> String {
    format!(
        r#"guid = "bench-node"
data_dir = "{data}"

[api]
listen = "{api}"

[bus]
metrics = "http://{sink}/api/v1/write"

[collect]
interval = "{interval}s"
kernel = true
containers = true
node = true
"#,
        data = folder.join("data").display(),
        interval = options.interval,
    )
}

/// What the agent took at rest.
struct Rest {
    cpu_percent: f64,
    samples_per_interval: f64,
    lines: BTreeMap<&'static str, u64>,
    kernel_bytes: u64,
}

fn measure(agent: &Child, sink: SocketAddr, options: &Options) -> Result<Rest> {
    // The first rounds find and name everything; rest begins after them.
    interrupt::sleep(Duration::from_secs(options.interval * 3 / 2 + 2))?;
    eprintln!("measuring for {} s", options.seconds);
    let before = sink::counts(sink)?.foreign;
    let cpu_before = agent.cpu_seconds()?;
    let start = Instant::now();
    interrupt::sleep(Duration::from_secs(options.seconds))?;
    let elapsed = start.elapsed().as_secs_f64();
    let cpu = agent.cpu_seconds()? - cpu_before;
    let samples = sink::counts(sink)?.foreign - before;
    let lines = ["VmRSS", "VmHWM", "RssAnon", "RssFile", "RssShmem"]
        .into_iter()
        .map(|line| Ok((line, agent.memory(line)?)))
        .collect::<Result<_>>()?;
    Ok(Rest {
        cpu_percent: 100.0 * cpu / elapsed,
        samples_per_interval: samples as f64 * options.interval as f64 / elapsed,
        lines,
        kernel_bytes: kernel_bytes(agent.id())?,
    })
}

/// What the kernel holds for the agent's BPF maps and programs, by their open descriptors.
fn kernel_bytes(pid: u32) -> Result<u64> {
    let mut held = BTreeMap::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        // A descriptor may close between the listing and the read.
        let Ok(text) = std::fs::read_to_string(entry?.path()) else {
            continue;
        };
        let line = |name: &str| -> Option<u64> {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?
                .trim()
                .parse()
                .ok()
        };
        let key = (line("map_id"), line("prog_id"));
        if let (true, Some(bytes)) = (key != (None, None), line("memlock")) {
            held.insert(key, bytes);
        }
    }
    Ok(held.values().sum())
}

fn report(options: &Options, rest: &Rest) -> ExitCode {
    let resident = rest.lines["VmRSS"] as f64 / MIB;
    let kernel = rest.kernel_bytes as f64 / MIB;
    let least = options.containers as u64 * LEAST_SERIES_PER_CONTAINER;
    for (name, value) in machine::describe() {
        println!("- {name}: {value}");
    }
    println!(
        "- {} sleeping containers, interval {} s, {} s measured\n",
        options.containers, options.interval, options.seconds
    );
    let rows = [
        (
            "CPU, % of one core",
            format!("{:.2}", rest.cpu_percent),
            Some((
                format!("< {GOAL_CPU_PERCENT}"),
                rest.cpu_percent < GOAL_CPU_PERCENT,
            )),
        ),
        (
            "resident + BPF maps and programs, MiB",
            format!("{:.1}", resident + kernel),
            Some((format!("< {GOAL_MIB}"), resident + kernel < GOAL_MIB)),
        ),
        (
            "samples shipped per interval",
            format!("{:.0}", rest.samples_per_interval),
            Some((
                format!("≥ {least}"),
                rest.samples_per_interval >= least as f64,
            )),
        ),
        ("resident (VmRSS), MiB", format!("{resident:.1}"), None),
        (
            "of it anonymous / files and maps / shared, MiB",
            format!(
                "{:.1} / {:.1} / {:.1}",
                rest.lines["RssAnon"] as f64 / MIB,
                rest.lines["RssFile"] as f64 / MIB,
                rest.lines["RssShmem"] as f64 / MIB
            ),
            None,
        ),
        (
            "highest resident (VmHWM), MiB",
            format!("{:.1}", rest.lines["VmHWM"] as f64 / MIB),
            None,
        ),
        (
            "BPF maps and programs in the kernel, MiB",
            format!("{kernel:.1}"),
            None,
        ),
    ];
    println!("| at rest | measured | goal | met |\n|---|---|---|---|");
    let mut good = true;
    for (name, value, goal) in rows {
        let (goal, met) = goal.map_or((String::new(), ""), |(goal, met)| {
            good &= met;
            (goal, if met { "yes" } else { "**no**" })
        });
        println!("| {name} | {value} | {goal} | {met} |");
    }
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Sleeping containers and their image. Dropping it removes them; [`Crowd::remove`] also looks
/// after their cgroups.
struct Crowd {
    docker: Docker,
    image: String,
    count: usize,
    removed: bool,
}

impl Crowd {
    fn start(docker: Docker, count: usize) -> Result<Self> {
        let image = format!("guidon-bench-idle-{}", std::process::id());
        import_busybox(&docker, &image)?;
        let crowd = Self {
            docker,
            image,
            count,
            removed: false,
        };
        side_by_side(count, |number| {
            interrupt::check()?;
            let name = crowd.name(number);
            let body = json!({
                "Image": crowd.image,
                "Cmd": ["sleep", "86400"],
                "Hostname": name,
                "HostConfig": { "Init": false },
            });
            crowd.docker.start(&crowd.docker.create(&name, &body)?)
        })?;
        Ok(crowd)
    }

    fn name(&self, number: usize) -> String {
        format!("{}-{number}", self.image)
    }

    /// Removes everything and says how many cgroups were left behind and had to be removed.
    fn remove(mut self) -> Result<usize> {
        let ids: Vec<_> = (0..self.count)
            .filter_map(|number| {
                let container = self.docker.inspect(&self.name(number)).ok()?;
                Some(container["Id"].as_str()?.to_owned())
            })
            .collect();
        self.removed = true;
        self.clear()?;
        let mut left = 0;
        for root in hierarchies()? {
            for id in &ids {
                let cgroup = root.join("docker").join(id);
                left += usize::from(cgroup.exists() && std::fs::remove_dir(&cgroup).is_ok());
            }
        }
        Ok(left)
    }

    fn clear(&self) -> Result<()> {
        side_by_side(self.count, |number| {
            let name = self.name(number);
            if let Err(error) = self.docker.remove(&name) {
                eprintln!("container {name} is still there: {error:#}");
            }
            Ok(())
        })?;
        self.docker.remove_image(&self.image)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        if !self.removed
            && let Err(error) = self.clear()
        {
            eprintln!("could not remove everything: {error:#}");
        }
    }
}

/// The cgroup hierarchies: the unified one and, on hybrid hosts, every controller's.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let root = PathBuf::from("/sys/fs/cgroup");
    let mut all = vec![root.clone()];
    for entry in std::fs::read_dir(&root)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            all.push(entry.path());
        }
    }
    Ok(all)
}
