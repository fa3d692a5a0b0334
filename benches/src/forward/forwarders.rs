//! The forwarders that are compared.
//!
//! Owns: how each is started and told to add the guid. Must not know: load, trial, report. A new one
//! is a struct with [`Forwarder`] and a line in [`all`].

mod guidon;
mod prometheus;
mod relay;
mod vmagent;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::workload::Workload;

/// Where a forwarder runs.
#[derive(Debug)]
pub struct Site<'a> {
    /// An empty directory of its own, on a real disk.
    pub directory: &'a Path,
    /// Where it must send.
    pub sink: SocketAddr,
    /// The first of [`PORTS`] ports that it may listen on.
    pub first_port: u16,
}

/// Ports that each forwarder may use.
pub const PORTS: u16 = 4;

impl Site<'_> {
    fn address(&self, number: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.first_port + number))
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

/// How to start one.
#[derive(Debug)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where it takes the workload.
    pub ingest: SocketAddr,
    /// Where it says, by a 2xx, that it is ready.
    pub ready: (SocketAddr, &'static str),
}

/// Something that takes requests, adds the guid and sends them on.
pub trait Forwarder {
    /// The name in reports and for `--only`.
    fn name(&self) -> &'static str;

    /// Whether it can forward this workload.
    fn takes(&self, workload: Workload) -> bool;

    /// Prepares its site; `None`: nothing to start, the generator talks to the sink.
    ///
    /// # Errors
    /// Files cannot be written or the program is missing.
    fn launch(&self, site: &Site<'_>, workload: Workload) -> Result<Option<Launch>>;
}

/// Generator → sink, with nothing in between.
#[derive(Debug)]
pub struct Direct;

impl Forwarder for Direct {
    fn name(&self) -> &'static str {
        "direct"
    }

    fn takes(&self, _: Workload) -> bool {
        true
    }

    fn launch(&self, _: &Site<'_>, _: Workload) -> Result<Option<Launch>> {
        Ok(None)
    }
}

/// Every forwarder, in the order of the report. `guidon` is the agent's binary, if one was named.
pub fn all(guidon: Option<&Path>) -> Vec<Box<dyn Forwarder>> {
    vec![
        Box::new(guidon::Guidon::new(guidon, guidon::Durability::Spool)),
        Box::new(guidon::Guidon::new(guidon, guidon::Durability::Memory)),
        Box::new(vmagent::Vmagent),
        Box::new(prometheus::Prometheus),
        Box::new(relay::Relay),
        Box::new(Direct),
    ]
}
