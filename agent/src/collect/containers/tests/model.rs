//! Random lives against a naive model of what each container used.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Start(u32),
    Nest(u32),
    Run(u32, u32),
    Stop(u32),
    Lose,
    Round,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..4u32).prop_map(Step::Start),
        1 => (0..4u32).prop_map(Step::Nest),
        4 => (0..4u32, 1..1_000u32).prop_map(|(container, ms)| Step::Run(container, ms)),
        2 => (0..4u32).prop_map(Step::Stop),
        1 => Just(Step::Lose),
        2 => Just(Step::Round),
    ]
}

/// The kernel's view, and what should come out.
#[derive(Default)]
struct Model {
    next_cgroup: u64,
    free: Vec<u32>,
    /// Live cgroups of each container: id, path, slot.
    live: HashMap<u32, Vec<Cgroup>>,
    /// CPU milliseconds since the series began.
    used_ms: HashMap<u32, u64>,
    /// Ended since the latest round.
    ended: Vec<u32>,
    /// Sent in the latest round.
    sent: Vec<u32>,
    pending: Vec<Event>,
}

proptest! {
    #[test]
    fn property_test_totals_equal_what_the_cgroups_used(steps in prop::collection::vec(step(), 1..60)) {
        let mut host = Host::new(true, |_| {});
        let mut model = Model { next_cgroup: 100, free: (1..200).rev().collect(), ..Model::default() };
        for container in 0..4 {
            host.know(container, &format!("app-{container}"));
        }
        for step in steps {
            match step {
                Step::Start(container) => {
                    if !model.live.contains_key(&container) {
                        let path = host.path(container);
                        add(&mut model, container, path);
                    }
                }
                Step::Nest(container) => {
                    if model.live.contains_key(&container) {
                        let path = format!("{}/n{}", host.path(container), model.next_cgroup);
                        add(&mut model, container, path);
                    }
                }
                Step::Run(container, ms) => {
                    if let Some(cgroup) = model.live.get(&container).and_then(|live| live.last()) {
                        host.kernel.run(cgroup.slot.0, u64::from(ms) * 1_000_000);
                        *model.used_ms.entry(container).or_default() += u64::from(ms);
                    }
                }
                Step::Stop(container) => {
                    for cgroup in model.live.remove(&container).into_iter().flatten().rev() {
                        model.pending.push(removed(cgroup.id.0, cgroup.slot.0));
                        model.pending.push(released(cgroup.id.0, cgroup.slot.0));
                        model.ended.push(container);
                    }
                }
                // The ring buffer was full: the kernel side tells what the tree tells, births
                // first, and the agent compares its books with the truth. Counts of a cgroup that
                // came and went unseen would be lost, so that case is told in full.
                Step::Lose => {
                    let stands = |event: &Event| match event {
                        Event::Born(cgroup) => model.live.values().flatten().any(|live| live.id == cgroup.id),
                        _ => true,
                    };
                    if model.pending.iter().all(stands) {
                        model.pending.sort_by_key(|event| match event {
                            Event::Born(_) => 0,
                            Event::Removed { .. } => 1,
                            Event::Released { .. } => 2,
                        });
                    }
                    deliver(&mut host, &mut model);
                    let truth: Vec<Cgroup> = model.live.values().flatten().cloned().collect();
                    host.collector.resync(&truth, host.now_ms);
                    reclaim(&mut host, &mut model);
                }
                Step::Round => {
                    deliver(&mut host, &mut model);
                    let sent = host.round();
                    let mut now_sent = Vec::new();
                    for container in 0..4 {
                        let key = cpu(&format!("app-{container}"));
                        let due = model.live.contains_key(&container) || model.ended.contains(&container);
                        if due {
                            let used = model.used_ms.get(&container).copied().unwrap_or(0);
                            prop_assert!((sent.value(&key) - used as f64 / 1e3).abs() < 1e-9, "{key}");
                            now_sent.push(container);
                        } else if model.sent.contains(&container) {
                            prop_assert!(sent.0[&key].0.is_nan(), "{key} must end");
                        } else {
                            prop_assert!(!sent.0.contains_key(&key), "{key} must not be there");
                        }
                        if !model.live.contains_key(&container) {
                            model.used_ms.remove(&container);
                        }
                    }
                    model.sent = now_sent;
                    model.ended.clear();
                }
            }
        }
        deliver(&mut host, &mut model);
        let live: usize = model.live.values().map(Vec::len).sum();
        prop_assert_eq!(model.free.len() + live, 199, "every slot is in use or free");
    }
}

fn add(model: &mut Model, container: u32, path: String) {
    let slot = model.free.pop().unwrap();
    let cgroup = cgroup(model.next_cgroup, &path, slot);
    model.next_cgroup += 1;
    model.pending.push(Event::Born(cgroup.clone()));
    model.live.entry(container).or_default().push(cgroup);
}

fn deliver(host: &mut Host, model: &mut Model) {
    let events = std::mem::take(&mut model.pending);
    host.events(&events);
    reclaim(host, model);
}

fn reclaim(host: &mut Host, model: &mut Model) {
    model.free.extend(
        host.kernel
            .recycled
            .lock()
            .unwrap()
            .drain(..)
            .map(|slot| slot.0),
    );
}
