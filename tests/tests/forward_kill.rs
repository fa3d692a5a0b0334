//! `kill -9` under load: what was acknowledged arrives after a restart, in order, and what arrives
//! twice was on the line when the agent died, and is counted.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use guidon_tests::forward::sink::{Deed, Sink};

const ROUNDS: u32 = 50;
const FEEDERS: [&str; 3] = ["a", "b", "c"];
const SERIES: u64 = 20;
/// The child's largest batch.
const BATCH: u64 = 400;

/// What a child said before it died.
#[derive(Debug, Default)]
struct Said {
    acknowledged: BTreeMap<String, i64>,
    resent: u64,
}

struct Running {
    child: Child,
    said: JoinHandle<Said>,
}

fn start(data_dir: &Path, url: &str, from: Option<&BTreeMap<String, i64>>) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forward-child"));
    command.arg(data_dir).arg(url);
    for (feeder, time) in from.into_iter().flatten() {
        command.arg(format!("{feeder}:{time}"));
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = std::thread::spawn(move || {
        let mut said = Said::default();
        for line in lines.map_while(Result::ok) {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["open", resent] => said.resent = resent.parse().unwrap(),
                ["ack", feeder, time, resent] => {
                    said.acknowledged
                        .insert(feeder.to_owned(), time.parse().unwrap());
                    said.resent = resent.parse().unwrap();
                }
                _ => panic!("{line}"),
            }
        }
        said
    });
    Running { child, said }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_lose_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = Sink::start().await.unwrap();
    let url = sink.url("/w");
    // Every tenth answer is late: the child is often killed with a request on the line.
    let mut count = 0;
    sink.judge(move |_| {
        count += 1;
        if count % 10 == 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
        Deed::Take
    });
    let mut next: BTreeMap<String, i64> = FEEDERS
        .iter()
        .map(|feeder| ((*feeder).to_owned(), 0))
        .collect();
    let mut acknowledged: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut counted = 0;
    let mut outages = 0;
    for round in 0..ROUNDS {
        let running = start(dir.path(), &url, Some(&next));
        let outage = round % 2 == 1;
        tokio::time::sleep(Duration::from_millis(rand::random_range(60..160))).await;
        if outage {
            outages += 1;
            sink.close().await;
            tokio::time::sleep(Duration::from_millis(rand::random_range(20..120))).await;
        }
        let Running { mut child, said } = running;
        child.kill().unwrap();
        child.wait().unwrap();
        let said = said.join().unwrap();
        counted += said.resent;
        for (feeder, last) in said.acknowledged {
            let times = next[&feeder]..=last;
            acknowledged
                .entry(feeder.clone())
                .or_default()
                .extend(times);
            // The one after may have been kept without having been acknowledged.
            next.insert(feeder, last + 2);
        }
        if outage {
            sink.open().await.unwrap();
        }
    }
    let Running { mut child, said } = start(dir.path(), &url, None);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success(), "the books did not close");
    counted += said.join().unwrap().resent;

    let total: usize = acknowledged.values().map(Vec::len).sum();
    assert!(total > 1000, "{total} acknowledged frames are no load");
    let mut duplicates = 0;
    sink.kept(|kept| {
        for (feeder, times) in &acknowledged {
            for series in 0..SERIES {
                let seen = &kept.series[&format!("{feeder}/{series}")];
                let mut first_seen: Vec<i64> = Vec::with_capacity(seen.len());
                for time in seen {
                    if first_seen.last().is_none_or(|last| time > last) {
                        first_seen.push(*time);
                    } else {
                        // Sent again; never new behind later ones.
                        assert!(
                            first_seen.binary_search(time).is_ok(),
                            "{feeder} {time} late"
                        );
                        duplicates += 1;
                    }
                }
                let missing = times
                    .iter()
                    .filter(|time| first_seen.binary_search(time).is_err());
                assert_eq!(missing.count(), 0, "series {feeder}/{series}");
            }
        }
    });
    let on_the_line = BATCH * u64::from(ROUNDS + outages);
    assert!(duplicates <= on_the_line, "{duplicates} duplicates");
    assert!(
        duplicates <= counted,
        "{duplicates} duplicates, {counted} counted"
    );
}
