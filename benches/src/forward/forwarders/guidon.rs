//! guidon with nothing but receivers and forwarding switched on.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::super::workload::Workload;
use super::super::{GUID, guidon_program};
use super::{Forwarder, Launch, Site};

/// What an acknowledgement promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    Spool,
    Memory,
}

#[derive(Debug)]
pub(super) struct Guidon {
    program: Option<PathBuf>,
    durability: Durability,
}

impl Guidon {
    pub(super) fn new(program: Option<&Path>, durability: Durability) -> Self {
        Self {
            program: program.map(Path::to_owned),
            durability,
        }
    }

    fn configuration(&self, site: &Site<'_>, listen: [SocketAddr; 3]) -> String {
        let [api, remote_write, otlp] = listen;
        let durability = match self.durability {
            Durability::Spool => "spool",
            Durability::Memory => "memory",
        };
        format!(
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
jaeger = false
apps = false
logs = false

[spool]
durability = "{durability}"
"#,
            data = site.directory.join("data").display(),
            sink = site.sink,
        )
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
        let (api, remote_write, otlp) = (site.address(0), site.address(1), site.address(2));
        let config = self.configuration(site, [api, remote_write, otlp]);
        let config = site.write("guidon.toml", &config)?;
        Ok(Some(Launch {
            program: guidon_program(self.program.as_deref())?,
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_agent_accepts_the_configuration_it_is_given() {
        for durability in [Durability::Spool, Durability::Memory] {
            let site = Site {
                directory: Path::new("/tmp/bench"),
                sink: "127.0.0.1:27000".parse().unwrap(),
                first_port: 27_001,
            };
            let text = Guidon::new(None, durability)
                .configuration(&site, [1, 2, 3].map(|number| site.address(number)));
            let config = guidon::config::Config::parse(&text, &Vec::new()).unwrap();
            assert_eq!(config.receive.otlp_http, Some(site.address(3)));
            assert!(!config.collect.node && !config.collect.kernel && !config.collect.containers);
            assert_eq!(
                config.spool.durability == guidon::config::Durability::Memory,
                durability == Durability::Memory
            );
        }
    }
}
