//! Jaeger's agent (v1; there is none in v2): from its UDP ports to a collector.
//!
//! Flags as of 1.18 to 1.62, `cmd/agent/app/{flags,reporter/flags,reporter/grpc/flags}.go` of
//! jaegertracing/jaeger; later distributions have no agent.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Around, container, reached_at, run};
use crate::config::{Config, Managed};
use crate::stack::component::{Component, Reload, Run, Version};

/// What it holds is a queue in memory.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// For doors that it cannot be told to keep shut: any port of loopback.
const NOWHERE: &str = "127.0.0.1:0";

pub(super) fn component(config: &Config, around: &Around) -> Option<Component> {
    let wanted = &config.stack.jaeger_agent;
    let doors = &config.receive.jaeger;
    let collector = collector(config)?;
    let at = |door: Option<SocketAddr>| door.map_or(NOWHERE.to_owned(), |it| it.to_string());
    let args = vec![
        format!("--reporter.grpc.host-port={collector}"),
        // Whose host it came through; where a span's process names an app's host, that app's it is.
        format!("--agent.tags=guid={}", around.host),
        format!(
            "--processor.jaeger-compact.server-host-port={}",
            at(doors.compact)
        ),
        format!(
            "--processor.jaeger-binary.server-host-port={}",
            at(doors.binary)
        ),
        format!("--processor.zipkin-compact.server-host-port={NOWHERE}"),
        // The agent answers what is to be sampled: a v2 collector could not.
        format!("--http-server.host-port={NOWHERE}"),
        format!("--admin.http.host-port={}", wanted.admin),
    ];
    let run = run(&wanted.component, "jaeger-agent", args, |image, args| {
        container(image, args, &[])
    })?;
    let admin = reached_at(wanted.admin);
    Some(Component {
        files: Vec::new(),
        listens: match run {
            Run::External => Vec::new(),
            _ => vec![wanted.admin],
        },
        run,
        ready_url: Some(format!("http://{admin}/")),
        reload: Reload::Restart,
        version: Version::Metric(format!("http://{admin}/metrics"), "jaeger_agent_build_info"),
        check: None,
        stop_grace: STOP_GRACE,
    })
}

/// Where its spans go: to whom the configuration says, else to the managed collector or, where that
/// is off, to the agent's own listener; both are at the same address.
fn collector(config: &Config) -> Option<String> {
    let wanted = &config.stack.jaeger_agent;
    if let Some(named) = &wanted.collector {
        return Some(named.clone());
    }
    config
        .receive
        .jaeger
        .grpc
        .map(|address| reached_at(address).to_string())
        .or_else(|| (wanted.component.managed == Managed::External).then(String::new))
}
