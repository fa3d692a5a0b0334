//! Vector: one file, edited in place, and a program that is told of changes by SIGHUP.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{Around, container, reached_at, reload, run};
use crate::config::{Config, Managed};
use crate::stack::component::{Bind, Check, Component, ManagedFile, Reload, Run, Text, Version};
use crate::stack::vector::{LogSink, VectorConfig, edit};

/// It gives itself 60 s for what is under way; what is left is in its disk buffer.
const STOP_GRACE: Duration = Duration::from_secs(20);
/// Where Vector keeps its state unless it is told otherwise.
const USUAL_STATE: &str = "/var/lib/vector";

pub(super) fn component(config: &Config, around: &Around, folder: &Path) -> Option<Component> {
    let wanted = &config.stack.vector;
    let is_external = wanted.component.managed == Managed::External;
    let (config_file, state) = match &wanted.component.config_file {
        Some(path) if is_external => (path.clone(), PathBuf::from(USUAL_STATE)),
        _ => (folder.join("vector.toml"), folder.to_owned()),
    };
    let file = VectorConfig {
        state,
        docker: config.docker.socket.clone(),
        owner: around.owner.clone(),
        logs: sinks(config, around),
        targets: around.log_targets.clone(),
        api: wanted.api,
    };
    let args = vec!["--config".to_owned(), config_file.display().to_string()];
    let run = run(&wanted.component, "vector", args, |image, args| {
        let mut spec = container(image, args, &[folder]);
        let seen = config
            .receive
            .log_files
            .iter()
            .chain([&config.docker.socket]);
        spec.mounts.extend(seen.map(|path| Bind {
            source: path.clone(),
            target: path.clone(),
            read_only: true,
            follows_host: path != &config.docker.socket,
        }));
        // Files of other users.
        spec.capabilities = vec!["DAC_READ_SEARCH".to_owned()];
        spec
    })?;
    let usual = match run {
        // Only its owner knows how to tell it; one with `--watch-config` sees it by itself.
        Run::External => Reload::Restart,
        _ => Reload::Hangup,
    };
    let health = (!is_external).then(|| format!("http://{}/health", reached_at(wanted.api)));
    Some(Component {
        files: vec![ManagedFile {
            path: config_file,
            // The token of the agent's listeners is in it.
            mode: if is_external { 0o640 } else { 0o600 },
            text: Text::Edited(Arc::new(move |live| {
                edit(live.unwrap_or_default(), &file).map_err(|error| error.to_string())
            })),
        }],
        listens: match run {
            Run::External => Vec::new(),
            _ => vec![wanted.api],
        },
        run,
        ready_url: health,
        reload: reload(&wanted.component, usual),
        version: Version::Printed(&["--version"]),
        check: Some(Check {
            program: wanted.component.path.clone().filter(|_| is_external),
            args: vec!["validate".to_owned(), "--skip-healthchecks".to_owned()],
        })
        .filter(|check| !is_external || check.program.is_some()),
        stop_grace: STOP_GRACE,
    })
}

/// The agent itself, which spools and ships; where it does not take OTLP over HTTP, each place that
/// logs go to and that does.
fn sinks(config: &Config, around: &Around) -> Vec<LogSink> {
    if let Some(agent) = around.otlp_http {
        let bearer = format!("Bearer {}", around.relay_token.expose());
        return vec![LogSink {
            url: format!("http://{agent}/v1/logs"),
            headers: vec![("Authorization".to_owned(), bearer)],
        }];
    }
    let over_http = config.bus.logs.iter().filter(|url| url.starts_with("http"));
    over_http
        .map(|url| LogSink {
            url: url.clone(),
            headers: Vec::new(),
        })
        .collect()
}
