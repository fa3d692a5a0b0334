//! What the kernel programs must be told about this kernel before they are loaded: offsets of
//! members, shapes of tracepoints, the host's hierarchies. A fact that is missing turns off the
//! programs that need it, each with a reason.

use std::collections::HashMap;

use super::{
    KernelError, Options,
    btf::Btf,
    host::{self, Hierarchies},
};

/// Members by the name of the constant that the programs know their offset by.
const OFFSETS: &[(&str, &str, &str)] = &[
    ("OFF_TASK_CGROUPS", "task_struct", "cgroups"),
    ("OFF_TASK_PID", "task_struct", "pid"),
    ("OFF_TASK_STATE", "task_struct", "__state"),
    ("OFF_TASK_RUN_DELAY", "task_struct", "sched_info.run_delay"),
    (
        "OFF_TASK_LAST_QUEUED",
        "task_struct",
        "sched_info.last_queued",
    ),
    ("OFF_TASK_CFS_RQ", "task_struct", "se.cfs_rq"),
    ("OFF_CFS_RQ_RQ", "cfs_rq", "rq"),
    ("OFF_RQ_CLOCK", "rq", "clock"),
    ("OFF_CSS_SET_CGROUP", "css_set", "dfl_cgrp"),
    ("OFF_CGROUP_NODE", "cgroup", "kn"),
    ("OFF_CGROUP_ROOT", "cgroup", "root"),
    ("OFF_CGROUP_LEVEL", "cgroup", "level"),
    ("OFF_CGROUP_PARENT", "cgroup", "self.parent"),
    ("OFF_CGROUP_SUBSYS", "cgroup", "subsys"),
    ("OFF_CSS_CGROUP", "cgroup_subsys_state", "cgroup"),
    ("OFF_NODE_ID", "kernfs_node", "id"),
    ("OFF_ROOT_HIERARCHY", "cgroup_root", "hierarchy_id"),
    ("OFF_SOCK_CGROUP", "sock", "sk_cgrp_data.cgroup"),
    ("OFF_SOCK_PROTOCOL", "sock", "sk_protocol"),
    ("OFF_SOCK_FAMILY", "sock", "__sk_common.skc_family"),
    ("OFF_SOCK_PORT", "sock", "__sk_common.skc_num"),
    ("OFF_SOCK_ADDRESS4", "sock", "__sk_common.skc_rcv_saddr"),
    ("OFF_SOCK_ADDRESS6", "sock", "__sk_common.skc_v6_rcv_saddr"),
    ("OFF_SOCK_NET", "sock", "__sk_common.skc_net.net"),
    ("OFF_NET_INUM", "net", "ns.inum"),
    ("OFF_REQUEST_BIO", "request", "bio"),
    ("OFF_REQUEST_FLAGS", "request", "cmd_flags"),
    ("OFF_REQUEST_BYTES", "request", "__data_len"),
    ("OFF_REQUEST_START", "request", "io_start_time_ns"),
    ("OFF_BIO_GROUP", "bio", "bi_blkg"),
    ("OFF_GROUP_BLKCG", "blkcg_gq", "blkcg"),
    ("OFF_BLKCG_CGROUP", "blkcg", "css.cgroup"),
    ("OFF_MEMCG_USAGE", "mem_cgroup", "memory.usage"),
    ("OFF_MEMCG_NODES", "mem_cgroup", "nodeinfo"),
    ("OFF_MEMCG_NODE_LRU", "mem_cgroup_per_node", "lru_zone_size"),
];

/// Number of LRU lists the programs know, `NR_LRU_LISTS`.
const LRU_LISTS: u32 = 5;
/// What the memory iterator walks at most.
const MAX_NODES: u32 = 16;
const MAX_ZONES: u32 = 8;

/// The facts.
#[derive(Debug)]
pub(super) struct Facts {
    constants: HashMap<&'static str, u32>,
    tracepoints: HashMap<&'static str, Vec<String>>,
    /// Whether LRU sizes can be summed.
    pub(super) lru: bool,
}

