//! `guidon spool ls|verify|repair`, on real files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::disk::RealDisk;
use super::super::inspect::{ls, repair, verify};
use super::super::lock::DirLock;
use super::super::{Appender, SpoolError, open};
use super::{frame, limits};
use crate::forward::DestinationId;
use crate::forward::destination::Route;
use crate::forward::ledger::Ledger;
use crate::forward::root::SpoolRoot;

/// Opens the spool of a destination, as a lane does.
fn appender(data_dir: &Path) -> (Appender, PathBuf) {
    let id = DestinationId::remote(Route::Logs, "http://me:secret@h/v1/logs");
    let root = SpoolRoot::new(data_dir);
    root.hold().unwrap();
    let dir = root.dir(&id);
    let book = Ledger::default().book(&id);
    let (log, _) = open(Arc::new(RealDisk), &dir, limits(200_000), book).unwrap();
    root.describe(&id, &dir);
    (log, dir)
}

fn fill(log: &mut Appender, numbers: std::ops::Range<u64>) {
    for number in numbers {
        log.append(&[frame("app", number, 10, 1000)], 7, &mut Vec::new())
            .unwrap();
    }
    log.commit();
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    segments.sort();
    segments
}

#[test]
fn a_live_spool_can_be_listed_and_verified_but_not_repaired() {
    let data_dir = tempfile::tempdir().unwrap();
    let root = SpoolRoot::new(data_dir.path());
    root.hold().unwrap();
    assert!(ls(data_dir.path()).unwrap().is_empty());
    let id = DestinationId::local(Route::Traces);
    let book = Ledger::default().book(&id);
    let (mut log, _) = open(Arc::new(RealDisk), &root.dir(&id), limits(200_000), book).unwrap();
    root.describe(&id, &root.dir(&id));
    fill(&mut log, 0..90);
    let listed = ls(data_dir.path()).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].frames, listed[0].records), (90, 900));
    assert_eq!(
        (listed[0].route.as_str(), listed[0].destination.as_str()),
        ("traces", "local")
    );
    let reports = verify(data_dir.path()).unwrap();
    assert!(reports[0].is_sound(), "{}", reports[0]);
    assert_eq!(reports[0].readable_records, 900);
    assert_eq!(reports[0].guids["app"], 900);
    let error = repair(data_dir.path()).unwrap_err();
    let pid = std::process::id().to_string();
    assert!(
        matches!(&error, SpoolError::InUse { holder, .. } if *holder == pid),
        "{error}"
    );
    assert!(error.to_string().contains(&pid), "{error}");
}

#[test]
fn the_second_agent_on_a_directory_is_told_who_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let held = DirLock::acquire(dir.path()).unwrap();
    let error = DirLock::acquire(dir.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{} is in use by another guidon (pid {})",
            dir.path().display(),
            std::process::id()
        )
    );
    drop(held);
    DirLock::acquire(dir.path()).unwrap();
}

#[test]
fn a_damaged_spool_is_reported_and_repaired_without_losing_what_is_readable() {
    let data_dir = tempfile::tempdir().unwrap();
    let (mut log, dir) = appender(data_dir.path());
    fill(&mut log, 0..90);
    drop(log);
    let files = segments(&dir);
    let spoil = |file: &Path, at: usize| {
        let mut bytes = std::fs::read(file).unwrap();
        bytes[at] ^= 1;
        std::fs::write(file, bytes).unwrap();
    };
    spoil(&files[0], 3000);
    spoil(&files[1], 5);
    let last = files.last().unwrap();
    let len = std::fs::metadata(last).unwrap().len();
    std::fs::File::options()
        .write(true)
        .open(last)
        .unwrap()
        .set_len(len - 100)
        .unwrap();
    std::fs::write(dir.join("cursor"), b"rubbish").unwrap();

    let reports = verify(data_dir.path()).unwrap();
    let report = &reports[0];
    assert!(!report.is_sound());
    assert!(report.cursor_damaged);
    assert_eq!(report.readable_frames, 88);
    assert_eq!(
        report.missing_records, 10,
        "the torn one is not known to be missing"
    );
    assert_eq!(report.torn_bytes, 1072 - 100);
    assert!(!report.to_string().contains("secret"), "{report}");
    assert_eq!(report.damage.len(), 3, "{report}");

    assert_eq!(repair(data_dir.path()).unwrap().len(), 1);
    let report = &verify(data_dir.path()).unwrap()[0];
    assert!(report.is_sound(), "{report}");
    assert_eq!(report.readable_frames, 88);
    assert_eq!(
        report.summary.records, 890,
        "one gap of ten is still to be counted"
    );
    assert!(repair(data_dir.path()).unwrap().is_empty());

    let (log, _) = appender(data_dir.path());
    assert_eq!(log.spool().holdings().spooled, 890);
}
