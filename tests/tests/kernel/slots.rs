//! Slots: inheritance, exhaustion, demotion, lost events.

use std::{fs, thread, time::Duration};

use guidon::kernel::{Event, Options, Slot};

use super::lab::{Group, Hierarchies, Lab, alone, options};

#[test]
fn cgroups_below_a_container_count_to_it() {
    let mut alone = alone();
    let lab = alone.lab();
    let container = Group::new("container");
    let own = lab.born(&container);
    let before = container.child("before");
    lab.kernel.mark_container(container.id);
    let child = container.child("child");
    let grandchild = child.child("grandchild");

    let early = lab.born(&before);
    assert!(
        !early.inherited && early.slot != own.slot,
        "made before the mark"
    );
    for group in [&child, &grandchild] {
        let born = lab.born(group);
        assert!(born.inherited, "{}", born.path);
        assert_eq!(born.slot, own.slot, "{}", born.path);
    }
    assert_eq!(lab.born(&child).parent, container.id);

    // The kernel's file sums up what is and was below.
    let check = |lab: &Lab| {
        let counted = lab.settled(own.slot).cpu_ns;
        assert!(counted.abs_diff(container.cpu_ns()) <= 3_000, "{counted}");
        counted
    };
    grandchild.run("spin 50");
    thread::sleep(Duration::from_millis(20));
    let counted = check(lab);

    // A child's end does not end the container's slot.
    let id = grandchild.id;
    drop(grandchild);
    assert_eq!(lab.released(id), own.slot);
    lab.kernel.recycle(own.slot);
    thread::sleep(Duration::from_millis(200));
    assert_eq!(check(lab), counted);
    child.run("spin 30");
    assert!(check(lab) > counted);
}

#[test]
fn cgroups_that_find_no_slot_count_to_the_host_and_are_counted() {
    // Room for what exists, and three more.
    let mut alone = alone();
    let existing = alone.lab().kernel.cgroups().len() as u32;
    let mut lab = Lab::with(&Options {
        slots: Some(existing + 4),
        ..options()
    });
    let free = lab.kernel.status().slots_free;
    let groups: Vec<Group> = (0..free + 2).map(|_| Group::new("many")).collect();
    let slots: Vec<Slot> = groups.iter().map(|group| lab.born(group).slot).collect();
    let without: Vec<usize> = (0..slots.len())
        .filter(|&index| slots[index] == Slot(0))
        .collect();
    assert!(without.len() >= 2, "{slots:?}");
    let status = lab.kernel.status();
    assert_eq!(status.slots_free, 0);
    assert!(status.slot_misses >= 2, "{}", status.slot_misses);

    let host = lab.counters(Slot(0)).cpu_ns;
    groups[without[0]].run("spin 50");
    let done = groups[without[0]].cpu_ns();
    assert!(done > 0 && lab.counters(Slot(0)).cpu_ns >= host + done);

    // Once there is room again, new ones get a slot.
    let with = (0..slots.len())
        .find(|index| !without.contains(index))
        .unwrap();
    let mut groups = groups;
    let gone = groups.remove(with);
    let id = gone.id;
    drop(gone);
    let slot = lab.released(id);
    assert_eq!(slot, slots[with]);
    lab.kernel.recycle(slot);
    thread::sleep(Duration::from_millis(500));
    let next = Group::new("next");
    assert_ne!(lab.born(&next).slot, Slot(0));
}

#[test]
fn a_demoted_cgroup_counts_to_the_host_and_its_slot_is_used_again() {
    let mut alone = alone();
    let existing = alone.lab().kernel.cgroups().len() as u32;
    // Other people's cgroups may take some.
    let mut lab = Lab::with(&Options {
        slots: Some(existing + 16),
        ..options()
    });
    let group = Group::new("mere-parent");
    let slot = lab.born(&group).slot;
    group.run("spin 30");
    assert!(lab.settled(slot).cpu_ns > 0);
    lab.kernel.demote(group.id);
    thread::sleep(Duration::from_millis(500));
    assert_eq!(
        lab.counters(slot).cpu_ns,
        0,
        "the pool's slots read as zero"
    );
    let (host, before) = (lab.counters(Slot(0)).cpu_ns, group.cpu_ns());
    group.run("spin 30");
    let done = group.cpu_ns() - before;
    assert!(done > 0 && lab.counters(Slot(0)).cpu_ns >= host + done);
    assert_eq!(lab.counters(slot).cpu_ns, 0);
    let listed = lab.kernel.cgroups();
    assert!(
        listed
            .iter()
            .any(|known| known.id == group.id && known.slot == Slot(0))
    );

    let pool = lab.kernel.status().slots_free;
    let heirs: Vec<Group> = (0..=pool).map(|_| Group::new("heir")).collect();
    assert!(
        heirs.iter().any(|heir| lab.born(heir).slot == slot),
        "somebody gets it"
    );
    let id = group.id;
    drop(group);
    assert_eq!(lab.released(id), Slot(0));
}

#[test]
fn the_tree_is_the_truth_after_lost_events() {
    let mut alone = alone();
    let lab = alone.lab();
    thread::sleep(Duration::from_millis(200));
    let free = lab.kernel.status().slots_free;
    let stays = Group::new("stays");
    let goes = Group::new("goes");
    let goes_slot = lab.born(&goes).slot;
    let goes_id = goes.id;

    // More than the ring holds, and nobody listens.
    let root = Hierarchies::find().unified;
    for number in 0..4000 {
        let folder = root.join(format!("guidon-flood-{number}"));
        fs::create_dir(&folder).unwrap();
        fs::remove_dir(&folder).unwrap();
    }
    drop(goes);
    let late = Group::new("late");
    thread::sleep(Duration::from_millis(300));

    let mut lost = false;
    for _ in 0..50 {
        lost |= lab.drain();
        for event in lab.seen.clone() {
            if let Event::Released { slot, .. } = event {
                lab.kernel.recycle(slot);
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert!(lost, "the ring is too big for this test");
    assert!(lab.kernel.status().events_lost > 0);
    assert_eq!(lab.released(goes_id), goes_slot);
    let listed: Vec<_> = lab
        .kernel
        .cgroups()
        .into_iter()
        .map(|known| known.id)
        .collect();
    assert!(listed.contains(&stays.id) && listed.contains(&late.id));
    assert!(!listed.contains(&goes_id));
    assert!(
        lab.kernel
            .cgroups()
            .iter()
            .all(|known| !known.path.contains("flood"))
    );
    // Two of ours are alive; other people's cgroups may come and go.
    let missing = free.saturating_sub(lab.kernel.status().slots_free);
    assert!(missing <= 6, "{missing} slots did not come back");
}
