//! The host's families beside the real node exporter: the same series, the same values.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use guidon::collect::catalogue;
use guidon::collect::node::{NodeCollector, Roots};
use guidon::signal::series::{Format, SeriesTable};

const ADDRESS: &str = "127.0.0.1:26010";

/// Upstream's defaults; Debian's build has others.
const UPSTREAM: [&str; 3] = [
    "--collector.filesystem.mount-points-exclude=^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)",
    "--collector.netdev.device-exclude=",
    "--no-collector.netdev.netlink",
];

struct Exporter(Child);

impl Exporter {
    fn start() -> Self {
        let child = Command::new("prometheus-node-exporter")
            .arg(format!("--web.listen-address={ADDRESS}"))
            .args(UPSTREAM)
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus-node-exporter is installed");
        Self(child)
    }

    fn scrape(&self) -> String {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut stream = loop {
            match TcpStream::connect(ADDRESS) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > deadline => panic!("{error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Series to value, and the declared type of each family.
fn parse(text: &str) -> (BTreeMap<String, f64>, BTreeMap<String, String>) {
    let mut samples = BTreeMap::new();
    let mut types = BTreeMap::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap();
            types.insert(name.to_owned(), kind.to_owned());
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            samples.insert(series.to_owned(), value.parse().unwrap());
        }
    }
    (samples, types)
}

fn ours() -> String {
    let mut table = SeriesTable::new("node-7".parse().unwrap(), Vec::new());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    NodeCollector::new(Roots::default()).pass(&mut table, now.as_millis() as i64);
    table.text(Format::Prometheus)
}

fn family(series: &str) -> &str {
    series.split('{').next().unwrap()
}

#[test]
fn the_same_series_with_the_same_values_as_node_exporter() {
    let exporter = Exporter::start();
    exporter.scrape();
    // Theirs, ours, theirs: what only grows lies in between.
    let (before, types) = parse(&exporter.scrape());
    let (ours, our_types) = parse(&ours());
    let (after, _) = parse(&exporter.scrape());

    let served: BTreeSet<&str> = catalogue::node::entries()
        .iter()
        .map(|entry| entry.family.name)
        .collect();
    let theirs: BTreeSet<&String> = before
        .keys()
        .filter(|series| served.contains(family(series)))
        .collect();
    let newer = ["node_pressure_irq_stalled_seconds_total"];
    let mine: BTreeSet<&String> = ours
        .keys()
        .filter(|series| !newer.contains(&family(series)))
        .collect();
    assert!(theirs.len() > 200, "{}", theirs.len());
    assert_eq!(mine, theirs);

    for (name, kind) in &our_types {
        if let Some(other) = types.get(name) {
            assert_eq!(kind, other, "{name}");
        }
    }
    for (series, &value) in ours.iter().filter(|(series, _)| theirs.contains(series)) {
        let (low, high) = (
            before[series].min(after[series]),
            before[series].max(after[series]),
        );
        let kind = &our_types[family(series)];
        // Gauges may go astray in between; counters of time are kept in ticks.
        let slack = match kind.as_str() {
            "gauge" => (high.abs() * 0.05).max(64.0 * 1024.0 * 1024.0),
            "untyped" => (high.abs() * 0.01).max(5.0),
            _ => 0.011,
        };
        let slack = if family(series).contains("boot_time") {
            1.0
        } else {
            slack
        };
        assert!(
            (low - slack..=high + slack).contains(&value),
            "{series}: {value} not in {low}..{high} (slack {slack})"
        );
    }
}

#[test]
fn promtool_objects_only_to_names_that_node_exporter_gave() {
    let text = ours();
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let complaints: Vec<&str> = said
        .lines()
        .filter(|line| {
            let upstream = line.starts_with("node_memory_") || line.starts_with("node_netstat_");
            !(upstream && line.ends_with("'snake_case' not 'camelCase'"))
        })
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}
