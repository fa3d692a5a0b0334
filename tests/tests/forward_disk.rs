//! Real disks in trouble: full, read-only, used by two agents. Needs root, for mounts of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use guidon::config::{Durability, WhenFull};
use guidon::forward::{
    DestinationId, Forward, Inlet, Options, Refused, Route, SpoolError, Stage, StartError,
};
use guidon_tests::forward::{feed, frames, options, settled};
use tokio::runtime::Handle;

/// Nobody listens there.
const DEAD: &str = "http://127.0.0.1:1/w";

/// A small file system that goes when dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(at: &Path, bytes: u64) -> Self {
        std::fs::create_dir_all(at).unwrap();
        run(
            &[
                "mount",
                "-t",
                "tmpfs",
                "-o",
                &format!("size={bytes}"),
                "tmpfs",
            ],
            at,
        );
        Self(at.to_owned())
    }

    fn remount(&self, options: &str) {
        run(&["mount", "-o", &format!("remount,{options}")], &self.0);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run(&["umount", "--lazy"], &self.0);
    }
}

fn run(words: &[&str], path: &Path) {
    let status = Command::new(words[0])
        .args(&words[1..])
        .arg(path)
        .status()
        .unwrap();
    assert!(status.success(), "{words:?} {}", path.display());
}

/// Where the spool of the metrics destination lies.
fn spool_dir(options: &Options) -> PathBuf {
    let name = DestinationId::remote(Route::Metrics, DEAD).dir_name();
    options.data_dir.join("spool").join(name)
}

async fn log(inlet: &Inlet, number: u32) -> Result<(), Refused> {
    let frame = frames::log("app", &number.to_string()).unwrap();
    inlet.accept(frame, Stage::Received).await
}

/// Accepts metrics until one is refused; how many were taken, and the refusal.
async fn until_refused(inlet: &Inlet, from: i64) -> (i64, Refused) {
    for time in from.. {
        let frame = frames::metrics("app", 20, time).unwrap();
        if let Err(refused) = inlet.accept(frame, Stage::Received).await {
            return (time - from, refused);
        }
    }
    unreachable!()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_refused_clearly_for_its_signal_only_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), &[DEAD.to_owned()], Durability::Spool);
    let mount = Mount::new(&spool_dir(&options), 256 << 10);
    let (forward, inlet) = Forward::start(options.clone(), Handle::current()).unwrap();
    let (taken, refused) = until_refused(&inlet, 0).await;
    assert!(taken > 10);
    let Refused::Spool { destination, error } = &refused else {
        panic!("{refused}");
    };
    assert_eq!(destination, DEAD);
    assert!(
        error.contains("No space left") && error.contains("spool"),
        "{error}"
    );
    // The others go on, and nobody waits.
    for number in 0..50 {
        log(&inlet, number).await.unwrap();
    }
    let again = tokio::time::timeout(Duration::from_secs(1), until_refused(&inlet, taken)).await;
    assert!(matches!(again.unwrap().1, Refused::Spool { .. }));
    for audit in forward.ledger().audit() {
        assert!(audit.closes(), "{audit}");
    }
    mount.remount("size=8m");
    tokio::time::sleep(Duration::from_millis(400)).await;
    feed(&inlet, 20, taken..taken + 20).await;
    forward.shutdown(Duration::ZERO).await;
    let report = &guidon::forward::spool::inspect::verify(dir.path()).unwrap();
    let metrics = report
        .iter()
        .find(|report| report.summary.destination == DEAD)
        .unwrap();
    assert!(metrics.is_sound(), "{metrics}");
    assert!(metrics.readable_frames >= taken as u64 + 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_directory_is_refused_clearly_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), &[DEAD.to_owned()], Durability::Spool);
    let mount = Mount::new(&spool_dir(&options), 8 << 20);
    mount.remount("ro");
    let (forward, inlet) = Forward::start(options.clone(), Handle::current()).unwrap();
    let (taken, refused) = until_refused(&inlet, 0).await;
    assert_eq!(taken, 0);
    assert!(
        refused.to_string().contains("Read-only file system"),
        "{refused}"
    );
    log(&inlet, 1).await.unwrap();
    mount.remount("rw");
    tokio::time::sleep(Duration::from_millis(400)).await;
    feed(&inlet, 20, 0..10).await;
    for audit in forward.ledger().audit() {
        assert!(audit.closes(), "{audit}");
        let records = if audit.destination == DEAD {
            200
        } else {
            audit.spooled
        };
        assert_eq!(audit.spooled + audit.in_flight, records, "{audit}");
    }
    forward.shutdown(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_that_cannot_be_made_stops_nothing_but_what_needs_it() {
    let dir = tempfile::tempdir().unwrap();
    let mount = Mount::new(&dir.path().join("ro"), 1 << 20);
    mount.remount("ro");
    let options = options(
        &dir.path().join("ro/data"),
        &[DEAD.to_owned()],
        Durability::Memory,
    );
    let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
    // Metrics are in memory; the local bus of logs needs the disk.
    feed(&inlet, 20, 0..10).await;
    let refused = log(&inlet, 1).await.unwrap_err();
    assert!(
        refused.to_string().contains("Read-only file system"),
        "{refused}"
    );
    mount.remount("rw");
    tokio::time::sleep(Duration::from_millis(400)).await;
    log(&inlet, 2).await.unwrap();
    forward.shutdown(Duration::ZERO).await;
    assert_eq!(guidon_tests::forward::dropped(&forward, "shutdown"), 200);
    settled(&forward).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_on_one_directory_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), &[DEAD.to_owned()], Durability::Spool);
    let (first, inlet) = Forward::start(options.clone(), Handle::current()).unwrap();
    let error = Forward::start(options.clone(), Handle::current()).unwrap_err();
    let StartError::Spool(SpoolError::InUse { holder, .. }) = &error else {
        panic!("{error}");
    };
    assert_eq!(*holder, std::process::id().to_string());
    feed(&inlet, 20, 0..5).await;
    first.shutdown(Duration::ZERO).await;
    drop((first, inlet));
    let (second, _) = Forward::start(options, Handle::current()).unwrap();
    second.shutdown(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_bound_the_oldest_goes_or_the_newest_is_refused() {
    for when_full in [WhenFull::DropOldest, WhenFull::Refuse] {
        let dir = tempfile::tempdir().unwrap();
        let mut options = options(dir.path(), &[DEAD.to_owned()], Durability::Spool);
        options.spool.max_bytes = 100_000;
        options.spool.when_full = when_full;
        let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
        match when_full {
            WhenFull::DropOldest => {
                feed(&inlet, 20, 0..1000).await;
                let gone = guidon_tests::forward::dropped(&forward, "spool_full");
                assert!(gone > 20 * 500, "{gone}");
            }
            WhenFull::Refuse => {
                let (taken, refused) = until_refused(&inlet, 0).await;
                assert!(taken > 100, "{taken}");
                assert!(matches!(refused, Refused::Full { .. }), "{refused}");
                // The local bus does not refuse: nobody would ever make room.
                for number in 0..2000 {
                    log(&inlet, number).await.unwrap();
                }
            }
        }
        for row in forward.ledger().spools() {
            assert!(row.bytes <= 100_000, "{row:?}");
        }
        for audit in forward.ledger().audit() {
            assert!(audit.closes(), "{audit}");
        }
        forward.shutdown(Duration::ZERO).await;
    }
}
