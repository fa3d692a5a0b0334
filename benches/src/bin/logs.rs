//! What following container logs costs: `cargo xtask bench logs`. How it measures is in
//! `docs/benchmarks.md`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints a report"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use guidon_benches::forward::{interrupt, machine};
use guidon_benches::logs::shippers::{Shipper, rsyslogd};
use guidon_benches::logs::trial::{self, Measured, Plan};

const MIB: f64 = 1024.0 * 1024.0;
/// Lines per CPU second.
const GOAL_LINES: f64 = 200_000.0;
/// How much more memory many files may take than few.
const GOAL_GROWTH: f64 = 1.25;

/// Follows json-file logs to a sink and counts lines per CPU second.
#[derive(Debug, Parser)]
#[command(name = "logs")]
struct Options {
    /// Lines over all files.
    #[arg(long, default_value_t = 1_000_000)]
    lines: u64,
    /// Followed files: few, and many.
    #[arg(long, default_values_t = [10, 1_000], value_delimiter = ',')]
    files: Vec<usize>,
    /// Runs of each; medians are reported.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// The agent's binary; by default that of GUIDON_BIN, else target/release/guidon.
    #[arg(long)]
    guidon: Option<PathBuf>,
    /// First of many ports used on 127.0.0.1.
    #[arg(long, default_value_t = 27_200)]
    port: u16,
    /// Where the files are made.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    directory: PathBuf,
}

struct Row {
    shipper: Shipper,
    files: usize,
    runs: Vec<Measured>,
}

impl Row {
    fn median(&self, value: impl Fn(&Measured) -> f64) -> f64 {
        let mut values: Vec<f64> = self.runs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    fn per_cpu_second(&self) -> f64 {
        self.median(|run| run.lines as f64 / run.cpu_seconds)
    }

    fn peak(&self) -> f64 {
        self.median(|run| run.peak_rss as f64 / MIB)
    }
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    interrupt::listen()?;
    let mut shippers = vec![Shipper::Guidon];
    if rsyslogd().exists() {
        shippers.push(Shipper::Rsyslog);
    }
    let mut rows: Vec<Row> = Vec::new();
    for &files in &options.files {
        for &shipper in &shippers {
            rows.push(Row {
                shipper,
                files,
                runs: Vec::new(),
            });
        }
    }
    // Sinks stay until the end of the process, so each run has ports of its own.
    let mut port = options.port;
    for round in 0..options.runs.max(1) {
        for row in &mut rows {
            let plan = Plan {
                shipper: row.shipper,
                files: row.files,
                lines: options.lines,
                port,
                program: options.guidon.clone(),
            };
            port += 2;
            let name = format!("{}, {} files", row.shipper.name(), row.files);
            let measured = trial::run(&plan, &options.directory).context(name.clone())?;
            eprintln!(
                "{:>2} {name}: {:.0} lines per CPU second, {:.0}/s, peak {:.1} MiB",
                round + 1,
                measured.lines as f64 / measured.cpu_seconds,
                measured.lines as f64 / measured.seconds,
                measured.peak_rss as f64 / MIB
            );
            row.runs.push(measured);
        }
    }
    Ok(report(&options, &rows))
}

fn report(options: &Options, rows: &[Row]) -> ExitCode {
    for (name, value) in machine::describe() {
        println!("- {name}: {value}");
    }
    println!(
        "- {} lines of 200 bytes, medians of {} runs\n",
        options.lines, options.runs
    );
    println!("| | files | lines per CPU second | lines/s | peak RSS MiB | idle RSS MiB |");
    println!("|---|---|---|---|---|---|");
    for row in rows {
        println!(
            "| {} | {} | {:.0} | {:.0} | {:.1} | {:.1} |",
            row.shipper.name(),
            row.files,
            row.per_cpu_second(),
            row.median(|run| run.lines as f64 / run.seconds),
            row.peak(),
            row.median(|run| run.idle_rss as f64 / MIB),
        );
    }
    let own = || rows.iter().filter(|row| row.shipper == Shipper::Guidon);
    let slowest = own().map(Row::per_cpu_second).fold(f64::MAX, f64::min);
    let fewest = own().min_by_key(|row| row.files).map_or(0.0, Row::peak);
    let most = own().max_by_key(|row| row.files).map_or(0.0, Row::peak);
    let goals = [
        (
            "lines per CPU second",
            format!("{slowest:.0}"),
            format!("≥ {GOAL_LINES}"),
            slowest >= GOAL_LINES,
        ),
        (
            "peak RSS with most files by that with fewest",
            format!("{:.2}", most / fewest),
            format!("≤ {GOAL_GROWTH}"),
            most / fewest <= GOAL_GROWTH,
        ),
    ];
    println!("\n| guidon | measured | goal | met |\n|---|---|---|---|");
    for (name, value, goal, is_met) in &goals {
        let met = if *is_met { "yes" } else { "**no**" };
        println!("| {name} | {value} | {goal} | {met} |");
    }
    match goals.iter().all(|(_, _, _, is_met)| *is_met) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
