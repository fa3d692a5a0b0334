//! One run of one forwarder under one load.
//!
//! Owns: the order of things (sink, generator, forwarder; idle; fixed rate; saturation; drain; end)
//! and the books: what was acknowledged must have reached the sink. Must not know: which forwarder
//! it is, or how runs are summed up.
//!
//! CPU seconds per million are the CPU time of a process from the first request of the saturating
//! part to the end of the drain, divided by the records that reached the sink in that time: work
//! that a forwarder puts off is counted.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ChildStdin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::child::Child;
use super::forwarders::{Forwarder, Site};
use super::generator::{Load, Note, Order, Outcome};
use super::interrupt;
use super::machine::busy_seconds;
use super::sink::{self, Counts};
use super::workload::Workload;

/// With no record arriving for this long, what is missing is lost.
const STALL: Duration = Duration::from_secs(10);

/// What a trial needs to know.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The load.
    pub load: Load,
    /// Seconds of saturating load, not measured and measured.
    pub warmup_seconds: f64,
    /// Measured.
    pub seconds: f64,
    /// Records a second of the fixed-rate part, and its seconds; `None` leaves it out.
    pub fixed: Option<(f64, f64)>,
    /// The longest drain.
    pub drain: Duration,
    /// The sink's port; forwarders get the ones after it.
    pub port: u16,
    /// Where temporary directories are made.
    pub directory: PathBuf,
}

/// What one run gave. Memory in bytes, times in the unit of their names.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// The forwarder's name.
    pub forwarder: &'static str,
    /// The workload's name.
    pub workload: &'static str,
    /// Records a second at the sink, in the measured time.
    pub rate: f64,
    /// The generator's outcome of the saturating part.
    pub saturated: Outcome,
    /// The forwarder's costs; absent without one.
    pub cost: Option<Cost>,
    /// The fixed-rate part.
    pub fixed: Option<Fixed>,
    /// CPU seconds of the generator per million records.
    pub generator_cpu_per_million: f64,
    /// CPU seconds of the sink per million records.
    pub sink_cpu_per_million: f64,
    /// Cores that processes outside the bench kept busy in the saturating part: the more, the less
    /// the rates mean.
    pub others_cores: f64,
    /// Seconds from the generator's last answer to the last record at the sink.
    pub drain_seconds: f64,
    /// Records acknowledged, both parts.
    pub acknowledged: u64,
    /// Of those, the ones that never reached the sink.
    pub lost: u64,
    /// Records were still arriving when the drain's time was over: `lost` is then too high.
    pub still_draining: bool,
    /// Requests of both parts that were refused, or whose fate is unknown.
    pub failed_requests: u64,
    /// What the sink counted, both parts.
    pub sink: Counts,
}

/// What the forwarder's process took.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cost {
    /// CPU seconds per million records, saturated, drain included.
    pub cpu_per_million: f64,
    /// Resident before any load.
    pub idle_rss: u64,
    /// The highest resident size, maps included.
    pub peak_rss: u64,
    /// Resident two seconds after the drain.
    pub settled_rss: u64,
    /// It ended within ten seconds of SIGTERM.
    pub ended_by_itself: bool,
}

/// The fixed-rate part.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Fixed {
    /// The generator's outcome.
    pub outcome: Outcome,
    /// CPU seconds of the forwarder per million records at this rate.
    pub cpu_per_million: Option<f64>,
}

