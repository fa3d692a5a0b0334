//! The agent goes and comes back while apps run.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use guidon_tests::{
    Agent, Container, Image, Labels, RemoteWriteSink, Sample, eventually, system_docker, unique,
};

const SCRIPT: &str =
    "while :; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.05; done";

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// Panics unless a receiver makes sense of the samples of a counter: it never falls, except to
/// what may have gathered since a restart.
fn assert_a_counters_life(labels: &Labels, samples: &[Sample], restarts: &[i64]) {
    let values: Vec<&Sample> = samples.iter().filter(|sample| !sample.is_stale()).collect();
    for pair in values.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        if after.value >= before.value {
            continue;
        }
        let restart = restarts
            .iter()
            .find(|restart| (before.timestamp..=after.timestamp).contains(restart))
            .unwrap_or_else(|| panic!("{labels:?} fell without a restart: {before:?} {after:?}"));
        // A receiver takes the whole new value for an increase since the last sample.
        let seconds = (after.timestamp - restart) as f64 / 1000.0;
        let possible = seconds * std::thread::available_parallelism().unwrap().get() as f64;
        assert!(
            after.value <= possible,
            "{labels:?} fell to more than a restart explains: {before:?} {after:?}"
        );
    }
}

#[test]
fn counters_make_sense_to_a_receiver_across_a_kill_and_a_stop() {
    let sink = RemoteWriteSink::start();
    let mut agent = Agent::sending_to(&sink.url());
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let guids = [unique("restart"), unique("restart")];
    let containers: Vec<Container> = guids
        .iter()
        .map(|guid| Container::claim(&docker, guid))
        .collect();
    for guid in &guids {
        assert_eq!(
            agent
                .put(&format!("/api/v1/apps/{guid}"), &image.app(SCRIPT))
                .0,
            201
        );
    }
    let seen_since = |time: i64| {
        eventually(
            Duration::from_secs(15),
            "fresh samples of both apps",
            || {
                let fresh = |guid: &String| {
                    let labels = [
                        ("__name__", "container_cpu_usage_seconds_total"),
                        ("guid", guid.as_str()),
                    ];
                    sink.latest(&labels)
                        .is_some_and(|sample| sample.timestamp > time)
                };
                guids.iter().all(fresh).then_some(())
            },
        );
    };
    seen_since(0);
    std::thread::sleep(Duration::from_secs(2));
    agent.kill();
    std::thread::sleep(Duration::from_secs(2));
    let mut restarts = vec![now_ms()];
    agent.start();
    seen_since(restarts[0] + 1500);
    agent.stop();
    std::thread::sleep(Duration::from_secs(1));
    restarts.push(now_ms());
    agent.start();
    seen_since(restarts[1] + 1500);

    for (guid, container) in guids.iter().zip(&containers) {
        let id = container.id();
        let mut series = sink.series(&[("guid", guid.as_str())]);
        // The ledger, too, has a line for the guid.
        series.retain(|(labels, _)| labels["__name__"].starts_with("container_"));
        assert!(!series.is_empty());
        for (labels, samples) in &series {
            assert_eq!(labels.get("name"), Some(guid), "{labels:?}");
            assert!(labels["id"].contains(&id), "{labels:?}");
            if labels["__name__"] == "container_cpu_usage_seconds_total" {
                assert_a_counters_life(labels, samples, &restarts);
            }
        }
        let nameless = sink.series(&[("name", guid.as_str())]).len();
        assert_eq!(nameless, series.len(), "series of {guid} without its guid");
        // The agent still knows its app.
        let shown = agent.get_json(&format!("/api/v1/apps/{guid}"));
        assert_eq!(shown["state"], "running", "{shown}");
    }
    // What was on its way when the agent was killed comes twice: the same samples, not older ones. A
    // stop leaves nothing to be sent again.
    let is_sent_again = |problem: &str| {
        let times = problem.strip_prefix("sample at ").unwrap_or(problem);
        let is_of_the_kill = |time: &str| time.parse::<i64>().is_ok_and(|it| it < restarts[0]);
        times
            .split_once(" after ")
            .is_some_and(|(one, other)| one == other && is_of_the_kill(one))
    };
    let mut problems = sink.problems();
    problems.retain(|problem| !is_sent_again(problem));
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn nothing_stays_in_the_kernel_after_a_kill() {
    // The programs that are there, by id: others on this machine may come and go with their owners.
    let ours = |before: &BTreeMap<u32, String>| -> Vec<String> {
        programs()
            .into_iter()
            .filter(|(id, _)| !before.contains_key(id))
            .map(|(_, name)| name)
            .collect()
    };
    let before = programs();
    let pinned_before = pinned(Path::new("/sys/fs/bpf"));
    let mut agent = Agent::alone();
    let status = agent.get_json("/api/v1/status");
    assert_eq!(status["kernel"]["loaded"], true, "{status}");
    assert!(!ours(&before).is_empty());
    agent.kill();
    eventually(
        Duration::from_secs(20),
        "the kernel to let go of the programs",
        || ours(&before).is_empty().then_some(()),
    );
    assert_eq!(pinned(Path::new("/sys/fs/bpf")), pinned_before);
}

/// Ids and names of all programs in the kernel.
fn programs() -> BTreeMap<u32, String> {
    aya::programs::loaded_programs()
        .filter_map(Result::ok)
        .map(|program| {
            (
                program.id(),
                program.name_as_str().unwrap_or_default().to_owned(),
            )
        })
        .collect()
}

/// Everything below a folder of the BPF file system.
fn pinned(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        found.push(entry.path());
        found.extend(pinned(&entry.path()));
    }
    found.sort();
    found
}
