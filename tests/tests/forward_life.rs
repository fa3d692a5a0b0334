//! Starting, reloading, stopping; and the local bus.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use guidon::config::Durability;
use guidon::forward::{Cursor, Forward, Inlet, Refused, Stage};
use guidon::signal::Signal;
use guidon_tests::forward::sink::{Deed, Sink};
use guidon_tests::forward::{
    dropped, expect_all_in_order, expect_books, feed, frames, options, settled,
};
use tokio::runtime::Handle;

const SOON: Duration = Duration::from_secs(20);

async fn log(inlet: &Inlet, number: u32) {
    let frame = frames::log("app", &number.to_string()).unwrap();
    inlet.accept(frame, Stage::Collected).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_drains_within_its_grace_and_leaves_the_rest_in_the_spool() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start().await.unwrap();
    let mut options = options(dir.path(), &[sink.url("/w")], Durability::Spool);
    options.tuning.linger = Duration::from_secs(60);
    let (forward, inlet) = Forward::start(options.clone(), Handle::current()).unwrap();
    feed(&inlet, 10, 0..100).await;
    // Drains at once, without lingering.
    let start = Instant::now();
    forward.shutdown(SOON).await;
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    expect_all_in_order(&sink, 10, 100, false);
    let frame = frames::metrics("app", 1, 0).unwrap();
    assert_eq!(
        inlet.accept(frame, Stage::Received).await,
        Err(Refused::Closing)
    );
    drop((forward, inlet));

    // Nobody takes anything: the grace is kept, and the rest with it.
    sink.judge(|_| Deed::Hang);
    options.tuning.request_timeout = Duration::from_secs(60);
    let (forward, inlet) = Forward::start(options.clone(), Handle::current()).unwrap();
    feed(&inlet, 10, 100..200).await;
    let start = Instant::now();
    forward.shutdown(Duration::from_millis(300)).await;
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(250) && took < Duration::from_secs(3),
        "{took:?}"
    );
    for audit in forward.ledger().audit() {
        assert!(audit.closes(), "{audit}");
    }
    drop((forward, inlet));

    sink.judge(|_| Deed::Take);
    options.tuning.linger = Duration::from_millis(10);
    let (forward, _inlet) = Forward::start(options, Handle::current()).unwrap();
    expect_books(&forward, 1000, 0).await;
    expect_all_in_order(&sink, 10, 200, true);
    let rows = forward.ledger().records();
    let recovered = rows.iter().find(|row| row.reason == "recovered").unwrap();
    assert_eq!((recovered.stage, recovered.records), ("received", 1000));
    forward.shutdown(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_with_data_in_memory_only_drops_and_counts_it() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start().await.unwrap();
    sink.judge(|_| Deed::Hang);
    let mut options = options(dir.path(), &[sink.url("/w")], Durability::Memory);
    options.tuning.max_records = 100;
    let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
    feed(&inlet, 10, 0..100).await;
    forward.shutdown(Duration::from_millis(200)).await;
    assert_eq!(dropped(&forward, "shutdown"), 1000);
    settled(&forward).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_under_load_loses_nothing_and_touches_only_what_changed() {
    for durability in [Durability::Spool, Durability::Memory] {
        let dir = tempfile::tempdir().unwrap();
        let stays = Sink::start().await.unwrap();
        let comes = Sink::start().await.unwrap();
        let only_first = options(dir.path(), &[stays.url("/w")], durability);
        let mut both = options(dir.path(), &[stays.url("/w"), comes.url("/w")], durability);
        both.spool.max_bytes = 64 << 20;
        let (forward, inlet) = Forward::start(only_first.clone(), Handle::current()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let feeder = {
            let (inlet, stop) = (inlet.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut time = 0;
                while !stop.load(Ordering::SeqCst) {
                    feed(&inlet, 5, time..time + 1).await;
                    time += 1;
                }
                time
            })
        };
        for round in 0..10 {
            tokio::time::sleep(Duration::from_millis(30)).await;
            let next = if round % 2 == 0 { &both } else { &only_first };
            forward.reconfigure(next.clone()).await.unwrap();
        }
        stop.store(true, Ordering::SeqCst);
        let times = feeder.await.unwrap();
        stays
            .wait_for_samples(5 * times as u64, SOON)
            .await
            .unwrap();
        // Not a single duplicate: its sender was never touched.
        expect_all_in_order(&stays, 5, times, false);
        let requests = forward.destinations();
        assert_eq!(
            requests
                .iter()
                .filter(|status| status.destination != "local")
                .count(),
            1
        );
        for audit in forward.ledger().audit() {
            assert!(audit.closes(), "{audit}");
        }
        // What the other one was owed is in its spool and goes when it comes back.
        forward.reconfigure(both.clone()).await.unwrap();
        let audits = settled(&forward).await;
        let owed = audits
            .iter()
            .find(|audit| audit.destination == comes.url("/w"))
            .unwrap();
        assert_eq!(owed.sent, owed.received, "{owed}");
        assert!(comes.kept(|kept| kept.samples) >= owed.sent);
        assert_eq!(dropped(&forward, "shutdown"), 0);
        forward.shutdown(SOON).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_may_change_durability_and_tuning_under_load() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start().await.unwrap();
    let spool = options(dir.path(), &[sink.url("/w")], Durability::Spool);
    let memory = options(dir.path(), &[sink.url("/w")], Durability::Memory);
    let mut tuned = spool.clone();
    tuned.tuning.max_records = 50;
    let (forward, inlet) = Forward::start(spool.clone(), Handle::current()).unwrap();
    let mut time = 0;
    for options in [&memory, &spool, &tuned, &spool, &memory, &spool] {
        feed(&inlet, 5, time..time + 100).await;
        time += 100;
        let feeding = {
            let inlet = inlet.clone();
            tokio::spawn(async move { feed(&inlet, 5, time..time + 100).await })
        };
        forward.reconfigure((*options).clone()).await.unwrap();
        feeding.await.unwrap();
        time += 100;
    }
    expect_books(&forward, 5 * time as u64, 0).await;
    let samples = sink.kept(|kept| {
        kept.series
            .values()
            .map(|times| {
                let mut times = times.clone();
                times.sort_unstable();
                times.dedup();
                times.len()
            })
            .sum::<usize>()
    });
    assert_eq!(samples, 5 * time as usize);
    forward.shutdown(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_cannot_be_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start().await.unwrap();
    let good = options(dir.path(), &[sink.url("/w")], Durability::Spool);
    let bad = options(dir.path(), &["kafka://x".to_owned()], Durability::Spool);
    let (forward, inlet) = Forward::start(good, Handle::current()).unwrap();
    feed(&inlet, 5, 0..10).await;
    let error = forward.reconfigure(bad).await.unwrap_err();
    assert!(error.to_string().contains("kafka"), "{error}");
    feed(&inlet, 5, 10..20).await;
    expect_books(&forward, 100, 0).await;
    expect_all_in_order(&sink, 5, 20, false);
    forward.shutdown(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_bus_is_read_by_many_page_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), &[], Durability::Spool);
    let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
    assert!(!forward.takes_otlp_metrics());
    for number in 0..500 {
        log(&inlet, number).await;
    }
    for _ in 0..2 {
        let reader = forward.bus(Signal::Logs).unwrap();
        let mut cursor: Option<Cursor> = None;
        let mut texts = Vec::new();
        let mut pages = 0;
        loop {
            let page = reader.read(cursor, 1000, Duration::ZERO).await.unwrap();
            if page.frames.is_empty() {
                break;
            }
            pages += 1;
            assert_eq!((page.missed, page.restarted), (0, false));
            for (_, frame) in &page.frames {
                texts.extend(frames::log_texts(&frame.payload).unwrap());
            }
            assert_eq!(page.frames.last().unwrap().0, page.next);
            // Over the wire a cursor is text.
            cursor = Some(page.next.to_string().parse().unwrap());
        }
        assert!(pages > 5, "{pages}");
        assert_eq!(
            texts,
            (0..500)
                .map(|number| number.to_string())
                .collect::<Vec<_>>()
        );
    }
    assert!(forward.bus(Signal::Metrics).is_some());
    for audit in forward.ledger().audit() {
        assert!(audit.closes(), "{audit}");
    }
    forward.shutdown(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_local_bus_waits_for_what_comes() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), &[], Durability::Spool);
    let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
    log(&inlet, 0).await;
    let reader = forward.bus(Signal::Logs).unwrap();
    let end = reader.end().unwrap();
    let start = Instant::now();
    let page = reader
        .read(Some(end), 1000, Duration::from_millis(50))
        .await
        .unwrap();
    assert!(page.frames.is_empty() && start.elapsed() >= Duration::from_millis(50));
    assert_eq!(page.next, end);
    let waiting = tokio::spawn(async move { reader.read(Some(end), 1000, SOON).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(50)).await;
    log(&inlet, 1).await;
    let page = waiting.await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(frames::log_texts(&page.frames[0].1.payload).unwrap(), ["1"]);
    forward.shutdown(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_the_bound_overtook_says_how_much_it_missed() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path(), &[], Durability::Spool);
    options.spool.max_bytes = 40_000;
    let (forward, inlet) = Forward::start(options.clone(), Handle::current()).unwrap();
    log(&inlet, 0).await;
    let reader = forward.bus(Signal::Logs).unwrap();
    let first = reader.read(None, 1, Duration::ZERO).await.unwrap();
    for number in 1..2000 {
        log(&inlet, number).await;
    }
    let page = reader
        .read(Some(first.next), 1, Duration::ZERO)
        .await
        .unwrap();
    let text = frames::log_texts(&page.frames[0].1.payload).unwrap();
    let number: u64 = text[0].parse().unwrap();
    assert!(number > 1000);
    assert_eq!(page.missed, number - 1);
    assert!(!page.restarted);
    assert_eq!(dropped(&forward, "spool_full"), number);
    forward.shutdown(Duration::ZERO).await;
    drop((forward, inlet, reader));

    // Another log in the same place: the cursor is of no use and says so.
    std::fs::remove_dir_all(dir.path().join("spool")).unwrap();
    let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
    log(&inlet, 7).await;
    let reader = forward.bus(Signal::Logs).unwrap();
    let page = reader
        .read(Some(page.next), 1, Duration::ZERO)
        .await
        .unwrap();
    assert!(page.restarted);
    assert_eq!(frames::log_texts(&page.frames[0].1.payload).unwrap(), ["7"]);
    forward.shutdown(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fsync_interval_and_many_restarts_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path(), &[], Durability::Spool);
    options.spool.fsync_interval = Some(Duration::from_millis(5));
    for round in 0..10 {
        let (forward, inlet) = Forward::start(options.clone(), Handle::current()).unwrap();
        for number in 0..20 {
            log(&inlet, round * 20 + number).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let row = forward
            .ledger()
            .spools()
            .into_iter()
            .find(|row| row.signal == "logs")
            .unwrap();
        assert_eq!(row.records, u64::from(round + 1) * 20);
        for audit in forward.ledger().audit() {
            assert!(audit.closes(), "{audit}");
        }
        forward.shutdown(Duration::ZERO).await;
    }
}
