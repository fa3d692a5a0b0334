//! Containers that live for a moment: none is missed, none is nameless, the books are exact.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use guidon_tests::{
    Agent, Container, Docker, Image, RemoteWriteSink, Sample, eventually, system_docker, unique,
};

/// Real containers cost Docker a third of a second each; 500 cgroups driven like containers are a
/// test of the kernel room.
const CONTAINERS: usize = 40;

/// Docker starts and removes about this many at once on two cores.
const AT_ONCE: usize = 4;

/// Seconds that a starting container may run in one hierarchy and not yet in the other.
const JOINING: f64 = 0.002;

/// Burns some 50 ms, then prints what the kernel has booked to its own cgroup so far.
const SCRIPT: &str = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; \
    cat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null \
    || sed -n 's/usage_usec \\(.*\\)/\\1000/p' /sys/fs/cgroup/cpu.stat";

/// CPU seconds that the container printed.
fn printed(docker: &Docker, guid: &str) -> f64 {
    let text = docker.output(guid).unwrap();
    text.trim()
        .parse::<f64>()
        .unwrap_or_else(|_| panic!("{guid} printed {text:?}"))
        / 1e9
}

#[test]
fn every_short_lived_app_has_a_final_sample_under_its_guid_with_all_its_cpu_time() {
    let sink = RemoteWriteSink::start();
    let agent = Agent::sending_to(&sink.url());
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let mut app = image.app(SCRIPT);
    app["restart"] = "no".into();

    let next = AtomicUsize::new(0);
    let used = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < CONTAINERS {
                    let guid = unique("short");
                    let _container = Container::claim(&docker, &guid);
                    let (status, answer) = agent.put(&format!("/api/v1/apps/{guid}"), &app);
                    assert_eq!(status, 201, "{answer}");
                    docker.wait(&guid).unwrap();
                    let seconds = printed(&docker, &guid);
                    // Gone for good while the agent may not have looked once.
                    assert_eq!(agent.delete(&format!("/api/v1/apps/{guid}")).0, 204);
                    used.lock().unwrap().push((guid, seconds));
                }
            });
        }
    });

    for (guid, seconds) in used.into_inner().unwrap() {
        let labels = [
            ("__name__", "container_cpu_usage_seconds_total"),
            ("guid", guid.as_str()),
            ("name", guid.as_str()),
        ];
        let samples = eventually(
            Duration::from_secs(10),
            &format!("the end of {guid}"),
            || {
                let (_, samples) = sink.series(&labels).into_iter().next()?;
                samples.last()?.is_stale().then_some(samples)
            },
        );
        let values: Vec<&Sample> = samples.iter().filter(|sample| !sample.is_stale()).collect();
        let last = values
            .last()
            .unwrap_or_else(|| panic!("{guid} has no value"))
            .value;
        // Before: runc enters the v1 hierarchies, which the container reads, a moment before cgroup2,
        // which the agent counts in. After: a shell's exit and runc's clean-up.
        assert!(
            last >= seconds * 0.999 - JOINING && last <= seconds + 0.03,
            "{guid}: the agent says {last} s, the container saw {seconds} s"
        );
        let nameless = sink.series(&[("name", guid.as_str())]).into_iter();
        let nameless: Vec<_> = nameless
            .filter(|(labels, _)| !labels.contains_key("guid"))
            .collect();
        assert_eq!(nameless, [], "series of {guid} without its guid");
    }
    assert_eq!(sink.problems(), Vec::<String>::new());

    // Every slot went back to the pool.
    let status = eventually(Duration::from_secs(20), "free slots", || {
        let status = agent.get_json("/api/v1/status");
        let used = status["kernel"]["slots"].as_u64()? - status["kernel"]["slots_free"].as_u64()?;
        // What else lives on this machine keeps its slots; ours are gone.
        (used < CONTAINERS as u64).then_some(status)
    });
    assert_eq!(status["kernel"]["slot_misses"], 0, "{status}");
    assert_eq!(status["kernel"]["events_lost"], 0, "{status}");
}