/// Runs it once.
///
/// # Errors
/// A process could not be started, died, or did not answer; or the bench was interrupted.
pub fn run(plan: &Plan, forwarder: &dyn Forwarder) -> Result<Measured> {
    let directory = tempfile::Builder::new()
        .prefix("guidon-bench-")
        .tempdir_in(&plan.directory)?;
    let mut bench = Bench::start(plan, forwarder, directory.path())?;
    let idle_rss = match &bench.forwarder {
        Some(child) => {
            interrupt::sleep(Duration::from_secs(1))?;
            Some(child.memory("VmRSS")?)
        }
        None => None,
    };

    let mut acknowledged = 0;
    let mut failed_requests = 0;
    let mut fixed = None;
    if let Some((rate, seconds)) = plan.fixed {
        let part = bench.part(plan, 1.0, seconds, Some(rate), &mut acknowledged)?;
        failed_requests += part.outcome.refused + part.outcome.unknown;
        fixed = Some(Fixed {
            outcome: part.outcome,
            cpu_per_million: part.forwarder_cpu_per_million,
        });
    }
    let part = bench.part(
        plan,
        plan.warmup_seconds,
        plan.seconds,
        None,
        &mut acknowledged,
    )?;
    failed_requests += part.outcome.refused + part.outcome.unknown;

    let cost = match (
        &mut bench.forwarder,
        idle_rss,
        part.forwarder_cpu_per_million,
    ) {
        (Some(child), Some(idle_rss), Some(cpu_per_million)) => {
            let peak_rss = child.memory("VmHWM")?;
            interrupt::sleep(Duration::from_secs(2))?;
            Some(Cost {
                cpu_per_million,
                idle_rss,
                peak_rss,
                settled_rss: child.memory("VmRSS")?,
                ended_by_itself: child.stop(Duration::from_secs(10))?,
            })
        }
        _ => None,
    };
    // A forwarder may deliver its last records while it ends.
    let counts = sink::counts(bench.sink_address)?;
    Ok(Measured {
        forwarder: forwarder.name(),
        workload: plan.load.workload.name(),
        rate: part.rate,
        saturated: part.outcome,
        cost,
        fixed,
        generator_cpu_per_million: part.generator_cpu_per_million,
        sink_cpu_per_million: part.sink_cpu_per_million,
        others_cores: part.others_cores,
        drain_seconds: part.drain_seconds,
        acknowledged,
        lost: acknowledged.saturating_sub(counts.records - counts.duplicates),
        still_draining: part.still_draining,
        failed_requests,
        sink: counts,
    })
}

/// The three processes of a run.
struct Bench {
    // Dropped in this order: who sends ends before who receives.
    generator: Child,
    orders: ChildStdin,
    notes: Receiver<Note>,
    forwarder: Option<Child>,
    sink: Child,
    sink_address: SocketAddr,
    target: SocketAddr,
}

struct Part {
    outcome: Outcome,
    rate: f64,
    forwarder_cpu_per_million: Option<f64>,
    generator_cpu_per_million: f64,
    sink_cpu_per_million: f64,
    others_cores: f64,
    drain_seconds: f64,
    still_draining: bool,
}

