//! The kernel programs one by one: what each needs, loading, attaching, and what became of it.

use std::{fs::File, os::fd::AsFd, path::Path};

use aya::{
    Btf, Ebpf,
    programs::{
        BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, Iter, Program,
        ProgramError, links::LinkError,
    },
};

use super::{KernelError, ProgramStatus, facts::Facts};

/// Where a program is attached.
#[derive(Debug, Clone, Copy)]
enum Hook {
    Tracepoint {
        name: &'static str,
        /// An argument and the struct it must point to, none for a number.
        argument: (usize, Option<&'static str>),
    },
    Packets(CgroupSkbAttachType),
    /// Run on demand over all cgroups.
    Cgroups,
    /// Run once over all tasks.
    Tasks,
}

/// When a program is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The room is nothing without it.
    Essential,
    Always,
    /// With [`super::Options::run_queue`].
    RunQueue,
    /// Only the bench attaches it.
    Bench,
    /// One of two variants for the same tracepoint; the other one's absence is no news.
    Variant,
}

struct Spec {
    name: &'static str,
    hook: Hook,
    wanted: Wanted,
    /// Constants it cannot do without.
    needs: &'static [&'static str],
}

const TASK_ID: [&str; 4] = [
    "OFF_TASK_CGROUPS",
    "OFF_CSS_SET_CGROUP",
    "OFF_CGROUP_NODE",
    "OFF_NODE_ID",
];
const SOCKET_ID: [&str; 3] = ["OFF_SOCK_CGROUP", "OFF_CGROUP_NODE", "OFF_NODE_ID"];
const CGROUP: [&str; 7] = [
    "OFF_CGROUP_NODE",
    "OFF_NODE_ID",
    "OFF_CGROUP_ROOT",
    "OFF_ROOT_HIERARCHY",
    "OFF_CGROUP_PARENT",
    "OFF_CSS_CGROUP",
    "OFF_CGROUP_LEVEL",
];
const RUN_QUEUE: [&str; 9] = [
    "OFF_TASK_CGROUPS",
    "OFF_CSS_SET_CGROUP",
    "OFF_CGROUP_NODE",
    "OFF_NODE_ID",
    "OFF_TASK_PID",
    "OFF_TASK_RUN_DELAY",
    "OFF_TASK_LAST_QUEUED",
    "OFF_TASK_CFS_RQ",
    "OFF_RQ_CLOCK",
];
const TCP_STATE: [&str; 9] = [
    "OFF_SOCK_CGROUP",
    "OFF_CGROUP_NODE",
    "OFF_NODE_ID",
    "OFF_SOCK_PROTOCOL",
    "OFF_SOCK_FAMILY",
    "OFF_SOCK_PORT",
    "OFF_SOCK_ADDRESS4",
    "OFF_SOCK_NET",
    "OFF_NET_INUM",
];
const BLOCK: [&str; 9] = [
    "OFF_REQUEST_BIO",
    "OFF_REQUEST_FLAGS",
    "OFF_REQUEST_BYTES",
    "OFF_REQUEST_START",
    "OFF_BIO_GROUP",
    "OFF_GROUP_BLKCG",
    "OFF_BLKCG_CGROUP",
    "OFF_CGROUP_NODE",
    "OFF_NODE_ID",
];
const MEMORY: [&str; 5] = [
    "MEMORY_CONTROLLER",
    "OFF_CGROUP_SUBSYS",
    "OFF_MEMCG_USAGE",
    "OFF_CGROUP_NODE",
    "OFF_NODE_ID",
];

const fn on(name: &'static str, index: usize, points_to: &'static str) -> Hook {
    Hook::Tracepoint {
        name,
        argument: (index, Some(points_to)),
    }
}

const fn spec(
    name: &'static str,
    hook: Hook,
    wanted: Wanted,
    needs: &'static [&'static str],
) -> Spec {
    Spec {
        name,
        hook,
        wanted,
        needs,
    }
}

