//! Memory gauges and OOM kills.

use std::{fs, path::Path};

use guidon::kernel::Memory;

use super::lab::{Group, Lab, alone};

fn number(path: &Path) -> u64 {
    fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

/// The group's folder in the memory controller's hierarchy, and the file of its usage.
fn usage_file(group: &Group) -> std::path::PathBuf {
    match group.legacy("memory") {
        Some(folder) => folder.join("memory.usage_in_bytes"),
        None => group.unified().join("memory.current"),
    }
}

fn gauge(lab: &Lab, group: &Group) -> Option<Memory> {
    let mut gauges = Vec::new();
    lab.kernel.memory(&mut gauges);
    gauges
        .into_iter()
        .find(|gauge| lab.kernel.of_memory(gauge.id) == Some(group.id))
}

#[test]
fn memory_is_what_the_kernels_file_says_to_the_page() {
    let mut alone = alone();
    let lab = alone.lab();
    let group = Group::new("memory");
    lab.born(&group);
    let mut worker = group.start("hold 20");
    assert_eq!(worker.line(), "held");
    // The worker rests, but a file and the iterator cannot be read at the same instant.
    let equal = (0..50).any(|_| {
        let before = number(&usage_file(&group));
        let gauge = gauge(lab, &group).expect("a gauge");
        let after = number(&usage_file(&group));
        before == after && gauge.usage_bytes == before
    });
    assert!(
        equal,
        "{:?} is not {}",
        gauge(lab, &group),
        number(&usage_file(&group))
    );
    let gauge = gauge(lab, &group).unwrap();
    assert!(gauge.usage_bytes >= 20 << 20);
    if let Some(lru) = gauge.lru {
        let folder = usage_file(&group);
        let stat = fs::read_to_string(folder.parent().unwrap().join("memory.stat")).unwrap();
        let field = |name: &str| -> u64 {
            let value = stat.lines().find_map(|line| line.strip_prefix(name));
            value.unwrap().trim().parse().unwrap()
        };
        assert_eq!(lru.inactive_anon, field("inactive_anon "));
        assert_eq!(lru.active_anon, field("active_anon "));
        assert_eq!(lru.inactive_file, field("inactive_file "));
        assert_eq!(lru.active_file, field("active_file "));
        assert_eq!(lru.unevictable, field("unevictable "));
        assert!(lru.inactive_anon + lru.active_anon >= 19 << 20);
    }
    worker.go();
    worker.finish();
}

#[test]
fn every_live_memory_cgroup_has_one_gauge() {
    let mut alone = alone();
    let lab = alone.lab();
    let groups: Vec<Group> = (0..40).map(|_| Group::new("gauge")).collect();
    for group in &groups {
        lab.born(group);
    }
    // Removed cgroups leave holes in the kernel's iteration.
    let mut groups = groups;
    for index in [35, 20, 5, 4, 3] {
        groups.remove(index);
    }
    let mut gauges = Vec::new();
    lab.kernel.memory(&mut gauges);
    for group in &groups {
        let count = gauges
            .iter()
            .filter(|gauge| lab.kernel.of_memory(gauge.id) == Some(group.id))
            .count();
        assert_eq!(count, 1, "{}", group.path);
    }
    let first = gauges.len();
    lab.kernel.memory(&mut gauges);
    assert!(gauges.len().abs_diff(first) < 5, "gauges do not pile up");
}

#[test]
fn an_oom_kill_counts_to_its_victim() {
    let mut alone = alone();
    let lab = alone.lab();
    let group = Group::new("oom");
    let slot = lab.born(&group).slot;
    match group.legacy("memory") {
        Some(folder) => fs::write(folder.join("memory.limit_in_bytes"), "40M").unwrap(),
        None => {
            fs::write(group.unified().join("memory.max"), "40M").unwrap();
            fs::write(group.unified().join("memory.swap.max"), "0").unwrap_or_default();
        }
    }
    assert!(!group.start("hold 200").end(), "it is killed");
    assert_eq!(lab.settled(slot).oom_kills, 1);
}
