//! What happened to the files while nobody looked.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::record::{self, FIXED, Mark};
use super::super::segment::SEGMENT_HEADER;
use super::super::{SpoolError, cursor};
use super::faulty::FaultyDisk;
use super::{DIR, Rig, frame, limits};

const BOUND: u64 = 1 << 20;
/// A record of `append_numbers(…, 1000)`: header, one count of guid "app", payload.
const RECORD: usize = FIXED + 1 + 3 + 4 + 1000;

/// A spool with twenty frames in one segment, closed.
fn twenty_frames() -> Arc<FaultyDisk> {
    let disk = FaultyDisk::new();
    let mut rig = Rig::open(&disk, limits(BOUND));
    rig.append_numbers(0..20, 1000);
    rig.log.commit();
    disk
}

/// A spool with ninety frames in several segments, closed.
fn many_segments() -> Arc<FaultyDisk> {
    let disk = FaultyDisk::new();
    let mut rig = Rig::open(&disk, limits(200_000));
    rig.append_numbers(0..90, 1000);
    rig.log.commit();
    assert!(disk.segments().len() >= 4);
    disk
}

#[test]
fn a_spool_that_was_closed_opens_with_everything_undelivered() {
    let disk = twenty_frames();
    let mut rig = Rig::open(&disk, limits(BOUND));
    assert_eq!(rig.report.backlog, 200);
    assert_eq!(rig.readable(), ((0..20).collect(), 0));
    assert_eq!(rig.deliver(8), (0..8).collect::<Vec<_>>());
    rig.expect_books_to_close();
    let mut rig = Rig::open(&disk.after_the_crash(), limits(BOUND));
    assert_eq!(rig.report.backlog, 120);
    rig.append_numbers(20..25, 1000);
    assert_eq!(rig.readable(), ((8..25).collect(), 0));
    rig.expect_books_to_close();
}

#[test]
fn a_torn_last_record_is_cut_off_wherever_it_was_torn() {
    let whole = twenty_frames();
    let segment = whole.segments()[0].clone();
    for torn in (1..RECORD).step_by(37) {
        let disk = whole.after_the_crash();
        // The twentieth record was being written: the cursor had not heard of it.
        disk.delete(&Path::new(DIR).join(cursor::FILE_NAME));
        disk.change(&segment, |data| data.truncate(data.len() - torn));
        let mut rig = Rig::open(&disk, limits(BOUND));
        assert_eq!(rig.report.torn_bytes, (RECORD - torn) as u64);
        assert_eq!(rig.readable(), ((0..19).collect(), 0), "{torn}");
        rig.append_numbers(19..22, 1000);
        assert_eq!(rig.readable(), ((0..22).collect(), 0), "{torn}");
        rig.expect_books_to_close();
    }
}

#[test]
fn a_tail_that_was_acknowledged_and_is_gone_is_counted() {
    let disk = twenty_frames();
    let segment = disk.segments()[0].clone();
    disk.change(&segment, |data| data.truncate(data.len() - 5 * RECORD - 10));
    let mut rig = Rig::open(&disk, limits(BOUND));
    rig.append_numbers(20..22, 1000);
    assert_eq!(rig.readable(), ((0..14).chain(20..22).collect(), 60));
    rig.deliver(usize::MAX);
    assert_eq!(rig.dropped("spool_corrupt"), 60);
    rig.expect_books_to_close();
}

#[test]
fn a_flipped_bit_costs_its_record_only_wherever_it_is() {
    let whole = twenty_frames();
    let segment = whole.segments()[0].clone();
    let seventh = SEGMENT_HEADER as usize + 7 * RECORD;
    for at in (0..RECORD).step_by(13) {
        let disk = whole.after_the_crash();
        disk.change(&segment, |data| data[seventh + at] ^= 0x10);
        let mut rig = Rig::open(&disk, limits(BOUND));
        let expected: Vec<u64> = (0..20).filter(|number| *number != 7).collect();
        assert_eq!(rig.readable(), (expected, 10), "bit in byte {at}");
        rig.deliver(usize::MAX);
        assert_eq!(rig.dropped("spool_corrupt"), 10);
        rig.expect_books_to_close();
    }
}

#[test]
fn flipped_bits_in_the_last_record_are_counted_when_the_cursor_knew_it() {
    let disk = twenty_frames();
    let segment = disk.segments()[0].clone();
    disk.change(&segment, |data| {
        let last = data.len() - 1;
        data[last] ^= 1;
    });
    let mut rig = Rig::open(&disk, limits(BOUND));
    assert_eq!(rig.report.torn_bytes, RECORD as u64);
    assert_eq!(rig.report.backlog, 200);
    rig.deliver(usize::MAX);
    assert_eq!(rig.dropped("spool_corrupt"), 10);
    rig.expect_books_to_close();
}

#[test]
fn a_damaged_segment_header_costs_nothing() {
    let whole = many_segments();
    for segment in whole.segments() {
        for at in 0..SEGMENT_HEADER as usize {
            let disk = whole.after_the_crash();
            disk.change(&segment, |data| data[at] ^= 0x80);
            let rig = match Rig::try_open(&disk, limits(BOUND)) {
                Ok(rig) => rig,
                Err(error) => panic!("byte {at}: {error}"),
            };
            assert_eq!(
                rig.readable(),
                ((0..90).collect(), 0),
                "{segment:?} byte {at}"
            );
        }
    }
}

