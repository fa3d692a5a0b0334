//! What the kernel programs cost: nanoseconds per run with an empty program beside in the same
//! run, and how much slower a storm of context switches and one of UDP packets become.
//!
//! The numbers per run are the kernel's own program statistics; what an empty program shows there
//! is mostly the two clock readings around it, so the net cost is the difference. The storms are
//! timed with statistics off, without and with programs in turn, and pairs of neighbours compared.
//! Needs root.

#![allow(clippy::print_stdout, reason = "the report")]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use guidon::kernel::{Kernel, Options, ProgramStatus};
use guidon_benches::probe_cost::{
    storm::{Storm, work},
    table::{Summary, Table},
};

/// Cost of guidon's kernel programs.
#[derive(Debug, Parser)]
struct Arguments {
    /// Runs of each measurement; the table has medians.
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// Length of a storm in milliseconds.
    #[arg(long, default_value_t = 700)]
    span: u64,
    /// For the bench itself: be a storm.
    #[arg(long, hide = true)]
    storm: Option<Storm>,
    /// For the bench itself: the cgroup to join.
    #[arg(long, hide = true)]
    join: Option<std::path::PathBuf>,
}

/// A program, the empty one to compare it with, and what it may cost net of that.
struct Goal {
    program: &'static str,
    empty: &'static str,
    storm: Storm,
    net_ns: Option<f64>,
}

const GOALS: [Goal; 4] = [
    Goal {
        program: "cpu_time",
        empty: "empty_runtime",
        storm: Storm::Switches,
        net_ns: Some(40.0),
    },
    Goal {
        program: "run_queue",
        empty: "empty_switch",
        storm: Storm::Switches,
        net_ns: Some(110.0),
    },
    Goal {
        program: "packet_in",
        empty: "empty_packet",
        storm: Storm::Packets,
        net_ns: Some(50.0),
    },
    Goal {
        program: "packet_out",
        empty: "empty_packet",
        storm: Storm::Packets,
        net_ns: Some(50.0),
    },
];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let span = Duration::from_millis(arguments.span);
    if let Some(storm) = arguments.storm {
        return work(storm, span, arguments.join.as_deref());
    }
    println!("{}", machine()?);
    let missed = per_run(arguments.runs, span)?;
    slowdown(arguments.runs, span)?;
    ensure!(missed.is_empty(), "over the goal: {}", missed.join(", "));
    Ok(())
}

/// Kernel and processor, without which the numbers say nothing.
fn machine() -> Result<String> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |line| {
            line.trim_start_matches([' ', '\t', ':'])
        });
    let count = std::thread::available_parallelism()?;
    Ok(format!("linux {} on {count} x {model}\n", kernel.trim()))
}

/// Nanoseconds per run by the kernel's statistics; returns what missed its goal.
fn per_run(runs: usize, span: Duration) -> Result<Vec<String>> {
    let options = Options {
        slots: None,
        run_queue: true,
        statistics: true,
    };
    let (kernel, mut events) = Kernel::load_beside_empty(&options).context("load the programs")?;
    let mut samples = vec![(Summary::default(), Summary::default()); GOALS.len()];
    for _ in 0..runs {
        for storm in [Storm::Switches, Storm::Packets] {
            let before = kernel.status().programs;
            storm.run(span)?;
            let after = kernel.status().programs;
            for (goal, (program, empty)) in GOALS.iter().zip(&mut samples) {
                if goal.storm == storm {
                    program.add(each(goal.program, &before, &after)?);
                    empty.add(each(goal.empty, &before, &after)?);
                }
            }
        }
        events.drain(&mut Vec::new());
    }
    let mut table = Table::new(["program", "ns per run", "empty beside", "net", "goal"]);
    let mut missed = Vec::new();
    for (goal, (program, empty)) in GOALS.iter().zip(&samples) {
        let net = program.median() - empty.median();
        table.row([
            goal.program.to_owned(),
            program.to_string(),
            empty.to_string(),
            format!("{net:.1}"),
            goal.net_ns.map_or(String::new(), |goal| format!("{goal}")),
        ]);
        if goal.net_ns.is_some_and(|goal| net > goal) {
            missed.push(goal.program.to_owned());
        }
    }
    println!("{table}");
    let mut table = Table::new(["other programs", "runs", "ns per run"]);
    for status in kernel.status().programs {
        if status.run_count > 0 && !GOALS.iter().any(|goal| goal.program == status.name) {
            let each = status.run_ns as f64 / status.run_count as f64;
            table.row([
                status.name.to_owned(),
                status.run_count.to_string(),
                format!("{each:.0}"),
            ]);
        }
    }
    println!("{table}");
    Ok(missed)
}

/// Nanoseconds per run between two looks.
fn each(name: &str, before: &[ProgramStatus], after: &[ProgramStatus]) -> Result<f64> {
    let find = |programs: &[ProgramStatus]| {
        let found = programs.iter().find(|program| program.name == name);
        let found = found.with_context(|| format!("no program {name}"))?;
        ensure!(
            found.off_because.is_none(),
            "{name} is off: {:?}",
            found.off_because
        );
        Ok((found.run_count, found.run_ns))
    };
    let (count_before, ns_before) = find(before)?;
    let (count_after, ns_after) = find(after)?;
    let count = count_after - count_before;
    ensure!(count > 1000, "{name} ran {count} times only");
    Ok((ns_after - ns_before) as f64 / count as f64)
}

/// Storms without and with programs in turn.
fn slowdown(runs: usize, span: Duration) -> Result<()> {
    let mut table = Table::new([
        "storm",
        "without",
        "with cpu, packets",
        "with run queue too",
    ]);
    for storm in [Storm::Switches, Storm::Packets] {
        let mut without = Summary::default();
        let mut with = [Summary::default(), Summary::default()];
        for _ in 0..runs {
            let base = storm.run(span)?;
            without.add(base);
            for (summary, run_queue) in with.iter_mut().zip([false, true]) {
                let options = Options {
                    slots: None,
                    run_queue,
                    statistics: false,
                };
                let loaded = Kernel::load(&options).context("load the programs")?;
                let loaded_ns = storm.run(span)?;
                drop(loaded);
                // The neighbour is the measure: the machine's mood changes from run to run.
                summary.add(loaded_ns - base);
            }
        }
        let more = |summary: &Summary| {
            let percent = 100.0 * summary.median() / without.median();
            format!("{summary:+} ({percent:+.1} %)")
        };
        table.row([
            storm.to_string(),
            without.to_string(),
            more(&with[0]),
            more(&with[1]),
        ]);
    }
    println!("{table}");
    Ok(())
}
