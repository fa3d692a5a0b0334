//! Programs that do nothing, to measure what a program costs at all. Only the probe cost bench
//! attaches them.

use aya_ebpf::{
    macros::{btf_tracepoint, cgroup_skb},
    programs::{BtfTracePointContext, SkBuffContext},
};

/// Beside the scheduler programs.
#[btf_tracepoint(function = "sched_stat_runtime")]
pub fn empty_runtime(_context: BtfTracePointContext) -> i32 {
    0
}

/// Beside the run-queue program.
#[btf_tracepoint(function = "sched_switch")]
pub fn empty_switch(_context: BtfTracePointContext) -> i32 {
    0
}

/// Beside the packet programs.
#[cgroup_skb]
pub fn empty_packet(_context: SkBuffContext) -> i32 {
    1
}
