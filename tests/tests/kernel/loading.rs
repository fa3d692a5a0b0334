//! Loading: what is there already, what happens meanwhile, what it takes.

use std::{
    collections::HashSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use guidon::kernel::{Kernel, Slot};

use super::lab::{Group, Hierarchies, Lab, Worker, alone, options};

/// Programs that may be off, and why.
fn accepted(name: &str, reason: &str) -> bool {
    // A kernel built without a block layer or TCP would be another matter, but there is none here.
    eprintln!("{name} is off: {reason}");
    false
}

#[test]
fn every_program_runs_and_is_accounted_for() {
    let _alone = alone();
    let (kernel, _events) = Kernel::load(&guidon::kernel::Options {
        statistics: true,
        ..options()
    })
    .unwrap();
    thread::sleep(std::time::Duration::from_millis(300));
    let status = kernel.status();
    for program in &status.programs {
        if let Some(reason) = &program.off_because {
            assert!(
                accepted(program.name, reason),
                "{} is off: {reason}",
                program.name
            );
        }
    }
    for name in [
        "cpu_time",
        "run_queue",
        "cgroup_born",
        "packet_in",
        "packet_out",
        "memory_gauges",
    ] {
        assert!(
            status.programs.iter().any(|program| program.name == name),
            "{name}"
        );
    }
    let cpu = status
        .programs
        .iter()
        .find(|program| program.name == "cpu_time")
        .unwrap();
    assert!(cpu.run_count > 0 && cpu.run_ns > 0, "statistics are on");
}

#[test]
fn cgroups_that_exist_are_known_and_counted() {
    let _alone = alone();
    let first = Group::new("exists");
    let second = first.child("below");
    let mut lab = Lab::with(&options());
    let listed = lab.kernel.cgroups();
    let position = |group: &Group| {
        listed
            .iter()
            .position(|known| known.id == group.id)
            .unwrap()
    };
    assert!(position(&first) < position(&second), "parents first");
    let known = &listed[position(&second)];
    assert_eq!((&known.path, known.parent), (&second.path, first.id));
    assert_ne!(known.slot, Slot(0));
    assert_ne!(known.slot, listed[position(&first)].slot);

    second.run("spin 40");
    let counted = lab.settled(known.slot).cpu_ns;
    // It did nothing before.
    assert!(counted.abs_diff(second.cpu_ns()) <= 2_000);
    let id = second.id;
    drop(second);
    assert_eq!(lab.released(id), known.slot);
}

#[test]
fn cgroups_born_and_gone_during_loading_are_neither_missed_nor_doubled() {
    let _alone = alone();
    let stop = Arc::new(AtomicBool::new(false));
    let churn = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            let mut kept = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let group = Group::new("churn");
                // Some stay.
                if rand::random::<u8>() < 64 && kept.len() < 60 {
                    kept.push(group);
                }
            }
            kept
        })
    };
    // Once to have them come and go at every moment of it, once to look.
    drop(Lab::with(&options()));
    let mut lab = Lab::with(&options());
    stop.store(true, Ordering::Relaxed);
    let kept = churn.join().unwrap();
    thread::sleep(std::time::Duration::from_millis(300));
    // One call takes a part of what is there only.
    for _ in 0..20 {
        assert!(!lab.drain(), "no event is lost");
    }
    let listed = lab.kernel.cgroups();
    let ids: HashSet<_> = listed.iter().map(|known| known.id).collect();
    assert_eq!(ids.len(), listed.len(), "none twice");
    for group in &kept {
        assert!(ids.contains(&group.id), "{} is missing", group.path);
    }
    let root = Hierarchies::find().unified;
    for known in &listed {
        let folder = root.join(known.path.trim_start_matches('/'));
        assert!(fs::exists(&folder).unwrap(), "{} is gone", known.path);
    }
    let slots: HashSet<_> = listed
        .iter()
        .map(|known| known.slot)
        .filter(|slot| slot.0 != 0)
        .collect();
    let own = listed
        .iter()
        .filter(|known| !known.inherited && known.slot.0 != 0)
        .count();
    assert_eq!(slots.len(), own, "no slot twice");
}

#[test]
fn three_capabilities_are_enough_and_each_missing_one_is_named() {
    let _alone = alone();
    let check = |capabilities: &str, expected: &str| {
        let mut worker = Worker::start(&format!("load {capabilities}"), &[]);
        assert_eq!(worker.line(), expected, "with {capabilities}");
        worker.finish();
    };
    check("bpf,perfmon,net_admin", "off: ");
    check("bpf,perfmon", "off: packet_in packet_out");
    check("bpf,net_admin", "missing: CAP_PERFMON");
    check("none", "missing: CAP_BPF CAP_PERFMON");
}

#[test]
fn nothing_stays_in_the_kernel_after_dropping() {
    let ids = || -> HashSet<u32> {
        let programs = aya::programs::loaded_programs().filter_map(Result::ok);
        programs.map(|program| program.id()).collect()
    };
    let _alone = alone();
    let before = ids();
    let (kernel, events) = Kernel::load(&options()).unwrap();
    let ours: HashSet<u32> = ids().difference(&before).copied().collect();
    assert!(ours.len() > 10);
    drop(kernel);
    drop(events);
    // The kernel frees programs a moment after their last user went.
    let gone = (0..100).any(|_| {
        thread::sleep(std::time::Duration::from_millis(20));
        ids().is_disjoint(&ours)
    });
    assert!(gone);
}
