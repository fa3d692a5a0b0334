//! Forks, programs, exits, switches, run-queue delay.

use guidon::kernel::Options;

use super::lab::{Group, Lab, alone, options};

#[test]
fn tasks_and_programs_are_counted() {
    let mut alone = alone();
    let lab = alone.lab();
    let group = Group::new("tasks");
    group.run("run 10");
    let slot = lab.born(&group).slot;
    let counted = lab.settled(slot);
    assert_eq!(counted.execs, 10);
    assert_eq!(counted.forks, 10);
    // The worker, which was made outside, ends inside: a thread, or two with the test harness's.
    assert!((11..=12).contains(&counted.exits), "{}", counted.exits);
}

#[test]
fn switches_and_delays_are_the_kernels_own() {
    let mut alone = alone();
    let lab = alone.lab();
    let group = Group::new("delay");
    // Somebody to wait for, on each CPU.
    let rivals = Group::new("rivals");
    let noise: Vec<_> = (0..4).map(|_| rivals.start("spin 1800")).collect();
    let mut worker = group.start("rested 1500");
    let slot = lab.born(&group).slot;
    let said: Vec<u64> = worker
        .line()
        .split(' ')
        .map(|word| word.parse().unwrap())
        .collect();
    let counted = lab.settled(slot);
    eprintln!("{counted:?}, the kernel says {said:?}");
    let [delay_ns, voluntary, involuntary] = said[..] else {
        panic!("{said:?}");
    };
    // What the worker does before and after its own look is ours alone.
    assert!(
        counted.run_queue_ns >= delay_ns,
        "{} < {delay_ns}",
        counted.run_queue_ns
    );
    let beyond = counted.run_queue_ns - delay_ns;
    let allowed = delay_ns / 10 + 60_000_000;
    assert!(beyond <= allowed, "{beyond} more than {delay_ns}");
    let switches = counted.switches_voluntary;
    assert!(
        (voluntary..=voluntary + 60).contains(&switches),
        "{switches}, not {voluntary}"
    );
    let switches = counted.switches_involuntary;
    assert!(
        (involuntary..=involuntary + 60).contains(&switches),
        "{switches}, not {involuntary}"
    );
    let waits: u64 = counted.run_queue_buckets.iter().sum();
    let all = counted.switches_voluntary + counted.switches_involuntary;
    // A task that is woken before it has left its CPU was never queued.
    assert!(
        waits <= all + 2 && waits + all / 20 + 5 >= all,
        "{waits} waits, {all} switches"
    );
    // The histogram and the sum are about the same waits.
    let least: u64 = (1..32).map(|i| counted.run_queue_buckets[i] << i).sum();
    assert!(
        least <= counted.run_queue_ns,
        "{least} > {}",
        counted.run_queue_ns
    );
    let most: u64 = (0..32)
        .map(|i| counted.run_queue_buckets[i] << (i + 1))
        .sum();
    assert!(
        most >= counted.run_queue_ns,
        "{most} < {}",
        counted.run_queue_ns
    );
    worker.go();
    worker.finish();
    for rival in noise {
        rival.finish();
    }
}

#[test]
fn switches_are_not_watched_unless_asked_for() {
    let _alone = alone();
    let mut lab = Lab::with(&Options {
        run_queue: false,
        ..options()
    });
    let group = Group::new("off");
    group.run("nap 100");
    let slot = lab.born(&group).slot;
    let counted = lab.settled(slot);
    assert!(counted.cpu_ns > 0);
    assert_eq!(counted.switches_voluntary + counted.run_queue_ns, 0);
    assert_eq!(counted.run_queue_buckets.iter().sum::<u64>(), 0);
    let status = lab.kernel.status();
    let off = status
        .programs
        .iter()
        .find(|program| program.name == "run_queue")
        .unwrap();
    assert_eq!(
        off.off_because.as_deref(),
        Some("switched off by the configuration")
    );
}
