//! An app's series at real receivers, minutes after `git clone`: VictoriaMetrics and Prometheus.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use guidon_tests::{Agent, Container, Image, PrometheusServer, system_docker, unique};

/// A bit of everything: CPU, memory, a file, packets over loopback.
const SCRIPT: &str = "nc -ll -p 8080 -e echo hello & \
    while :; do i=0; while [ $i -lt 5000 ]; do i=$((i+1)); done; \
    nc 127.0.0.1 8080 </dev/null >/dev/null; echo x > /tmp/x; sleep 0.05; done";

/// Families that every app has from its first sample on.
const FAMILIES: &[&str] = &[
    "container_cpu_usage_seconds_total",
    "container_memory_usage_bytes",
    "container_memory_working_set_bytes",
    "container_network_receive_bytes_total",
    "container_network_transmit_bytes_total",
    "container_processes",
    "container_threads",
    "container_start_time_seconds",
    "container_last_seen",
];

/// `index_delay` is how long the receiver itself may take to show in queries what it has.
fn an_app_is_seen_at(receiver: &PrometheusServer, index_delay: Duration) {
    const INTERVAL: Duration = Duration::from_secs(2);
    let agent = Agent::start_with(
        "guid = \"the-host\"",
        &format!(
            "[collect]\ninterval = \"2s\"\n\n[bus]\nmetrics = {:?}",
            receiver.write_url()
        ),
    );
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let guid = unique("receivers");
    let container = Container::claim(&docker, &guid);

    let asked = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    let (status, answer) = agent.put(&format!("/api/v1/apps/{guid}"), &image.app(SCRIPT));
    let put = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    assert_eq!(status, 201, "{answer}");
    let inspected = container.inspect();
    assert_eq!(inspected["Config"]["Hostname"], guid.as_str());
    assert_eq!(inspected["Name"], format!("/{guid}"));

    let patience = 2 * INTERVAL + index_delay;
    let cpu = format!("container_cpu_usage_seconds_total{{guid=\"{guid}\",name=\"{guid}\"}}");
    let result = receiver.wait_for(&cpu, patience);
    assert_eq!(result.len(), 1, "one series: {result:?}");
    let first = receiver.times(&format!("{cpu}[5m]"))[0];
    assert!(first >= asked && first <= put + INTERVAL.as_secs_f64() * 2.0);
    let (labels, seconds) = &result[0];
    assert!(*seconds > 0.0);
    assert!(labels["id"].contains(&container.id()), "{labels:?}");
    assert!(labels["image"].contains(image.name()), "{labels:?}");
    for family in FAMILIES {
        let query = format!("{family}{{guid=\"{guid}\",name=\"{guid}\"}}");
        receiver.wait_for(&query, patience);
    }
    let host = receiver.wait_for("node_cpu_seconds_total{guid=\"the-host\"}", patience);
    assert!(
        host.iter()
            .all(|(labels, _)| !labels["instance"].is_empty())
    );
    // Nothing that belongs to the app came without its guid.
    let untagged = format!("{{name=\"{guid}\",guid!=\"{guid}\"}}");
    assert_eq!(receiver.query(&untagged), []);

    assert_eq!(agent.delete(&format!("/api/v1/apps/{guid}")).0, 204);
    let (status, _) = agent.delete(&format!("/api/v1/apps/{guid}"));
    assert_eq!(status, 404);
    // Its series ended: a stale marker takes them out of queries at once, not after five minutes.
    guidon_tests::eventually(patience, "the series to end", || {
        receiver.query(&cpu).is_empty().then_some(())
    });
}

#[test]
fn an_app_is_seen_at_victoria_metrics_within_two_intervals() {
    // It looks for series that it did not know only every ten seconds.
    an_app_is_seen_at(
        &PrometheusServer::victoria_metrics(),
        Duration::from_secs(15),
    );
}

#[test]
fn an_app_is_seen_at_prometheus_within_two_intervals() {
    an_app_is_seen_at(&PrometheusServer::prometheus(""), Duration::from_secs(1));
}
