//! What the agent says against what the kernel says.
//!
//! Processes are stopped before the books are compared: then neither side moves any more and the
//! comparison needs no tolerance for the time between two readings.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "tests"
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use guidon_tests::cgroup::{Cgroup, Hierarchies, cpu_seconds, memory_bytes, set_stopped};
use guidon_tests::{Agent, Container, Image, RemoteWriteSink, eventually, system_docker, unique};

const LOADS: &[(&str, &str)] = &[
    ("busy", "while :; do :; done"),
    // About a thousand sleeps a second, a little work between.
    ("sleeper", "while :; do usleep 500; done"),
    // Two processes that wake each other for every line.
    (
        "ping-pong",
        "mkfifo /a /b; cat </a >/b & exec 3>/a 4</b; while :; do echo x >&3; read y <&4; done",
    ),
    ("idle", "while :; do sleep 1; done"),
];

/// The value of a series of a collection round that began after now.
fn next_value(sink: &RemoteWriteSink, labels: &[(&str, &str)]) -> f64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64;
    eventually(
        Duration::from_secs(10),
        &format!("a fresh sample of {labels:?}"),
        || {
            let sample = sink.latest(labels)?;
            (sample.timestamp > now).then_some(sample.value)
        },
    )
}

fn cpu_labels(guid: &str) -> [(&str, &str); 3] {
    [
        ("__name__", "container_cpu_usage_seconds_total"),
        ("guid", guid),
        ("cpu", "total"),
    ]
}

#[test]
fn cpu_time_equals_the_kernels_accounting_within_a_thousandth_for_every_kind_of_load() {
    let hierarchies = Hierarchies::find();
    let sink = RemoteWriteSink::start();
    let agent = Agent::sending_to(&sink.url());
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let apps: Vec<(String, Container, String)> = LOADS
        .iter()
        .map(|(name, script)| {
            let guid = unique(name);
            let container = Container::claim(&docker, &guid);
            let (status, answer) = agent.put(&format!("/api/v1/apps/{guid}"), &image.app(script));
            assert_eq!(status, 201, "{answer}");
            let path = format!("/docker/{}", container.id());
            (guid, container, path)
        })
        .collect();
    let read = || -> Vec<(f64, f64)> {
        apps.iter()
            .map(|(guid, _, path)| {
                set_stopped(&hierarchies, path, true);
                let agent_says = next_value(&sink, &cpu_labels(guid));
                let kernel_says = cpu_seconds(&hierarchies, path);
                set_stopped(&hierarchies, path, false);
                (agent_says, kernel_says)
            })
            .collect()
    };
    std::thread::sleep(Duration::from_secs(1));
    let before = read();
    std::thread::sleep(Duration::from_secs(30));
    let after = read();
    for (((guid, ..), before), after) in apps.iter().zip(before).zip(after) {
        let (agent_says, kernel_says) = (after.0 - before.0, after.1 - before.1);
        let difference = (agent_says - kernel_says).abs();
        eprintln!("{guid}: agent {agent_says:.6} s, kernel {kernel_says:.6} s");
        assert!(kernel_says > 0.0, "{guid} did nothing");
        // A microsecond for the rounding of decimal seconds.
        assert!(
            difference <= kernel_says * 0.001 + 1e-6,
            "{guid}: agent {agent_says} s, kernel {kernel_says} s"
        );
    }
    assert_eq!(sink.problems(), Vec::<String>::new());
}

#[test]
fn memory_usage_equals_the_kernels_to_the_page() {
    let hierarchies = Hierarchies::find();
    let sink = RemoteWriteSink::start();
    let agent = Agent::sending_to(&sink.url());
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let guid = unique("memory");
    let container = Container::claim(&docker, &guid);
    // Not the last command: the shell would become it, and its memory would be gone.
    let script = "x=$(head -c 20000000 /dev/zero | tr '\\0' x); sleep 600; :";
    assert_eq!(
        agent
            .put(&format!("/api/v1/apps/{guid}"), &image.app(script))
            .0,
        201
    );
    let path = format!("/docker/{}", container.id());
    let labels = [
        ("__name__", "container_memory_usage_bytes"),
        ("guid", guid.as_str()),
    ];
    eventually(Duration::from_secs(20), "memory in use", || {
        (memory_bytes(&hierarchies, &path) > 20_000_000).then_some(())
    });
    // The kernel may still give back pages it holds in reserve per CPU: compare where its own
    // number stood still over a whole round.
    let (agent_says, kernel_says) = eventually(Duration::from_secs(20), "a steady number", || {
        let before = memory_bytes(&hierarchies, &path);
        let agent_says = next_value(&sink, &labels);
        (memory_bytes(&hierarchies, &path) == before).then_some((agent_says, before))
    });
    assert_eq!(agent_says, kernel_says as f64);
}

