//! Births and deaths, and who counts to whom.

use super::*;
use crate::kernel::RUN_QUEUE_BUCKETS;

#[test]
fn a_container_counts_under_its_guid_and_others_are_demoted() {
    let mut host = Host::new(true, |_| {});
    let path = host.know(1, "app-1");
    host.events(&[
        born(10, "/docker", 1),
        born(11, &path, 2),
        born(12, "/system.slice", 3),
    ]);
    assert_eq!(*host.kernel.marked.lock().unwrap(), [CgroupId(11)]);
    assert_eq!(
        *host.kernel.demoted.lock().unwrap(),
        [CgroupId(10), CgroupId(12)]
    );
    host.kernel.run(2, 1_500_000_000);
    let sent = host.round();
    assert_eq!(sent.value(&cpu("app-1")), 1.5);
    assert_eq!(sent.at(&cpu("app-1")), host.now_ms);
    assert_eq!(
        sent.value("container_start_time_seconds{guid=app-1}"),
        1_000.0
    );
    assert_eq!(sent.value("container_last_seen{guid=app-1}"), 1_010.0);
    let text = host.look();
    let labels = format!("{{guid=\"app-1\",id=\"{path}\",image=\"demo\",name=\"app-1\"}}");
    assert!(
        text.contains(&format!("\ncontainer_forks_total{labels} 0\n")),
        "{text}"
    );
}

#[test]
fn a_foreign_container_has_no_guid_label() {
    let mut host = Host::new(true, |_| {});
    let path = host.know(1, "");
    host.events(&[born(11, &path, 2)]);
    host.kernel.run(2, 1_000_000_000);
    assert_eq!(
        host.round()
            .value("container_cpu_usage_seconds_total{cpu=total}"),
        1.0
    );
    assert!(host.look().contains("name=\"foreign\""));
}

#[test]
fn cgroups_below_a_container_count_to_it_living_and_dead() {
    let mut host = Host::new(true, |_| {});
    let path = host.know(1, "app-1");
    let mut inherited = cgroup(13, &format!("{path}/late"), 2);
    inherited.inherited = true;
    host.events(&[
        born(11, &path, 2),
        born(12, &format!("{path}/early"), 3),
        Event::Born(inherited),
    ]);
    host.kernel.run(2, 1_000_000_000);
    host.kernel.run(3, 2_000_000_000);
    assert_eq!(host.round().value(&cpu("app-1")), 3.0);
    host.kernel.run(3, 500_000_000);
    host.events(&[
        removed(12, 3),
        removed(13, 2),
        released(13, 2),
        released(12, 3),
    ]);
    assert_eq!(
        *host.kernel.recycled.lock().unwrap(),
        [Slot(3)],
        "the inherited slot is in use"
    );
    host.kernel.run(3, 9_000_000_000);
    assert_eq!(
        host.round().value(&cpu("app-1")),
        3.5,
        "slot 3 is somebody else's now"
    );
}

#[test]
fn a_container_that_lived_between_two_rounds_has_one_final_sample_and_then_ends() {
    let mut host = Host::new(true, |_| {});
    host.round();
    let path = host.know(1, "app-1");
    host.events(&[born(11, &path, 2)]);
    host.kernel.run(2, 12_345_678);
    host.now_ms += 50;
    let death = host.now_ms;
    host.events(&[removed(11, 2), released(11, 2)]);
    assert_eq!(*host.kernel.recycled.lock().unwrap(), [Slot(2)]);
    assert!(
        host.look().contains("0.012345678"),
        "a look shows it and uses nothing up"
    );
    let sent = host.round();
    assert_eq!(sent.value(&cpu("app-1")), 0.012345678);
    assert_eq!(sent.at(&cpu("app-1")), death);
    assert_eq!(
        sent.value("container_last_seen{guid=app-1}"),
        death as f64 / 1e3
    );
    assert_eq!(
        sent.value("container_network_receive_bytes_total{guid=app-1}"),
        0.0
    );
    assert!(sent.0.keys().all(|key| key.contains("guid=app-1")));
    assert!(host.collector.is_empty());
    assert!(host.round().all_ended());
    assert!(host.round().0.is_empty());
}

#[test]
fn a_final_sample_is_never_older_than_one_sent_before() {
    let mut host = Host::new(true, |_| {});
    let path = host.know(1, "app-1");
    host.events(&[born(11, &path, 2)]);
    host.round();
    let sent_at = host.now_ms;
    // The clock stepped back before the death.
    host.collector
        .on_events(&[removed(11, 2), released(11, 2)], sent_at - 5_000);
    let sent = host.round();
    assert_eq!(sent.at(&cpu("app-1")), host.now_ms);
}

