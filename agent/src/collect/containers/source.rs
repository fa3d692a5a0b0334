//! The seam to the kernel room: what the collector asks of it, and which of its counters count.

use guidon_common::CgroupId;

use crate::kernel::{Cgroup, Counters, Kernel, Memory, Slot, Status};

/// What is asked of the kernel side; [`Kernel`] in the agent, a model of it in tests.
pub trait Source: Send + Sync + std::fmt::Debug {
    /// See [`Kernel::cgroups`].
    fn cgroups(&self) -> Vec<Cgroup>;
    /// See [`Kernel::read`].
    fn read(&self, slot: Slot, into: &mut Counters);
    /// See [`Kernel::mark_container`].
    fn mark_container(&self, id: CgroupId);
    /// See [`Kernel::demote`].
    fn demote(&self, id: CgroupId);
    /// See [`Kernel::recycle`].
    fn recycle(&self, slot: Slot);
    /// See [`Kernel::memory`].
    fn memory(&self, into: &mut Vec<Memory>);
    /// See [`Kernel::status`].
    fn status(&self) -> Status;
}

impl Source for Kernel {
    fn cgroups(&self) -> Vec<Cgroup> {
        Kernel::cgroups(self)
    }

    fn read(&self, slot: Slot, into: &mut Counters) {
        Kernel::read(self, slot, into);
    }

    fn mark_container(&self, id: CgroupId) {
        Kernel::mark_container(self, id);
    }

    fn demote(&self, id: CgroupId) {
        Kernel::demote(self, id);
    }

    fn recycle(&self, slot: Slot) {
        Kernel::recycle(self, slot);
    }

    fn memory(&self, into: &mut Vec<Memory>) {
        Kernel::memory(self, into);
    }

    fn status(&self) -> Status {
        Kernel::status(self)
    }
}

/// Which counters have their program attached; the others say nothing, not zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Abilities {
    pub(super) cpu: bool,
    pub(super) run_queue: bool,
    pub(super) network: bool,
    pub(super) retransmits: bool,
    pub(super) connections: bool,
    pub(super) block: bool,
    pub(super) oom: bool,
    pub(super) forks: bool,
    pub(super) execs: bool,
    pub(super) exits: bool,
}

impl Abilities {
    pub(super) fn of(status: &Status) -> Self {
        let attached = |name: &str| {
            status
                .programs
                .iter()
                .any(|program| program.name == name && program.off_because.is_none())
        };
        Self {
            cpu: attached("cpu_time"),
            run_queue: attached("run_queue"),
            network: attached("packet_in") && attached("packet_out"),
            retransmits: attached("tcp_retransmit"),
            connections: attached("tcp_state"),
            block: attached("block_done"),
            oom: attached("oom_task") || attached("oom_pid"),
            forks: attached("process_fork"),
            execs: attached("process_exec"),
            exits: attached("process_exit"),
        }
    }
}
