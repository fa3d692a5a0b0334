//! What the tests of the forwarder share: frames that can be told apart, a receiver that keeps what
//! it gets and misbehaves as told, and the books.

pub mod frames;
pub mod sink;

use std::path::Path;
use std::time::Duration;

use guidon::config::{Bus, Durability, Spool};
use guidon::forward::ledger::Audit;
use guidon::forward::{Forward, Inlet, Options, Stage, Tuning};

/// Options with quick retries, metrics to these URLs.
#[must_use]
pub fn options(dir: &Path, metrics: &[String], durability: Durability) -> Options {
    Options {
        bus: Bus {
            metrics: metrics.to_vec(),
            ..Bus::default()
        },
        spool: Spool {
            durability,
            ..Spool::default()
        },
        data_dir: dir.to_owned(),
        tuning: Tuning {
            backoff_min: Duration::from_millis(2),
            backoff_max: Duration::from_millis(20),
            linger: Duration::from_millis(10),
            request_timeout: Duration::from_millis(400),
            ..Tuning::default()
        },
    }
}

/// Accepts one frame of `series` series of guid `app` for each time.
pub async fn feed(inlet: &Inlet, series: usize, times: std::ops::Range<i64>) {
    for time in times {
        let frame = frames::metrics("app", series, time).expect("a frame");
        inlet
            .accept(frame, Stage::Received)
            .await
            .expect("accepted");
    }
}

/// Waits until remote destinations hold nothing any more, then expects every book to close; returns
/// them.
pub async fn settled(forward: &Forward) -> Vec<Audit> {
    for _ in 0..2000 {
        let audits = forward.ledger().audit();
        let held =
            |audit: &&Audit| audit.destination != "local" && audit.spooled + audit.in_flight > 0;
        if audits.iter().find(held).is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let audits = forward.ledger().audit();
    for audit in &audits {
        assert!(audit.closes(), "{audit}");
        assert!(
            audit.destination == "local" || audit.spooled + audit.in_flight == 0,
            "{audit}"
        );
    }
    audits
}

/// Waits until so many records were sent and dropped over all destinations, and expects it to stay
/// at that.
pub async fn expect_books(forward: &Forward, sent: u64, dropped: u64) {
    let sums = |audits: &[Audit]| {
        let sent: u64 = audits.iter().map(|audit| audit.sent).sum();
        let dropped: u64 = audits.iter().map(|audit| audit.dropped).sum();
        (sent, dropped)
    };
    for _ in 0..2000 {
        let (now_sent, now_dropped) = sums(&forward.ledger().audit());
        if now_sent + now_dropped >= sent + dropped {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let audits = settled(forward).await;
    assert_eq!(sums(&audits), (sent, dropped), "{audits:?}");
}

/// Records dropped for a reason.
#[must_use]
pub fn dropped(forward: &Forward, reason: &str) -> u64 {
    let rows = forward.ledger().records();
    let rows = rows
        .iter()
        .filter(|row| row.stage == "dropped" && row.reason == reason);
    rows.map(|row| row.records).sum()
}

/// Each series has exactly these times, in order; where duplicates are allowed, no new time comes
/// after a later one.
pub fn expect_all_in_order(sink: &sink::Sink, series: usize, times: i64, duplicates: bool) {
    sink.kept(|kept| {
        assert_eq!(kept.series.len(), series);
        for (name, seen) in &kept.series {
            let mut first_seen: Vec<i64> = Vec::new();
            for time in seen {
                if !duplicates || first_seen.last().is_none_or(|last| time > last) {
                    first_seen.push(*time);
                }
            }
            assert_eq!(first_seen, (0..times).collect::<Vec<_>>(), "{name}");
        }
    });
}
