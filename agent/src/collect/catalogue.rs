//! The catalogue: every metric family the agent measures by itself, with its meaning.
//!
//! The collectors take their names from here, `docs/metrics.md` is compared with it by a test, so
//! neither can drift. What depends on the kernel's own lists (the keys of `/proc/meminfo`, the
//! protocols of `/proc/net/snmp`) is listed too: a key that is not here is not exported.

pub mod containers;
pub mod node;
pub mod own;

use std::fmt::Write;

use crate::signal::series::{Family, MetricType};

/// A family with what a reader of the documentation asks.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Name, help and type.
    pub family: Family,
    /// Unit of the value; empty for plain numbers.
    pub unit: &'static str,
    /// Labels beside those that all series of the table carry.
    pub labels: &'static [&'static str],
    /// The kernel program or file that the value comes from.
    pub source: &'static str,
    /// What differs from cAdvisor or node exporter; empty: nothing.
    pub note: &'static str,
}

/// Declares families as constants and lists them.
///
/// `NAME Type "name" ["label" …] "unit" "help" <- "source" / "note";`
macro_rules! families {
    ($(#[$list_doc:meta])* $list:ident:
     $($id:ident $kind:ident $name:literal [$($label:literal)*] $unit:literal $help:literal
       <- $source:literal / $note:literal;)*) => {
        $(
            #[doc = $help]
            pub const $id: $crate::signal::series::Family = $crate::signal::series::Family {
                name: $name,
                help: $help,
                kind: $crate::signal::series::MetricType::$kind,
            };
        )*
        $(#[$list_doc])*
        pub static $list: &[$crate::collect::catalogue::Entry] = &[$(
            $crate::collect::catalogue::Entry {
                family: $id,
                unit: $unit,
                labels: &[$($label),*],
                source: $source,
                note: $note,
            },
        )*];
    };
}
use families;

/// The parts of the catalogue: title, what all its series carry, entries.
#[must_use]
pub fn parts() -> [(&'static str, &'static str, Vec<Entry>); 3] {
    [
        (
            "Containers",
            "Every series carries `guid` (absent for containers that guidon did not make), `name`, \
             `id` (the cgroup's path) and `image`.",
            containers::ENTRIES.to_vec(),
        ),
        (
            "Node",
            "Every series carries `guid` (the host's) and `instance` (the host's name).",
            node::entries(),
        ),
        (
            "Agent",
            "Every series carries `guid` (the host's) and `instance` (the host's name) where it is \
             sent to the bus; `GET /metrics` leaves them out.",
            own::ENTRIES.to_vec(),
        ),
    ]
}

/// The tables of `docs/metrics.md`.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::new();
    for (title, labels, entries) in parts() {
        let _ = write!(
            out,
            "## {title}\n\n{labels}\n\n\
             | metric | type | unit | further labels | meaning | source | differs |\n\
             |---|---|---|---|---|---|---|\n"
        );
        for entry in entries {
            let kind = match entry.family.kind {
                MetricType::Counter => "counter",
                MetricType::Gauge => "gauge",
                MetricType::Histogram => "histogram",
                MetricType::Untyped => "untyped",
            };
            let _ = writeln!(
                out,
                "| `{}` | {kind} | {} | {} | {} | {} | {} |",
                entry.family.name,
                entry.unit,
                entry.labels.join(", "),
                entry.family.help,
                entry.source,
                entry.note
            );
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests;
