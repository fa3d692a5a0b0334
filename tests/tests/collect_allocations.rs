//! A round copies bytes: it does not allocate for samples, series or containers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use guidon::signal::series::{Family, MetricType, SeriesId, SeriesTable, Suffix};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[expect(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: hands every call on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: by contract of this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: by contract of this function; the pointer came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
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
        allocated <= 4 * made,
        "{allocated} allocations for {made} frames of {SERIES} samples"
    );
}
