//! Prometheus of the Debian package `prometheus`, in agent mode with its remote-write receiver.
//!
//! Its sender starts with one shard and adds some only every ten seconds, which is longer than a
//! run; it gets four from the start, and requests as large as the generator's. External labels are
//! its way of adding the guid; they do not replace a label that is there.

use std::path::PathBuf;

use anyhow::Result;

use super::super::workload::Workload;
use super::super::{GUID, GUID_LABEL};
use super::{Forwarder, Launch, Site};

#[derive(Debug)]
pub(super) struct Prometheus;

impl Forwarder for Prometheus {
    fn name(&self) -> &'static str {
        "prometheus-agent"
    }

    fn takes(&self, workload: Workload) -> bool {
        !workload.is_otlp()
    }

    fn launch(&self, site: &Site<'_>, _: Workload) -> Result<Option<Launch>> {
        let listen = site.address(0);
        let config = format!(
            r"global:
  external_labels:
    {GUID_LABEL}: {GUID}
remote_write:
  - url: http://{sink}/api/v1/write
    send_exemplars: true
    send_native_histograms: true
    queue_config:
      min_shards: 4
      capacity: 10000
      max_samples_per_send: 2000
    metadata_config:
      send: false
",
            sink = site.sink
        );
        let config = site.write("prometheus.yml", &config)?;
        Ok(Some(Launch {
            program: PathBuf::from("prometheus"),
            arguments: vec![
                "--enable-feature=agent,native-histograms".to_owned(),
                "--web.enable-remote-write-receiver".to_owned(),
                format!("--config.file={}", config.display()),
                format!("--web.listen-address={listen}"),
                format!(
                    "--storage.agent.path={}",
                    site.directory.join("data").display()
                ),
            ],
            ingest: listen,
            ready: (listen, "/-/ready"),
        }))
    }
}
