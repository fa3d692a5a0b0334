//! The relay of [`super::super::relay`], in a process of its own: the floor under every forwarder.

use anyhow::Result;

use super::super::workload::Workload;
use super::{Forwarder, Launch, Site};

#[derive(Debug)]
pub(super) struct Relay;

impl Forwarder for Relay {
    fn name(&self) -> &'static str {
        "relay"
    }

    fn takes(&self, _: Workload) -> bool {
        true
    }

    fn launch(&self, site: &Site<'_>, _: Workload) -> Result<Option<Launch>> {
        let listen = site.address(0);
        Ok(Some(Launch {
            program: std::env::current_exe()?,
            arguments: vec![
                "relay".to_owned(),
                listen.to_string(),
                site.sink.to_string(),
                site.directory.display().to_string(),
            ],
            ingest: listen,
            ready: (listen, "/"),
        }))
    }
}
