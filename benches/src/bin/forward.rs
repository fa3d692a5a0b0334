//! Compares forwarders side by side: `cargo xtask bench forward`. How it measures is in
//! `docs/benchmarks.md`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints a report"
)]

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use guidon_benches::forward::forwarders::{Forwarder, all};
use guidon_benches::forward::generator::{self, Load};
use guidon_benches::forward::options::{Bench, Options, Role};
use guidon_benches::forward::trial::{self, Measured};
use guidon_benches::forward::{interrupt, relay, report, sink};

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    match options.role {
        Some(Role::Sink { listen, series }) => {
            tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?
                .block_on(sink::serve(listen, series))?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Role::Relay {
            listen,
            sink,
            directory,
        }) => {
            tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?
                .block_on(relay::serve(listen, sink, &directory))?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Role::Generate {
            workload,
            series,
            per_request,
            connections,
        }) => {
            generator::serve(Load {
                workload,
                series,
                per_request,
                connections,
            })?;
            Ok(ExitCode::SUCCESS)
        }
        None => bench(&options.bench),
    }
}

fn bench(options: &Bench) -> Result<ExitCode> {
    check(options)?;
    interrupt::listen()?;
    let forwarders = chosen(options)?;
    let mut runs = Vec::new();
    let mut failures = Vec::new();
    for &workload in &options.workload {
        let plan = trial::plan(options, workload);
        let takers: Vec<_> = forwarders
            .iter()
            .filter(|forwarder| forwarder.takes(workload))
            .collect();
        for round in 0..options.runs {
            for turn in 0..takers.len() {
                // Each round starts with another one, so that none has the same neighbours always.
                let forwarder = &takers[(round + turn) % takers.len()];
                match trial::run(&plan, forwarder.as_ref()) {
                    Ok(run) => {
                        tell(round, &run);
                        runs.push(run);
                    }
                    Err(error) => {
                        interrupt::check()?;
                        let text = format!(
                            "{} under {}, round {}: {error:#}",
                            forwarder.name(),
                            workload.name(),
                            round + 1
                        );
                        eprintln!("{text}");
                        failures.push(text);
                    }
                }
            }
        }
    }
    runs.sort_by_key(|run| {
        forwarders
            .iter()
            .position(|forwarder| forwarder.name() == run.forwarder)
    });
    let (text, goals_met) = report::markdown(options, &runs)?;
    println!("{text}");
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report::document(&runs))?)
            .with_context(|| path.display().to_string())?;
    }
    failures.extend(report::losses(&runs));
    for failure in &failures {
        println!("FAILED: {failure}");
    }
    let good = failures.is_empty() && (goals_met || !options.gate);
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn check(options: &Bench) -> Result<()> {
    if options.runs == 0 || options.connections == 0 || options.samples == 0 {
        bail!("--runs, --connections and --samples must be at least 1");
    }
    if options.series / options.connections < options.samples {
        bail!("a request would hold a series twice: lower --samples or --connections");
    }
    Ok(())
}

fn chosen(options: &Bench) -> Result<Vec<Box<dyn Forwarder>>> {
    let mut forwarders = all(options.guidon.as_deref());
    for name in &options.only {
        if forwarders.iter().all(|forwarder| forwarder.name() != name) {
            let names: Vec<_> = forwarders
                .iter()
                .map(|forwarder| forwarder.name())
                .collect();
            bail!("no forwarder {name}; there are {}", names.join(", "));
        }
    }
    forwarders.retain(|forwarder| {
        options.only.is_empty() || options.only.iter().any(|name| name == forwarder.name())
    });
    Ok(forwarders)
}

fn tell(round: usize, run: &Measured) {
    eprintln!(
        "{:>2} {:<7} {:<17} {:>10.0}/s  cpu {} s/M  p99 {:.2} ms  fixed p99 {} ms  drain {:.1} s  lost {}  others {:.2} cores",
        round + 1,
        run.workload,
        run.forwarder,
        run.rate,
        run.cost.map_or("–".to_owned(), |cost| format!(
            "{:.3}",
            cost.cpu_per_million
        )),
        run.saturated.p99_ms,
        run.fixed.map_or("–".to_owned(), |fixed| format!(
            "{:.2}",
            fixed.outcome.p99_ms
        )),
        run.drain_seconds,
        run.lost,
        run.others_cores,
    );
}
