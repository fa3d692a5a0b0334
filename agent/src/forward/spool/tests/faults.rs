//! Disks that are full, read-only or broken, and spools that reach their bound.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::{Limits, SpoolError};
use super::faulty::FaultyDisk;
use super::{Rig, frame, limits};
use crate::config::WhenFull;

const BOUND: u64 = 1 << 20;

fn expect_errno(error: &SpoolError, code: i32) {
    match error {
        SpoolError::Io { source, .. } => assert_eq!(source.raw_os_error(), Some(code), "{error}"),
        other => panic!("{other}"),
    }
}

#[test]
fn a_full_disk_refuses_leaves_nothing_torn_and_works_again() {
    for room in (0..4000).step_by(113) {
        let disk = FaultyDisk::new();
        let mut rig = Rig::open(&disk, limits(BOUND));
        rig.append_numbers(0..3, 500);
        disk.faults().room.store(room, Ordering::SeqCst);
        let group: Vec<_> = (3..8)
            .map(|number| frame("app", number, 10, 1000))
            .collect();
        expect_errno(&rig.append(&group).unwrap_err(), libc::ENOSPC);
        assert_eq!(rig.readable(), ((0..3).collect(), 0));
        assert_eq!(
            disk.faults().room.load(Ordering::SeqCst),
            room,
            "all of it was given back"
        );
        rig.expect_books_to_close();
        // The cursor needs no room.
        assert_eq!(rig.deliver(1), [0]);
        let reopened = Rig::open(&disk.after_the_crash(), limits(BOUND));
        assert_eq!(reopened.report.torn_bytes, 0);
        assert_eq!(reopened.readable(), ((1..3).collect(), 0));
        disk.faults().room.store(i64::MAX, Ordering::SeqCst);
        rig.append(&group).unwrap();
        assert_eq!(rig.readable(), ((1..8).collect(), 0));
        rig.expect_books_to_close();
    }
}

#[test]
fn a_full_disk_when_a_segment_is_to_be_made_leaves_no_broken_one() {
    let disk = FaultyDisk::new();
    let mut rig = Rig::open(&disk, limits(80_000));
    for room in [0, 1, 39, 40, 41] {
        let first = rig.readable().0.len() as u64;
        disk.faults().room.store(room, Ordering::SeqCst);
        // Larger than what is left in the present segment.
        let big = frame("app", first, 10, 9_990);
        expect_errno(
            &rig.append(std::slice::from_ref(&big)).unwrap_err(),
            libc::ENOSPC,
        );
        disk.faults().room.store(i64::MAX, Ordering::SeqCst);
        rig.append(&[big]).unwrap();
        assert_eq!(rig.readable(), ((0..=first).collect(), 0));
        let reopened = Rig::open(&disk.after_the_crash(), limits(80_000));
        assert_eq!(reopened.readable(), ((0..=first).collect(), 0));
    }
}

#[test]
fn a_read_only_directory_refuses_with_its_path() {
    let disk = FaultyDisk::new();
    disk.faults().read_only.store(true, Ordering::SeqCst);
    let error = Rig::try_open(&disk, limits(BOUND)).err().unwrap();
    expect_errno(&error, libc::EROFS);
    assert!(error.to_string().contains("/spool"), "{error}");
    disk.faults().read_only.store(false, Ordering::SeqCst);
    let mut rig = Rig::open(&disk, limits(BOUND));
    rig.append_numbers(0..2, 100);
    disk.faults().read_only.store(true, Ordering::SeqCst);
    expect_errno(
        &rig.append(&[frame("app", 9, 1, 10)]).unwrap_err(),
        libc::EROFS,
    );
    assert_eq!(rig.readable(), ((0..2).collect(), 0));
    disk.faults().read_only.store(false, Ordering::SeqCst);
    rig.append_numbers(2..4, 100);
    assert_eq!(rig.readable(), ((0..4).collect(), 0));
    rig.expect_books_to_close();
}

#[test]
fn a_broken_disk_that_cannot_even_truncate_loses_nothing_acknowledged() {
    let disk = FaultyDisk::new();
    let mut rig = Rig::open(&disk, limits(BOUND));
    rig.append_numbers(0..3, 500);
    disk.faults().room.store(700, Ordering::SeqCst);
    disk.faults().truncates_fail.store(true, Ordering::SeqCst);
    rig.append(&[frame("app", 3, 10, 5000)]).unwrap_err();
    disk.faults().room.store(i64::MAX, Ordering::SeqCst);
    disk.faults().truncates_fail.store(false, Ordering::SeqCst);
    // What is torn stays in the middle of the log, unseen.
    rig.append_numbers(3..6, 500);
    assert_eq!(rig.readable(), ((0..6).collect(), 0));
    let mut rig = Rig::open(&disk.after_the_crash(), limits(BOUND));
    assert_eq!(rig.readable(), ((0..6).collect(), 0));
    rig.append_numbers(6..8, 500);
    assert_eq!(rig.deliver(usize::MAX), (0..8).collect::<Vec<_>>());
    rig.expect_books_to_close();
}

/// What ext4 once saw cut to nothing, it writes to the disk at its close: see `Appender::roll`.
#[test]
fn a_new_segment_is_made_without_cutting_a_file() {
    let disk = FaultyDisk::new();
    let mut rig = Rig::open(&disk, limits(1 << 20));
    disk.faults().truncates_fail.store(true, Ordering::SeqCst);
    rig.append_numbers(0..20, 20_000);
    assert!(disk.segments().len() > 2);
}

