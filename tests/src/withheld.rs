//! CPU time that a kernel may keep from its programs.
//!
//! The kernel under some hosted machines does not run BPF programs (nor tracepoint events) while the
//! current task belongs to the init process: seen on a 6.18 whose `bpf_trace_run*` return early for
//! thread group 1, so that 24 switches to init's threads were seen and none from them. Whatever the
//! scheduler charges at such a moment is missing from every program's count: not only what init used,
//! also the time of a task of another CPU that is charged because init's CPU wakes or pulls a task.
//! Kernels as distributions build them run all programs; the emulated one that the kernel tests boot
//! is such a kernel, and there every life is counted to the last bit.

use std::fs;
use std::time::Duration;

/// What one charge covers at most: a tick at 250 Hz.
const TICK: Duration = Duration::from_millis(4);

/// Watches whether the init process runs.
#[derive(Debug)]
pub struct InitWatch {
    runs_at_start: u64,
}

impl InitWatch {
    /// From now on.
    #[must_use]
    pub fn start() -> Self {
        Self {
            runs_at_start: runs_of_init(),
        }
    }

    /// CPU time that a program's count may lack because init ran: nothing if it did not.
    #[must_use]
    pub fn withheld(&self) -> Duration {
        match runs_of_init() == self.runs_at_start {
            true => Duration::ZERO,
            false => TICK,
        }
    }
}

/// How often init's threads were given a CPU (`/proc/1/task/*/schedstat`, third number).
fn runs_of_init() -> u64 {
    let threads = fs::read_dir("/proc/1/task").expect("read init's threads");
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().nth(2)?.parse::<u64>().ok())
        .sum()
}
