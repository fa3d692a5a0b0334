//! Node exporter: a target with the host guid.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{Around, container, reached_at, run};
use crate::config::{Managed, NodeExporter};
use crate::stack::component::{Bind, Component, Reload, Run, Version};
use crate::stack::exporters::Exporter;

/// It keeps nothing.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Where the host's root is in its container.
const HOST: &str = "/host";

pub(super) fn component(wanted: &NodeExporter) -> Option<Component> {
    let mut args = vec![format!("--web.listen-address={}", wanted.listen)];
    if wanted.component.managed == Managed::Container {
        args.push(format!("--path.rootfs={HOST}"));
    }
    let run = run(
        &wanted.component,
        "prometheus-node-exporter",
        args,
        |image, args| {
            let mut spec = container(image, args, &[]);
            // Its own /proc then shows the host's processes and mounts.
            spec.host_pid = true;
            spec.mounts.push(Bind {
                source: PathBuf::from("/"),
                target: PathBuf::from(HOST),
                read_only: true,
                follows_host: true,
            });
            spec
        },
    )?;
    let metrics = format!("http://{}/metrics", reached_at(wanted.listen));
    Some(Component {
        files: Vec::new(),
        listens: match run {
            Run::External => Vec::new(),
            _ => vec![wanted.listen],
        },
        run,
        // Its front page: metrics are dear.
        ready_url: Some(format!("http://{}/", reached_at(wanted.listen))),
        reload: Reload::Restart,
        version: Version::Metric(metrics, "node_exporter_build_info"),
        check: None,
        stop_grace: STOP_GRACE,
    })
}

/// As it is registered.
pub(super) fn exporter(wanted: &NodeExporter, around: &Around) -> Option<(String, Exporter)> {
    if wanted.component.managed == Managed::Off {
        return None;
    }
    let labels = [
        ("guid", around.host.to_string()),
        ("job", "node".to_owned()),
        ("instance", around.instance.clone()),
    ];
    let labels = labels.map(|(name, value)| (name.to_owned(), value));
    let address = reached_at(wanted.listen).to_string();
    let exporter = Exporter::plain(address, BTreeMap::from(labels));
    Some(("node_exporter".to_owned(), exporter))
}