impl Bench {
    fn start(plan: &Plan, forwarder: &dyn Forwarder, directory: &Path) -> Result<Self> {
        let load = plan.load;
        let bench = std::env::current_exe()?;
        let sink_address = SocketAddr::from(([127, 0, 0, 1], plan.port));
        let mut sink = Child::start(
            "sink",
            &bench,
            &[
                "sink".to_owned(),
                sink_address.to_string(),
                load.series.to_string(),
            ],
            directory,
            false,
        )?;
        sink.wait_ready(sink_address, Some("/counts"), Duration::from_secs(10))?;

        let mut generator = Child::start(
            "generator",
            &bench,
            &[
                "generate".to_owned(),
                load.workload.name().to_owned(),
                load.series.to_string(),
                load.per_request.to_string(),
                load.connections.to_string(),
            ],
            directory,
            true,
        )?;
        let (orders, output) = generator.pipes().context("generator's pipes")?;
        let (sender, notes) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let note = line.ok().and_then(|line| serde_json::from_str(&line).ok());
                let Some(note) = note else { return };
                if sender.send(note).is_err() {
                    return;
                }
            }
        });

        let site_directory = directory.join(forwarder.name());
        std::fs::create_dir(&site_directory)?;
        let site = Site {
            directory: &site_directory,
            sink: sink_address,
            first_port: plan.port + 1,
        };
        let launch = forwarder.launch(&site, load.workload)?;
        let mut bench = Self {
            generator,
            orders,
            notes,
            forwarder: None,
            sink,
            sink_address,
            target: sink_address,
        };
        let Note::Ready = bench.note(Duration::from_secs(60))? else {
            bail!("generator spoke out of turn");
        };
        if let Some(launch) = launch {
            let mut child = Child::start(
                forwarder.name(),
                &launch.program,
                &launch.arguments,
                directory,
                false,
            )?;
            let (address, path) = launch.ready;
            child.wait_ready(address, Some(path), Duration::from_secs(30))?;
            child.wait_ready(launch.ingest, None, Duration::from_secs(10))?;
            bench.forwarder = Some(child);
            bench.target = launch.ingest;
        }
        Ok(bench)
    }

    fn note(&self, within: Duration) -> Result<Note> {
        let end = Instant::now() + within;
        loop {
            interrupt::check()?;
            match self.notes.recv_timeout(Duration::from_millis(100)) {
                Ok(note) => return Ok(note),
                Err(RecvTimeoutError::Timeout) if Instant::now() < end => {}
                Err(error) => bail!("generator: {error}\n{}", self.last_words()),
            }
        }
    }

    fn last_words(&self) -> String {
        let mut words = self.generator.log_tail();
        if let Some(forwarder) = &self.forwarder {
            words.push('\n');
            words.push_str(&forwarder.log_tail());
        }
        words
    }

    fn part(
        &mut self,
        plan: &Plan,
        warmup_seconds: f64,
        seconds: f64,
        rate: Option<f64>,
        acknowledged: &mut u64,
    ) -> Result<Part> {
        let start = Instant::now();
        let before = self.cpu()?;
        let records_before = sink::counts(self.sink_address)?.records;
        let order = Order {
            target: self.target,
            warmup_seconds,
            seconds,
            rate,
        };
        serde_json::to_writer(&mut self.orders, &order)?;
        writeln!(self.orders)?;
        self.orders.flush()?;

        let patience = Duration::from_secs_f64(warmup_seconds + seconds) + Duration::from_secs(60);
        let Note::Measuring = self.note(patience)? else {
            bail!("generator gave up\n{}", self.last_words());
        };
        let window = (Instant::now(), sink::counts(self.sink_address)?.records);
        let Note::Done(outcome) = self.note(patience)? else {
            bail!("generator spoke out of turn");
        };
        let records = sink::counts(self.sink_address)?.records - window.1;
        let rate = records as f64 / window.0.elapsed().as_secs_f64();

        *acknowledged += outcome.acknowledged;
        let (drain_seconds, still_draining) = self.drain(plan.drain, *acknowledged)?;
        let after = self.cpu()?;
        let elapsed = start.elapsed().as_secs_f64();
        let millions = (sink::counts(self.sink_address)?.records - records_before) as f64 / 1e6;
        if millions == 0.0 {
            bail!(
                "nothing reached the sink: {outcome:?}\n{}",
                self.last_words()
            );
        }
        Ok(Part {
            outcome,
            rate,
            forwarder_cpu_per_million: self
                .forwarder
                .is_some()
                .then(|| (after.forwarder - before.forwarder) / millions),
            generator_cpu_per_million: (after.generator - before.generator) / millions,
            sink_cpu_per_million: (after.sink - before.sink) / millions,
            others_cores: ((after.everybody - before.everybody) - after.ours_since(&before))
                .max(0.0)
                / elapsed,
            drain_seconds,
            still_draining,
        })
    }

    /// Waits until everything acknowledged is at the sink. Seconds it took, and whether records were
    /// still arriving when time was over.
    fn drain(&self, limit: Duration, acknowledged: u64) -> Result<(f64, bool)> {
        let start = Instant::now();
        let mut progress = (start, 0);
        loop {
            let counts = sink::counts(self.sink_address)?;
            let delivered = counts.records - counts.duplicates;
            if delivered != progress.1 {
                progress = (Instant::now(), delivered);
            }
            let stalled = progress.0.elapsed() > STALL;
            if delivered >= acknowledged || stalled || start.elapsed() > limit {
                let seconds = progress.0.duration_since(start).as_secs_f64();
                return Ok((seconds, delivered < acknowledged && !stalled));
            }
            interrupt::sleep(Duration::from_millis(20))?;
        }
    }

    fn cpu(&self) -> Result<Cpu> {
        Ok(Cpu {
            forwarder: self
                .forwarder
                .as_ref()
                .map_or(Ok(0.0), Child::cpu_seconds)?,
            generator: self.generator.cpu_seconds()?,
            sink: self.sink.cpu_seconds()?,
            everybody: busy_seconds().context("/proc/stat")?,
        })
    }
}

struct Cpu {
    forwarder: f64,
    generator: f64,
    sink: f64,
    everybody: f64,
}

impl Cpu {
    fn ours_since(&self, before: &Self) -> f64 {
        (self.forwarder + self.generator + self.sink)
            - (before.forwarder + before.generator + before.sink)
    }
}

/// The plan for a workload: OTLP has no fixed-rate part.
pub fn plan(options: &super::options::Bench, workload: Workload) -> Plan {
    Plan {
        load: Load {
            workload,
            series: options.series,
            per_request: if workload.is_otlp() {
                options.records
            } else {
                options.samples
            },
            connections: options.connections,
        },
        warmup_seconds: options.warmup,
        seconds: options.seconds,
        fixed: (options.fixed_rate > 0.0 && !workload.is_otlp())
            .then_some((options.fixed_rate, options.fixed_seconds)),
        drain: Duration::from_secs_f64(options.drain_seconds),
        port: options.port,
        directory: options.directory.clone().unwrap_or_else(std::env::temp_dir),
    }
}