#[test]
fn a_deleted_segment_is_counted_exactly() {
    let whole = many_segments();
    let last = whole.segments().len() - 1;
    for (index, segment) in whole.segments().into_iter().enumerate() {
        let disk = whole.after_the_crash();
        let records = disk_records(&disk, &segment);
        disk.delete(&segment);
        let mut rig = Rig::open(&disk, limits(BOUND));
        rig.append_numbers(90..93, 1000);
        let (numbers, missing) = rig.readable();
        assert_eq!(missing, records, "segment {index} of {last}");
        assert_eq!(numbers.len() as u64, 93 - records / 10);
        rig.deliver(usize::MAX);
        assert_eq!(rig.dropped("spool_corrupt"), records);
        rig.expect_books_to_close();
    }
}

fn disk_records(disk: &FaultyDisk, segment: &Path) -> u64 {
    let mut len = 0;
    disk.change(segment, |data| len = data.len());
    ((len - SEGMENT_HEADER as usize) / RECORD * 10) as u64
}

#[test]
fn a_segment_deleted_under_a_running_spool_is_counted() {
    let disk = FaultyDisk::new();
    let mut rig = Rig::open(&disk, limits(200_000));
    rig.append_numbers(0..90, 1000);
    let second = disk.segments()[1].clone();
    let records = disk_records(&disk, &second);
    disk.delete(&second);
    let (low, end) = {
        let state = rig.log.spool().state();
        (state.progress.low(), state.end)
    };
    let mut tail = super::Tail::new(Arc::clone(rig.log.spool()), low);
    let mut found = std::collections::VecDeque::new();
    let error = tail.read(end, usize::MAX, &mut found).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    tail.skip_segment(end, &mut found);
    tail.read(end, usize::MAX, &mut found).unwrap();
    let missing: u64 = found
        .iter()
        .map(|read| match read {
            super::Read::Gap { from, to } => to.total - from.total,
            super::Read::Record(_) => 0,
        })
        .sum();
    assert_eq!(missing, records);
    assert_eq!(tail.at(), end);
}

#[test]
fn one_damaged_slot_of_the_cursor_costs_one_step_at_most() {
    let disk = twenty_frames();
    let mut rig = Rig::open(&disk, limits(BOUND));
    rig.deliver(5);
    rig.deliver(5);
    drop(rig);
    for slot in [0, 4096] {
        for at in (0..96).step_by(5) {
            let disk = disk.after_the_crash();
            disk.change(&Path::new(DIR).join(cursor::FILE_NAME), |data| {
                data[slot + at] ^= 4
            });
            let rig = Rig::open(&disk, limits(BOUND));
            let (numbers, missing) = rig.readable();
            assert!(numbers[0] == 5 || numbers[0] == 10, "{numbers:?}");
            assert_eq!(numbers.last(), Some(&19));
            assert_eq!(missing, 0);
            rig.expect_books_to_close();
        }
    }
}

#[test]
fn without_a_cursor_everything_is_delivered_again() {
    let disk = twenty_frames();
    Rig::open(&disk, limits(BOUND)).deliver(5);
    disk.change(&Path::new(DIR).join(cursor::FILE_NAME), |data| {
        data.fill(0xaa)
    });
    let mut rig = Rig::open(&disk, limits(BOUND));
    assert!(rig.report.cursor_lost);
    assert_eq!(rig.report.backlog, 200);
    rig.append_numbers(20..21, 1000);
    assert_eq!(rig.readable(), ((0..21).collect(), 0));
    rig.expect_books_to_close();
}

#[test]
fn a_segment_of_a_newer_program_is_left_alone() {
    let disk = twenty_frames();
    let segment = disk.segments()[0].clone();
    disk.change(&segment, |data| {
        data[8] = 2;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&data[..12]);
        hasher.update(&data[16..40]);
        let crc = hasher.finalize().to_le_bytes();
        data[12..16].copy_from_slice(&crc);
    });
    let mut before = Vec::new();
    disk.change(&segment, |data| before = data.clone());
    let error = Rig::try_open(&disk, limits(BOUND)).err().unwrap();
    assert!(
        matches!(error, SpoolError::Newer { version: 2, .. }),
        "{error}"
    );
    disk.change(&segment, |data| assert_eq!(*data, before));
}

#[test]
fn a_record_in_a_payload_is_not_taken_for_one_after_damage() {
    let disk = FaultyDisk::new();
    let mut rig = Rig::open(&disk, limits(BOUND));
    let mut forged = Vec::new();
    let inner = frame("victim", 666, 1_000_000, 50);
    let start = Mark {
        seq: 1,
        total: 1_000,
    };
    // All is right in it but the marker, which the sender cannot know.
    record::encode(&mut forged, b"GUIDMARK", &inner, start, 7);
    forged.extend_from_slice(&inner.payload);
    let mut outer = frame("app", 0, 10, 8);
    let mut payload = outer.payload.to_vec();
    payload.extend_from_slice(&forged);
    outer.payload = payload.into();
    rig.append(&[outer]).unwrap();
    rig.append_numbers(1..3, 100);
    let segment = disk.segments()[0].clone();
    disk.change(&segment, |data| data[SEGMENT_HEADER as usize + 20] ^= 1);
    assert_eq!(rig.readable(), (vec![1, 2], 10));
}

#[test]
fn opening_reads_headers_and_the_last_segment_whatever_the_backlog() {
    let disk = FaultyDisk::new();
    let mut rig = Rig::open(&disk, limits(8 << 20));
    rig.append_numbers(0..5_000, 1000);
    rig.log.commit();
    let segments = disk.segments().len() as u64;
    assert!(segments >= 5, "{segments}");
    let disk = disk.after_the_crash();
    let rig = Rig::open(&disk, limits(8 << 20));
    assert_eq!(rig.report.backlog, 50_000);
    let read = disk.faults().bytes_read.load(Ordering::SeqCst);
    // Each record is looked at with one read of 4 KiB and its payload.
    let bound = limits(8 << 20).segment_bytes() * 6 + segments * 100 + 8192;
    assert!(read < bound, "{read} bytes for {segments} segments");
}
