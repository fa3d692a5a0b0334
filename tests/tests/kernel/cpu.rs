//! CPU time.

use std::{fs, thread, time::Duration};

use guidon_tests::InitWatch;

use super::lab::{Group, alone};

/// A part in a thousand, and the microsecond that the kernel's file is rounded to, twice; and what
/// the kernel withheld from its programs may be missing.
fn assert_equal(what: &str, ours_ns: u64, kernels_ns: u64, withheld: Duration) {
    let allowed = kernels_ns / 1000 + 2_000;
    let missing = allowed + withheld.as_nanos() as u64;
    eprintln!("{what}: {ours_ns} ns, the kernel says {kernels_ns} ns, withheld up to {withheld:?}");
    assert!(
        ours_ns <= kernels_ns + allowed && ours_ns + missing >= kernels_ns,
        "{what}: {ours_ns} is not {kernels_ns}, with {withheld:?} withheld"
    );
}

#[test]
fn cpu_time_is_what_the_kernel_charges_for_every_way_of_working() {
    let mut alone = alone();
    let lab = alone.lab();
    let init = InitWatch::start();
    let works = ["spin 2500", "nap 2500", "pipe 2500", "wait"];
    let groups: Vec<Group> = works.iter().map(|_| Group::new("cpu")).collect();
    let workers: Vec<_> = groups
        .iter()
        .zip(works)
        .map(|(group, work)| group.start(work))
        .collect();
    let joining: Vec<u64> = workers.iter().map(|worker| worker.joining_ns).collect();
    for worker in workers {
        assert!(worker.end());
    }
    thread::sleep(Duration::from_millis(50));
    for ((group, work), joining_ns) in groups.iter().zip(works).zip(joining) {
        let slot = lab.born(group).slot;
        let ours_ns = lab.settled(slot).cpu_ns;
        assert_equal(work, ours_ns, group.cpu_ns(), init.withheld());
        if let Some(folder) = group.legacy("cpuacct") {
            let text = fs::read_to_string(folder.join("cpuacct.usage")).unwrap();
            let legacy_ns: u64 = text.trim().parse().unwrap();
            // The worker joins that hierarchy before cgroup2; a tick may fall between the two.
            let early = Duration::from_nanos(joining_ns + 4_000_000);
            assert_equal(work, ours_ns, legacy_ns, init.withheld() + early);
        }
    }
}

#[test]
fn cpu_time_grows_while_a_task_runs_without_a_switch() {
    let mut alone = alone();
    let lab = alone.lab();
    let group = Group::new("tick");
    let worker = group.start("spin 600");
    let slot = lab.born(&group).slot;
    thread::sleep(Duration::from_millis(100));
    let before = lab.counters(slot).cpu_ns;
    thread::sleep(Duration::from_millis(300));
    let after = lab.counters(slot).cpu_ns;
    worker.finish();
    // Others use this machine too; half of the time is far more than one tick all the same.
    assert!(
        after - before > 30_000_000,
        "{} ns in 300 ms",
        after - before
    );
}
