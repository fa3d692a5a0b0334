//! The forwarder against receivers that misbehave: what was accepted arrives, once where nothing
//! was in doubt, in order, and the books close.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::time::Duration;

use guidon::config::{Bus, Durability, Spool};
use guidon::forward::{Forward, Options, Stage, Tuning};
use guidon_tests::forward::frames;
use guidon_tests::forward::sink::{Deed, Sink};
use tokio::runtime::Handle;

const SOON: Duration = Duration::from_secs(20);

/// Options with quick retries, metrics to these URLs.
fn options(dir: &tempfile::TempDir, metrics: &[String], durability: Durability) -> Options {
    Options {
        bus: Bus {
            metrics: metrics.to_vec(),
            ..Bus::default()
        },
        spool: Spool {
            durability,
            ..Spool::default()
        },
        data_dir: dir.path().to_owned(),
        tuning: Tuning {
            backoff_min: Duration::from_millis(2),
            backoff_max: Duration::from_millis(20),
            linger: Duration::from_millis(10),
            request_timeout: Duration::from_millis(400),
            ..Tuning::default()
        },
    }
}

/// Waits until nothing is held any more, then expects every book to close with so many sent and
/// dropped.
async fn expect_books(forward: &Forward, sent: u64, dropped: u64) {
    let mut audits = Vec::new();
    for _ in 0..1000 {
        audits = forward.ledger().audit();
        if audits.iter().all(|audit| audit.spooled == 0 && audit.in_flight == 0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for audit in &audits {
        assert!(audit.closes(), "{audit}");
    }
    let total = audits.iter().map(|audit| audit.sent).sum::<u64>();
    assert_eq!(total, sent, "{audits:?}");
    let total = audits.iter().map(|audit| audit.dropped).sum::<u64>();
    assert_eq!(total, dropped, "{audits:?}");
}

/// Each series has the times 0, 1, 2, … in order.
fn expect_all_in_order(sink: &Sink, series: usize, times: i64, duplicates: bool) {
    sink.kept(|kept| {
        assert_eq!(kept.series.len(), series);
        for (name, seen) in &kept.series {
            let mut times_seen = seen.clone();
            if duplicates {
                times_seen.sort_unstable();
                times_seen.dedup();
            }
            assert_eq!(times_seen, (0..times).collect::<Vec<_>>(), "{name}");
        }
    });
}

async fn feed(inlet: &guidon::forward::Inlet, series: usize, times: std::ops::Range<i64>) {
    for time in times {
        let frame = frames::metrics("app", series, time).unwrap();
        inlet.accept(frame, Stage::Received).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_once_and_in_order_with_either_durability() {
    for durability in [Durability::Spool, Durability::Memory] {
        let dir = tempfile::tempdir().unwrap();
        let sink = Sink::start().await.unwrap();
        sink.kept(|kept| kept.keep_requests = true);
        let options = options(&dir, &[sink.url("/api/v1/write")], durability);
        let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
        feed(&inlet, 50, 0..200).await;
        sink.wait_for_samples(50 * 200, SOON).await.unwrap();
        expect_all_in_order(&sink, 50, 200, false);
        expect_books(&forward, 50 * 200, 0).await;
        let requests = sink.kept(|kept| std::mem::take(&mut kept.requests));
        assert!(requests.len() < 200, "frames are merged: {}", requests.len());
        let first = &requests[0];
        for (name, value) in [
            ("content-type", "application/x-protobuf"),
            ("content-encoding", "snappy"),
            ("x-prometheus-remote-write-version", "0.1.0"),
        ] {
            assert_eq!(first.headers.get(name).unwrap(), value);
        }
        let agent = first.headers.get("user-agent").unwrap().to_str().unwrap();
        assert!(agent.starts_with("guidon/"), "{agent}");
        assert_eq!(first.path, "/api/v1/write");
        forward.shutdown(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_fails_hangs_and_breaks_gets_everything_in_order() {
    for durability in [Durability::Spool, Durability::Memory] {
        let dir = tempfile::tempdir().unwrap();
        let sink = Sink::start().await.unwrap();
        let mut count = 0_u32;
        sink.judge(move |_| {
            count += 1;
            match (count, rand::random_range(0..100)) {
                (7, _) => Deed::Hang,
                (_, 0..20) => Deed::Say(500, vec![], "oh".to_owned()),
                (_, 20..25) => Deed::Say(429, vec![("retry-after", "0".to_owned())], String::new()),
                (_, 25..30) => Deed::Break { kept: false },
                (_, 30..35) => Deed::Break { kept: true },
                _ => Deed::Take,
            }
        });
        let mut options = options(&dir, &[sink.url("/w")], durability);
        options.tuning.max_records = 200;
        let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
        feed(&inlet, 20, 0..500).await;
        expect_books(&forward, 20 * 500, 0).await;
        expect_all_in_order(&sink, 20, 500, true);
        let duplicates = sink.kept(|kept| kept.samples) - 20 * 500;
        let resent = forward.ledger().spools()[0].resent;
        assert!(duplicates <= resent, "{duplicates} duplicates, {resent} counted");
        forward.shutdown(Duration::from_secs(1)).await;
    }
}
