//! CPU time: exactly what the kernel charges, at the moment it does.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{
    slots::{add, counters_on, hot_slot_of, this_cpu},
    walk::id_of_task,
};

/// Every charge of run time to a task of the fair class, tick included. Runs under the run-queue
/// lock with interrupts off, so a plain add is safe.
#[btf_tracepoint(function = "sched_stat_runtime")]
pub fn cpu_time(context: BtfTracePointContext) -> i32 {
    let task: *const u8 = context.arg(0);
    let runtime_ns: u64 = context.arg(1);
    // SAFETY: the tracepoint's first argument is a task.
    let id = unsafe { id_of_task(task) };
    let cpu = this_cpu();
    if let Some(record) = counters_on(cpu, hot_slot_of(cpu, id)) {
        // SAFETY: a map value.
        unsafe { add(&raw mut (*record).task.cpu_ns, runtime_ns) };
    }
    0
}
