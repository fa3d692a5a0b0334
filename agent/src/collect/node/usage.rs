//! What the host uses, for the live table: picked out of the files as they are read.

use std::path::Path;

use super::disk;
use crate::collect::netdev::{self, BYTES};
use crate::collect::rows::{Row, Totals};
use crate::collect::scan;
use crate::config::Guid;

/// Interfaces whose traffic passes another one too, or none.
const INNER: [&str; 8] = [
    "lo", "veth", "docker", "br-", "virbr", "cni", "flannel", "ifb",
];

/// Block devices that lie on others, or on memory.
const STACKED: [&str; 3] = ["dm-", "md", "zram"];

/// Least time between the two passes that rates are made of: a look right after a round would make
/// a poor rate.
const LEAST_MS: i64 = 900;

#[derive(Debug, Default)]
pub(super) struct Usage {
    now: Totals,
    before: Totals,
    memory_bytes: Option<u64>,
}

impl Usage {
    /// A pass begins.
    pub(super) fn begin(&mut self, now_ms: i64) {
        if now_ms - self.now.at_ms >= LEAST_MS {
            self.before = self.now;
        }
        self.now = Totals {
            at_ms: now_ms,
            ..Totals::default()
        };
    }

    /// A file was read.
    pub(super) fn take(&mut self, path: &Path, bytes: &[u8]) {
        match path.file_name().and_then(|name| name.to_str()) {
            Some("stat") => self.now.cpu_ns = busy_ns(bytes),
            Some("meminfo") => {
                let kib = |key: &[u8]| {
                    let line = scan::lines(bytes).find_map(|line| line.strip_prefix(key))?;
                    scan::number(scan::words(line).next()?)
                };
                let used = kib(b"MemTotal:").zip(kib(b"MemAvailable:"));
                self.memory_bytes = used.map(|(total, free)| total.saturating_sub(free) * 1024);
            }
            Some("dev") => {
                let outer = || {
                    let inner = |name: &str| INNER.iter().any(|prefix| name.starts_with(prefix));
                    netdev::interfaces(bytes).filter(move |(name, _)| !inner(name))
                };
                self.now.receive_bytes = Some(outer().map(|(_, one)| one.receive[BYTES]).sum());
                self.now.transmit_bytes = Some(outer().map(|(_, one)| one.transmit[BYTES]).sum());
            }
            Some("diskstats") => {
                let mut sectors = (0, 0);
                for line in scan::lines(bytes) {
                    let mut words = scan::words(line).skip(2);
                    let Some(Ok(name)) = words.next().map(std::str::from_utf8) else {
                        continue;
                    };
                    let stacked = STACKED.iter().any(|prefix| name.starts_with(prefix));
                    if !stacked && !disk::is_left_out(name) {
                        let mut column = |at| words.nth(at).and_then(scan::number).unwrap_or(0);
                        sectors.0 += column(2);
                        sectors.1 += column(3);
                    }
                }
                self.now.read_bytes = Some(sectors.0 * 512);
                self.now.write_bytes = Some(sectors.1 * 512);
            }
            _ => {}
        }
    }

    pub(super) fn row(&self, host: Guid, name: &str) -> Row {
        let mut row = Row {
            guid: Some(host),
            name: name.to_owned(),
            memory_bytes: self.memory_bytes,
            ..Row::default()
        };
        if self.before.at_ms != 0 {
            row.add_rates(&self.before, &self.now);
        }
        row
    }
}

/// All time of all CPUs but idle and waiting for I/O: from the first line of `/proc/stat`.
fn busy_ns(bytes: &[u8]) -> Option<u64> {
    const TICK_NS: u64 = 10_000_000;
    let line = scan::lines(bytes).next()?.strip_prefix(b"cpu ")?;
    let ticks: Vec<u64> = scan::words(line).map_while(scan::number).collect();
    let busy = [0, 1, 2, 5, 6, 7]
        .iter()
        .filter_map(|&at| ticks.get(at))
        .sum::<u64>();
    Some(busy.saturating_mul(TICK_NS))
}