/// In the order of attaching: the life of cgroups first, so that none is born unseen while the
/// rest is loaded; its end before its beginning, so that the end of what was seen born is seen.
const SPECS: [Spec; 20] = [
    spec(
        "cgroup_released",
        on("cgroup_release", 0, "cgroup"),
        Wanted::Essential,
        &CGROUP,
    ),
    spec(
        "cgroup_removed",
        on("cgroup_rmdir", 0, "cgroup"),
        Wanted::Essential,
        &CGROUP,
    ),
    spec(
        "cgroup_born",
        on("cgroup_mkdir", 0, "cgroup"),
        Wanted::Essential,
        &CGROUP,
    ),
    spec(
        "cpu_time",
        on("sched_stat_runtime", 0, "task_struct"),
        Wanted::Always,
        &TASK_ID,
    ),
    spec(
        "process_fork",
        on("sched_process_fork", 1, "task_struct"),
        Wanted::Always,
        &TASK_ID,
    ),
    spec(
        "process_exec",
        on("sched_process_exec", 0, "task_struct"),
        Wanted::Always,
        &TASK_ID,
    ),
    spec(
        "process_exit",
        on("sched_process_exit", 0, "task_struct"),
        Wanted::Always,
        &TASK_ID,
    ),
    spec(
        "oom_task",
        on("mark_victim", 0, "task_struct"),
        Wanted::Always,
        &TASK_ID,
    ),
    spec(
        "oom_pid",
        Hook::Tracepoint {
            name: "mark_victim",
            argument: (0, None),
        },
        Wanted::Variant,
        &["OFF_TASK_PID"],
    ),
    spec(
        "run_queue",
        on("sched_switch", 2, "task_struct"),
        Wanted::RunQueue,
        &RUN_QUEUE,
    ),
    spec("seed_tasks", Hook::Tasks, Wanted::RunQueue, &RUN_QUEUE),
    spec(
        "packet_in",
        Hook::Packets(CgroupSkbAttachType::Ingress),
        Wanted::Always,
        &[],
    ),
    spec(
        "packet_out",
        Hook::Packets(CgroupSkbAttachType::Egress),
        Wanted::Always,
        &[],
    ),
    spec(
        "tcp_retransmit",
        on("tcp_retransmit_skb", 0, "sock"),
        Wanted::Always,
        &SOCKET_ID,
    ),
    spec(
        "tcp_state",
        on("inet_sock_set_state", 0, "sock"),
        Wanted::Always,
        &TCP_STATE,
    ),
    spec(
        "block_done",
        on("block_rq_complete", 0, "request"),
        Wanted::Always,
        &BLOCK,
    ),
    spec("memory_gauges", Hook::Cgroups, Wanted::Always, &MEMORY),
    spec(
        "empty_runtime",
        on("sched_stat_runtime", 0, "task_struct"),
        Wanted::Bench,
        &[],
    ),
    spec(
        "empty_switch",
        on("sched_switch", 2, "task_struct"),
        Wanted::Bench,
        &[],
    ),
    spec(
        "empty_packet",
        Hook::Packets(CgroupSkbAttachType::Egress),
        Wanted::Bench,
        &[],
    ),
];

/// What became of a program.
#[derive(Debug)]
struct Outcome {
    name: &'static str,
    off_because: Option<String>,
}

/// The loaded object and what became of its programs.
#[derive(Debug)]
pub(super) struct Programs {
    object: Ebpf,
    outcomes: Vec<Outcome>,
}

/// Names of the tracepoints that any program uses.
pub(super) fn tracepoints() -> Vec<&'static str> {
    SPECS
        .iter()
        .filter_map(|spec| match spec.hook {
            Hook::Tracepoint { name, .. } => Some(name),
            Hook::Packets(_) | Hook::Cgroups | Hook::Tasks => None,
        })
        .collect()
}

impl Programs {
    /// Nothing attached yet.
    pub(super) fn new(object: Ebpf) -> Self {
        Self {
            object,
            outcomes: Vec::new(),
        }
    }

    /// Attaches the programs that the room is nothing without.
    pub(super) fn attach_essential(&mut self, scene: &Scene<'_>) -> Result<(), KernelError> {
        for spec in SPECS.iter().filter(|spec| spec.wanted == Wanted::Essential) {
            let reason = self.attach(spec, scene).err();
            if let Some(reason) = reason {
                return Err(KernelError::Essential {
                    program: spec.name,
                    reason,
                });
            }
            self.outcomes.push(Outcome {
                name: spec.name,
                off_because: None,
            });
        }
        Ok(())
    }

    /// Attaches the rest; a program that cannot run is off, with the reason.
    pub(super) fn attach_counting(&mut self, scene: &Scene<'_>, run_queue: bool) {
        for spec in &SPECS {
            let result = match spec.wanted {
                Wanted::Always | Wanted::Variant => self.attach(spec, scene),
                Wanted::RunQueue if run_queue => self.attach(spec, scene),
                Wanted::RunQueue => Err("switched off by the configuration".to_owned()),
                Wanted::Essential | Wanted::Bench => continue,
            };
            let off_because = result.err();
            if spec.wanted == Wanted::Variant && off_because.is_some() {
                continue;
            }
            // The other variant took its place.
            if spec.wanted == Wanted::Variant {
                self.outcomes.retain(|outcome| outcome.name != "oom_task");
            }
            self.outcomes.push(Outcome {
                name: spec.name,
                off_because,
            });
        }
    }

