#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use guidon_common::CgroupId;
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::delivery::Delivery;
use super::*;
use crate::config::{Bus, Spool, WhenFull};
use crate::forward::{Forward, Options as ForwardOptions};
use crate::kernel::{Cgroup, Counters, Memory, Slot, Status};
use crate::signal::{Frame, Signal};

fn host(root: &Path) {
    std::fs::create_dir_all(root.join("proc")).unwrap();
    std::fs::write(root.join("proc/loadavg"), "0.5 0.25 0.125 1/2 3\n").unwrap();
}

fn options(root: &Path, interval: Duration) -> Options {
    Options {
        interval,
        containers: None,
        node: Some(Roots {
            proc: root.join("proc"),
            sys: root.join("sys"),
            root: root.to_owned(),
        }),
        instance: "vm".to_owned(),
    }
}

fn collector(kernel: Option<Arc<dyn Source>>, options: Options) -> Arc<Collector> {
    let directory = Arc::new(Directory::new("node-7".parse().unwrap()));
    Arc::new(Collector::new(kernel, directory, options))
}

fn local(data_dir: &Path) -> ForwardOptions {
    ForwardOptions {
        data_dir: data_dir.to_owned(),
        ..ForwardOptions::default()
    }
}

async fn kept(forward: &Forward) -> Vec<Frame> {
    let reader = forward.bus(Signal::Metrics).unwrap();
    let wait = Duration::from_secs(5);
    let page = reader.read(None, usize::MAX, wait).await.unwrap();
    page.frames.into_iter().map(|(_, frame)| frame).collect()
}

