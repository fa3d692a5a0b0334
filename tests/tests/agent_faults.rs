//! What goes wrong around the agent: it stays up, says so once, and recovers by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::time::Duration;

use guidon_tests::cgroup::Cgroup;
use guidon_tests::server::Fault;
use guidon_tests::{
    Agent, Container, Dockerd, Image, RemoteWriteSink, Sample, eventually, system_docker, unique,
};
use serde_json::{Value, json};

/// How long each fault lasts: many rounds at an interval of a second. A minute shows nothing more.
const FAULT: Duration = Duration::from_secs(12);

/// Lines of the log, from a position on, that warn or complain.
fn complaints(agent: &Agent, from: usize) -> Vec<String> {
    agent.log()[from..]
        .lines()
        .filter(|line| line.contains("WARN") || line.contains("ERROR"))
        .map(str::to_owned)
        .collect()
}

/// The books of metrics: received + collected, and where it went, for the one destination.
fn assert_the_books_balance(agent: &Agent) -> Value {
    let balanced = || {
        let status = agent.get_json("/api/v1/status");
        let lines = status["forward"]["ledger"].as_array()?;
        let line = lines
            .iter()
            .find(|line| line["signal"] == "metrics")?
            .clone();
        let number = |name: &str| line[name].as_u64().unwrap_or(0);
        let dropped: u64 = line["dropped"]
            .as_object()?
            .values()
            .filter_map(Value::as_u64)
            .sum();
        let came = number("received") + number("collected");
        let went = number("sent") + number("spooled") + number("in_flight") + dropped;
        (came > 0 && came == went).then_some(line)
    };
    // The numbers are read one after the other while the agent works.
    eventually(Duration::from_secs(10), "books that balance", balanced)
}

/// Waits for a sample of the host that is newer than the one there is now.
fn wait_for_fresh(sink: &RemoteWriteSink) {
    let labels = [("__name__", "node_load1")];
    let before = sink.latest(&labels).map_or(0, |sample| sample.timestamp);
    eventually(Duration::from_secs(30), "a fresh sample", || {
        (sink.latest(&labels)?.timestamp > before).then_some(())
    });
}

fn a_receiver_misbehaves(fault: Fault, loses: bool) {
    let sink = RemoteWriteSink::start();
    let mut agent = Agent::sending_to(&sink.url());
    wait_for_fresh(&sink);
    let quiet = agent.log().len();
    sink.set_fault(fault.clone());
    std::thread::sleep(FAULT);
    assert!(agent.runs() && agent.is_healthy());
    let said = complaints(&agent, quiet);
    assert!(
        (1..=4).contains(&said.len()),
        "{fault:?} should be said once, not per tick: {said:#?}"
    );
    sink.set_fault(Fault::None);
    wait_for_fresh(&sink);

    let line = assert_the_books_balance(&agent);
    let dropped: u64 = line["dropped"]
        .as_object()
        .unwrap()
        .values()
        .filter_map(Value::as_u64)
        .sum();
    assert_eq!(dropped > 0, loses, "{fault:?}: {line}");
    if !loses {
        // Every round of the bad time arrived in the end.
        eventually(Duration::from_secs(30), "the backlog", || {
            let (_, samples) = sink.series(&[("__name__", "node_load1")]).pop()?;
            let mut times: Vec<i64> = samples.iter().map(|sample| sample.timestamp).collect();
            times.sort_unstable();
            times
                .windows(2)
                .all(|pair| pair[1] - pair[0] < 2500)
                .then_some(())
        });
    }
}

#[test]
fn a_receiver_that_answers_500_for_a_while_loses_nothing() {
    a_receiver_misbehaves(Fault::Status(500, "out of order"), false);
}

#[test]
fn a_receiver_that_answers_400_costs_what_it_refused_and_that_is_counted() {
    a_receiver_misbehaves(Fault::Status(400, "no such thing"), true);
}

#[test]
fn a_receiver_that_answers_garbage_loses_nothing() {
    a_receiver_misbehaves(Fault::Garbage, false);
}

