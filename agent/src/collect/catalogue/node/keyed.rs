//! Families that are named after the kernel's own keys: one per key that is known.

use crate::collect::catalogue::Entry;
use crate::signal::series::{Family, MetricType};

/// Families by the key that the kernel's file has for them.
pub type Keyed = &'static [(&'static str, Family)];

macro_rules! keyed {
    ($(#[$doc:meta])* $list:ident: $kind:ident $prefix:literal $suffix:literal $help:literal [$($key:literal = $name:literal)*]) => {
        $(#[$doc])*
        pub static $list: Keyed = &[$(
            ($key, Family {
                name: concat!($prefix, $name, $suffix),
                help: concat!($help, $key, "."),
                kind: MetricType::$kind,
            }),
        )*];
    };
}

keyed! {
    /// `/proc/meminfo`, lines in kB.
    MEMINFO: Gauge "node_memory_" "_bytes" "Memory information: " [
        "MemTotal" = "MemTotal" "MemFree" = "MemFree" "MemAvailable" = "MemAvailable"
        "Buffers" = "Buffers" "Cached" = "Cached" "SwapCached" = "SwapCached"
        "Active" = "Active" "Inactive" = "Inactive" "Active(anon)" = "Active_anon"
        "Inactive(anon)" = "Inactive_anon" "Active(file)" = "Active_file"
        "Inactive(file)" = "Inactive_file" "Unevictable" = "Unevictable" "Mlocked" = "Mlocked"
        "HighTotal" = "HighTotal" "HighFree" = "HighFree" "LowTotal" = "LowTotal"
        "LowFree" = "LowFree" "MmapCopy" = "MmapCopy" "SwapTotal" = "SwapTotal"
        "SwapFree" = "SwapFree" "Zswap" = "Zswap" "Zswapped" = "Zswapped" "Dirty" = "Dirty"
        "Writeback" = "Writeback" "AnonPages" = "AnonPages" "Mapped" = "Mapped" "Shmem" = "Shmem"
        "KReclaimable" = "KReclaimable" "Slab" = "Slab" "SReclaimable" = "SReclaimable"
        "SUnreclaim" = "SUnreclaim" "KernelStack" = "KernelStack"
        "ShadowCallStack" = "ShadowCallStack" "PageTables" = "PageTables"
        "SecPageTables" = "SecPageTables" "NFS_Unstable" = "NFS_Unstable" "Bounce" = "Bounce"
        "WritebackTmp" = "WritebackTmp" "CommitLimit" = "CommitLimit"
        "Committed_AS" = "Committed_AS" "VmallocTotal" = "VmallocTotal"
        "VmallocUsed" = "VmallocUsed" "VmallocChunk" = "VmallocChunk" "Percpu" = "Percpu"
        "EarlyMemtestBad" = "EarlyMemtestBad" "HardwareCorrupted" = "HardwareCorrupted"
        "AnonHugePages" = "AnonHugePages" "ShmemHugePages" = "ShmemHugePages"
        "ShmemPmdMapped" = "ShmemPmdMapped" "FileHugePages" = "FileHugePages"
        "FilePmdMapped" = "FilePmdMapped" "CmaTotal" = "CmaTotal" "CmaFree" = "CmaFree"
        "Unaccepted" = "Unaccepted" "Balloon" = "Balloon" "GPUActive" = "GPUActive"
        "GPUReclaim" = "GPUReclaim" "Hugepagesize" = "Hugepagesize" "Hugetlb" = "Hugetlb"
        "DirectMap4k" = "DirectMap4k" "DirectMap2M" = "DirectMap2M" "DirectMap4M" = "DirectMap4M"
        "DirectMap1G" = "DirectMap1G"
    ]
}

keyed! {
    /// `/proc/meminfo`, lines without a unit.
    MEMINFO_COUNTS: Gauge "node_memory_" "" "Memory information: " [
        "HugePages_Total" = "HugePages_Total" "HugePages_Free" = "HugePages_Free"
        "HugePages_Rsvd" = "HugePages_Rsvd" "HugePages_Surp" = "HugePages_Surp"
    ]
}

keyed! {
    /// `/proc/vmstat`: what node exporter shows of it by default.
    VMSTAT: Untyped "node_vmstat_" "" "Virtual memory statistics: " [
        "oom_kill" = "oom_kill" "pgpgin" = "pgpgin" "pgpgout" = "pgpgout" "pswpin" = "pswpin"
        "pswpout" = "pswpout" "pgfault" = "pgfault" "pgmajfault" = "pgmajfault"
    ]
}

keyed! {
    /// `/proc/net/netstat`, `snmp` and `snmp6`, as protocol and field: what node exporter shows of
    /// them by default.
    NETSTAT: Untyped "node_netstat_" "" "Network statistics: " [
        "Ip_Forwarding" = "Ip_Forwarding" "IpExt_InOctets" = "IpExt_InOctets"
        "IpExt_OutOctets" = "IpExt_OutOctets" "Ip6_InOctets" = "Ip6_InOctets"
        "Ip6_OutOctets" = "Ip6_OutOctets" "Icmp_InErrors" = "Icmp_InErrors"
        "Icmp_InMsgs" = "Icmp_InMsgs" "Icmp_OutMsgs" = "Icmp_OutMsgs"
        "Icmp6_InErrors" = "Icmp6_InErrors" "Icmp6_InMsgs" = "Icmp6_InMsgs"
        "Icmp6_OutMsgs" = "Icmp6_OutMsgs" "TcpExt_ListenDrops" = "TcpExt_ListenDrops"
        "TcpExt_ListenOverflows" = "TcpExt_ListenOverflows"
        "TcpExt_SyncookiesFailed" = "TcpExt_SyncookiesFailed"
        "TcpExt_SyncookiesRecv" = "TcpExt_SyncookiesRecv"
        "TcpExt_SyncookiesSent" = "TcpExt_SyncookiesSent"
        "TcpExt_TCPSynRetrans" = "TcpExt_TCPSynRetrans" "TcpExt_TCPTimeouts" = "TcpExt_TCPTimeouts"
        "Tcp_ActiveOpens" = "Tcp_ActiveOpens" "Tcp_PassiveOpens" = "Tcp_PassiveOpens"
        "Tcp_CurrEstab" = "Tcp_CurrEstab" "Tcp_InErrs" = "Tcp_InErrs" "Tcp_InSegs" = "Tcp_InSegs"
        "Tcp_OutRsts" = "Tcp_OutRsts" "Tcp_OutSegs" = "Tcp_OutSegs"
        "Tcp_RetransSegs" = "Tcp_RetransSegs" "Udp_InDatagrams" = "Udp_InDatagrams"
        "Udp_InErrors" = "Udp_InErrors" "Udp_NoPorts" = "Udp_NoPorts"
        "Udp_OutDatagrams" = "Udp_OutDatagrams" "Udp_RcvbufErrors" = "Udp_RcvbufErrors"
        "Udp_SndbufErrors" = "Udp_SndbufErrors" "Udp6_InDatagrams" = "Udp6_InDatagrams"
        "Udp6_InErrors" = "Udp6_InErrors" "Udp6_NoPorts" = "Udp6_NoPorts"
        "Udp6_OutDatagrams" = "Udp6_OutDatagrams" "Udp6_RcvbufErrors" = "Udp6_RcvbufErrors"
        "Udp6_SndbufErrors" = "Udp6_SndbufErrors" "UdpLite_InErrors" = "UdpLite_InErrors"
        "UdpLite6_InErrors" = "UdpLite6_InErrors"
    ]
}

keyed! {
    /// `/proc/net/sockstat` and `sockstat6`, as protocol and field.
    SOCKSTAT: Gauge "node_sockstat_" "" "Sockets: " [
        "sockets_used" = "sockets_used" "TCP_inuse" = "TCP_inuse" "TCP_orphan" = "TCP_orphan"
        "TCP_tw" = "TCP_tw" "TCP_alloc" = "TCP_alloc" "TCP_mem" = "TCP_mem" "UDP_inuse" = "UDP_inuse"
        "UDP_mem" = "UDP_mem" "UDPLITE_inuse" = "UDPLITE_inuse" "RAW_inuse" = "RAW_inuse"
        "FRAG_inuse" = "FRAG_inuse" "FRAG_memory" = "FRAG_memory" "TCP6_inuse" = "TCP6_inuse"
        "UDP6_inuse" = "UDP6_inuse" "UDPLITE6_inuse" = "UDPLITE6_inuse" "RAW6_inuse" = "RAW6_inuse"
        "FRAG6_inuse" = "FRAG6_inuse" "FRAG6_memory" = "FRAG6_memory"
    ]
}

keyed! {
    /// The pages of [`SOCKSTAT`], in bytes.
    SOCKSTAT_BYTES: Gauge "node_sockstat_" "_bytes" "Memory of sockets, in bytes: " [
        "TCP_mem" = "TCP_mem" "UDP_mem" = "UDP_mem"
    ]
}

/// The family of a key.
#[must_use]
pub fn find(list: Keyed, key: &[u8]) -> Option<&'static Family> {
    list.iter()
        .find(|(name, _)| name.as_bytes() == key)
        .map(|(_, family)| family)
}

pub(super) fn entries() -> impl Iterator<Item = Entry> {
    [
        (MEMINFO, "bytes", "`/proc/meminfo`"),
        (MEMINFO_COUNTS, "", "`/proc/meminfo`"),
        (VMSTAT, "", "`/proc/vmstat`"),
        (NETSTAT, "", "`/proc/1/net/{netstat,snmp,snmp6}`"),
        (SOCKSTAT, "", "`/proc/1/net/{sockstat,sockstat6}`"),
        (SOCKSTAT_BYTES, "bytes", "`/proc/1/net/sockstat`"),
    ]
    .into_iter()
    .flat_map(|(list, unit, source)| {
        list.iter().map(move |&(_, family)| Entry {
            family,
            unit,
            labels: &[],
            source,
            note: "",
        })
    })
}
