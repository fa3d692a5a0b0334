//! Fifty containers write 10,000 lines a second for a minute while Docker rotates their logs and the
//! agent is killed five times: no line is lost, and only what was in flight at a kill comes twice.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "tests"
)]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use guidon_tests::containers::remove_all;
use guidon_tests::{Agent, Container, Image, OtlpSink, eventually, system_docker, unique};
use serde_json::json;
use xtask::hands::side_by_side;

const CONTAINERS: usize = 50;
const LINES: usize = 12_000;
const KILLS: u32 = 5;
const WRITTEN_FOR: Duration = Duration::from_secs(60);

/// A hundred numbered lines of 200 bytes each half second: more than three times 1 MiB of Docker's
/// log in a minute. A machine that is too slow for that takes longer for as many lines. It begins
/// when the agent is asked to (`/go` appears), so that all write at the same time.
fn script() -> String {
    let filler = "x".repeat(190);
    format!(
        "while [ ! -e /go ]; do sleep 0.2; done; i=0; while [ $i -lt {LINES} ]; do \
         awk -v i=$i 'BEGIN {{ for (j = i; j < i + 100; j++) print j, \"{filler}\" }}'; \
         i=$((i + 100)); sleep 0.5; done; sleep 600"
    )
}

/// How often each line of each app arrived.
struct Arrived<'a> {
    sink: &'a OtlpSink,
    counts: HashMap<String, Vec<u16>>,
}

impl Arrived<'_> {
    fn update(&mut self) {
        for line in self.sink.take_lines() {
            if let Some(counts) = self.counts.get_mut(line.guid()) {
                let number = line.text.split(' ').next().unwrap();
                counts[number.parse::<usize>().unwrap()] += 1;
            }
        }
    }

    fn lines(&self, is: fn(u16) -> bool) -> usize {
        let counts = self.counts.values().flatten();
        counts.filter(|&&count| is(count)).count()
    }
}

#[test]
fn of_10_000_lines_a_second_none_is_lost_over_kills_and_rotations_and_few_come_twice() {
    let docker = system_docker();
    let sink = OtlpSink::start();
    let folder = tempfile::tempdir().unwrap();
    let mut agent = Agent::start_with(
        "",
        &format!(
            "[collect]\ncontainers = false\nnode = false\n\n\
             [receive]\nremote_write = false\notlp_http = false\notlp_grpc = false\napps = false\n\
             logs = true\n\n[bus]\nlogs = {:?}\n\n[docker.allow]\nhost_mounts = [{:?}]",
            sink.url("logs"),
            folder.path()
        ),
    );
    let image = Image::busybox(&docker);
    let guids: Vec<String> = (0..CONTAINERS).map(|_| unique("kill")).collect();
    let containers: Vec<Container> = guids
        .iter()
        .map(|guid| Container::claim(&docker, guid))
        .collect();
    let mut app = image.app(&script().replace("/go", "/start/go"));
    app["log"] = json!({"driver": "json-file", "options": {"max-size": "1m", "max-file": "5"}});
    app["mounts"] = json!([format!("{}:/start:ro", folder.path().display())]);
    app["networks"] = json!(["none"]);
    side_by_side(CONTAINERS, |number| {
        let (status, answer) = agent.put(&format!("/api/v1/apps/{}", guids[number]), &app);
        assert_eq!(status, 201, "{answer}");
        Ok(())
    })
    .unwrap();

    let mut arrived = Arrived {
        sink: &sink,
        counts: guids
            .iter()
            .map(|it| (it.clone(), vec![0; LINES]))
            .collect(),
    };
    std::fs::write(folder.path().join("go"), "").unwrap();
    let started = Instant::now();
    for kill in 1..=KILLS {
        let at = WRITTEN_FOR / (KILLS + 1) * kill;
        while started.elapsed() < at {
            std::thread::sleep(Duration::from_millis(200));
            arrived.update();
        }
        agent.kill();
        agent.start();
    }
    eventually(Duration::from_secs(240), "every line of every app", || {
        arrived.update();
        (arrived.lines(|count| count == 0) == 0).then_some(())
    });
    let seconds = started.elapsed().as_secs_f64();
    let lines = CONTAINERS * LINES;
    let twice = arrived.lines(|count| count > 1);
    eprintln!(
        "{lines} lines in {seconds:.0} s ({:.0}/s), {twice} twice",
        lines as f64 / seconds
    );
    // What is not known to be taken at a kill: what was read since positions were last kept, which
    // is a fraction of a second.
    assert!(twice < lines / 20, "{twice} of {lines} lines came twice");
    let most = arrived.counts.values().flatten().max().unwrap();
    assert!(u32::from(*most) <= KILLS + 1, "a line came {most} times");
    let log = containers[0].inspect()["LogPath"].clone();
    let rotated = format!("{}.2", log.as_str().unwrap());
    assert!(std::path::Path::new(&rotated).exists(), "{rotated}");

    // The agent would make them again.
    agent.kill();
    remove_all(containers);
}
