//! Families of the host: node exporter's names, types and meanings.

pub mod keyed;

use super::{Entry, families};

families! {
    /// Families whose names are not the kernel's own keys.
    PLAIN:
    CPU_SECONDS Counter "node_cpu_seconds_total" ["cpu" "mode"] "s"
        "Time each CPU spent in each mode, in seconds." <- "`/proc/stat`" / "";
    CPU_GUEST_SECONDS Counter "node_cpu_guest_seconds_total" ["cpu" "mode"] "s"
        "Time each CPU spent in virtual machines, in seconds." <- "`/proc/stat`" / "";
    CONTEXT_SWITCHES Counter "node_context_switches_total" [] ""
        "Context switches." <- "`/proc/stat`" / "";
    FORKS Counter "node_forks_total" [] ""
        "Processes and threads made." <- "`/proc/stat`" / "";
    INTERRUPTS Counter "node_intr_total" [] ""
        "Interrupts serviced." <- "`/proc/stat`" / "";
    BOOT_TIME Gauge "node_boot_time_seconds" [] "s"
        "Unix time of boot." <- "`/proc/stat`" / "";
    PROCS_RUNNING Gauge "node_procs_running" [] ""
        "Tasks that are runnable." <- "`/proc/stat`" / "";
    PROCS_BLOCKED Gauge "node_procs_blocked" [] ""
        "Tasks that wait for I/O." <- "`/proc/stat`" / "";
    LOAD1 Gauge "node_load1" [] ""
        "Load average over one minute." <- "`/proc/loadavg`" / "";
    LOAD5 Gauge "node_load5" [] ""
        "Load average over five minutes." <- "`/proc/loadavg`" / "";
    LOAD15 Gauge "node_load15" [] ""
        "Load average over fifteen minutes." <- "`/proc/loadavg`" / "";
    DISK_READS Counter "node_disk_reads_completed_total" ["device"] ""
        "Reads completed." <- "`/proc/diskstats`" / "";
    DISK_READS_MERGED Counter "node_disk_reads_merged_total" ["device"] ""
        "Reads merged." <- "`/proc/diskstats`" / "";
    DISK_READ_BYTES Counter "node_disk_read_bytes_total" ["device"] "bytes"
        "Bytes read." <- "`/proc/diskstats`" / "";
    DISK_READ_SECONDS Counter "node_disk_read_time_seconds_total" ["device"] "s"
        "Time spent by all reads, in seconds." <- "`/proc/diskstats`" / "";
    DISK_WRITES Counter "node_disk_writes_completed_total" ["device"] ""
        "Writes completed." <- "`/proc/diskstats`" / "";
    DISK_WRITES_MERGED Counter "node_disk_writes_merged_total" ["device"] ""
        "Writes merged." <- "`/proc/diskstats`" / "";
    DISK_WRITTEN_BYTES Counter "node_disk_written_bytes_total" ["device"] "bytes"
        "Bytes written." <- "`/proc/diskstats`" / "";
    DISK_WRITE_SECONDS Counter "node_disk_write_time_seconds_total" ["device"] "s"
        "Time spent by all writes, in seconds." <- "`/proc/diskstats`" / "";
    DISK_IO_NOW Gauge "node_disk_io_now" ["device"] ""
        "I/Os in progress." <- "`/proc/diskstats`" / "";
    DISK_IO_SECONDS Counter "node_disk_io_time_seconds_total" ["device"] "s"
        "Time with I/O in progress, in seconds." <- "`/proc/diskstats`" / "";
    DISK_IO_WEIGHTED_SECONDS Counter "node_disk_io_time_weighted_seconds_total" ["device"] "s"
        "Time with I/O in progress, weighted by the number of I/Os, in seconds." <- "`/proc/diskstats`" / "";
    DISK_DISCARDS Counter "node_disk_discards_completed_total" ["device"] ""
        "Discards completed." <- "`/proc/diskstats` (kernel 4.18)" / "";
    DISK_DISCARDS_MERGED Counter "node_disk_discards_merged_total" ["device"] ""
        "Discards merged." <- "`/proc/diskstats` (kernel 4.18)" / "";
    DISK_DISCARDED_SECTORS Counter "node_disk_discarded_sectors_total" ["device"] ""
        "Sectors discarded." <- "`/proc/diskstats` (kernel 4.18)" / "";
    DISK_DISCARD_SECONDS Counter "node_disk_discard_time_seconds_total" ["device"] "s"
        "Time spent by all discards, in seconds." <- "`/proc/diskstats` (kernel 4.18)" / "";
    DISK_FLUSHES Counter "node_disk_flush_requests_total" ["device"] ""
        "Flushes completed." <- "`/proc/diskstats` (kernel 5.5)" / "";
    DISK_FLUSH_SECONDS Counter "node_disk_flush_requests_time_seconds_total" ["device"] "s"
        "Time spent by all flushes, in seconds." <- "`/proc/diskstats` (kernel 5.5)" / "";
    FILESYSTEM_SIZE Gauge "node_filesystem_size_bytes" ["device" "fstype" "mountpoint"] "bytes"
        "Size of the file system." <- "`statfs`" / "";
    FILESYSTEM_FREE Gauge "node_filesystem_free_bytes" ["device" "fstype" "mountpoint"] "bytes"
        "Free space of the file system." <- "`statfs`" / "";
    FILESYSTEM_AVAIL Gauge "node_filesystem_avail_bytes" ["device" "fstype" "mountpoint"] "bytes"
        "Free space for users without privileges." <- "`statfs`" / "";
    FILESYSTEM_FILES Gauge "node_filesystem_files" ["device" "fstype" "mountpoint"] ""
        "Inodes of the file system." <- "`statfs`" / "";
    FILESYSTEM_FILES_FREE Gauge "node_filesystem_files_free" ["device" "fstype" "mountpoint"] ""
        "Free inodes of the file system." <- "`statfs`" / "";
    FILESYSTEM_READONLY Gauge "node_filesystem_readonly" ["device" "fstype" "mountpoint"] ""
        "1 if the file system is mounted read-only." <- "`/proc/1/mounts`" / "";
    FILESYSTEM_DEVICE_ERROR Gauge "node_filesystem_device_error" ["device" "fstype" "mountpoint"] ""
        "1 if the file system cannot be asked." <- "`statfs`"
        / "also 1 for a file system that does not answer within a second, until it does";
    NETWORK_RECEIVE_BYTES Counter "node_network_receive_bytes_total" ["device"] "bytes"
        "Bytes received." <- "`/proc/1/net/dev`" / "";
    NETWORK_RECEIVE_PACKETS Counter "node_network_receive_packets_total" ["device"] ""
        "Packets received." <- "`/proc/1/net/dev`" / "";
    NETWORK_RECEIVE_ERRS Counter "node_network_receive_errs_total" ["device"] ""
        "Errors while receiving." <- "`/proc/1/net/dev`" / "";
    NETWORK_RECEIVE_DROP Counter "node_network_receive_drop_total" ["device"] ""
        "Received packets dropped." <- "`/proc/1/net/dev`" / "";
    NETWORK_RECEIVE_FIFO Counter "node_network_receive_fifo_total" ["device"] ""
        "FIFO overruns while receiving." <- "`/proc/1/net/dev`" / "";
    NETWORK_RECEIVE_FRAME Counter "node_network_receive_frame_total" ["device"] ""
        "Framing errors while receiving." <- "`/proc/1/net/dev`" / "";
    NETWORK_RECEIVE_COMPRESSED Counter "node_network_receive_compressed_total" ["device"] ""
        "Compressed packets received." <- "`/proc/1/net/dev`" / "";
    NETWORK_RECEIVE_MULTICAST Counter "node_network_receive_multicast_total" ["device"] ""
        "Multicast packets received." <- "`/proc/1/net/dev`" / "";
    NETWORK_TRANSMIT_BYTES Counter "node_network_transmit_bytes_total" ["device"] "bytes"
        "Bytes sent." <- "`/proc/1/net/dev`" / "";
    NETWORK_TRANSMIT_PACKETS Counter "node_network_transmit_packets_total" ["device"] ""
        "Packets sent." <- "`/proc/1/net/dev`" / "";
    NETWORK_TRANSMIT_ERRS Counter "node_network_transmit_errs_total" ["device"] ""
        "Errors while sending." <- "`/proc/1/net/dev`" / "";
    NETWORK_TRANSMIT_DROP Counter "node_network_transmit_drop_total" ["device"] ""
        "Packets dropped while sending." <- "`/proc/1/net/dev`" / "";
    NETWORK_TRANSMIT_FIFO Counter "node_network_transmit_fifo_total" ["device"] ""
        "FIFO overruns while sending." <- "`/proc/1/net/dev`" / "";
    NETWORK_TRANSMIT_COLLS Counter "node_network_transmit_colls_total" ["device"] ""
        "Collisions while sending." <- "`/proc/1/net/dev`" / "";
    NETWORK_TRANSMIT_CARRIER Counter "node_network_transmit_carrier_total" ["device"] ""
        "Carrier losses while sending." <- "`/proc/1/net/dev`" / "";
    NETWORK_TRANSMIT_COMPRESSED Counter "node_network_transmit_compressed_total" ["device"] ""
        "Compressed packets sent." <- "`/proc/1/net/dev`" / "";
    NETWORK_UP Gauge "node_network_up" ["device"] ""
        "1 if the interface is up." <- "`/sys/class/net/*/operstate`" / "";
    NETWORK_CARRIER Gauge "node_network_carrier" ["device"] ""
        "1 if the interface has a carrier." <- "`/sys/class/net/*/carrier`" / "";
    NETWORK_CARRIER_CHANGES Counter "node_network_carrier_changes_total" ["device"] ""
        "Times the carrier came or went." <- "`/sys/class/net/*/carrier_changes`" / "";
    NETWORK_MTU Gauge "node_network_mtu_bytes" ["device"] "bytes"
        "Largest packet of the interface." <- "`/sys/class/net/*/mtu`" / "";
    NETWORK_SPEED Gauge "node_network_speed_bytes" ["device"] "bytes/s"
        "Speed of the interface; -125000 where the driver says it is unknown." <- "`/sys/class/net/*/speed`" / "";
    PRESSURE_CPU_WAITING Counter "node_pressure_cpu_waiting_seconds_total" [] "s"
        "Time in which some task waited for a CPU, in seconds." <- "`/proc/pressure/cpu`" / "";
    PRESSURE_IO_WAITING Counter "node_pressure_io_waiting_seconds_total" [] "s"
        "Time in which some task waited for I/O, in seconds." <- "`/proc/pressure/io`" / "";
    PRESSURE_IO_STALLED Counter "node_pressure_io_stalled_seconds_total" [] "s"
        "Time in which all tasks waited for I/O, in seconds." <- "`/proc/pressure/io`" / "";
    PRESSURE_MEMORY_WAITING Counter "node_pressure_memory_waiting_seconds_total" [] "s"
        "Time in which some task waited for memory, in seconds." <- "`/proc/pressure/memory`" / "";
    PRESSURE_MEMORY_STALLED Counter "node_pressure_memory_stalled_seconds_total" [] "s"
        "Time in which all tasks waited for memory, in seconds." <- "`/proc/pressure/memory`" / "";
    PRESSURE_IRQ_STALLED Counter "node_pressure_irq_stalled_seconds_total" [] "s"
        "Time in which interrupts kept all tasks from running, in seconds."
        <- "`/proc/pressure/irq` (kernel 6.1)" / "in node exporter since 1.6";
    FILEFD_ALLOCATED Gauge "node_filefd_allocated" [] ""
        "File handles in use." <- "`/proc/sys/fs/file-nr`" / "";
    FILEFD_MAXIMUM Gauge "node_filefd_maximum" [] ""
        "Most file handles allowed." <- "`/proc/sys/fs/file-nr`" / "";
    CONNTRACK_ENTRIES Gauge "node_nf_conntrack_entries" [] ""
        "Connections that are tracked." <- "`/proc/sys/net/netfilter/nf_conntrack_count`" / "";
    CONNTRACK_LIMIT Gauge "node_nf_conntrack_entries_limit" [] ""
        "Most connections that can be tracked." <- "`/proc/sys/net/netfilter/nf_conntrack_max`" / "";
    SCHEDSTAT_RUNNING Counter "node_schedstat_running_seconds_total" ["cpu"] "s"
        "Time tasks ran on the CPU, in seconds." <- "`/proc/schedstat`" / "";
    SCHEDSTAT_WAITING Counter "node_schedstat_waiting_seconds_total" ["cpu"] "s"
        "Time tasks waited for the CPU, in seconds." <- "`/proc/schedstat`" / "";
    SCHEDSTAT_TIMESLICES Counter "node_schedstat_timeslices_total" ["cpu"] ""
        "Timeslices that tasks ran on the CPU." <- "`/proc/schedstat`" / "";
    TIME Gauge "node_time_seconds" [] "s"
        "Unix time of the reading." <- "the agent's clock" / "";
    UNAME Gauge "node_uname_info" ["domainname" "machine" "nodename" "release" "sysname" "version"] ""
        "What uname says; always 1." <- "`uname`" / "";
}

/// All families of the host.
#[must_use]
pub fn entries() -> Vec<Entry> {
    PLAIN.iter().copied().chain(keyed::entries()).collect()
}
