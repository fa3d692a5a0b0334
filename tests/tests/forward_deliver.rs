//! The forwarder against receivers that misbehave: what was accepted arrives, once where nothing
//! was in doubt, in order, and the books close.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use guidon::config::Durability;
use guidon::forward::{Forward, RemoteWriteVersion, Stage};
use guidon_tests::forward::sink::{Deed, Sink};
use guidon_tests::forward::{dropped, expect_all_in_order, expect_books, feed, frames, options};
use tokio::runtime::Handle;

const SOON: Duration = Duration::from_secs(20);
const BOTH: [Durability; 2] = [Durability::Spool, Durability::Memory];

#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_once_and_in_order_with_either_durability() {
    for durability in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let sink = Sink::start().await.unwrap();
        sink.kept(|kept| kept.keep_requests = true);
        let options = options(dir.path(), &[sink.url("/api/v1/write")], durability);
        let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
        feed(&inlet, 50, 0..200).await;
        sink.wait_for_samples(50 * 200, SOON).await.unwrap();
        expect_all_in_order(&sink, 50, 200, false);
        expect_books(&forward, 50 * 200, 0).await;
        let requests = sink.kept(|kept| std::mem::take(&mut kept.requests));
        assert!(
            requests.len() < 200,
            "frames are merged: {}",
            requests.len()
        );
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
    for durability in BOTH {
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
        let mut options = options(dir.path(), &[sink.url("/w")], durability);
        options.tuning.max_records = 200;
        let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
        feed(&inlet, 20, 0..500).await;
        expect_books(&forward, 20 * 500, 0).await;
        expect_all_in_order(&sink, 20, 500, true);
        let duplicates = sink.kept(|kept| kept.samples) - 20 * 500;
        let resent = forward
            .ledger()
            .spools()
            .iter()
            .map(|row| row.resent)
            .sum::<u64>();
        assert!(
            duplicates <= resent,
            "{duplicates} duplicates, {resent} counted"
        );
        forward.shutdown(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_refused_batch_only_the_culprits_are_dropped() {
    for durability in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let sink = Sink::start().await.unwrap();
        sink.judge(
            |seen| match seen.samples.iter().find(|(_, time)| time % 40 == 13) {
                Some(_) => Deed::Say(400, vec![], "out of order sample".to_owned()),
                None => Deed::Take,
            },
        );
        let options = options(dir.path(), &[sink.url("/w")], durability);
        let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
        feed(&inlet, 10, 0..200).await;
        expect_books(&forward, 10 * 195, 50).await;
        assert_eq!(dropped(&forward, "refused_400"), 50);
        sink.kept(|kept| {
            let expected: Vec<i64> = (0..200).filter(|time| time % 40 != 13).collect();
            for seen in kept.series.values() {
                assert_eq!(*seen, expected);
            }
        });
        let status = forward.destinations();
        let metrics = status
            .iter()
            .find(|status| status.destination != "local")
            .unwrap();
        assert_eq!(
            metrics.last_refusal.as_deref(),
            Some("400 out of order sample")
        );
        forward.shutdown(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_is_not_about_the_data_costs_one_request() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start().await.unwrap();
    sink.judge(|_| Deed::Say(401, vec![], String::new()));
    let mut options = options(dir.path(), &[sink.url("/w")], Durability::Spool);
    options.tuning.linger = Duration::from_millis(300);
    let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
    feed(&inlet, 5, 0..50).await;
    expect_books(&forward, 0, 250).await;
    assert_eq!(dropped(&forward, "refused_401"), 250);
    assert!(sink.kept(|kept| kept.asked) <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_honoured() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start().await.unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    sink.judge(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Deed::Say(503, vec![("retry-after", "1".to_owned())], String::new()),
        _ => Deed::Take,
    });
    let options = options(dir.path(), &[sink.url("/w")], Durability::Spool);
    let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
    let start = Instant::now();
    feed(&inlet, 5, 0..1).await;
    expect_books(&forward, 5, 0).await;
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_the_backlog_comes_in_order_while_fresh_data_flows() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = Sink::start().await.unwrap();
    let mut options = options(dir.path(), &[sink.url("/w")], Durability::Spool);
    // So small that most of the backlog is on disk only.
    options.tuning.lane_bytes = 4 << 10;
    options.tuning.max_records = 500;
    let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
    feed(&inlet, 20, 0..100).await;
    sink.close().await;
    feed(&inlet, 20, 100..1500).await;
    let row = forward
        .ledger()
        .spools()
        .into_iter()
        .find(|row| row.destination != "local")
        .unwrap();
    assert!(row.records > 20 * 1200, "{row:?}");
    sink.open().await.unwrap();
    feed(&inlet, 20, 1500..2000).await;
    expect_books(&forward, 20 * 2000, 0).await;
    expect_all_in_order(&sink, 20, 2000, true);
    forward.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_destination_does_not_slow_another() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start().await.unwrap();
    let dead = Sink::start().await.unwrap();
    dead.judge(|_| Deed::Hang);
    let urls = [sink.url("/w"), dead.url("/w")];
    let mut options = options(dir.path(), &urls, Durability::Spool);
    options.tuning.request_timeout = Duration::from_secs(30);
    let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
    let start = Instant::now();
    feed(&inlet, 20, 0..500).await;
    sink.wait_for_samples(20 * 500, Duration::from_secs(5))
        .await
        .unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
    expect_all_in_order(&sink, 20, 500, false);
    dead.judge(|_| Deed::Take);
    let audits = forward.ledger().audit();
    let stuck = audits
        .iter()
        .find(|audit| dead.url("/w") == audit.destination)
        .unwrap();
    assert_eq!(stuck.spooled + stuck.in_flight, 20 * 500, "{stuck}");
    assert!(stuck.closes());
    forward.shutdown(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_memory_senders_are_slowed_down_to_what_the_receiver_takes() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start().await.unwrap();
    sink.judge(|_| {
        std::thread::sleep(Duration::from_millis(5));
        Deed::Take
    });
    let mut options = options(dir.path(), &[sink.url("/w")], Durability::Memory);
    options.tuning.memory_bytes = 20_000;
    options.tuning.max_records = 100;
    let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
    // Several at once, each with a series of its own: their frames must not push one another out.
    let senders: Vec<_> = ["a", "b", "c", "d"]
        .map(|guid| {
            let inlet = inlet.clone();
            tokio::spawn(async move {
                for time in 0..200 {
                    let frame = frames::metrics(guid, 20, time).unwrap();
                    inlet.accept(frame, Stage::Received).await.unwrap();
                }
            })
        })
        .into();
    for sender in senders {
        sender.await.unwrap();
    }
    expect_books(&forward, 4 * 200 * 20, 0).await;
    forward.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_memory_the_bound_drops_the_oldest_or_refuses() {
    use guidon::config::WhenFull;
    use guidon::forward::Refused;
    for when_full in [WhenFull::DropOldest, WhenFull::Refuse] {
        let dir = tempfile::tempdir().unwrap();
        let sink = Sink::start().await.unwrap();
        sink.judge(|_| Deed::Say(503, vec![], String::new()));
        let mut options = options(dir.path(), &[sink.url("/w")], Durability::Memory);
        options.tuning.memory_bytes = 20_000;
        options.tuning.max_records = 20;
        options.spool.when_full = when_full;
        let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
        let mut accepted = 0;
        let mut refused = 0;
        for time in 0..500 {
            let frame = frames::metrics("app", 20, time).unwrap();
            match inlet.accept(frame, Stage::Collected).await {
                Ok(()) => accepted += 20,
                Err(Refused::Full { .. }) => refused += 20,
                Err(error) => panic!("{error}"),
            }
        }
        sink.judge(|_| Deed::Take);
        let gone = match when_full {
            WhenFull::DropOldest => dropped(&forward, "queue_full"),
            WhenFull::Refuse => 0,
        };
        assert!(
            gone + refused > 20 * 300,
            "{gone} dropped, {refused} refused"
        );
        expect_books(&forward, accepted - gone, gone).await;
        let last = sink.kept(|kept| kept.series.values().next().unwrap().clone());
        assert!(last.is_sorted());
        forward.shutdown(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_write_2_is_spoken_where_it_is_understood_and_1_where_not() {
    for understands in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let sink = Sink::start().await.unwrap();
        sink.kept(|kept| kept.keep_requests = true);
        sink.judge(move |seen| {
            let version = seen
                .headers
                .get("x-prometheus-remote-write-version")
                .unwrap();
            match (version.to_str().unwrap(), understands) {
                ("2.0.0", true) => Deed::TakeWith(vec![(
                    "x-prometheus-remote-write-samples-written",
                    "1".to_owned(),
                )]),
                // A 1.0 receiver reads an empty message and is content.
                ("2.0.0", false) => Deed::Say(204, vec![], String::new()),
                _ => Deed::Take,
            }
        });
        let mut options = options(dir.path(), &[sink.url("/w")], Durability::Spool);
        options.tuning.remote_write_version = RemoteWriteVersion::Auto;
        let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
        feed(&inlet, 30, 0..50).await;
        expect_books(&forward, 30 * 50, 0).await;
        if understands {
            let requests = sink.kept(|kept| std::mem::take(&mut kept.requests));
            for request in &requests {
                let content = request.headers.get("content-type").unwrap();
                assert_eq!(
                    content,
                    "application/x-protobuf;proto=io.prometheus.write.v2.Request"
                );
            }
            let bodies = requests
                .iter()
                .map(|request| frames::samples_v2(&request.body).unwrap());
            assert_eq!(bodies.sum::<usize>(), 30 * 50);
        } else {
            expect_all_in_order(&sink, 30, 50, false);
        }
        forward.shutdown(Duration::from_secs(1)).await;
    }
}