    /// Attaches the programs that do nothing.
    pub(super) fn attach_empty(&mut self, scene: &Scene<'_>) {
        for spec in SPECS.iter().filter(|spec| spec.wanted == Wanted::Bench) {
            let off_because = self.attach(spec, scene).err();
            self.outcomes.push(Outcome {
                name: spec.name,
                off_because,
            });
        }
    }

    /// The descriptor of a loaded program.
    pub(super) fn descriptor(&self, name: &str) -> Option<std::os::fd::OwnedFd> {
        let program = self.object.program(name)?;
        program.fd().ok()?.as_fd().try_clone_to_owned().ok()
    }

    /// Notes that a program is off after all.
    pub(super) fn turn_off(&mut self, name: &'static str, reason: String) {
        for outcome in self
            .outcomes
            .iter_mut()
            .filter(|outcome| outcome.name == name)
        {
            outcome.off_because = Some(reason.clone());
        }
    }

    /// Whether a program runs.
    pub(super) fn runs(&self, name: &str) -> bool {
        self.outcomes
            .iter()
            .any(|outcome| outcome.name == name && outcome.off_because.is_none())
    }

    /// Every program with its run count and time.
    pub(super) fn status(&self) -> Vec<ProgramStatus> {
        self.outcomes
            .iter()
            .map(|outcome| {
                let info = self
                    .object
                    .program(outcome.name)
                    .filter(|_| outcome.off_because.is_none())
                    .and_then(|program| program.info().ok());
                let run_ns = info.as_ref().map_or(0, |info| {
                    u64::try_from(info.run_time().as_nanos()).unwrap_or(u64::MAX)
                });
                ProgramStatus {
                    name: outcome.name,
                    off_because: outcome.off_because.clone(),
                    run_count: info.as_ref().map_or(0, |info| info.run_count()),
                    run_ns,
                }
            })
            .collect()
    }

    fn attach(&mut self, spec: &Spec, scene: &Scene<'_>) -> Result<(), String> {
        if let Hook::Tracepoint {
            name,
            argument: (index, points_to),
        } = spec.hook
            && let Some(reason) = scene.facts.mismatch(name, index, points_to)
        {
            return Err(reason);
        }
        if let Some(reason) = scene.facts.missing(spec.needs) {
            return Err(reason);
        }
        let program = self
            .object
            .program_mut(spec.name)
            .ok_or_else(|| "the object has no such program".to_owned())?;
        attach(program, spec.hook, scene).map_err(|error| error.reason())
    }
}

/// What attaching needs to know.
pub(super) struct Scene<'a> {
    /// aya's view of the kernel's types.
    pub(super) btf: &'a Btf,
    /// Facts about this kernel.
    pub(super) facts: &'a Facts,
    /// Mount point of cgroup2.
    pub(super) unified: &'a Path,
}

#[derive(Debug, thiserror::Error)]
enum AttachError {
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl AttachError {
    /// In one line: the verifier's log can be thousands, its verdict is the last but one.
    fn reason(&self) -> String {
        if let Self::Program(ProgramError::LoadError {
            io_error,
            verifier_log,
        }) = self
        {
            let log = verifier_log.to_string();
            tracing::debug!(%log, "the verifier's whole log");
            let verdict = log
                .lines()
                .rev()
                .find(|line| !line.is_empty() && !line.starts_with("processed "))
                .unwrap_or_default();
            return format!("the kernel refused it: {io_error}: {verdict}");
        }
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        text
    }
}

fn attach(program: &mut Program, hook: Hook, scene: &Scene<'_>) -> Result<(), AttachError> {
    match hook {
        Hook::Tracepoint { name, .. } => {
            let program: &mut BtfTracePoint = program.try_into()?;
            program.load(name, scene.btf)?;
            program.attach()?;
        }
        Hook::Packets(direction) => {
            let program: &mut CgroupSkb = program.try_into()?;
            program.load()?;
            // Since 5.7 a link never excludes others, and flags that say so are refused.
            program.attach(
                File::open(scene.unified)?,
                direction,
                CgroupAttachMode::Single,
            )?;
        }
        Hook::Cgroups => {
            let program: &mut Iter = program.try_into()?;
            program.load("cgroup", scene.btf)?;
        }
        Hook::Tasks => {
            let program: &mut Iter = program.try_into()?;
            program.load("task", scene.btf)?;
            let link = program.attach()?;
            let mut run = program.take_link(link)?.into_file()?;
            std::io::copy(&mut run, &mut std::io::sink())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_names_are_unique_and_fit_the_kernels_limit() {
        let mut names: Vec<_> = SPECS.iter().map(|spec| spec.name).collect();
        assert!(
            names.iter().all(|name| name.len() < 16),
            "the kernel cuts longer names off"
        );
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SPECS.len());
    }
}
