//! `[stack.*]`.

use std::time::Duration;

use crate::config::reader::Section;
use crate::config::values::{address, bytes, duration, list, path, some, text, url, word};
use crate::config::{
    Component, JaegerCollector, JaegerVersion, Managed, NodeExporter, Prometheus, ReloadBy, Stack,
};

/// Behind TLS a program is told by a command.
const PLAIN_HTTP: &[&str] = &["http"];
/// What Prometheus takes for an interval without choking on it.
const SHORTEST_SCRAPE: Duration = Duration::from_secs(1);
const LONGEST_SCRAPE: Duration = Duration::from_secs(3600);
/// Prometheus cuts blocks of two hours; less could not be kept apart.
const SHORTEST_RETENTION: Duration = Duration::from_secs(2 * 3600);
const LONGEST_RETENTION: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// A head block and its log take that much on a small node.
const LEAST_STORAGE_BYTES: u64 = 64 << 20;

pub(super) fn read(section: &mut Section<'_>, stack: &mut Stack) {
    section.section("prometheus", |section| {
        prometheus(section, &mut stack.prometheus);
    });
    section.section("node_exporter", |section| {
        node_exporter(section, &mut stack.node_exporter);
    });
    section.section("vector", |section| {
        component(section, &mut stack.vector.component);
        section.set("api", &mut stack.vector.api, address);
    });
    section.section("jaeger_collector", |section| {
        jaeger_collector(section, &mut stack.jaeger_collector);
    });
    section.section("jaeger_agent", |section| {
        let agent = &mut stack.jaeger_agent;
        component(section, &mut agent.component);
        section.set("admin", &mut agent.admin, address);
        section.set("collector", &mut agent.collector, some(text));
    });
}

fn prometheus(section: &mut Section<'_>, prometheus: &mut Prometheus) {
    component(section, &mut prometheus.component);
    section.set("listen", &mut prometheus.listen, address);
    let interval = duration(SHORTEST_SCRAPE..=LONGEST_SCRAPE);
    section.set("scrape_interval", &mut prometheus.scrape_interval, interval);
    let retention = duration(SHORTEST_RETENTION..=LONGEST_RETENTION);
    section.set("retention", &mut prometheus.retention, retention);
    let max_bytes = bytes(LEAST_STORAGE_BYTES);
    section.set("max_bytes", &mut prometheus.max_bytes, max_bytes);
}

fn node_exporter(section: &mut Section<'_>, exporter: &mut NodeExporter) {
    component(section, &mut exporter.component);
    section.set("listen", &mut exporter.listen, address);
}

fn jaeger_collector(section: &mut Section<'_>, collector: &mut JaegerCollector) {
    component(section, &mut collector.component);
    let version = word(&[("v1", JaegerVersion::One), ("v2", JaegerVersion::Two)]);
    section.set("version", &mut collector.version, version);
    section.set("admin", &mut collector.admin, some(address));
    section.set("storage", &mut collector.storage, text);
}

/// The keys that every component has.
fn component(section: &mut Section<'_>, component: &mut Component) {
    let managed = word(&[
        ("off", Managed::Off),
        ("container", Managed::Container),
        ("binary", Managed::Binary),
        ("external", Managed::External),
    ]);
    section.set("managed", &mut component.managed, managed);
    section.set("image", &mut component.image, some(text));
    section.set("path", &mut component.path, some(path));
    section.set("args", &mut component.args, list(text));
    section.set("config_file", &mut component.config_file, some(path));
    let (mut by_url, mut by_command) = (None, Vec::new());
    section.set("reload_url", &mut by_url, some(url(PLAIN_HTTP)));
    section.set("reload_command", &mut by_command, list(text));
    component.reload = match by_url {
        Some(url) => Some(ReloadBy::Url(url)),
        None if by_command.is_empty() => None,
        None => Some(ReloadBy::Command(by_command)),
    };
}
