//! Lines of the live table: rates between two rounds.

use crate::config::Guid;

/// What one guid uses, over all of its containers; or one container that has none; or the host.
/// Rates are over the latest interval; absent before there are two rounds, or where nothing
/// measures them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row {
    /// Absent for a container that guidon did not make.
    pub guid: Option<Guid>,
    /// The container's name (of one of them), else its id; the host's name.
    pub name: String,
    /// Containers that are alive; 0 in the host's line.
    pub containers: u32,
    /// CPU seconds per second.
    pub cpu: Option<f64>,
    /// Seconds that tasks waited for a CPU, per second.
    pub run_queue: Option<f64>,
    /// Memory in use, in bytes: of containers with page cache, of the host without what is
    /// available.
    pub memory_bytes: Option<u64>,
    /// Network traffic, in bytes per second.
    pub receive_bytes: Option<f64>,
    /// See [`Row::receive_bytes`].
    pub transmit_bytes: Option<f64>,
    /// Block device traffic, in bytes per second.
    pub read_bytes: Option<f64>,
    /// See [`Row::read_bytes`].
    pub write_bytes: Option<f64>,
}

/// Totals that rates are made of.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    /// Unix milliseconds; 0 = never taken.
    pub(super) at_ms: i64,
    pub(super) cpu_ns: Option<u64>,
    pub(super) run_queue_ns: Option<u64>,
    pub(super) receive_bytes: Option<u64>,
    pub(super) transmit_bytes: Option<u64>,
    pub(super) read_bytes: Option<u64>,
    pub(super) write_bytes: Option<u64>,
}

impl Row {
    /// Adds the rates between two totals.
    pub(super) fn add_rates(&mut self, before: &Totals, now: &Totals) {
        let seconds = (now.at_ms - before.at_ms) as f64 / 1e3;
        if seconds <= 0.0 {
            return;
        }
        let add = |sum: &mut Option<f64>, before: Option<u64>, now: Option<u64>, unit: f64| {
            if let Some((before, now)) = before.zip(now) {
                let rate = now.saturating_sub(before) as f64 / unit / seconds;
                *sum = Some(sum.unwrap_or(0.0) + rate);
            }
        };
        add(&mut self.cpu, before.cpu_ns, now.cpu_ns, 1e9);
        add(
            &mut self.run_queue,
            before.run_queue_ns,
            now.run_queue_ns,
            1e9,
        );
        add(
            &mut self.receive_bytes,
            before.receive_bytes,
            now.receive_bytes,
            1.0,
        );
        add(
            &mut self.transmit_bytes,
            before.transmit_bytes,
            now.transmit_bytes,
            1.0,
        );
        add(&mut self.read_bytes, before.read_bytes, now.read_bytes, 1.0);
        add(
            &mut self.write_bytes,
            before.write_bytes,
            now.write_bytes,
            1.0,
        );
    }
}
