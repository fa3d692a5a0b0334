//! From the configuration to what each component wants.

mod jaeger_agent;
mod jaeger_collector;
mod node_exporter;
mod prometheus;
mod vector;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::component::{Bind, Component, ContainerSpec, Program, Reload, Run};
use super::exporters::Exporter;
use crate::config::{self, Config, Guid, Managed, ReloadBy, Secret};
use crate::receive::logs::FileTarget;

/// Where programs are looked for that the configuration does not name.
const FOLDERS: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin"];

/// What components are told of the agent they work for.
#[derive(Debug, Clone)]
pub struct Around {
    /// The host guid.
    pub host: Guid,
    /// The host's name: `instance` of what is measured of it.
    pub instance: String,
    /// URL of the API, without a slash at the end.
    pub api: String,
    pub api_token: Option<Secret>,
    /// PEM of the API's own certificate.
    pub api_certificate: Option<String>,
    /// Where the agent takes remote write, as this host reaches it.
    pub remote_write: Option<SocketAddr>,
    /// Where the agent takes OTLP over HTTP, as this host reaches it.
    pub otlp_http: Option<SocketAddr>,
    /// The same over gRPC, where it is also a Jaeger collector's storage.
    pub otlp_grpc: Option<SocketAddr>,
    /// What the labels of this agent's containers call it.
    pub owner: String,
    /// Files that are followed for apps.
    pub log_targets: Vec<FileTarget>,
    /// Who shows it to a listener of the agent is believed whose data it sends.
    pub relay_token: Secret,
}

/// Name, mode and wish of each component that this version can manage.
pub(super) fn components(
    config: &Config,
    around: &Around,
    folder: &Path,
) -> Vec<(&'static str, Managed, Option<Component>)> {
    let stack = &config.stack;
    let (prometheus, exporter) = (&stack.prometheus, &stack.node_exporter);
    vec![
        (
            "prometheus",
            prometheus.component.managed,
            prometheus::component(prometheus, around, &folder.join("prometheus")),
        ),
        (
            "node_exporter",
            exporter.component.managed,
            node_exporter::component(exporter),
        ),
        (
            "vector",
            stack.vector.component.managed,
            vector::component(config, around, &folder.join("vector")),
        ),
        (
            "jaeger_collector",
            stack.jaeger_collector.component.managed,
            jaeger_collector::component(config, around, &folder.join("jaeger_collector")),
        ),
        (
            "jaeger_agent",
            stack.jaeger_agent.component.managed,
            jaeger_agent::component(config, around),
        ),
    ]
}

/// Components that are exporters, as registered ones are: name and exporter.
#[must_use]
pub fn exporters(config: &Config, around: &Around) -> Vec<(String, Exporter)> {
    node_exporter::exporter(&config.stack.node_exporter, around)
        .into_iter()
        .collect()
}

/// Where this host reaches what listens on an address.
#[must_use]
pub fn reached_at(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

/// How it runs; absent: not at all. `spec` makes the container of an image.
fn run(
    component: &config::Component,
    usual_name: &str,
    args: Vec<String>,
    spec: impl FnOnce(String, Vec<String>) -> ContainerSpec,
) -> Option<Run> {
    let mut all = args;
    all.extend(component.args.iter().cloned());
    Some(match component.managed {
        Managed::Off => return None,
        Managed::External => Run::External,
        Managed::Binary => Run::Process(Program {
            path: component
                .path
                .clone()
                .unwrap_or_else(|| usual_path(usual_name)),
            args: all,
            env: Default::default(),
        }),
        // The configuration was checked for the image.
        Managed::Container => Run::Container(spec(component.image.clone()?, all)),
    })
}

/// Where a program is; where it would be if it is nowhere.
fn usual_path(name: &str) -> PathBuf {
    let paths = FOLDERS.map(|folder| Path::new(folder).join(name));
    let there = paths.iter().find(|path| path.is_file());
    there.unwrap_or(&paths[1]).clone()
}

/// A container with nothing of the host but these folders, at their own paths.
fn container(image: String, args: Vec<String>, folders: &[&Path]) -> ContainerSpec {
    let own = |folder: &&Path| Bind {
        source: folder.to_path_buf(),
        target: folder.to_path_buf(),
        read_only: false,
        follows_host: false,
    };
    ContainerSpec {
        image,
        command: Vec::new(),
        args,
        env: Default::default(),
        mounts: folders.iter().map(own).collect(),
        host_pid: false,
        capabilities: Vec::new(),
    }
}

/// How an external component is told of changed files; `usual` for all others.
fn reload(component: &config::Component, usual: Reload) -> Reload {
    match &component.reload {
        Some(ReloadBy::Url(url)) => Reload::Post(url.clone()),
        Some(ReloadBy::Command(words)) => Reload::Command(words.clone()),
        None => usual,
    }
}

#[cfg(test)]
mod tests;
