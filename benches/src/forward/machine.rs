//! What the numbers were measured on.

use std::fs;

/// Kernel, CPU, cores, memory and load, as one line each.
pub fn describe() -> Vec<(&'static str, String)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let line_after = |text: &str, name: &str| {
        text.lines()
            .find_map(|line| {
                Some(
                    line.strip_prefix(name)?
                        .split_once(':')?
                        .1
                        .trim()
                        .to_owned(),
                )
            })
            .unwrap_or_default()
    };
    let cpuinfo = read("/proc/cpuinfo");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    vec![
        (
            "kernel",
            read("/proc/sys/kernel/osrelease").trim().to_owned(),
        ),
        (
            "cpu",
            format!(
                "{} (family {}, model {}), {cores} cores",
                line_after(&cpuinfo, "model name"),
                line_after(&cpuinfo, "cpu family"),
                line_after(&cpuinfo, "model\t"),
            ),
        ),
        ("memory", line_after(&read("/proc/meminfo"), "MemTotal")),
        (
            "load average before",
            read("/proc/loadavg")
                .split_ascii_whitespace()
                .take(3)
                .collect::<Vec<_>>()
                .join(" "),
        ),
    ]
}

/// CPU seconds that all processes and interrupts have used since boot, over all cores.
pub(crate) fn busy_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let ticks: Vec<f64> = stat
        .lines()
        .next()?
        .split_ascii_whitespace()
        .skip(1)
        .map_while(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal; guest time is part of user.
    let busy: f64 = [0, 1, 2, 5, 6]
        .iter()
        .filter_map(|&field| ticks.get(field))
        .sum();
    Some(busy / rustix::param::clock_ticks_per_second() as f64)
}
