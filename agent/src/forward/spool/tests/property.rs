//! Anything that can happen, in any order, against the model.

use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::faulty::FaultyDisk;
use super::model::{Entry, Model};
use super::{Rig, frame, limits};

#[derive(Debug, Clone)]
enum Step {
    /// Appends frames of these sizes in one write.
    Append(Vec<usize>),
    /// The same on a disk with so little room that it fails.
    AppendToFull(Vec<usize>, u16),
    Deliver(usize),
    /// Puts frames on the line and dies before their verdict.
    DieDelivering(usize),
    /// Dies after so many bytes of a write.
    DieWriting(Vec<usize>, u16),
    Restart,
    /// Loses so many bytes at the end of the last segment: a power cut.
    LoseTail(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let sizes = || proptest::collection::vec(0_usize..3000, 1..6);
    prop_oneof![
        6 => sizes().prop_map(Step::Append),
        1 => (sizes(), any::<u16>()).prop_map(|(sizes, room)| Step::AppendToFull(sizes, room)),
        4 => (0_usize..8).prop_map(Step::Deliver),
        1 => (0_usize..4).prop_map(Step::DieDelivering),
        1 => (sizes(), any::<u16>()).prop_map(|(sizes, life)| Step::DieWriting(sizes, life)),
        1 => Just(Step::Restart),
        1 => any::<u16>().prop_map(Step::LoseTail),
    ]
}

fn check(steps: Vec<Step>, max_bytes: u64) {
    let mut model = Model::default();
    let mut rig = Rig::open(&FaultyDisk::new(), limits(max_bytes));
    let mut next = 0;
    // Frames below this number have been on the line.
    let mut attempted = 0;
    for step in steps {
        let frames = |sizes: &[usize], from: u64| {
            let numbered = sizes.iter().zip(from..);
            let frames = numbered
                .clone()
                .map(|(&len, number)| frame("app", number, records(number), len));
            let entries = numbered.map(|(_, number)| Entry {
                number,
                records: records(number),
            });
            (frames.collect::<Vec<_>>(), entries.collect::<Vec<_>>())
        };
        match step {
            Step::Append(sizes) => {
                let (frames, entries) = frames(&sizes, next);
                if rig.append(&frames).is_ok() {
                    next += sizes.len() as u64;
                    model.waiting.extend(entries);
                }
            }
            Step::AppendToFull(sizes, room) => {
                let (frames, entries) = frames(&sizes, next);
                rig.disk
                    .faults()
                    .room
                    .store(i64::from(room), Ordering::SeqCst);
                if rig.append(&frames).is_ok() {
                    next += sizes.len() as u64;
                    model.waiting.extend(entries);
                }
                rig.disk.faults().room.store(i64::MAX, Ordering::SeqCst);
            }
            Step::Deliver(count) => {
                let delivered = rig.deliver(count);
                assert_eq!(delivered, model.deliver(count));
            }
            Step::DieDelivering(count) => {
                let reads: Vec<_> = rig.read().into_iter().take(count).collect();
                if let (Some(super::Read::Record(first)), Some(super::Read::Record(last))) =
                    (reads.first(), reads.last())
                {
                    rig.log.spool().state().progress.take(first.start, last.end);
                    rig.log.commit();
                    rig.expect_books_to_close();
                    drop_by_bound(&mut model, &rig);
                    attempted = attempted.max(super::number(&last.frame) + 1);
                    let again = model
                        .waiting
                        .iter()
                        .filter(|entry| entry.number < attempted);
                    let owed: u64 = again.map(|entry| u64::from(entry.records)).sum();
                    rig = Rig::open(&rig.disk.after_the_crash(), limits(max_bytes));
                    assert_eq!(rig.report.resent, owed);
                }
            }
            Step::DieWriting(sizes, life) => {
                let (frames, entries) = frames(&sizes, next);
                rig.disk
                    .faults()
                    .life
                    .store(i64::from(life), Ordering::SeqCst);
                let taken = rig.append(&frames).is_ok();
                drop_by_bound(&mut model, &rig);
                rig = Rig::open(&rig.disk.after_the_crash(), limits(max_bytes));
                if taken {
                    next += sizes.len() as u64;
                    model.waiting.extend(entries);
                } else {
                    // Nobody was told: any number of whole frames may be there.
                    let there = rig.readable().0;
                    let some = entries.iter().filter(|entry| there.contains(&entry.number));
                    let some: Vec<_> = some.copied().collect();
                    assert_eq!(some, entries[..some.len()]);
                    next += some.len() as u64;
                    model.waiting.extend(some);
                }
            }
            Step::Restart => {
                drop_by_bound(&mut model, &rig);
                rig = Rig::open(&rig.disk.after_the_crash(), limits(max_bytes));
                assert_eq!(rig.report.torn_bytes, 0);
            }
            Step::LoseTail(bytes) => {
                rig.log.commit();
                drop_by_bound(&mut model, &rig);
                let disk = rig.disk.after_the_crash();
                if let Some(last) = disk.segments().last() {
                    disk.change(last, |data| {
                        data.truncate(data.len().saturating_sub(usize::from(bytes)));
                    });
                }
                rig = Rig::open(&disk, limits(max_bytes));
                let before = model.records();
                let there = rig.readable().0;
                model.waiting.retain(|entry| there.contains(&entry.number));
                assert_eq!(rig.report.backlog, before);
                let (_, missing) = rig.readable();
                assert_eq!(missing, before - model.records());
                // Past the gap, so that the model need not know it.
                let all = rig.deliver(usize::MAX);
                assert_eq!(all, model.deliver(usize::MAX));
            }
        }
        drop_by_bound(&mut model, &rig);
        assert_eq!(rig.readable(), (model.numbers(), 0));
        assert_eq!(rig.log.spool().holdings().spooled, model.records());
        assert!(rig.log.spool().bytes() <= max_bytes);
        rig.expect_books_to_close();
    }
}

/// The model does not know segments: it lets the spool choose what the bound takes, as long as that
/// is the oldest and counted.
fn drop_by_bound(model: &mut Model, rig: &Rig) {
    let there = rig.readable().0;
    let oldest = there.first().copied().unwrap_or(u64::MAX);
    while model
        .waiting
        .front()
        .is_some_and(|entry| entry.number < oldest)
    {
        model.waiting.pop_front();
    }
}

fn records(number: u64) -> u32 {
    number as u32 % 7
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn property_test_the_spool_does_what_the_model_does(
        steps in proptest::collection::vec(step(), 1..40),
        max_bytes in 20_000_u64..200_000,
    ) {
        check(steps, max_bytes);
    }
}
