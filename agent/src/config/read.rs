//! The sections of the file, key by key, into the typed configuration.

mod stack;

use std::time::Duration;

use super::reader::Section;
use super::values::{
    address, boolean, bytes, duration, guid, list, listener, network, number, one_or_list, path,
    some, text, url, word,
};
use super::{
    Api, Bus, Cluster, Collect, Config, Docker, Durability, Jaeger, Kubernetes, Receive, Role,
    Spool, Tls, WhenFull,
};

/// Below, a round costs more than it tells; above, rates say nothing any more.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);
const SHORTEST_FSYNC: Duration = Duration::from_millis(10);
/// Less would not hold one large batch beside the segment that is being sent.
const LEAST_SPOOL_BYTES: u64 = 16 << 20;
/// Keeps the mapped counters of a large host below some hundred MiB.
const MOST_SLOTS: u32 = 1 << 16;

const HTTP: &[&str] = &["http", "https"];
const OTLP: &[&str] = &["http", "https", "grpc", "grpcs"];

/// Reads the root of the file.
pub(super) fn config(root: &mut Section<'_>, config: &mut Config) {
    root.set("guid", &mut config.guid, some(guid));
    root.set("data_dir", &mut config.data_dir, path);
    root.section("api", |section| api(section, &mut config.api));
    root.section("bus", |section| bus(section, &mut config.bus));
    root.section("collect", |section| collect(section, &mut config.collect));
    root.section("receive", |section| receive(section, &mut config.receive));
    root.section("spool", |section| spool(section, &mut config.spool));
    root.section("docker", |section| docker(section, &mut config.docker));
    config.cluster = root.section("cluster", cluster);
    root.section("kubernetes", |section| {
        kubernetes(section, &mut config.kubernetes);
    });
    root.section("stack", |section| stack::read(section, &mut config.stack));
}

fn api(section: &mut Section<'_>, api: &mut Api) {
    section.set("listen", &mut api.listen, address);
    section.set("token_file", &mut api.token_file, some(path));
    api.tls = section.section("tls", |section| {
        let mut tls = Tls {
            cert: "".into(),
            key: "".into(),
            client_ca: None,
        };
        section.set("cert", &mut tls.cert, path);
        section.set("key", &mut tls.key, path);
        section.set("client_ca", &mut tls.client_ca, some(path));
        section.require("cert", "name the PEM file of the certificate chain");
        section.require("key", "name the PEM file of the certificate's private key");
        tls
    });
}

fn bus(section: &mut Section<'_>, bus: &mut Bus) {
    section.set("metrics", &mut bus.metrics, one_or_list(url(HTTP)));
    section.set("logs", &mut bus.logs, one_or_list(url(OTLP)));
    section.set("traces", &mut bus.traces, one_or_list(url(OTLP)));
    section.set(
        "otlp_metrics",
        &mut bus.otlp_metrics,
        one_or_list(url(OTLP)),
    );
}

fn collect(section: &mut Section<'_>, collect: &mut Collect) {
    let interval = duration(SHORTEST_INTERVAL..=LONGEST_INTERVAL);
    section.set("interval", &mut collect.interval, interval);
    section.set("kernel", &mut collect.kernel, boolean);
    section.set("containers", &mut collect.containers, boolean);
    section.set("node", &mut collect.node, boolean);
    section.set("run_queue", &mut collect.run_queue, boolean);
    let statistics = &mut collect.program_statistics;
    section.set("program_statistics", statistics, boolean);
    section.set("slots", &mut collect.slots, some(number(1..=MOST_SLOTS)));
}

fn receive(section: &mut Section<'_>, receive: &mut Receive) {
    section.set("remote_write", &mut receive.remote_write, listener);
    section.set("otlp_http", &mut receive.otlp_http, listener);
    section.set("otlp_grpc", &mut receive.otlp_grpc, listener);
    section.switchable("jaeger", &mut receive.jaeger, jaeger);
    section.set("apps", &mut receive.apps, boolean);
    section.set("logs", &mut receive.logs, boolean);
    section.set("log_files", &mut receive.log_files, list(path));
    section.set("trusted", &mut receive.trusted, list(network));
}

fn jaeger(section: &mut Section<'_>, jaeger: &mut Jaeger) {
    section.set("compact", &mut jaeger.compact, listener);
    section.set("binary", &mut jaeger.binary, listener);
    section.set("http", &mut jaeger.http, listener);
    section.set("grpc", &mut jaeger.grpc, listener);
    section.set("sampling", &mut jaeger.sampling, listener);
}

fn spool(section: &mut Section<'_>, spool: &mut Spool) {
    section.set("max_bytes", &mut spool.max_bytes, bytes(LEAST_SPOOL_BYTES));
    let when_full = word(&[
        ("drop-oldest", WhenFull::DropOldest),
        ("refuse", WhenFull::Refuse),
    ]);
    section.set("when_full", &mut spool.when_full, when_full);
    let durability = word(&[("spool", Durability::Spool), ("memory", Durability::Memory)]);
    section.set("durability", &mut spool.durability, durability);
    let fsync = some(duration(SHORTEST_FSYNC..=LONGEST_INTERVAL));
    section.set("fsync_interval", &mut spool.fsync_interval, fsync);
}

fn docker(section: &mut Section<'_>, docker: &mut Docker) {
    section.set("socket", &mut docker.socket, path);
    let credentials = &mut docker.credentials_file;
    section.set("credentials_file", credentials, some(path));
    section.section("allow", |section| {
        let allow = &mut docker.allow;
        section.set("privileged", &mut allow.privileged, boolean);
        section.set("host_mounts", &mut allow.host_mounts, list(path));
        let namespace = word(&[
            ("network", "network"),
            ("pid", "pid"),
            ("ipc", "ipc"),
            ("cgroup", "cgroup"),
            ("user", "user"),
        ]);
        let mut namespaces = Vec::new();
        section.set("host_namespaces", &mut namespaces, list(namespace));
        allow.host_namespaces = namespaces.into_iter().map(str::to_owned).collect();
        section.set("capabilities", &mut allow.capabilities, list(text));
        section.set("devices", &mut allow.devices, list(path));
        section.set("secret_files", &mut allow.secret_files, list(path));
        section.set("images", &mut allow.images, list(text));
    });
}

fn cluster(section: &mut Section<'_>) -> Cluster {
    let mut cluster = Cluster {
        etcd: Vec::new(),
        name: "default".into(),
        role: Role::Auto,
    };
    section.set("etcd", &mut cluster.etcd, one_or_list(url(HTTP)));
    section.set("name", &mut cluster.name, text);
    let role = word(&[
        ("auto", Role::Auto),
        ("master", Role::Master),
        ("slave", Role::Slave),
    ]);
    section.set("role", &mut cluster.role, role);
    section.require("etcd", "name the client URLs of the etcd members");
    cluster
}

fn kubernetes(section: &mut Section<'_>, kubernetes: &mut Kubernetes) {
    section.set("enabled", &mut kubernetes.enabled, boolean);
}
