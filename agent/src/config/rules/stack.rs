//! What the keys of `[stack.*]` need of one another and of the rest.

mod jaeger;

use super::Listener;
use crate::config::{Component, Config, JaegerVersion, Managed};

/// A broken rule: the keys concerned, the first one at fault.
pub(super) struct Violation {
    pub(super) keys: Vec<String>,
    pub(super) what: String,
    pub(super) fix: &'static str,
}

/// Components by key, and whether they are told what to do by a file.
fn components(config: &Config) -> [(&'static str, &Component, bool); 5] {
    let stack = &config.stack;
    let collector = &stack.jaeger_collector;
    let collector_has_file = collector.version == JaegerVersion::Two;
    [
        ("prometheus", &stack.prometheus.component, true),
        ("node_exporter", &stack.node_exporter.component, false),
        ("vector", &stack.vector.component, true),
        ("jaeger_collector", &collector.component, collector_has_file),
        ("jaeger_agent", &stack.jaeger_agent.component, false),
    ]
}

/// Where components listen that the agent starts.
pub(super) fn listeners(config: &Config) -> Vec<Listener> {
    let stack = &config.stack;
    [
        (
            "stack.prometheus.listen",
            stack.prometheus.component.managed,
            stack.prometheus.listen,
        ),
        (
            "stack.node_exporter.listen",
            stack.node_exporter.component.managed,
            stack.node_exporter.listen,
        ),
        (
            "stack.vector.api",
            stack.vector.component.managed,
            stack.vector.api,
        ),
        (
            "stack.jaeger_collector.admin",
            stack.jaeger_collector.component.managed,
            stack.jaeger_collector.admin(),
        ),
        (
            "stack.jaeger_agent.admin",
            stack.jaeger_agent.component.managed,
            stack.jaeger_agent.admin,
        ),
    ]
    .into_iter()
    .filter(|(_, managed, _)| matches!(managed, Managed::Binary | Managed::Container))
    .map(|(key, _, address)| (key, address))
    .collect()
}

pub(super) fn violations(config: &Config) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut complain = |keys: &[&str], what: String, fix| {
        found.push(Violation {
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            what,
            fix,
        });
    };
    for (name, component, has_file) in components(config) {
        let key = |key: &str| format!("stack.{name}.{key}");
        match component.managed {
            Managed::Container if component.image.is_none() => complain(
                &[&key("managed"), &key("image")],
                "a container without an image".to_owned(),
                "name the image",
            ),
            Managed::External if has_file && component.config_file.is_none() => complain(
                &[&key("managed"), &key("config_file")],
                "nothing says which file the program reads".to_owned(),
                "name the configuration file to write as config_file",
            ),
            _ => {}
        }
        for (key, path) in [
            (key("path"), &component.path),
            (key("config_file"), &component.config_file),
        ] {
            if let Some(path) = path
                && !path.is_absolute()
            {
                let what = format!("{} is no absolute path", path.display());
                complain(&[&key], what, "write the whole path, from / on");
            }
        }
        if component.managed != Managed::External && component.config_file.is_some() {
            complain(
                &[&key("config_file"), &key("managed")],
                "only an external component has a file of its own place".to_owned(),
                "remove it, the file is kept in the data directory",
            );
        }
    }
    let prometheus = &config.stack.prometheus;
    if prometheus.component.managed != Managed::Off {
        if config.receive.remote_write.is_none() {
            complain(
                &["stack.prometheus.managed", "receive.remote_write"],
                "what it scrapes has nowhere to go: receive.remote_write is switched off"
                    .to_owned(),
                "let the agent listen for remote write",
            );
        }
        let takes_only_certificates = config.api.token_file.is_none()
            && config
                .api
                .tls
                .as_ref()
                .is_some_and(|tls| tls.client_ca.is_some());
        if takes_only_certificates {
            complain(
                &["stack.prometheus.managed", "api.token_file", "api.tls"],
                "it asks the API for its targets, and the API takes only certificates".to_owned(),
                "set api.token_file, too",
            );
        }
    }
    if config.stack.reads_logs() {
        let takes_http = |url: &String| url.starts_with("http");
        if config.receive.otlp_http.is_none() && !config.bus.logs.iter().any(takes_http) {
            complain(
                &["stack.vector.managed", "receive.otlp_http", "bus.logs"],
                "what it reads has nowhere to go: receive.otlp_http is switched off".to_owned(),
                "let the agent listen for OTLP over HTTP, or name a receiver as bus.logs",
            );
        }
    }
    jaeger::violations(config, &mut complain);
    found
}