#[test]
fn a_write_error_refuses_and_the_next_write_goes() {
    let disk = FaultyDisk::new();
    let mut rig = Rig::open(&disk, limits(BOUND));
    disk.faults().writes_fail.store(true, Ordering::SeqCst);
    expect_errno(
        &rig.append(&[frame("app", 0, 1, 10)]).unwrap_err(),
        libc::EIO,
    );
    disk.faults().writes_fail.store(false, Ordering::SeqCst);
    rig.append_numbers(0..1, 10);
    assert_eq!(rig.readable(), (vec![0], 0));
    rig.expect_books_to_close();
}

#[test]
fn at_the_bound_the_oldest_segment_goes_and_is_counted_by_guid() {
    let disk = FaultyDisk::new();
    let mut rig = Rig::open(&disk, limits(40_000));
    for number in 0..200 {
        let guid = if number % 2 == 0 { "even" } else { "odd" };
        rig.append(&[frame(guid, number, 3, 1000)]).unwrap();
        assert!(rig.log.spool().bytes() <= 40_000);
    }
    let (numbers, missing) = rig.readable();
    assert_eq!(missing, 0);
    assert_eq!(*numbers.last().unwrap(), 199);
    let gone = 200 - numbers.len() as u64;
    assert_eq!(rig.dropped("spool_full"), gone * 3);
    let rows = rig.ledger.records();
    for (guid, odd) in [("even", 0), ("odd", 1)] {
        let records = (0..gone).filter(|number| number % 2 == odd).count() as u64 * 3;
        let row = rows
            .iter()
            .find(|row| row.guid == guid && row.reason == "spool_full")
            .unwrap();
        assert_eq!(row.records, records, "{guid}");
    }
    rig.expect_books_to_close();
    let reopened = Rig::open(&disk.after_the_crash(), limits(40_000));
    assert_eq!(reopened.readable(), (numbers, 0));
}

#[test]
fn what_is_on_the_line_or_delivered_is_not_counted_as_dropped() {
    let disk = FaultyDisk::new();
    let mut rig = Rig::open(&disk, limits(40_000));
    rig.append_numbers(0..10, 1000);
    rig.deliver(2);
    let line: Vec<_> = rig.read().into_iter().take(3).collect();
    let [super::Read::Record(first), _, super::Read::Record(last)] = &line[..] else {
        panic!("{line:?}");
    };
    rig.log.spool().state().progress.take(first.start, last.end);
    rig.append_numbers(10..100, 1000);
    let (numbers, _) = rig.readable();
    let gone = numbers[0] - 5;
    assert_eq!(rig.dropped("spool_full"), gone * 10);
    rig.expect_books_to_close();
    rig.log.spool().state().progress.settle(last.end);
    rig.book.add(
        crate::forward::ledger::Entry::Sent,
        &frame("app", 0, 30, 0).counts,
    );
    rig.expect_books_to_close();
    assert_eq!(rig.readable().0, numbers);
}

#[test]
fn a_spool_that_refuses_keeps_what_it_has() {
    let refuse = Limits {
        max_bytes: 40_000,
        when_full: WhenFull::Refuse,
    };
    let disk = FaultyDisk::new();
    let mut rig = Rig::open(&disk, refuse);
    let mut taken = 0;
    let error = loop {
        match rig.append(&[frame("app", taken, 10, 1000)]) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(
            error,
            SpoolError::Full {
                max_bytes: 40_000,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(rig.readable(), ((0..taken).collect(), 0));
    rig.deliver(usize::MAX);
    rig.append_numbers(taken..taken + 5, 1000);
    assert_eq!(rig.readable().0.len(), 5);
    rig.expect_books_to_close();
}

#[test]
fn a_frame_beyond_the_bound_is_refused_and_nothing_is_dropped_for_it() {
    let disk = FaultyDisk::new();
    let mut rig = Rig::open(&disk, limits(40_000));
    rig.append_numbers(0..20, 1000);
    let error = rig.append(&[frame("app", 20, 10, 40_000)]).unwrap_err();
    assert!(matches!(error, SpoolError::Full { .. }), "{error}");
    assert_eq!(rig.readable(), ((0..20).collect(), 0));
    assert_eq!(rig.dropped("spool_full"), 0);
}

#[test]
fn delivered_segments_are_removed() {
    let disk = FaultyDisk::new();
    let mut rig = Rig::open(&disk, limits(200_000));
    for round in 0..50 {
        rig.append_numbers(round * 20..(round + 1) * 20, 1000);
        rig.deliver(usize::MAX);
        assert!(disk.segments().len() <= 2, "{}", disk.segments().len());
    }
    assert_eq!(rig.report.backlog, 0);
    rig.expect_books_to_close();
}

#[test]
fn a_reader_that_the_bound_overtakes_goes_on_behind_it() {
    let disk = FaultyDisk::new();
    let mut rig = Rig::open(&disk, limits(40_000));
    rig.append_numbers(0..10, 1000);
    let low = rig.log.spool().state().progress.low();
    let mut tail = super::Tail::new(Arc::clone(rig.log.spool()), low);
    let mut found = std::collections::VecDeque::new();
    let end = rig.log.spool().state().end;
    tail.read(end, 1500, &mut found).unwrap();
    assert_eq!(found.len(), 2);
    rig.append_numbers(10..100, 1000);
    found.clear();
    let end = rig.log.spool().state().end;
    while tail.at() < end {
        tail.read(end, 1500, &mut found).unwrap();
    }
    let numbers: Vec<u64> = found
        .iter()
        .map(|read| match read {
            super::Read::Record(queued) => super::number(&queued.frame),
            super::Read::Gap { .. } => panic!("{read:?}"),
        })
        .collect();
    assert_eq!(numbers, rig.readable().0);
}
