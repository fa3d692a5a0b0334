//! Constants that the agent sets before it loads the programs. They live in a frozen map, so the
//! verifier treats them as known numbers and removes branches that they rule out.

use aya_ebpf::Global;

macro_rules! globals {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $($(#[$doc])* #[unsafe(no_mangle)] pub static $name: Global<u32> = Global::new(0);)+
    };
}

globals! {
    /// Possible CPUs: the highest CPU number plus one.
    CPUS,
    /// Whether run-queue delays are measured.
    RUN_QUEUE,
    /// Whether `sched_switch` has the previous task's state as fourth argument (5.18).
    SWITCH_STATE,
    /// Whether `mark_victim` has a pid: then the kill is counted when the victim exits.
    OOM_BY_PID,
    /// Whether block I/O is charged to a cgroup v1 hierarchy.
    BLOCK_V1,
    /// Number of the cgroup v1 hierarchy of the blkio controller, 0 without.
    BLOCK_HIERARCHY,
    /// Number of the cgroup v1 hierarchy of the memory controller, 0 without.
    MEMORY_HIERARCHY,
    /// Inode number of the agent's network namespace.
    NETWORK_NAMESPACE,
    /// Index of the memory controller in a cgroup's controller array.
    MEMORY_CONTROLLER,
    /// NUMA nodes to sum LRU sizes over, 0 when they are not kept.
    MEMORY_NODES,
    /// Memory zones to sum LRU sizes over.
    MEMORY_ZONES,
    /// Whether sockets can have IPv6 addresses.
    IPV6,

    OFF_TASK_CGROUPS,
    OFF_TASK_PID,
    OFF_TASK_STATE,
    OFF_TASK_RUN_DELAY,
    OFF_TASK_LAST_QUEUED,
    OFF_TASK_CFS_RQ,
    OFF_CFS_RQ_RQ,
    OFF_RQ_CLOCK,
    OFF_CSS_SET_CGROUP,
    OFF_CGROUP_NODE,
    OFF_CGROUP_ROOT,
    OFF_CGROUP_LEVEL,
    OFF_CGROUP_PARENT,
    OFF_CGROUP_SUBSYS,
    OFF_CSS_CGROUP,
    OFF_NODE_ID,
    OFF_ROOT_HIERARCHY,
    OFF_SOCK_CGROUP,
    OFF_SOCK_PROTOCOL,
    OFF_SOCK_FAMILY,
    OFF_SOCK_PORT,
    OFF_SOCK_ADDRESS4,
    OFF_SOCK_ADDRESS6,
    OFF_SOCK_NET,
    OFF_NET_INUM,
    OFF_REQUEST_BIO,
    OFF_REQUEST_FLAGS,
    OFF_REQUEST_BYTES,
    OFF_REQUEST_START,
    OFF_BIO_GROUP,
    OFF_GROUP_BLKCG,
    OFF_BLKCG_CGROUP,
    OFF_MEMCG_USAGE,
    OFF_MEMCG_NODES,
    OFF_MEMCG_NODE_LRU,
}
