//! Cgroups that live for moments.

use std::{
    collections::HashMap,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use guidon::kernel::{Event, Slot};
use guidon_common::CgroupId;
use guidon_tests::InitWatch;

use super::lab::{Group, Lab, alone, is_emulated, options};

const LIVES: usize = 500;
const LIVES_EMULATED: usize = 60;
const AT_ONCE: usize = 6;
/// Beyond what other cgroups have. Far fewer than lives: every slot is used by many.
const SLOTS: u32 = 48;

/// Of this many lives one may lack what the kernel withheld; see [`InitWatch`].
const ONE_IN: usize = 50;

/// What the kernel said of a cgroup just before it was removed.
struct Known {
    id: CgroupId,
    path: String,
    cpu_ns: u64,
    /// What its programs may not have been told of that.
    withheld_ns: u64,
}

/// One after the other, each with a little work that no other has.
fn live(from: usize, lives: usize, done: &mpsc::Sender<Known>) {
    for number in (from..lives).step_by(AT_ONCE) {
        let init = InitWatch::start();
        let group = Group::new("life");
        // Some milliseconds, a different number for each, and a rest.
        let turns = 3_000 + 700 * (number % 17);
        group.shell(&format!(
            "i=0; while [ $i -lt {turns} ]; do i=$((i+1)); done; sleep 0.03"
        ));
        let known = Known {
            id: group.id,
            path: group.path.clone(),
            cpu_ns: group.final_cpu_ns(),
            withheld_ns: match is_emulated() {
                true => 0,
                false => init.withheld().as_nanos() as u64,
            },
        };
        drop(group);
        done.send(known).unwrap();
    }
}

#[test]
fn five_hundred_short_lives_keep_their_own_counts_through_many_owners_of_a_slot() {
    let mut alone = alone();
    let lives = if is_emulated() { LIVES_EMULATED } else { LIVES };
    let others = alone.lab().kernel.cgroups().len() as u32;
    let mut lab = Lab::with(&guidon::kernel::Options {
        slots: Some(others + SLOTS),
        ..options()
    });
    let before = lab.kernel.status();
    let (sender, receiver) = mpsc::channel();
    let drivers: Vec<_> = (0..AT_ONCE)
        .map(|from| {
            let sender = sender.clone();
            thread::spawn(move || live(from, lives, &sender))
        })
        .collect();
    drop(sender);

    let mut slots: HashMap<CgroupId, Slot> = HashMap::new();
    let mut paths: HashMap<CgroupId, String> = HashMap::new();
    let mut finals: HashMap<CgroupId, u64> = HashMap::new();
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut known: Vec<Known> = Vec::new();
    while known.len() < lives || known.iter().any(|life| !finals.contains_key(&life.id)) {
        assert!(
            Instant::now() < deadline,
            "{} lives, {} finals, {:?}",
            known.len(),
            finals.len(),
            lab.kernel.status()
        );
        known.extend(receiver.try_iter());
        assert!(!lab.drain(), "no event is lost");
        for event in lab.seen.drain(..).collect::<Vec<_>>() {
            match event {
                // Other people's cgroups take slots too, if one lets them.
                Event::Born(cgroup) if !cgroup.path.starts_with("/guidon-life") => {
                    lab.kernel.demote(cgroup.id);
                }
                Event::Born(cgroup) => {
                    slots.insert(cgroup.id, cgroup.slot);
                    paths.insert(cgroup.id, cgroup.path);
                }
                Event::Released { id, slot } => {
                    finals.insert(id, lab.counters(slot).cpu_ns);
                    lab.kernel.recycle(slot);
                }
                Event::Removed { .. } => {}
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
    for driver in drivers {
        driver.join().unwrap();
    }

    let mut owners: HashMap<u32, usize> = HashMap::new();
    let mut worst = 0;
    let mut short = Vec::new();
    for life in &known {
        assert_eq!(paths[&life.id], life.path);
        let slot = slots[&life.id];
        assert_ne!(slot, Slot(0), "{} has no slot: {before:?}", life.path);
        *owners.entry(slot.0).or_default() += 1;
        let counted_ns = finals[&life.id];
        let difference = counted_ns.abs_diff(life.cpu_ns);
        if difference <= life.cpu_ns / 1000 + 2_000 {
            worst = worst.max(difference);
            continue;
        }
        assert!(
            counted_ns + life.withheld_ns >= life.cpu_ns && counted_ns <= life.cpu_ns,
            "{}: {counted_ns} ns, the kernel says {} ns and withheld up to {} ns",
            life.path,
            life.cpu_ns,
            life.withheld_ns
        );
        short.push(difference);
    }
    let most = owners.values().max().unwrap();
    eprintln!(
        "{} slots, up to {most} owners each, worst difference {worst} ns, withheld from lives during \
         which init ran: {short:?} ns",
        owners.len()
    );
    assert!(short.len() <= lives / ONE_IN, "too many: {short:?}");
    assert!(*most >= 2, "slots are used again");
    assert_eq!(lab.kernel.status().slot_misses, before.slot_misses);
    // The last ones are still with the keeper.
    thread::sleep(Duration::from_millis(500));
    assert!(
        lab.kernel.status().slots_free + 2 >= before.slots_free,
        "all slots came back"
    );
}
