//! Switches and run-queue delay.
//!
//! The kernel itself keeps when a task was queued (`sched_info.last_queued`) and the sum of its
//! delays (`sched_info.run_delay`, what `/proc/<pid>/schedstat` shows). A delay is what that sum
//! grows by from one time on a CPU to the next, waits that a migration interrupted included; so
//! no program is needed at wakeup and no clock is read.

use aya_ebpf::{
    bindings::BPF_LOCAL_STORAGE_GET_F_CREATE, macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use core::{
    ffi::c_void,
    ptr::{read_volatile, write_volatile},
};
use guidon_common::DELAY_BUCKETS;

use crate::{
    globals::{
        OFF_CFS_RQ_RQ, OFF_RQ_CLOCK, OFF_TASK_CFS_RQ, OFF_TASK_LAST_QUEUED, OFF_TASK_PID,
        OFF_TASK_RUN_DELAY, OFF_TASK_STATE, SWITCH_STATE,
    },
    maps::TASKS,
    slots::{add, counters_on, delays_on, hot_slot_of, this_cpu},
    walk::{id_of_task, iterator_argument, load},
};

/// Runs under the run-queue lock with interrupts off, so plain adds are safe.
#[btf_tracepoint(function = "sched_switch")]
pub fn run_queue(context: BtfTracePointContext) -> i32 {
    let previous: *const u8 = context.arg(1);
    let next: *const u8 = context.arg(2);
    let cpu = this_cpu();
    let mut previous_id = 0;
    let mut previous_slot = 0;
    // SAFETY: `task_struct.pid`; the idle task's is 0.
    if unsafe { load::<u32>(previous, &OFF_TASK_PID) } != 0 {
        // SAFETY: a task.
        previous_id = unsafe { id_of_task(previous) };
        previous_slot = hot_slot_of(cpu, previous_id);
        let state: u32 = if SWITCH_STATE.load() != 0 {
            context.arg(3)
        } else {
            // SAFETY: `task_struct.__state`.
            unsafe { load(previous, &OFF_TASK_STATE) }
        };
        // The kernel's own rule for nvcsw and nivcsw.
        let voluntary = context.arg::<u8>(0) == 0 && state != 0;
        if let Some(record) = counters_on(cpu, previous_slot) {
            // SAFETY: a map value.
            let group = unsafe { &raw mut (*record).task };
            let counter = if voluntary {
                // SAFETY: a map value.
                unsafe { &raw mut (*group).switches_voluntary }
            } else {
                // SAFETY: a map value.
                unsafe { &raw mut (*group).switches_involuntary }
            };
            // SAFETY: a map value.
            unsafe { add(counter, 1) };
        }
    }
    // SAFETY: `task_struct.sched_info.last_queued`, 0 for a task that was not queued (idle).
    let queued: u64 = unsafe { load(next, &OFF_TASK_LAST_QUEUED) };
    if queued == 0 {
        return 0;
    }
    // SAFETY: the third argument is a task with that queueing time.
    let wait_ns = unsafe { wait_of(next, queued) };
    // SAFETY: a task.
    let id = unsafe { id_of_task(next) };
    let slot = if id == previous_id {
        previous_slot
    } else {
        hot_slot_of(cpu, id)
    };
    if let Some(record) = counters_on(cpu, slot) {
        // SAFETY: a map value.
        unsafe { add(&raw mut (*record).task.run_queue_ns, wait_ns) };
    }
    if let Some(record) = delays_on(cpu, slot) {
        let bucket = bucket_of(wait_ns);
        // SAFETY: a map value, and `bucket` is within the array.
        unsafe { add((&raw mut (*record).buckets).cast::<u64>().add(bucket), 1) };
    }
    0
}

/// # Safety
/// `next` is a typed pointer to a task that was queued at `queued` on this CPU's run-queue clock.
#[inline(always)]
unsafe fn wait_of(next: *const u8, queued: u64) -> u64 {
    // SAFETY: `task_struct.se.cfs_rq`, set for tasks of every class.
    let fair: *const u8 = unsafe { load(next, &OFF_TASK_CFS_RQ) };
    // SAFETY: `cfs_rq.rq`.
    let queue: *const u8 = unsafe { load(fair, &OFF_CFS_RQ_RQ) };
    // SAFETY: `rq.clock`; the kernel has just updated it for this switch.
    let now: u64 = unsafe { load(queue, &OFF_RQ_CLOCK) };
    let last_ns = now.wrapping_sub(queued);
    // SAFETY: a task.
    let waited = unsafe { TASKS.get(next, 0) };
    if waited.is_null() {
        return last_ns;
    }
    // SAFETY: `task_struct.sched_info.run_delay`; the kernel adds the last wait after this.
    let before: u64 = unsafe { load(next, &OFF_TASK_RUN_DELAY) };
    let total = before.wrapping_add(last_ns);
    // SAFETY: a map value.
    let known = unsafe { &raw mut (*waited).run_delay };
    // SAFETY: a map value.
    let wait_ns = total.wrapping_sub(unsafe { read_volatile(known) });
    // SAFETY: a map value.
    unsafe { write_volatile(known, total) };
    wait_ns
}

/// The position of the highest bit set; there is no instruction for it.
#[inline(always)]
fn bucket_of(mut value: u64) -> usize {
    let mut bucket = 0;
    if value >> 32 != 0 {
        return DELAY_BUCKETS - 1;
    }
    if value >> 16 != 0 {
        value >>= 16;
        bucket += 16;
    }
    if value >> 8 != 0 {
        value >>= 8;
        bucket += 8;
    }
    if value >> 4 != 0 {
        value >>= 4;
        bucket += 4;
    }
    if value >> 2 != 0 {
        value >>= 2;
        bucket += 2;
    }
    if value >> 1 != 0 {
        bucket += 1;
    }
    // The verifier does not know the sum's bounds otherwise.
    bucket & (DELAY_BUCKETS - 1)
}

/// Run once after attaching: gives tasks that exist already their storage.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub extern "C" fn seed_tasks(context: *mut c_void) -> i32 {
    let task = iterator_argument(context, 1);
    if task.is_null() {
        return 0;
    }
    // SAFETY: the iterator's item is a task.
    let waited = unsafe { TASKS.get(task, BPF_LOCAL_STORAGE_GET_F_CREATE.into()) };
    if !waited.is_null() {
        // SAFETY: `task_struct.sched_info.run_delay`.
        let known: u64 = unsafe { load(task, &OFF_TASK_RUN_DELAY) };
        // SAFETY: a map value.
        unsafe { write_volatile(&raw mut (*waited).run_delay, known) };
    }
    0
}
