//! guidon with nothing but receivers and forwarding switched on.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::super::GUID;
use super::super::workload::Workload;
use super::{Forwarder, Launch, Site};

/// What an acknowledgement promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    Spool,
    Memory,
}

#[derive(Debug)]
pub(super) struct Guidon {
    program: PathBuf,
    durability: Durability,
}

impl Guidon {
    pub(super) fn new(program: &Path, durability: Durability) -> Self {
        Self {
            program: program.to_owned(),
            durability,
        }
    }
}

impl Forwarder for Guidon {
    fn name(&self) -> &'static str {
        match self.durability {
            Durability::Spool => "guidon-spool",
            Durability::Memory => "guidon-memory",
        }
    }

    fn takes(&self, _: Workload) -> bool {
        true
    }

    fn launch(&self, site: &Site<'_>, workload: Workload) -> Result<Option<Launch>> {
        let program = std::fs::canonicalize(&self.program).with_context(|| {
            format!(
                "{} is missing: cargo build --release -p guidon",
                self.program.display()
            )
        })?;
        let (api, remote_write, otlp) = (site.address(0), site.address(1), site.address(2));
        let durability = match self.durability {
            Durability::Spool => "spool",
            Durability::Memory => "memory",
        };
        let config = format!(
            r#"guid = "{GUID}"
data_dir = "{data}"

[api]
listen = "{api}"

[bus]
metrics = "http://{sink}/api/v1/write"
logs = "http://{sink}/v1/logs"
traces = "http://{sink}/v1/traces"

[collect]
kernel = false
containers = false
node = false

[receive]
remote_write = "{remote_write}"
otlp_http = "{otlp}"

[spool]
durability = "{durability}"
"#,
            data = site.directory.join("data").display(),
            sink = site.sink,
        );
        let config = site.write("guidon.toml", &config)?;
        Ok(Some(Launch {
            program,
            arguments: vec![
                "run".to_owned(),
                "--config".to_owned(),
                config.display().to_string(),
            ],
            ingest: if workload.is_otlp() {
                otlp
            } else {
                remote_write
            },
            ready: (api, "/readyz"),
        }))
    }
}
