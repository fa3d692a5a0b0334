//! The host: node exporter's families from `/proc`, `/sys` and `statfs`.
//!
//! Every file that cannot be read or understood leaves its series out and nothing else. Blocking:
//! reads files; a file system that does not answer is waited for once, see [`filesystem`].

mod cpu;
mod disk;
mod filesystem;
mod memory;
mod network;
#[cfg(test)]
mod tests;
mod usage;

use std::path::{Path, PathBuf};

use super::catalogue::node as families;
use super::rows::Row;
use super::scan;
use crate::config::Guid;
use crate::signal::series::{Family, SeriesTable, Suffix};

/// Where the host's file systems are seen.
#[derive(Debug, Clone)]
pub struct Roots {
    /// Its `/proc`.
    pub proc: PathBuf,
    /// Its `/sys`.
    pub sys: PathBuf,
    /// Its `/`: what mount points are below.
    pub root: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            proc: PathBuf::from("/proc"),
            sys: PathBuf::from("/sys"),
            root: PathBuf::from("/"),
        }
    }
}

/// Turns a file's text into series.
type Reader = fn(&[u8], &mut SeriesTable);

/// Collects the host's families.
#[derive(Debug)]
pub struct NodeCollector {
    roots: Roots,
    filesystems: filesystem::Filesystems,
    usage: usage::Usage,
    buffer: Vec<u8>,
}

impl NodeCollector {
    /// A collector of the host that is seen at these places.
    #[must_use]
    pub fn new(roots: Roots) -> Self {
        Self {
            filesystems: filesystem::Filesystems::default(),
            roots,
            usage: usage::Usage::default(),
            buffer: Vec::new(),
        }
    }

    /// Sets the host's values in the table, in a new pass.
    pub fn pass(&mut self, table: &mut SeriesTable, now_ms: i64) {
        table.begin();
        self.usage.begin(now_ms);
        put(table, &families::TIME, now_ms as f64 / 1e3);
        let proc = self.roots.proc.clone();
        let readers: [(&str, Reader); 11] = [
            ("stat", cpu::stat),
            ("loadavg", cpu::loadavg),
            ("schedstat", cpu::schedstat),
            ("meminfo", memory::meminfo),
            ("vmstat", memory::vmstat),
            ("diskstats", disk::diskstats),
            ("pressure/cpu", cpu::pressure_cpu),
            ("pressure/io", cpu::pressure_io),
            ("pressure/memory", cpu::pressure_memory),
            ("pressure/irq", cpu::pressure_irq),
            ("sys/fs/file-nr", memory::file_nr),
        ];
        for (file, reader) in readers {
            self.read(&proc.join(file), table, reader);
        }
        self.network(&proc, table);
        self.filesystems
            .collect(&self.roots, &mut self.buffer, table);
        uname(table);
    }

    /// The host's line of the live table, with rates between the latest two passes that are some
    /// time apart.
    #[must_use]
    pub fn row(&self, host: Guid, name: &str) -> Row {
        self.usage.row(host, name)
    }

    fn network(&mut self, proc: &Path, table: &mut SeriesTable) {
        // The host's namespace is that of process 1, wherever the agent itself lives.
        let host = proc.join("1/net");
        let net = if host.join("dev").exists() {
            host
        } else {
            proc.join("net")
        };
        let readers: [(&str, Reader); 6] = [
            ("dev", network::dev),
            ("netstat", network::netstat),
            ("snmp", network::netstat),
            ("snmp6", network::snmp6),
            ("sockstat", network::sockstat),
            ("sockstat6", network::sockstat),
        ];
        for (file, reader) in readers {
            self.read(&net.join(file), table, reader);
        }
        let conntrack = proc.join("sys/net/netfilter");
        for (file, family) in [
            ("nf_conntrack_count", &families::CONNTRACK_ENTRIES),
            ("nf_conntrack_max", &families::CONNTRACK_LIMIT),
        ] {
            if scan::read_path(&conntrack.join(file), &mut self.buffer).is_ok() {
                put_if(table, family, scan::float(&self.buffer));
            }
        }
        network::classes(&self.roots.sys.join("class/net"), &mut self.buffer, table);
    }

    fn read(&mut self, path: &Path, table: &mut SeriesTable, reader: fn(&[u8], &mut SeriesTable)) {
        if scan::read_path(path, &mut self.buffer).is_ok() {
            reader(&self.buffer, table);
            self.usage.take(path, &self.buffer);
        }
    }
}

fn put(table: &mut SeriesTable, family: &Family, value: f64) {
    table.put(family, Suffix::None, &[], value);
}

fn put_if(table: &mut SeriesTable, family: &Family, value: Option<f64>) {
    if let Some(value) = value {
        put(table, family, value);
    }
}

fn put_with(table: &mut SeriesTable, family: &Family, labels: &[(&str, &str)], value: f64) {
    table.put(family, Suffix::None, labels, value);
}

fn uname(table: &mut SeriesTable) {
    let uname = rustix::system::uname();
    let text = |field: &std::ffi::CStr| field.to_string_lossy().into_owned();
    let fields = [
        ("domainname", text(uname.domainname())),
        ("machine", text(uname.machine())),
        ("nodename", text(uname.nodename())),
        ("release", text(uname.release())),
        ("sysname", text(uname.sysname())),
        ("version", text(uname.version())),
    ];
    let labels = fields
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    put_with(table, &families::UNAME, &labels, 1.0);
}