#[test]
fn a_removed_cgroup_that_is_not_released_is_sent_twice_at_most() {
    let mut host = Host::new(true, |_| {});
    let path = host.know(1, "app-1");
    host.events(&[born(11, &path, 2)]);
    host.kernel.run(2, 1_000_000_000);
    host.events(&[removed(11, 2)]);
    assert!(host.round().has(&cpu("app-1")));
    assert!(host.round().has(&cpu("app-1")));
    assert!(host.round().all_ended());
    assert!(host.kernel.recycled.lock().unwrap().is_empty());
    host.events(&[released(11, 2)]);
    assert_eq!(
        *host.kernel.recycled.lock().unwrap(),
        [Slot(2)],
        "the slot comes back all the same"
    );
    assert!(host.round().0.is_empty());
}

#[test]
fn a_reused_slot_does_not_carry_counts_over() {
    let mut host = Host::new(true, |_| {});
    let first = host.know(1, "app-1");
    let second = host.know(2, "app-2");
    host.events(&[born(11, &first, 2)]);
    host.kernel.run(2, 7_000_000_000);
    host.events(&[removed(11, 2), released(11, 2), born(12, &second, 2)]);
    host.kernel.run(2, 1_000_000_000);
    let sent = host.round();
    assert_eq!(sent.value(&cpu("app-1")), 7.0);
    assert_eq!(sent.value(&cpu("app-2")), 1.0);
}

#[test]
fn a_container_restarted_between_rounds_goes_on() {
    let mut host = Host::new(true, |_| {});
    let path = host.know(1, "app-1");
    host.events(&[born(11, &path, 2)]);
    host.kernel.run(2, 2_000_000_000);
    host.round();
    host.events(&[removed(11, 2), released(11, 2), born(21, &path, 5)]);
    host.kernel.run(5, 1_000_000_000);
    let sent = host.round();
    assert_eq!(sent.value(&cpu("app-1")), 3.0);
    assert_eq!(sent.at(&cpu("app-1")), host.now_ms);
    assert!(
        sent.0.values().all(|(value, _)| !value.is_nan()),
        "no series ended"
    );
}

#[test]
fn a_container_that_nobody_knows_is_held_back_and_then_has_its_id_alone() {
    let mut host = Host::new(true, |_| {});
    let path = host.path(1);
    host.events(&[born(11, &path, 2)]);
    host.kernel.run(2, 1_000_000_000);
    assert!(host.round().0.is_empty());
    assert!(host.round().0.is_empty());
    assert_eq!(
        host.round()
            .value("container_cpu_usage_seconds_total{cpu=total}"),
        1.0
    );
    assert!(!host.look().contains("name="));
    // Known after all: the nameless series end, others begin.
    host.know(1, "app-1");
    let sent = host.round();
    assert_eq!(sent.value(&cpu("app-1")), 1.0);
    assert!(
        sent.0["container_cpu_usage_seconds_total{cpu=total}"]
            .0
            .is_nan()
    );
}

#[test]
fn a_short_lived_container_that_is_known_late_still_gets_its_guid() {
    let mut host = Host::new(true, |_| {});
    let path = host.path(1);
    host.events(&[born(11, &path, 2), removed(11, 2), released(11, 2)]);
    assert!(host.round().0.is_empty());
    host.know(1, "app-1");
    assert!(host.round().has(&cpu("app-1")));
    assert!(host.round().all_ended());
}

#[test]
fn a_renamed_container_ends_the_series_of_its_old_name() {
    let mut host = Host::new(true, |_| {});
    let path = host.know(1, "app-1");
    host.events(&[born(11, &path, 2)]);
    host.round();
    host.directory.update(&container_id(1), |container| {
        container.name = "other".into()
    });
    host.now_ms += 10_000;
    host.collector
        .pass(&mut host.table, host.now_ms, Purpose::Round);
    let text = host.table.text(Format::Prometheus);
    assert!(
        text.contains("name=\"other\"") && !text.contains("name=\"app-1\""),
        "{text}"
    );
    let mut frames = Vec::new();
    host.table.finish(host.now_ms, &mut frames);
    let records: u64 = frames.iter().map(crate::signal::Frame::records).sum();
    assert_eq!(records % 2, 0, "each new series and the end of the old one");
}

