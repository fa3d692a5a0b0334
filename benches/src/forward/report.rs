//! Medians, the Markdown tables and the JSON file.

use std::fmt::Write;

use anyhow::Result;
use serde_json::json;

use super::goals::judge;
use super::machine;
use super::options::Bench;
use super::trial::Measured;
use super::workload::Workload;

const MIB: f64 = 1024.0 * 1024.0;

/// The medians of one forwarder's runs under one workload; `lost`, `reordered`, `untagged` and
/// `failed` are sums.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    pub(crate) forwarder: &'static str,
    pub(crate) runs: usize,
    pub(crate) rate: f64,
    pub(crate) rate_range: (f64, f64),
    pub(crate) cpu_per_million: Option<f64>,
    pub(crate) fixed_cpu_per_million: Option<f64>,
    pub(crate) peak_rss: Option<f64>,
    pub(crate) idle_rss: Option<f64>,
    pub(crate) settled_rss: Option<f64>,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) fixed_p50_ms: Option<f64>,
    pub(crate) fixed_p99_ms: Option<f64>,
    pub(crate) generator_cpu_per_million: f64,
    pub(crate) sink_cpu_per_million: f64,
    pub(crate) others_cores: f64,
    pub(crate) drain_seconds: f64,
    pub(crate) out_bytes_per_record: f64,
    pub(crate) records: u64,
    pub(crate) lost: u64,
    pub(crate) reordered: u64,
    pub(crate) duplicates: u64,
    pub(crate) untagged: u64,
    pub(crate) failed: u64,
}

