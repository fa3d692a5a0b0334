//! Forks, executed programs, exits and OOM kills.

use aya_ebpf::{
    bindings::BPF_LOCAL_STORAGE_GET_F_CREATE, macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use guidon_common::TaskCounters;

use crate::{
    globals::{OFF_TASK_PID, OOM_BY_PID, RUN_QUEUE},
    maps::{TASKS, VICTIMS},
    slots::{add_shared, counters, slot_of},
    walk::{id_of_task, load},
};

/// # Safety
/// `task` is a typed pointer to a task.
#[inline(always)]
unsafe fn count(task: *const u8, counter: impl FnOnce(*mut TaskCounters) -> *mut u64) {
    // SAFETY: by contract of this function.
    let id = unsafe { id_of_task(task) };
    if let Some(record) = counters(slot_of(id)) {
        // SAFETY: a map value.
        let group = unsafe { &raw mut (*record).task };
        // SAFETY: as above.
        unsafe { add_shared(counter(group), 1) };
    }
}

/// A task made another one, process or thread. It counts to the parent's cgroup: the child's may
/// not be final yet. The child's storage is made here and not in a scheduler program, because
/// allocating under the run-queue lock could wake the page reclaimer and so deadlock.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn process_fork(context: BtfTracePointContext) -> i32 {
    if RUN_QUEUE.load() != 0 {
        // SAFETY: the second argument is the child.
        unsafe { TASKS.get(context.arg(1), BPF_LOCAL_STORAGE_GET_F_CREATE.into()) };
    }
    // SAFETY: the first argument is the parent; the pointer is valid for the map value.
    unsafe { count(context.arg(0), |group| &raw mut (*group).forks) };
    0
}

/// A task executed a program.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn process_exec(context: BtfTracePointContext) -> i32 {
    // SAFETY: the first argument is the task; the pointer is valid for the map value.
    unsafe { count(context.arg(0), |group| &raw mut (*group).execs) };
    0
}

/// A task, process or thread, goes.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn process_exit(context: BtfTracePointContext) -> i32 {
    let task: *const u8 = context.arg(0);
    // SAFETY: the first argument is the task; the pointer is valid for the map value.
    unsafe { count(task, |group| &raw mut (*group).exits) };
    if OOM_BY_PID.load() != 0 {
        // SAFETY: `task_struct.pid`.
        let pid: u32 = unsafe { load(task, &OFF_TASK_PID) };
        if VICTIMS.get_ptr(pid).is_some() {
            let _ = VICTIMS.remove(pid);
            // SAFETY: as for the exit.
            unsafe { count(task, |group| &raw mut (*group).oom_kills) };
        }
    }
    0
}

/// The OOM killer chose a task (kernels that hand over the task).
#[btf_tracepoint(function = "mark_victim")]
pub fn oom_task(context: BtfTracePointContext) -> i32 {
    // SAFETY: the first argument is the task; the pointer is valid for the map value.
    unsafe { count(context.arg(0), |group| &raw mut (*group).oom_kills) };
    0
}

/// The OOM killer chose a task (kernels that hand over its pid): counted when it exits, because
/// only then its cgroup is at hand.
#[btf_tracepoint(function = "mark_victim")]
pub fn oom_pid(context: BtfTracePointContext) -> i32 {
    let pid: u32 = context.arg(0);
    let _ = VICTIMS.insert(pid, 1, 0);
    0
}
