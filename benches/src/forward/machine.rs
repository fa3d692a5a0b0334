//! What the numbers were measured on.

use std::fs;

/// Kernel, CPU, cores, memory and load, as one line each.
pub(crate) fn describe() -> Vec<(&'static str, String)> {
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
