//! The goals that guidon is held to, judged on the medians.

use super::report::Summary;
use super::workload::Workload;

const MIB: f64 = 1024.0 * 1024.0;

/// A goal and what was measured.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) goal: &'static str,
    pub(crate) measured: String,
    pub(crate) met: bool,
}

/// Every goal that the measured forwarders allow to judge.
pub(crate) fn judge(workload: Workload, rows: &[Summary]) -> Vec<Verdict> {
    let row = |name: &str| rows.iter().find(|row| row.forwarder == name);
    let mut verdicts = Vec::new();
    let Some(guidon) = row("guidon-spool") else {
        return verdicts;
    };
    let mut judge = |goal, measured: String, met| {
        verdicts.push(Verdict {
            goal,
            measured,
            met,
        });
    };
    judge(
        "nothing lost, nothing reordered, nothing without its guid",
        format!(
            "{} lost, {} reordered, {} untagged",
            guidon.lost, guidon.reordered, guidon.untagged
        ),
        guidon.lost + guidon.reordered + guidon.untagged == 0,
    );
    if workload.is_otlp() {
        if let Some(direct) = row("direct") {
            let share = guidon.rate / direct.rate;
            judge(
                "at least half of generator → sink alone",
                format!("{share:.2}"),
                share >= 0.5,
            );
        }
        return verdicts;
    }
    if let Some(cpu) = guidon.cpu_per_million {
        if workload == Workload::A {
            judge(
                "at most 0.45 CPU s per million samples",
                format!("{cpu:.3}"),
                cpu <= 0.45,
            );
        }
        if let Some(vmagent) = row("vmagent").and_then(|row| row.cpu_per_million) {
            judge(
                "at least 4 × vmagent's samples per CPU second",
                format!("{:.1} ×", vmagent / cpu),
                vmagent / cpu >= 4.0,
            );
        }
    }
    if let Some(p99) = guidon.fixed_p99_ms {
        judge(
            "p99 ack under 20 ms at the fixed rate",
            format!("{p99:.2} ms"),
            p99 < 20.0,
        );
    }
    if let Some(peak) = guidon.peak_rss {
        judge(
            "peak RSS under 64 MiB",
            format!("{:.1} MiB", peak / MIB),
            peak < 64.0 * MIB,
        );
    }
    if let Some(idle) = guidon.idle_rss {
        judge(
            "idle RSS under 20 MiB",
            format!("{:.1} MiB", idle / MIB),
            idle < 20.0 * MIB,
        );
    }
    verdicts
}
