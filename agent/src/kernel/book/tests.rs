#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use guidon_common::CgroupId;

use super::{Book, RELEASE_WAIT, Twins};
use crate::kernel::{Cgroup, Slot};

fn cgroup(id: u64, slot: u32, inherited: bool) -> Cgroup {
    Cgroup {
        id: CgroupId(id),
        parent: CgroupId(1),
        path: format!("/c{id}"),
        slot: Slot(slot),
        inherited,
    }
}

fn enter(book: &mut Book, id: u64, slot: u32, inherited: bool) -> bool {
    book.enter(cgroup(id, slot, inherited), Twins::default())
}

#[test]
fn a_slot_goes_round_once_and_only_in_order() {
    let mut book = Book::new(4);
    let now = Instant::now();
    assert!(enter(&mut book, 10, 1, false));
    assert!(!book.recycle(Slot(1)), "still counting");
    assert_eq!(book.remove(CgroupId(10), now), Some(Slot(1)));
    assert!(!book.recycle(Slot(1)), "not released");
    assert_eq!(book.release(CgroupId(10)).unwrap().cgroup.slot, Slot(1));
    assert!(book.recycle(Slot(1)));
    assert!(!book.recycle(Slot(1)), "the keeper has it");
    book.free(Slot(1));
    assert!(!book.recycle(Slot(1)), "in the pool");
    assert!(enter(&mut book, 11, 1, false));
    assert!(!book.recycle(Slot(1)), "somebody else's now");
}

#[test]
fn births_and_removals_told_twice_are_taken_once() {
    let mut book = Book::new(4);
    let now = Instant::now();
    assert!(enter(&mut book, 10, 1, false));
    assert!(!enter(&mut book, 10, 1, false));
    assert!(book.remove(CgroupId(10), now).is_some());
    assert!(book.remove(CgroupId(10), now).is_none());
    assert!(book.release(CgroupId(10)).is_some());
    assert!(book.release(CgroupId(10)).is_none());
    assert!(book.remove(CgroupId(99), now).is_none());
}

#[test]
fn an_inherited_slot_stays_with_its_owner() {
    let mut book = Book::new(4);
    assert!(enter(&mut book, 10, 1, false));
    assert!(enter(&mut book, 11, 1, true));
    assert_eq!(book.release(CgroupId(11)).unwrap().cgroup.slot, Slot(1));
    assert!(!book.recycle(Slot(1)));
    book.release(CgroupId(10));
    assert!(book.recycle(Slot(1)));
}

#[test]
fn demoting_takes_the_slot_from_all_that_use_it_once() {
    let mut book = Book::new(4);
    enter(&mut book, 10, 1, false);
    enter(&mut book, 11, 1, true);
    enter(&mut book, 12, 2, false);
    assert!(book.demote(CgroupId(11)).is_none(), "not its own");
    let (slot, mut users) = book.demote(CgroupId(10)).unwrap();
    users.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(slot, Slot(1));
    assert_eq!(
        users.iter().map(|(id, _)| id.0).collect::<Vec<_>>(),
        [10, 11]
    );
    assert!(book.demote(CgroupId(10)).is_none());
    assert!(
        book.cgroups()
            .iter()
            .all(|known| known.slot == Slot(0) || known.id.0 == 12)
    );
    book.release(CgroupId(10));
    assert!(!book.recycle(Slot(1)), "the keeper has it");
}

#[test]
fn the_hosts_slot_never_changes_hands() {
    let mut book = Book::new(4);
    enter(&mut book, 10, 0, false);
    assert!(book.demote(CgroupId(10)).is_none());
    book.release(CgroupId(10));
    assert!(!book.recycle(Slot(0)));
    assert!(!book.recycle(Slot(77)), "no such slot");
}

#[test]
fn removed_cgroups_that_are_not_released_become_overdue() {
    let mut book = Book::new(4);
    let start = Instant::now();
    enter(&mut book, 10, 1, false);
    enter(&mut book, 11, 2, false);
    assert_eq!(book.next_overdue(), None);
    book.remove(CgroupId(10), start);
    book.remove(CgroupId(11), start + Duration::from_secs(1));
    assert_eq!(book.next_overdue(), Some(start + RELEASE_WAIT));
    book.release(CgroupId(10));
    assert!(
        book.overdue(start + RELEASE_WAIT).is_empty(),
        "the one is released, the other recent"
    );
    let later = start + Duration::from_secs(1) + RELEASE_WAIT;
    assert_eq!(book.overdue(later), [CgroupId(11)]);
    assert!(book.overdue(later).is_empty());
}

#[test]
fn twins_join_by_path_and_follow_the_newest_owner_of_it() {
    let mut book = Book::new(4);
    enter(&mut book, 10, 1, false);
    let memory = |id| move |twins: &mut Twins| twins.memory = Some(CgroupId(id));
    let (slot, _) = book.join_twin("/c10", memory(500)).unwrap();
    assert_eq!(slot, Slot(1));
    assert_eq!(book.by_memory_id(CgroupId(500)), Some(CgroupId(10)));
    assert!(book.join_twin("/other", memory(501)).is_none());
    // The same path again before the removal of the old one was told.
    let mut again = cgroup(20, 2, false);
    again.path = "/c10".to_owned();
    assert!(book.enter(again, Twins::default()));
    book.remove(CgroupId(10), Instant::now());
    assert_eq!(book.join_twin("/c10", memory(502)).unwrap().0, Slot(2));
    book.release(CgroupId(10));
    assert_eq!(book.by_memory_id(CgroupId(500)), None);
    assert_eq!(book.by_memory_id(CgroupId(502)), Some(CgroupId(20)));
}

#[test]
fn cgroups_are_listed_parents_first_without_removed_ones() {
    let mut book = Book::new(4);
    for (id, path) in [(3, "/a/b"), (2, "/a"), (4, "/a/b/c")] {
        let mut entry = cgroup(id, 0, false);
        entry.path = path.to_owned();
        book.enter(entry, Twins::default());
    }
    book.remove(CgroupId(4), Instant::now());
    let paths: Vec<String> = book.cgroups().into_iter().map(|known| known.path).collect();
    assert_eq!(paths, ["/a", "/a/b"]);
    assert_eq!(book.dying(), [CgroupId(4)]);
    assert_eq!(book.present().len(), 2);
}
