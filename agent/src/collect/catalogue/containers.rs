//! Families of containers: cAdvisor's, and in the same style what only the kernel programs know.

use super::families;

families! {
    /// All families of containers.
    ENTRIES:
    CPU_USAGE Counter "container_cpu_usage_seconds_total" ["cpu"] "s"
        "CPU time consumed, in seconds."
        <- "kernel program at `sched_stat_runtime`, based on `cpu.stat` or `cpuacct.usage` at attach; else those files"
        / "only `cpu=\"total\"`";
    CPU_USER Counter "container_cpu_user_seconds_total" [] "s"
        "CPU time consumed in user mode, in seconds."
        <- "`cpu.stat` of cgroup2, else `cpuacct.usage_user`" / "";
    CPU_SYSTEM Counter "container_cpu_system_seconds_total" [] "s"
        "CPU time consumed in the kernel, in seconds."
        <- "`cpu.stat` of cgroup2, else `cpuacct.usage_sys`" / "";
    CPU_PERIODS Counter "container_cpu_cfs_periods_total" [] ""
        "Enforcement periods of the CPU quota that have elapsed."
        <- "`cpu.stat`" / "only while a quota is set, as cAdvisor does";
    CPU_THROTTLED_PERIODS Counter "container_cpu_cfs_throttled_periods_total" [] ""
        "Enforcement periods in which the container was throttled."
        <- "`cpu.stat`" / "only while a quota is set";
    CPU_THROTTLED_SECONDS Counter "container_cpu_cfs_throttled_seconds_total" [] "s"
        "Time the container was throttled, in seconds."
        <- "`cpu.stat`" / "only while a quota is set";
    RUN_QUEUE Histogram "container_cpu_run_queue_seconds" ["le"] "s"
        "Time tasks were ready to run and waited for a CPU."
        <- "kernel program at `sched_switch`"
        / "not in cAdvisor; every second of the program's log2 buckets; a wait of exactly a bound counts to the next bucket";
    SWITCHES Counter "container_context_switches_total" ["type"] ""
        "Times a task left a CPU, of its own will (voluntary) or not (involuntary)."
        <- "kernel program at `sched_switch`" / "not in cAdvisor";
    FORKS Counter "container_forks_total" [] ""
        "Tasks made."
        <- "kernel program at `sched_process_fork`" / "not in cAdvisor";
    EXECS Counter "container_execs_total" [] ""
        "Programs started."
        <- "kernel program at `sched_process_exec`" / "not in cAdvisor";
    EXITS Counter "container_exits_total" [] ""
        "Tasks ended."
        <- "kernel program at `sched_process_exit`" / "not in cAdvisor";
    MEMORY_USAGE Gauge "container_memory_usage_bytes" [] "bytes"
        "Memory in use, page cache included."
        <- "cgroup iterator program; else `memory.current` or `memory.usage_in_bytes`" / "";
    MEMORY_WORKING_SET Gauge "container_memory_working_set_bytes" [] "bytes"
        "Memory in use without inactive page cache."
        <- "usage less `inactive_file` (v1 `total_inactive_file`) of `memory.stat`, or of the cgroup iterator program" / "";
    MEMORY_RSS Gauge "container_memory_rss" [] "bytes"
        "Anonymous memory."
        <- "`memory.stat`: `anon`, v1 `total_rss`" / "";
    MEMORY_CACHE Gauge "container_memory_cache" [] "bytes"
        "Page cache."
        <- "`memory.stat`: `file`, v1 `total_cache`" / "";
    MEMORY_SWAP Gauge "container_memory_swap" [] "bytes"
        "Swap in use."
        <- "`memory.swap.current`, v1 `total_swap` of `memory.stat`" / "";
    MEMORY_MAPPED Gauge "container_memory_mapped_file" [] "bytes"
        "Mapped page cache."
        <- "`memory.stat`: `file_mapped`, v1 `total_mapped_file`" / "";
    MEMORY_MAX_USAGE Gauge "container_memory_max_usage_bytes" [] "bytes"
        "Most memory that was in use."
        <- "`memory.peak` (kernel 5.19), v1 `memory.max_usage_in_bytes`" / "";
    MEMORY_FAILCNT Untyped "container_memory_failcnt" [] ""
        "Times the memory limit was hit."
        <- "`memory.failcnt` of v1, `max` of `memory.events`"
        / "declared untyped: as a counter, which cAdvisor says it is, its name breaks the naming rule that `promtool check metrics` holds";
    MEMORY_FAILURES Counter "container_memory_failures_total" ["failure_type" "scope"] ""
        "Page faults and major page faults, of the cgroup alone (container) or with those below it (hierarchy)."
        <- "`memory.stat`: `pgfault`, `pgmajfault`" / "";
    OOM_EVENTS Counter "container_oom_events_total" [] ""
        "Tasks killed for lack of memory."
        <- "kernel program at `mark_victim`, based on the file at attach; else `oom_kill` of `memory.events`, v1 `memory.oom_control`"
        / "cAdvisor reads the kernel log";
    RECEIVE_BYTES Counter "container_network_receive_bytes_total" ["interface"] "bytes"
        "Bytes received."
        <- "`/proc/<pid>/net/dev` of the container's network namespace; without `interface`: kernel program at the container's sockets"
        / "short-lived containers, those in the host's network, and those whose namespace cannot be read have one series without `interface`, with the socket counts of `container_network_socket_*`";
    RECEIVE_PACKETS Counter "container_network_receive_packets_total" ["interface"] ""
        "Packets received."
        <- "as `container_network_receive_bytes_total`" / "as there";
    RECEIVE_ERRORS Counter "container_network_receive_errors_total" ["interface"] ""
        "Errors while receiving."
        <- "`/proc/<pid>/net/dev`" / "";
    RECEIVE_DROPPED Counter "container_network_receive_packets_dropped_total" ["interface"] ""
        "Packets dropped while receiving."
        <- "`/proc/<pid>/net/dev`" / "";
    TRANSMIT_BYTES Counter "container_network_transmit_bytes_total" ["interface"] "bytes"
        "Bytes sent."
        <- "as `container_network_receive_bytes_total`" / "as there";
    TRANSMIT_PACKETS Counter "container_network_transmit_packets_total" ["interface"] ""
        "Packets sent."
        <- "as `container_network_receive_bytes_total`" / "as there";
    TRANSMIT_ERRORS Counter "container_network_transmit_errors_total" ["interface"] ""
        "Errors while sending."
        <- "`/proc/<pid>/net/dev`" / "";
    TRANSMIT_DROPPED Counter "container_network_transmit_packets_dropped_total" ["interface"] ""
        "Packets dropped while sending."
        <- "`/proc/<pid>/net/dev`" / "";
    SOCKET_RECEIVE_BYTES Counter "container_network_socket_receive_bytes_total" [] "bytes"
        "Bytes received by the container's sockets, from the IP header on."
        <- "kernel program `cgroup_skb` ingress"
        / "not in cAdvisor; against the interface: no Ethernet headers, loopback counts, packets without a socket (forwarded, refused, ARP) do not";
    SOCKET_RECEIVE_PACKETS Counter "container_network_socket_receive_packets_total" [] ""
        "Packets received by the container's sockets."
        <- "kernel program `cgroup_skb` ingress" / "not in cAdvisor; merged segments count one by one";
    SOCKET_TRANSMIT_BYTES Counter "container_network_socket_transmit_bytes_total" [] "bytes"
        "Bytes sent by the container's sockets, from the IP header on."
        <- "kernel program `cgroup_skb` egress" / "not in cAdvisor; as for received ones; a segmented send counts its headers once";
    SOCKET_TRANSMIT_PACKETS Counter "container_network_socket_transmit_packets_total" [] ""
        "Packets sent by the container's sockets."
        <- "kernel program `cgroup_skb` egress" / "not in cAdvisor; segments count one by one";
    TCP_RETRANSMITS Counter "container_network_tcp_retransmits_total" [] ""
        "TCP segments sent again."
        <- "kernel program at `tcp_retransmit_skb`" / "not in cAdvisor";
    TCP_CONNECTS Counter "container_network_tcp_connects_total" [] ""
        "TCP connections made to others."
        <- "kernel program at `inet_sock_set_state`" / "not in cAdvisor";
    TCP_ACCEPTS Counter "container_network_tcp_accepts_total" [] ""
        "TCP connections taken from others."
        <- "kernel program at `inet_sock_set_state`" / "not in cAdvisor";
    TCP_FAILURES Counter "container_network_tcp_failures_total" [] ""
        "TCP connections that were tried and not made."
        <- "kernel program at `inet_sock_set_state`" / "not in cAdvisor";
    FS_READS_BYTES Counter "container_fs_reads_bytes_total" ["device"] "bytes"
        "Bytes read from block devices."
        <- "kernel program at `block_rq_complete`; else `io.stat`, v1 `blkio.throttle.io_service_bytes_recursive`"
        / "from the kernel program without `device`, over all devices";
    FS_WRITES_BYTES Counter "container_fs_writes_bytes_total" ["device"] "bytes"
        "Bytes written to block devices, later write-back included."
        <- "as `container_fs_reads_bytes_total`" / "as there";
    FS_READS Counter "container_fs_reads_total" ["device"] ""
        "Reads from block devices that completed."
        <- "kernel program; else `io.stat`, v1 `blkio.throttle.io_serviced_recursive`" / "as `container_fs_reads_bytes_total`";
    FS_WRITES Counter "container_fs_writes_total" ["device"] ""
        "Writes to block devices that completed."
        <- "as `container_fs_reads_total`" / "as there";
    FS_READ_SECONDS Counter "container_fs_read_seconds_total" [] "s"
        "Time reads took at block devices, added up."
        <- "kernel program at `block_rq_complete`" / "from issue to completion; no `device`";
    FS_WRITE_SECONDS Counter "container_fs_write_seconds_total" [] "s"
        "Time writes took at block devices, added up."
        <- "kernel program at `block_rq_complete`" / "from issue to completion; no `device`";
    BLKIO_USAGE Counter "container_blkio_device_usage_total" ["device" "major" "minor" "operation"] "bytes"
        "Bytes moved per block device and operation (Read, Write)."
        <- "`io.stat`, v1 `blkio.throttle.io_service_bytes_recursive`" / "only the operations Read and Write";
    PROCESSES Gauge "container_processes" [] ""
        "Processes."
        <- "`cgroup.procs` of the container's cgroup and those below it" / "";
    THREADS Gauge "container_threads" [] ""
        "Tasks (threads)."
        <- "`pids.current`" / "";
    THREADS_MAX Gauge "container_threads_max" [] ""
        "Most tasks allowed; 0 = no limit."
        <- "`pids.max`" / "";
    PRESSURE_CPU_WAITING Counter "container_pressure_cpu_waiting_seconds_total" [] "s"
        "Time in which some task waited for a CPU."
        <- "`cpu.pressure` some" / "";
    PRESSURE_CPU_STALLED Counter "container_pressure_cpu_stalled_seconds_total" [] "s"
        "Time in which no task could run for want of a CPU."
        <- "`cpu.pressure` full (kernel 5.13)" / "";
    PRESSURE_MEMORY_WAITING Counter "container_pressure_memory_waiting_seconds_total" [] "s"
        "Time in which some task waited for memory."
        <- "`memory.pressure` some" / "";
    PRESSURE_MEMORY_STALLED Counter "container_pressure_memory_stalled_seconds_total" [] "s"
        "Time in which all tasks waited for memory."
        <- "`memory.pressure` full" / "";
    PRESSURE_IO_WAITING Counter "container_pressure_io_waiting_seconds_total" [] "s"
        "Time in which some task waited for I/O."
        <- "`io.pressure` some" / "";
    PRESSURE_IO_STALLED Counter "container_pressure_io_stalled_seconds_total" [] "s"
        "Time in which all tasks waited for I/O."
        <- "`io.pressure` full" / "";
    START_TIME Gauge "container_start_time_seconds" [] "s"
        "Unix time of the container's latest start."
        <- "the runtime; else the birth of the cgroup" / "cAdvisor: the time of creation";
    LAST_SEEN Gauge "container_last_seen" [] "s"
        "Unix time the container was last alive."
        <- "the agent's clock" / "of a gone container: the time of its death";
    SPEC_CPU_PERIOD Gauge "container_spec_cpu_period" [] "us"
        "Enforcement period of the CPU quota, in microseconds."
        <- "`cpu.max`, v1 `cpu.cfs_period_us`" / "";
    SPEC_CPU_QUOTA Gauge "container_spec_cpu_quota" [] "us"
        "CPU time allowed per period, in microseconds."
        <- "`cpu.max`, v1 `cpu.cfs_quota_us`" / "only while a quota is set";
    SPEC_CPU_SHARES Gauge "container_spec_cpu_shares" [] ""
        "Relative CPU weight, in shares."
        <- "`cpu.shares` of v1; `cpu.weight` turned into shares" / "";
    SPEC_MEMORY_LIMIT Gauge "container_spec_memory_limit_bytes" [] "bytes"
        "Memory limit; 0 = none."
        <- "`memory.max`, v1 `memory.limit_in_bytes`" / "";
    SPEC_MEMORY_RESERVATION Gauge "container_spec_memory_reservation_limit_bytes" [] "bytes"
        "Memory that is kept for the container; 0 = none."
        <- "`memory.min`, v1 `memory.soft_limit_in_bytes`" / "";
    SPEC_MEMORY_SWAP_LIMIT Gauge "container_spec_memory_swap_limit_bytes" [] "bytes"
        "Swap limit; 0 = none."
        <- "`memory.swap.max`, v1 `memory.memsw.limit_in_bytes`" / "";
}