impl Facts {
    /// Finds out everything.
    pub(super) fn gather(
        btf: &Btf,
        hierarchies: &Hierarchies,
        options: &Options,
        cpus: u32,
        tracepoints: &[&'static str],
    ) -> Result<Self, KernelError> {
        let mut constants: HashMap<&'static str, u32> = OFFSETS
            .iter()
            .filter_map(|&(constant, composite, path)| {
                Some((constant, btf.offset(composite, path)?))
            })
            .collect();
        let tracepoints: HashMap<&'static str, Vec<String>> = tracepoints
            .iter()
            .filter_map(|&name| Some((name, btf.tracepoint(name)?)))
            .collect();
        let arguments = |name: &str| tracepoints.get(name).map_or(&[][..], Vec::as_slice);

        constants.insert("CPUS", cpus);
        constants.insert("RUN_QUEUE", options.run_queue.into());
        constants.insert("SWITCH_STATE", (arguments("sched_switch").len() > 3).into());
        let by_pid = arguments("mark_victim")
            .first()
            .is_some_and(String::is_empty);
        constants.insert("OOM_BY_PID", by_pid.into());
        constants.insert("BLOCK_V1", hierarchies.block.is_some().into());
        let number = |hierarchy: &Option<host::Hierarchy>| {
            hierarchy.as_ref().map_or(0, |hierarchy| hierarchy.number)
        };
        constants.insert("BLOCK_HIERARCHY", number(&hierarchies.block));
        constants.insert("MEMORY_HIERARCHY", number(&hierarchies.memory));
        constants.insert("NETWORK_NAMESPACE", host::network_namespace()?);
        constants.insert("IPV6", constants.contains_key("OFF_SOCK_ADDRESS6").into());
        if let Some(index) = btf.enumerator("cgroup_subsys_id", "memory_cgrp_id") {
            constants.insert("MEMORY_CONTROLLER", index);
        }
        // Compilers describe an array of arrays as one long array.
        let sizes: Option<u32> = btf
            .array_lengths("mem_cgroup_per_node", "lru_zone_size")
            .map(|lengths| lengths.into_iter().fold(1, u32::saturating_mul));
        let lists = btf.enumerator("lru_list", "NR_LRU_LISTS");
        let zones = match (sizes, lists) {
            (Some(sizes), Some(LRU_LISTS)) if sizes <= MAX_ZONES * LRU_LISTS => sizes / LRU_LISTS,
            _ => 0,
        };
        let nodes = host::possible_nodes();
        let lru = zones > 0 && nodes <= MAX_NODES && constants.contains_key("OFF_MEMCG_NODES");
        constants.insert("MEMORY_ZONES", zones);
        constants.insert("MEMORY_NODES", if lru { nodes } else { 0 });
        Ok(Self {
            constants,
            tracepoints,
            lru,
        })
    }

    /// Constants for the programs, by name.
    pub(super) fn constants(&self) -> impl Iterator<Item = (&'static str, &u32)> {
        self.constants.iter().map(|(&name, value)| (name, value))
    }

    /// Why a program that needs these constants cannot run.
    pub(super) fn missing(&self, needed: &[&'static str]) -> Option<String> {
        let constant = needed
            .iter()
            .find(|name| !self.constants.contains_key(*name))?;
        Some(match OFFSETS.iter().find(|(name, ..)| name == constant) {
            Some((_, composite, path)) => format!("the kernel has no {composite}.{path}"),
            None => format!("the kernel does not tell {constant}"),
        })
    }

    /// Why a program cannot run on this tracepoint, if its argument `index` must point to a struct
    /// of this name (none: must point to no struct).
    pub(super) fn mismatch(
        &self,
        tracepoint: &'static str,
        index: usize,
        expected: Option<&str>,
    ) -> Option<String> {
        let Some(arguments) = self.tracepoints.get(tracepoint) else {
            return Some(format!("the kernel has no tracepoint {tracepoint}"));
        };
        let found = arguments.get(index).map_or("", String::as_str);
        (found != expected.unwrap_or_default()).then(|| {
            let describe = |name: &str| {
                if name.is_empty() {
                    "a number".to_owned()
                } else {
                    format!("a {name}")
                }
            };
            format!(
                "argument {index} of tracepoint {tracepoint} is {} here, not {}",
                describe(found),
                describe(expected.unwrap_or_default())
            )
        })
    }
}