#[test]
fn after_lost_events_the_books_follow_the_truth() {
    let mut host = Host::new(true, |_| {});
    let paths = [1, 2, 3].map(|number| host.know(number, &format!("app-{number}")));
    host.events(&[born(11, &paths[0], 2), born(12, &paths[1], 3)]);
    host.kernel.run(2, 1_000_000_000);
    host.kernel.run(3, 2_000_000_000);
    host.kernel.run(4, 3_000_000_000);
    let truth = [cgroup(12, &paths[1], 3), cgroup(13, &paths[2], 4)];
    host.collector.resync(&truth, host.now_ms);
    assert!(
        host.kernel.recycled.lock().unwrap().is_empty(),
        "it may still count"
    );
    host.events(&[born(13, &paths[2], 4), released(11, 2)]);
    assert_eq!(*host.kernel.recycled.lock().unwrap(), [Slot(2)]);
    let sent = host.round();
    assert_eq!(
        sent.value(&cpu("app-1")),
        1.0,
        "its end was lost, its counts were not"
    );
    assert_eq!(sent.value(&cpu("app-2")), 2.0);
    assert_eq!(sent.value(&cpu("app-3")), 3.0, "told twice, counted once");
    let sent = host.round();
    assert!(sent.0[&cpu("app-1")].0.is_nan());
    assert!(sent.has(&cpu("app-2")));
}

#[test]
fn a_restart_whose_events_come_out_of_order_does_not_end_the_container() {
    let mut host = Host::new(true, |_| {});
    let path = host.know(1, "app-1");
    host.events(&[born(11, &path, 2)]);
    host.kernel.run(2, 1_000_000_000);
    host.events(&[born(12, &path, 3), removed(11, 2)]);
    host.kernel.run(3, 1_000_000_000);
    assert_eq!(host.round().value(&cpu("app-1")), 2.0);
    host.events(&[released(11, 2)]);
    for _ in 0..4 {
        assert_eq!(host.round().value(&cpu("app-1")), 2.0);
    }
    host.events(&[removed(12, 3), released(12, 3)]);
    assert!(host.round().has(&cpu("app-1")));
    assert!(host.round().all_ended());
}

#[test]
fn a_cgroup_without_a_slot_has_no_counters_of_slot_zero() {
    let mut host = Host::new(true, |_| {});
    let path = host.know(1, "app-1");
    host.kernel.run(0, 99_000_000_000);
    host.events(&[born(11, &path, 0)]);
    let sent = host.round();
    assert!(!sent.has(&cpu("app-1")));
    assert!(sent.has("container_last_seen{guid=app-1}"));
    host.events(&[removed(11, 0), released(11, 0)]);
    assert!(host.kernel.recycled.lock().unwrap().is_empty());
    assert!(host.round().all_ended());
}

#[test]
fn run_queue_buckets_are_cumulative_and_add_up() {
    let mut host = Host::new(true, |_| {});
    let path = host.know(1, "app-1");
    host.events(&[born(11, &path, 2)]);
    let mut counters = Counters {
        run_queue_ns: 3_000_000_000,
        ..Counters::default()
    };
    for (at, bucket) in counters.run_queue_buckets.iter_mut().enumerate() {
        *bucket = at as u64 + 1;
    }
    host.kernel.slots.lock().unwrap().insert(Slot(2), counters);
    let sent = host.round();
    let bucket = |le: &str| {
        sent.value(&format!(
            "container_cpu_run_queue_seconds_bucket{{guid=app-1,le={le}}}"
        ))
    };
    // Below 1024 ns: program buckets 0 to 9, that is 1 + 2 + … + 10.
    assert_eq!(bucket("0.000001024"), 55.0);
    assert_eq!(bucket("0.000004096"), 55.0 + 11.0 + 12.0);
    assert_eq!(bucket("1.073741824"), (1..=30).sum::<u64>() as f64);
    let all = (1..=RUN_QUEUE_BUCKETS as u64).sum::<u64>() as f64;
    assert_eq!(bucket("+Inf"), all);
    assert_eq!(
        sent.value("container_cpu_run_queue_seconds_count{guid=app-1}"),
        all
    );
    assert_eq!(
        sent.value("container_cpu_run_queue_seconds_sum{guid=app-1}"),
        3.0
    );
}

#[test]
fn the_live_table_has_rates_by_guid() {
    let mut host = Host::new(true, |_| {});
    let paths = [host.know(1, "app-1"), host.know(2, "app-1")];
    host.events(&[born(11, &paths[0], 2), born(12, &paths[1], 3)]);
    host.collector
        .pass(&mut host.table, 1_000_000, Purpose::Round);
    assert!(host.collector.rows()[0].cpu.is_none(), "no interval yet");
    host.kernel.run(2, 5_000_000_000);
    host.kernel.run(3, 10_000_000_000);
    host.collector
        .pass(&mut host.table, 1_005_000, Purpose::Look);
    host.collector
        .pass(&mut host.table, 1_010_000, Purpose::Round);
    let rows = host.collector.rows();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].guid.as_ref().unwrap().as_str(), "app-1");
    assert_eq!((rows[0].containers, rows[0].cpu), (2, Some(1.5)));
}