#[test]
fn received_bytes_and_packets_equal_the_interfaces_over_a_known_transfer() {
    const BYTES: u64 = 8 << 20;
    let sink = RemoteWriteSink::start();
    let agent = Agent::sending_to(&sink.url());
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let guid = unique("network");
    let container = Container::claim(&docker, &guid);
    let script = "nc -l -p 8080 >/dev/null; sleep 600";
    assert_eq!(
        agent
            .put(&format!("/api/v1/apps/{guid}"), &image.app(script))
            .0,
        201
    );
    let inspected = container.inspect();
    let pid = inspected["State"]["Pid"].as_u64().unwrap();
    let address = inspected["NetworkSettings"]["IPAddress"]
        .as_str()
        .unwrap()
        .to_owned();
    let value = |family: &str, interface: Option<&str>| {
        let mut labels = vec![("__name__", family), ("guid", guid.as_str())];
        labels.extend(interface.map(|name| ("interface", name)));
        next_value(&sink, &labels)
    };
    let mut stream = eventually(Duration::from_secs(5), "a listening container", || {
        std::net::TcpStream::connect((address.as_str(), 8080)).ok()
    });
    std::io::Write::write_all(&mut stream, &vec![b'x'; BYTES as usize]).unwrap();
    drop(stream);
    std::thread::sleep(Duration::from_millis(500));

    // Neighbours speak up now and then: compare where the interface heard nothing for a round.
    let (interface_bytes, interface_packets) =
        eventually(Duration::from_secs(30), "a quiet interface", || {
            let before = received_by_interface(pid, "eth0");
            let bytes = value("container_network_receive_bytes_total", Some("eth0"));
            let packets = value("container_network_receive_packets_total", Some("eth0"));
            (received_by_interface(pid, "eth0") == before).then(|| {
                assert_eq!((bytes, packets), (before.0 as f64, before.1 as f64));
                before
            })
        });
    assert!(interface_bytes > BYTES);

    // What the kernel program counts at the sockets differs by nature, as docs/metrics.md says: no
    // Ethernet headers (14 bytes a frame), nothing without a socket (ARP, neighbour discovery: some
    // frames of under 100 bytes), and the headers of segments that travel as one frame.
    let socket_bytes = value("container_network_socket_receive_bytes_total", None);
    let framing = (interface_packets * 14) as f64;
    let difference = interface_bytes as f64 - framing - socket_bytes;
    assert!(
        difference.abs() < 3_000.0,
        "{interface_bytes} - {framing} against {socket_bytes}"
    );
}

/// Bytes and packets received, from the network namespace of a process.
fn received_by_interface(pid: u64, interface: &str) -> (u64, u64) {
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
    let row = table
        .lines()
        .find_map(|line| line.trim().strip_prefix(&format!("{interface}:")));
    let numbers: Vec<u64> = row
        .unwrap()
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    (numbers[0], numbers[1])
}

#[test]
fn a_cgroup_inside_a_container_counts_to_the_container() {
    let hierarchies = Hierarchies::find();
    let sink = RemoteWriteSink::start();
    let agent = Agent::sending_to(&sink.url());
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let guid = unique("nested");
    let container = Container::claim(&docker, &guid);
    assert_eq!(
        agent
            .put(&format!("/api/v1/apps/{guid}"), &image.app("sleep 600"))
            .0,
        201
    );
    let path = format!("/docker/{}", container.id());
    let inner = Cgroup::make(&format!("{path}/inner"));
    let deeper = inner.child("deeper");
    let mut burner = deeper.spawn("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done");
    burner.wait().unwrap();
    let nested = deeper.cpu_seconds();
    assert!(nested > 0.05, "the nested cgroup used {nested} s");
    let agree = || {
        set_stopped(&hierarchies, &path, true);
        let agent_says = next_value(&sink, &cpu_labels(&guid));
        let kernel_says = cpu_seconds(&hierarchies, &path);
        set_stopped(&hierarchies, &path, false);
        eprintln!("agent {agent_says:.6} s, kernel {kernel_says:.6} s, nested {nested:.6} s");
        assert!(kernel_says >= nested);
        // Of the time before it was first seen, runc's own start, the kernel's two hierarchies
        // themselves differ by some microseconds: processes join them one after the other.
        assert!((agent_says - kernel_says).abs() <= kernel_says * 0.001 + 0.001);
    };
    agree();
    // What the nested cgroups used stays on the books after they are gone.
    drop(deeper);
    drop(inner);
    std::thread::sleep(Duration::from_millis(1500));
    agree();
    // No series of its own, with or without a guid.
    let own: Vec<_> = sink
        .series(&[("__name__", "container_cpu_usage_seconds_total")])
        .into_iter()
        .filter(|(labels, _)| labels["id"].contains("/inner"))
        .collect();
    assert_eq!(own, []);
}