impl Summary {
    fn of(runs: &[&Measured]) -> Option<Self> {
        let first = runs.first()?;
        let all = |value: &dyn Fn(&Measured) -> Option<f64>| {
            median(runs.iter().filter_map(|run| value(run)).collect())
        };
        let each = |value: &dyn Fn(&Measured) -> f64| all(&|run| Some(value(run))).unwrap_or(0.0);
        let sum = |value: &dyn Fn(&Measured) -> u64| runs.iter().map(|run| value(run)).sum();
        let rates = runs.iter().map(|run| run.rate);
        Some(Self {
            forwarder: first.forwarder,
            runs: runs.len(),
            rate: each(&|run| run.rate),
            rate_range: (
                rates.clone().fold(f64::INFINITY, f64::min),
                rates.fold(0.0, f64::max),
            ),
            cpu_per_million: all(&|run| Some(run.cost?.cpu_per_million)),
            fixed_cpu_per_million: all(&|run| run.fixed?.cpu_per_million),
            peak_rss: all(&|run| Some(run.cost?.peak_rss as f64)),
            idle_rss: all(&|run| Some(run.cost?.idle_rss as f64)),
            settled_rss: all(&|run| Some(run.cost?.settled_rss as f64)),
            p50_ms: each(&|run| run.saturated.p50_ms),
            p99_ms: each(&|run| run.saturated.p99_ms),
            fixed_p50_ms: all(&|run| Some(run.fixed?.outcome.p50_ms)),
            fixed_p99_ms: all(&|run| Some(run.fixed?.outcome.p99_ms)),
            generator_cpu_per_million: each(&|run| run.generator_cpu_per_million),
            sink_cpu_per_million: each(&|run| run.sink_cpu_per_million),
            others_cores: each(&|run| run.others_cores),
            drain_seconds: each(&|run| run.drain_seconds),
            out_bytes_per_record: each(&|run| {
                run.sink.wire_bytes as f64 / run.sink.records.max(1) as f64
            }),
            records: sum(&|run| run.sink.records),
            lost: sum(&|run| run.lost),
            reordered: sum(&|run| run.sink.reordered),
            duplicates: sum(&|run| run.sink.duplicates),
            untagged: if first.cost.is_some() {
                sum(&|run| run.sink.untagged)
            } else {
                0
            },
            failed: sum(&|run| run.failed_requests),
        })
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// What went wrong in single runs, one line each; empty if nothing was lost.
pub fn losses(runs: &[Measured]) -> Vec<String> {
    runs.iter()
        .filter(|run| run.lost > 0)
        .map(|run| {
            format!(
                "{} under {}: {} of {} acknowledged records did not reach the sink{}",
                run.forwarder,
                run.workload,
                run.lost,
                run.acknowledged,
                if run.still_draining {
                    " in the drain's time (they were still arriving)"
                } else {
                    ""
                }
            )
        })
        .collect()
}

/// The whole report as Markdown, and whether guidon met its goals.
///
/// # Errors
/// None but formatting's own.
pub fn markdown(options: &Bench, runs: &[Measured]) -> Result<(String, bool)> {
    let mut text = String::new();
    for (name, value) in machine::describe() {
        writeln!(text, "- {name}: {value}")?;
    }
    writeln!(
        text,
        "- {} alternating runs, {} s measured after {} s, {} connections\n",
        options.runs, options.seconds, options.warmup, options.connections
    )?;
    let mut all_met = true;
    for &workload in &options.workload {
        let rows = summaries(runs, workload);
        if rows.is_empty() {
            continue;
        }
        table(&mut text, workload, &rows, options)?;
        let verdicts = judge(workload, &rows);
        if !verdicts.is_empty() {
            writeln!(text, "| goal | measured | met |\n|---|---|---|")?;
        }
        for verdict in verdicts {
            all_met &= verdict.met;
            let met = if verdict.met { "yes" } else { "**no**" };
            writeln!(text, "| {} | {} | {met} |", verdict.goal, verdict.measured)?;
        }
        writeln!(text)?;
    }
    Ok((text, all_met))
}

fn summaries(runs: &[Measured], workload: Workload) -> Vec<Summary> {
    let mut names = Vec::new();
    for run in runs.iter().filter(|run| run.workload == workload.name()) {
        if !names.contains(&run.forwarder) {
            names.push(run.forwarder);
        }
    }
    names
        .into_iter()
        .filter_map(|name| {
            let of_name: Vec<_> = runs
                .iter()
                .filter(|run| run.forwarder == name && run.workload == workload.name())
                .collect();
            Summary::of(&of_name)
        })
        .collect()
}

fn table(text: &mut String, workload: Workload, rows: &[Summary], options: &Bench) -> Result<()> {
    let unit = workload.unit();
    let direct = rows
        .iter()
        .find(|row| row.forwarder == "direct")
        .map(|row| row.rate);
    writeln!(text, "### Workload {} ({unit})\n", workload.name())?;
    writeln!(
        text,
        "| forwarder | {unit}/s at the sink (min–max) | of direct | CPU s per million | peak RSS MiB \
         | idle RSS MiB | RSS after MiB | ack p50 ms | ack p99 ms | runs |\n\
         |---|---|---|---|---|---|---|---|---|---|"
    )?;
    for row in rows {
        writeln!(
            text,
            "| {} | {} ({}–{}) | {} | {} | {} | {} | {} | {:.2} | {:.2} | {} |",
            row.forwarder,
            thousands(row.rate),
            thousands(row.rate_range.0),
            thousands(row.rate_range.1),
            cell(direct.map(|direct| row.rate / direct), 1.0, 2),
            cell(row.cpu_per_million, 1.0, 3),
            cell(row.peak_rss, MIB, 1),
            cell(row.idle_rss, MIB, 1),
            cell(row.settled_rss, MIB, 1),
            row.p50_ms,
            row.p99_ms,
            row.runs,
        )?;
    }
    if rows.iter().any(|row| row.fixed_p99_ms.is_some()) {
        writeln!(
            text,
            "\nAt {} {unit}/s:\n\n| forwarder | ack p50 ms | ack p99 ms | CPU s per million |\n\
             |---|---|---|---|",
            thousands(options.fixed_rate)
        )?;
        for row in rows {
            writeln!(
                text,
                "| {} | {} | {} | {} |",
                row.forwarder,
                cell(row.fixed_p50_ms, 1.0, 2),
                cell(row.fixed_p99_ms, 1.0, 2),
                cell(row.fixed_cpu_per_million, 1.0, 3),
            )?;
        }
    }
    writeln!(
        text,
        "\nBooks and surroundings (sums over the runs; medians for CPU, drain, bytes):\n\n\
         | forwarder | at the sink | lost | reordered | duplicates | without guid | failed requests \
         | drain s | bytes out per record | generator CPU s/M | sink CPU s/M \
         | others' cores |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|"
    )?;
    for row in rows {
        let reordered = 100.0 * row.reordered as f64 / row.records.max(1) as f64;
        writeln!(
            text,
            "| {} | {} | {} | {reordered:.2} % | {} | {} | {} | {:.2} | {:.1} | {:.3} | {:.3} | {:.2} |",
            row.forwarder,
            row.records,
            row.lost,
            row.duplicates,
            row.untagged,
            row.failed,
            row.drain_seconds,
            row.out_bytes_per_record,
            row.generator_cpu_per_million,
            row.sink_cpu_per_million,
            row.others_cores,
        )?;
    }
    writeln!(text)?;
    Ok(())
}

/// Every single measurement, for other programs.
pub fn document(runs: &[Measured]) -> serde_json::Value {
    let machine: serde_json::Map<_, _> = machine::describe()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    json!({ "machine": machine, "runs": runs })
}

fn cell(value: Option<f64>, unit: f64, digits: usize) -> String {
    value.map_or_else(
        || "–".to_owned(),
        |value| format!("{:.digits$}", value / unit),
    )
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_of_values_is_between_the_middle_two() {
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(thousands(1_234_567.4), "1,234,567");
        assert_eq!(thousands(999.0), "999");
    }
}