#[test]
fn a_receiver_that_hangs_does_not_stop_the_agent() {
    let sink = RemoteWriteSink::start();
    let mut agent = Agent::sending_to(&sink.url());
    wait_for_fresh(&sink);
    sink.set_fault(Fault::Hang);
    let rounds = || {
        agent.get_json("/api/v1/status")["collect"]["rounds"]
            .as_u64()
            .unwrap()
    };
    let before = rounds();
    std::thread::sleep(FAULT);
    assert!(
        rounds() >= before + FAULT.as_secs() - 2,
        "collecting goes on"
    );
    let text = agent.get("/metrics/node").text();
    assert!(text.contains("node_load1"));
    sink.set_fault(Fault::None);
    // Requests that hang end by the agent's own time limit.
    let labels = [("__name__", "node_load1")];
    let stuck = sink.latest(&labels).unwrap().timestamp;
    eventually(
        Duration::from_secs(60),
        "a fresh sample after the hang",
        || (sink.latest(&labels)?.timestamp > stuck).then_some(()),
    );
    assert!(agent.runs());
}

#[test]
fn docker_may_be_restarted() {
    let folder = tempfile::tempdir().unwrap();
    let mut dockerd = Dockerd::private(folder.path()).unwrap();
    let sink = RemoteWriteSink::start();
    let mut agent = Agent::start_with(
        "",
        &format!(
            "[collect]\ninterval = \"1s\"\n[bus]\nmetrics = {:?}\n[docker]\nsocket = {:?}",
            sink.url(),
            dockerd.socket()
        ),
    );
    let image = Image::busybox(dockerd.docker());
    let guid = unique("docker");
    let path = format!("/api/v1/apps/{guid}");
    assert_eq!(agent.put(&path, &image.app("sleep 600")).0, 201);
    let connected = || agent.get_json("/api/v1/status")["docker"]["connected"] == true;
    assert!(connected());
    let quiet = agent.log().len();

    dockerd.stop().unwrap();
    eventually(Duration::from_secs(10), "the agent to notice", || {
        (!connected()).then_some(())
    });
    let (status, answer) = agent.put(&path, &image.app("true"));
    assert_eq!(status, 503, "{answer}");
    std::thread::sleep(Duration::from_secs(5));
    wait_for_fresh(&sink);
    let said = complaints(&agent, quiet);
    assert!(
        (1..=4).contains(&said.len()),
        "once, not per attempt: {said:#?}"
    );

    dockerd.start().unwrap();
    eventually(Duration::from_secs(20), "the agent to reconnect", || {
        connected().then_some(())
    });
    // Restarted with the daemon (`unless-stopped`), the app is seen under its guid again.
    let again = unique("docker");
    assert_eq!(
        agent
            .put(&format!("/api/v1/apps/{again}"), &image.app("sleep 600"))
            .0,
        201
    );
    for guid in [&guid, &again] {
        eventually(
            Duration::from_secs(15),
            &format!("fresh samples of {guid}"),
            || {
                let labels = [("__name__", "container_last_seen"), ("guid", guid.as_str())];
                let series = sink.series(&labels);
                series
                    .iter()
                    .any(|(_, samples)| !samples.last().unwrap().is_stale())
                    .then_some(())
            },
        );
        assert_eq!(agent.delete(&format!("/api/v1/apps/{guid}")).0, 204);
    }
    assert!(agent.runs());
}

/// Waits for a sample of `container_last_seen` with these labels that is newer than any there is now.
fn wait_for_container(sink: &RemoteWriteSink, labels: &[(&str, &str)]) {
    let mut wanted = vec![("__name__", "container_last_seen")];
    wanted.extend(labels);
    let newest = || {
        let series = sink.series(&wanted);
        let samples = series.iter().flat_map(|(_, samples)| samples);
        samples
            .filter(|sample| !sample.is_stale())
            .map(|sample| sample.timestamp)
            .max()
    };
    let before = newest();
    eventually(
        Duration::from_secs(20),
        &format!("a fresh sample of {labels:?}"),
        || (newest()? > before.unwrap_or(0)).then_some(()),
    );
}