/// How often a series' name stands in the frames: once for each sample.
fn count(frames: &[Frame], needle: &str) -> usize {
    let decode = |frame: &Frame| {
        snap::raw::Decoder::new()
            .decompress_vec(&frame.payload)
            .unwrap()
    };
    let times = |raw: Vec<u8>| {
        raw.windows(needle.len())
            .filter(|at| *at == needle.as_bytes())
            .count()
    };
    frames.iter().map(|frame| times(decode(frame))).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_reach_the_bus_and_a_last_one_comes_at_the_end() {
    let root = TempDir::new().unwrap();
    host(root.path());
    let (forward, inlet) =
        Forward::start(local(&root.path().join("data")), Handle::current()).unwrap();
    let every = Duration::from_millis(100);
    let collector = collector(None, options(root.path(), every));
    let shutdown = CancellationToken::new();
    let run = {
        let (collector, shutdown) = (Arc::clone(&collector), shutdown.clone());
        tokio::spawn(async move { collector.run(inlet, None, shutdown).await })
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while collector.overview().rounds < 3 {
        assert!(Instant::now() < deadline, "no rounds");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    shutdown.cancel();
    run.await.unwrap();
    let overview = collector.overview();
    let frames = kept(&forward).await;
    // Once in each round, and once more where its type and help were told.
    assert_eq!(count(&frames, "node_load15") as u64, overview.rounds + 1);
    assert_eq!(overview.rows[0].guid.as_ref().unwrap().as_str(), "node-7");
    assert_eq!(overview.rows[0].name, "vm");
    let guids: Vec<_> = frames.iter().flat_map(|frame| &frame.counts).collect();
    assert!(guids.iter().all(|(guid, _)| guid.as_str() == "node-7"));
    let own = collector
        .text(Page::Agent, Format::Prometheus)
        .await
        .unwrap();
    assert!(
        own.contains(&format!(
            "\nguidon_collect_rounds_total {}\n",
            overview.rounds
        )),
        "{own}"
    );
    assert!(own.contains("\nguidon_kernel_loaded 0\n"), "{own}");
}

#[tokio::test]
async fn host_metrics_that_somebody_else_sends_end_on_the_bus_and_stay_on_their_page() {
    let root = TempDir::new().unwrap();
    host(root.path());
    let collector = collector(None, options(root.path(), Duration::from_secs(3600)));
    let sent = || count(&collector.state.round().frames, "node_load15");
    // A sample, its type and help.
    assert_eq!(sent(), 2);
    collector.send_node(false);
    // A stale marker, and then nothing.
    assert_eq!((sent(), sent()), (1, 0));
    let page = collector
        .text(Page::Node, Format::Prometheus)
        .await
        .unwrap();
    assert!(page.contains("\nnode_load15{"), "{page}");
    collector.send_node(true);
    assert_eq!(sent(), 1);
}

#[tokio::test]
async fn pages_have_fresh_values_and_say_what_is_off() {
    let root = TempDir::new().unwrap();
    host(root.path());
    let collector = collector(None, options(root.path(), Duration::from_secs(3600)));
    let node = || collector.text(Page::Node, Format::Prometheus);
    let labels = "{guid=\"node-7\",instance=\"vm\"}";
    assert!(
        node()
            .await
            .unwrap()
            .contains(&format!("node_load1{labels} 0.5\n"))
    );
    std::fs::write(root.path().join("proc/loadavg"), "0.75 0.25 0.125 1/2 3\n").unwrap();
    assert!(
        node()
            .await
            .unwrap()
            .contains(&format!("node_load1{labels} 0.75\n"))
    );
    let off = collector
        .text(Page::Containers, Format::Prometheus)
        .await
        .unwrap_err();
    assert_eq!(off.to_string(), "collection of containers is switched off");
}

/// A kernel side that takes its time.
#[derive(Debug, Default)]
struct Slow {
    asked: AtomicU64,
}

impl Source for Slow {
    fn cgroups(&self) -> Vec<Cgroup> {
        Vec::new()
    }
    fn read(&self, _slot: Slot, _into: &mut Counters) {}
    fn mark_container(&self, _id: CgroupId) {}
    fn demote(&self, _id: CgroupId) {}
    fn recycle(&self, _slot: Slot) {}
    fn memory(&self, _into: &mut Vec<Memory>) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(120));
    }
    fn status(&self) -> Status {
        Status {
            programs: Vec::new(),
            slots: 0,
            slots_free: 0,
            slot_misses: 0,
            events_lost: 0,
            memory_dropped: 0,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_round_makes_others_fall_out_and_counts_them() {
    let root = TempDir::new().unwrap();
    host(root.path());
    let (_forward, inlet) =
        Forward::start(local(&root.path().join("data")), Handle::current()).unwrap();
    let mut options = options(root.path(), Duration::from_millis(50));
    options.containers = Some(containers::Options {
        proc: root.path().join("proc"),
        sys: root.path().join("sys"),
        ..containers::Options::default()
    });
    let slow = Arc::new(Slow::default());
    let collector = collector(Some(Arc::clone(&slow) as Arc<dyn Source>), options);
    let shutdown = CancellationToken::new();
    let run = {
        let (collector, shutdown) = (Arc::clone(&collector), shutdown.clone());
        tokio::spawn(async move { collector.run(inlet, None, shutdown).await })
    };
    while slow.asked.load(Ordering::Relaxed) < 4 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    shutdown.cancel();
    run.await.unwrap();
    let skipped = collector.meters.skipped.get();
    let rounds = collector.meters.rounds.get();
    assert!(skipped >= 4, "{rounds} rounds, {skipped} skipped");
}

fn frame(payload: usize) -> Frame {
    Frame {
        kind: crate::signal::Kind::RemoteWrite,
        payload: vec![0; payload].into(),
        raw_len: payload as u32,
        counts: vec![("node-7".parse().unwrap(), 1)],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_frames_are_held_and_offered_again() {
    let root = TempDir::new().unwrap();
    // Nobody listens there, and a spool may hold next to nothing.
    let full = ForwardOptions {
        bus: Bus {
            metrics: vec!["http://127.0.0.1:1/api/v1/write".to_owned()],
            ..Bus::default()
        },
        spool: Spool {
            max_bytes: 1,
            when_full: WhenFull::Refuse,
            ..Spool::default()
        },
        ..local(root.path())
    };
    let (forward, inlet) = Forward::start(full, Handle::current()).unwrap();
    let mut delivery = Delivery::default();
    assert_eq!(
        delivery
            .offer(&inlet, vec![frame(1_000), frame(1_000), frame(1_000)])
            .await,
        0
    );
    let held = delivery.held();
    assert!(held > 0, "something is refused");
    forward.reconfigure(local(root.path())).await.unwrap();
    assert_eq!(delivery.offer(&inlet, vec![frame(1_000)]).await, 0);
    assert_eq!(delivery.held(), 0);
    assert_eq!(kept(&forward).await.len(), held + 1);

    // More than is held at all: the oldest go, and are counted.
    forward.shutdown(Duration::from_secs(1)).await;
    let many = (0..20).map(|_| frame(1 << 20)).collect();
    assert_eq!(
        delivery.offer(&inlet, many).await,
        20,
        "four for want of room, the rest at the end"
    );
    assert_eq!(delivery.held(), 0);
}
