//! Jaeger's collector, v1 or v2: takes spans where `receive.jaeger` says and hands them to the agent.
//!
//! v2 is the OpenTelemetry Collector with Jaeger's receivers, told by a file; it exports OTLP to the
//! agent, no storage of Jaeger's is in the way. Components and keys as of 2.0 to 2.20,
//! `cmd/jaeger/internal/{components.go,all-in-one.yaml}` of jaegertracing/jaeger.
//!
//! v1 exports nothing. It writes to a storage, and one kind of storage is a gRPC service elsewhere:
//! the agent is that, see `receive::grpc`. Flags as of 1.35 to 1.76,
//! `cmd/collector/app/flags/flags.go` and `internal/storage/v1/grpc/options.go`; the storage is
//! called `grpc` from 1.58, `grpc-plugin` before.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::{Around, container, reached_at, reload, run};
use crate::config::{Config, JaegerVersion, Managed};
use crate::stack::component::{Component, ManagedFile, Reload, Run, Text, Version};

/// For the queue in its memory.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// For doors that v1 cannot be told to keep shut: any port of loopback.
const NOWHERE: &str = "127.0.0.1:0";

pub(super) fn component(config: &Config, around: &Around, folder: &Path) -> Option<Component> {
    match config.stack.jaeger_collector.version {
        JaegerVersion::One => v1(config, around),
        JaegerVersion::Two => v2(config, around, folder),
    }
}

fn v1(config: &Config, around: &Around) -> Option<Component> {
    let wanted = &config.stack.jaeger_collector;
    let doors = &config.receive.jaeger;
    let at = |door: Option<SocketAddr>| door.map_or(NOWHERE.to_owned(), |it| it.to_string());
    let mut args = vec![
        format!("--collector.grpc-server.host-port={}", at(doors.grpc)),
        format!("--collector.http-server.host-port={}", at(doors.http)),
        // OTLP comes to the agent itself.
        "--collector.otlp.enabled=false".to_owned(),
        format!("--admin.http.host-port={}", wanted.admin()),
    ];
    if wanted.writes_to_agent() {
        args.push(format!("--grpc-storage.server={}", around.otlp_grpc?));
    }
    let env = [("SPAN_STORAGE_TYPE".to_owned(), wanted.storage.clone())];
    let mut run = run(
        &wanted.component,
        "jaeger-collector",
        args,
        |image, args| container(image, args, &[]),
    )?;
    match &mut run {
        Run::Process(program) => program.env.extend(env),
        Run::Container(spec) => spec.env.extend(env),
        Run::External => {}
    }
    let admin = reached_at(wanted.admin());
    Some(Component {
        files: Vec::new(),
        listens: listens(config, &run),
        run,
        ready_url: Some(format!("http://{admin}/")),
        reload: Reload::Restart,
        version: Version::Metric(
            format!("http://{admin}/metrics"),
            "jaeger_collector_build_info",
        ),
        check: None,
        stop_grace: STOP_GRACE,
    })
}

fn v2(config: &Config, around: &Around, folder: &Path) -> Option<Component> {
    let wanted = &config.stack.jaeger_collector;
    let is_external = wanted.component.managed == Managed::External;
    let config_file = match &wanted.component.config_file {
        Some(path) if is_external => path.clone(),
        _ => folder.join("jaeger.yaml"),
    };
    let args = vec![format!("--config={}", config_file.display())];
    let run = run(&wanted.component, "jaeger", args, |image, args| {
        container(image, args, &[folder])
    })?;
    let text = render(config, around)?;
    Some(Component {
        files: vec![ManagedFile {
            path: config_file,
            // The token of the agent's listeners is in it.
            mode: if is_external { 0o640 } else { 0o600 },
            text: Text::Whole(text),
        }],
        listens: listens(config, &run),
        run,
        ready_url: Some(format!("http://{}/status", reached_at(wanted.admin()))),
        reload: reload(&wanted.component, Reload::Restart),
        version: Version::Printed(&["--version"]),
        check: None,
        stop_grace: STOP_GRACE,
    })
}

/// What must be free before it is started.
fn listens(config: &Config, run: &Run) -> Vec<SocketAddr> {
    if *run == Run::External {
        return Vec::new();
    }
    let doors = &config.receive.jaeger;
    let admin = config.stack.jaeger_collector.admin();
    [doors.grpc, doors.http, Some(admin)]
        .into_iter()
        .flatten()
        .collect()
}

/// The file of v2; absent: the agent takes no OTLP over HTTP.
fn render(config: &Config, around: &Around) -> Option<String> {
    let agent = around.otlp_http?;
    let doors = &config.receive.jaeger;
    let mut protocols = String::new();
    for (name, door) in [("grpc", doors.grpc), ("thrift_http", doors.http)] {
        if let Some(address) = door {
            let address = quoted(&address.to_string());
            protocols.push_str(&format!("      {name}:\n        endpoint: {address}\n"));
        }
    }
    let bearer = format!("Bearer {}", around.relay_token.expose());
    Some(format!(
        "# Written by guidon. What is changed here is put back.\n\
         service:\n\
         \x20 extensions: [healthcheckv2]\n\
         \x20 pipelines:\n\
         \x20   traces:\n\
         \x20     receivers: [jaeger]\n\
         \x20     processors: [batch]\n\
         \x20     exporters: [otlphttp]\n\
         \x20 telemetry:\n\
         \x20   metrics:\n\
         \x20     level: none\n\
         extensions:\n\
         \x20 healthcheckv2:\n\
         \x20   use_v2: true\n\
         \x20   http:\n\
         \x20     endpoint: {health}\n\
         receivers:\n\
         \x20 jaeger:\n\
         \x20   protocols:\n\
         {protocols}\
         processors:\n\
         \x20 batch: {{}}\n\
         exporters:\n\
         \x20 otlphttp:\n\
         \x20   traces_endpoint: {traces}\n\
         \x20   headers:\n\
         \x20     Authorization: {bearer}\n\
         \x20   retry_on_failure:\n\
         \x20     max_elapsed_time: 0s\n",
        health = quoted(&config.stack.jaeger_collector.admin().to_string()),
        traces = quoted(&format!("http://{agent}/v1/traces")),
        bearer = quoted(&bearer),
    ))
}

/// A YAML string, which JSON's are. The collector replaces `${…}` in it, and `$$` by `$`.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text.replace('$', "$$")).to_string()
}