#[test]
fn an_app_may_be_restarted_and_renamed_behind_the_agents_back() {
    let sink = RemoteWriteSink::start();
    let agent = Agent::sending_to(&sink.url());
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let guid = unique("behind");
    let container = Container::claim(&docker, &guid);
    assert_eq!(
        agent
            .put(&format!("/api/v1/apps/{guid}"), &image.app("sleep 600"))
            .0,
        201
    );
    let own = [("guid", guid.as_str()), ("name", guid.as_str())];
    wait_for_container(&sink, &own);
    let restart = format!("/containers/{guid}/restart?t=0");
    docker
        .call("POST", &restart, &Value::Null)
        .unwrap()
        .success()
        .unwrap();
    wait_for_container(&sink, &own);

    // An app's name is its guid: the agent mends what somebody renamed.
    let other = unique("other-name");
    let _renamed = Container::claim(&docker, &other);
    let rename = format!("/containers/{guid}/rename?name={other}");
    docker
        .call("POST", &rename, &Value::Null)
        .unwrap()
        .success()
        .unwrap();
    eventually(Duration::from_secs(20), "the app under its name", || {
        docker
            .inspect(&guid)
            .is_ok_and(|answer| answer["State"]["Running"] == true)
            .then_some(())
    });
    assert_eq!(container.inspect()["Config"]["Hostname"], guid.as_str());
    wait_for_container(&sink, &own);
    // While it had the other name it had it under its guid.
    for name in [&guid, &other] {
        let series = sink.series(&[("name", name.as_str())]).into_iter();
        let strange: Vec<_> = series
            .filter(|(labels, _)| labels.get("guid") != Some(&guid))
            .collect();
        assert_eq!(strange, []);
    }
}

#[test]
fn a_renamed_stranger_goes_by_its_new_name_and_the_old_series_end() {
    let sink = RemoteWriteSink::start();
    let _agent = Agent::sending_to(&sink.url());
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let (old, new) = (unique("old-name"), unique("new-name"));
    let container = Container::run(&docker, &image, &old, "sleep 600");
    let _renamed = Container::claim(&docker, &new);
    wait_for_container(&sink, &[("name", &old)]);
    let rename = format!("/containers/{}/rename?name={new}", container.id());
    docker
        .call("POST", &rename, &Value::Null)
        .unwrap()
        .success()
        .unwrap();
    wait_for_container(&sink, &[("name", &new)]);
    eventually(
        Duration::from_secs(10),
        "the end of the old name's series",
        || {
            let series = sink.series(&[("name", old.as_str())]);
            let ended = |samples: &[Sample]| samples.last().is_some_and(Sample::is_stale);
            series
                .iter()
                .all(|(_, samples)| ended(samples))
                .then_some(())
        },
    );
}

#[test]
fn cgroups_may_vanish_while_they_are_read() {
    let mut agent = Agent::start_with("", "[collect]\ninterval = \"1s\"");
    let quiet = agent.log().len();
    let until = std::time::Instant::now() + Duration::from_secs(6);
    let mut made = 0;
    while std::time::Instant::now() < until {
        let batch: Vec<Cgroup> = (0..20).map(|_| Cgroup::like_docker()).collect();
        std::thread::sleep(Duration::from_millis(30));
        made += batch.len();
    }
    assert!(made > 500, "{made} cgroups are too few to meet a reader");
    assert!(agent.runs() && agent.is_healthy());
    let said = complaints(&agent, quiet);
    assert!(said.len() <= 2, "{said:#?}");
    assert_the_books_balance(&agent);
}

#[test]
fn when_slots_run_out_the_rest_counts_to_the_host_and_the_agent_says_so() {
    let mut agent = Agent::start_with("", "[collect]\ninterval = \"1s\"\nslots = 16");
    let quiet = agent.log().len();
    let cgroups: Vec<Cgroup> = (0..40).map(|_| Cgroup::like_docker()).collect();
    let status = eventually(Duration::from_secs(10), "misses", || {
        let status = agent.get_json("/api/v1/status");
        (status["kernel"]["slot_misses"].as_u64()? >= 20).then_some(status)
    });
    assert_eq!(status["kernel"]["loaded"], true);
    std::thread::sleep(Duration::from_secs(4));
    let said = complaints(&agent, quiet);
    assert!(
        (1..=2).contains(&said.len()),
        "once, not per cgroup or tick: {said:#?}"
    );
    drop(cgroups);
    eventually(Duration::from_secs(20), "free slots again", || {
        let free = agent.get_json("/api/v1/status")["kernel"]["slots_free"].as_u64()?;
        (free > 0).then_some(())
    });
    assert!(agent.runs());
    assert_eq!(
        agent.put("/api/v1/apps/x", &json!({})).0,
        422,
        "and answers"
    );
}
