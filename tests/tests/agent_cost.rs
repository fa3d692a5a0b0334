//! What the agent costs while nothing much happens.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "tests"
)]

use std::time::{Duration, Instant};

use guidon_tests::containers::remove_all;
use guidon_tests::{Agent, Container, Image, RemoteWriteSink, eventually, system_docker, unique};
use xtask::hands::side_by_side;

const CONTAINERS: usize = 100;

/// CPU seconds of a process with all its threads.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Fields are counted from behind the program's name, which may hold spaces.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    // utime and stime; USER_HZ is 100 on every Linux that this runs on.
    (ticks(11) + ticks(12)) / 100.0
}

/// Resident memory of a process and of the kernel maps it holds, bytes.
fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    let mut bytes = kilobytes * 1024;
    for entry in std::fs::read_dir(format!("/proc/{pid}/fdinfo"))
        .unwrap()
        .flatten()
    {
        // Descriptors of maps say how much kernel memory the map takes.
        let info = std::fs::read_to_string(entry.path()).unwrap_or_default();
        if info.contains("map_type:") {
            let memory = info.lines().find_map(|line| line.strip_prefix("memlock:"));
            bytes += memory
                .and_then(|text| text.trim().parse::<u64>().ok())
                .unwrap_or(0);
        }
    }
    bytes
}

#[test]
fn with_100_idle_containers_it_takes_under_a_hundredth_of_a_core_and_64_mebibytes() {
    let sink = RemoteWriteSink::start();
    let mut agent = Agent::start_with(
        "",
        &format!(
            "[collect]\ninterval = \"10s\"\n\n\
             [receive]\nremote_write = false\notlp_http = false\notlp_grpc = false\napps = false\n\
             logs = true\n\n[bus]\nmetrics = {:?}",
            sink.url()
        ),
    );
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let guids: Vec<String> = (0..CONTAINERS).map(|_| unique("idle")).collect();
    let containers: Vec<Container> = guids
        .iter()
        .map(|guid| Container::claim(&docker, guid))
        .collect();
    side_by_side(CONTAINERS, |number| {
        let path = format!("/api/v1/apps/{}", guids[number]);
        let (status, answer) = agent.put(&path, &image.app("sleep 3600"));
        assert_eq!(status, 201, "{answer}");
        Ok(())
    })
    .unwrap();
    eventually(Duration::from_secs(30), "samples of all containers", || {
        let series = sink.series(&[("__name__", "container_last_seen")]);
        let ours = series
            .iter()
            .filter(|(labels, _)| labels.get("guid").is_some_and(|guid| guids.contains(guid)));
        (ours.count() == CONTAINERS).then_some(())
    });
    // Let the start settle; then three whole intervals.
    std::thread::sleep(Duration::from_secs(5));
    let (started, before) = (Instant::now(), cpu_seconds(agent.pid()));
    std::thread::sleep(Duration::from_secs(30));
    let share = (cpu_seconds(agent.pid()) - before) / started.elapsed().as_secs_f64();
    let resident = resident_bytes(agent.pid());
    eprintln!(
        "{:.2} % of a core, {:.1} MiB",
        share * 100.0,
        resident as f64 / 1048576.0
    );
    // The agent would make them again.
    agent.kill();
    remove_all(containers);
    assert!(share < 0.01, "{:.2} % of a core", share * 100.0);
    assert!(
        resident < 64 << 20,
        "{:.1} MiB",
        resident as f64 / 1048576.0
    );
}
