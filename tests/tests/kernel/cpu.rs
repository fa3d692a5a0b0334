//! CPU time.

use std::{fs, thread, time::Duration};

use super::lab::{Group, alone};

/// A part in a thousand, and the microsecond that the kernel's file is rounded to, twice.
fn assert_equal(what: &str, ours_ns: u64, kernels_ns: u64) {
    let difference = ours_ns.abs_diff(kernels_ns);
    let allowed = kernels_ns / 1000 + 2_000;
    eprintln!("{what}: {ours_ns} ns, the kernel says {kernels_ns} ns");
    assert!(
        difference <= allowed,
        "{what}: {ours_ns} is not {kernels_ns}"
    );
}

#[test]
fn cpu_time_is_what_the_kernel_charges_for_every_way_of_working() {
    let mut alone = alone();
    let lab = alone.lab();
    let works = ["spin 2500", "nap 2500", "pipe 2500", "wait"];
    let groups: Vec<Group> = works.iter().map(|_| Group::new("cpu")).collect();
    let workers: Vec<_> = groups
        .iter()
        .zip(works)
        .map(|(group, work)| group.start(work))
        .collect();
    for worker in workers {
        assert!(worker.end());
    }
    thread::sleep(Duration::from_millis(50));
    for (group, work) in groups.iter().zip(works) {
        let slot = lab.born(group).slot;
        let ours_ns = lab.settled(slot).cpu_ns;
        assert_equal(work, ours_ns, group.cpu_ns());
        if let Some(folder) = group.legacy("cpuacct") {
            let text = fs::read_to_string(folder.join("cpuacct.usage")).unwrap();
            let legacy_ns: u64 = text.trim().parse().unwrap();
            // The worker joined that hierarchy some microseconds before cgroup2.
            let allowed = legacy_ns / 1000 + 1_000_000;
            assert!(
                ours_ns.abs_diff(legacy_ns) <= allowed,
                "{work}: cpuacct says {legacy_ns}"
            );
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
