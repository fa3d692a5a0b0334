//! The live table: what each guid uses now.

use std::collections::BTreeMap;

use super::entry::Entry;
use crate::config::Guid;

/// One guid, over all of its containers; or one container that has none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row {
    /// Absent for a container that guidon did not make.
    pub guid: Option<Guid>,
    /// The container's name (of one of them), else its id.
    pub name: String,
    /// Containers that are alive.
    pub containers: u32,
    /// CPUs in use: CPU seconds per second over the last interval.
    pub cpu: f64,
    /// Seconds that tasks waited for a CPU, per second.
    pub run_queue: f64,
    /// Memory in use, in bytes, page cache included.
    pub memory_bytes: u64,
    /// Network traffic, in bytes per second.
    pub receive_bytes: f64,
    /// See [`Row::receive_bytes`].
    pub transmit_bytes: f64,
    /// Block device traffic, in bytes per second.
    pub read_bytes: f64,
    /// See [`Row::read_bytes`].
    pub write_bytes: f64,
    /// Whether a whole interval was seen, so that the rates mean something.
    pub complete: bool,
}

pub(super) fn rows<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<Row> {
    let mut rows: BTreeMap<(bool, String), Row> = BTreeMap::new();
    for entry in entries.filter(|entry| entry.ended_ms.is_none() && entry.usage.now.at_ms != 0) {
        let guid = entry.known.as_ref().and_then(|known| known.guid.clone());
        let name = entry
            .known
            .as_ref()
            .map_or(entry.id.as_str(), |known| known.name.as_str());
        let key = match &guid {
            Some(guid) => (false, guid.to_string()),
            None => (true, entry.id.clone()),
        };
        let row = rows.entry(key).or_insert_with(|| Row {
            guid,
            name: name.to_owned(),
            ..Row::default()
        });
        row.containers += 1;
        row.memory_bytes += entry.usage.memory_bytes;
        let Some(before) = entry.usage.before else {
            continue;
        };
        let now = entry.usage.now;
        let seconds = (now.at_ms - before.at_ms) as f64 / 1e3;
        if seconds <= 0.0 {
            continue;
        }
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        row.complete = true;
        row.cpu += rate(now.cpu_ns, before.cpu_ns) / 1e9;
        row.run_queue += rate(now.run_queue_ns, before.run_queue_ns) / 1e9;
        row.receive_bytes += rate(now.receive_bytes, before.receive_bytes);
        row.transmit_bytes += rate(now.transmit_bytes, before.transmit_bytes);
        row.read_bytes += rate(now.read_bytes, before.read_bytes);
        row.write_bytes += rate(now.write_bytes, before.write_bytes);
    }
    rows.into_values().collect()
}
