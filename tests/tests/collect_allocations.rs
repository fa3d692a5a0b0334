//! A round copies bytes: it does not allocate for samples, series or containers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::alloc::System;

use guidon::signal::series::{Family, MetricType, SeriesId, SeriesTable, Suffix};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn allocations(work: impl FnOnce()) -> usize {
    let region = Region::new(COUNTING);
    work();
    let change = region.change();
    change.allocations + change.reallocations
}

const SERIES: usize = 20_000;

const FAMILY: Family = Family {
    name: "container_cpu_usage_seconds_total",
    help: "CPU time.",
    kind: MetricType::Counter,
};

#[test]
fn a_round_allocates_per_frame_and_not_per_sample() {
    let mut table = SeriesTable::new("node-7".parse().unwrap(), Vec::new());
    let ids: Vec<SeriesId> = (0..SERIES)
        .map(|number| {
            let guid = format!("app-{}", number / 20);
            let name = format!("series-{number}");
            table.intern(&FAMILY, Suffix::None, &[("guid", &guid), ("name", &name)])
        })
        .collect();
    let mut frames = Vec::with_capacity(64);
    let mut round = |at: i64| {
        frames.clear();
        table.begin();
        for (number, &id) in ids.iter().enumerate() {
            assert!(table.set(id, number as f64));
        }
        table.finish(at, &mut frames);
        frames.len() as u64
    };
    // The first two rounds size the buffers.
    round(1);
    round(2);
    let mut made = 0;
    let allocated = allocations(|| made = round(3));
    assert!(made >= 4, "{made} frames");
    // The payload, its reference count, and the counts per guid.
    assert!(
        allocated as u64 <= 4 * made,
        "{allocated} allocations for {made} frames of {SERIES} samples"
    );
}
