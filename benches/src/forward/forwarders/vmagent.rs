//! vmagent of the Debian package `victoria-metrics`, with its defaults.
//!
//! Its default number of parallel queues (twice the CPUs) reorders samples within a series; the
//! report says how many.

use std::path::PathBuf;

use anyhow::Result;

use super::super::workload::Workload;
use super::super::{GUID, GUID_LABEL};
use super::{Forwarder, Launch, Site};

#[derive(Debug)]
pub(super) struct Vmagent;

impl Forwarder for Vmagent {
    fn name(&self) -> &'static str {
        "vmagent"
    }

    fn takes(&self, workload: Workload) -> bool {
        !workload.is_otlp()
    }

    fn launch(&self, site: &Site<'_>, _: Workload) -> Result<Option<Launch>> {
        let listen = site.address(0);
        Ok(Some(Launch {
            program: PathBuf::from("vmagent"),
            arguments: vec![
                format!("-httpListenAddr={listen}"),
                format!("-remoteWrite.url=http://{}/api/v1/write", site.sink),
                format!("-remoteWrite.label={GUID_LABEL}={GUID}"),
                format!(
                    "-remoteWrite.tmpDataPath={}",
                    site.directory.join("data").display()
                ),
            ],
            ingest: listen,
            ready: (listen, "/health"),
        }))
    }
}
