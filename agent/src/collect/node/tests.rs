#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use proptest::prelude::*;

use super::filesystem::{Mount, mounts_of};
use super::*;
use crate::signal::series::Format;

fn table() -> SeriesTable {
    let labels = vec![("guid", "node-7".to_owned()), ("instance", "vm".to_owned())];
    SeriesTable::new("node-7".parse().unwrap(), labels)
}

/// The sample lines of one reader, without the labels that all have.
fn read(reader: fn(&[u8], &mut SeriesTable), text: &str) -> Vec<String> {
    let mut table = table();
    table.begin();
    reader(text.as_bytes(), &mut table);
    let text = table.text(Format::Prometheus);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            line.replace("guid=\"node-7\",instance=\"vm\",", "")
                .replace(",guid=\"node-7\",instance=\"vm\"", "")
        })
        .map(|line| line.replace("{guid=\"node-7\",instance=\"vm\"}", ""))
        .collect()
}

#[test]
fn stat_tells_times_by_cpu_and_mode() {
    let lines = read(
        cpu::stat,
        "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 100 200 300 400 500 600 700 800 900 1000\ncpu1 5\n\
         intr 575779 1 2 3\nctxt 976505\nbtime 1795365720\nprocesses 13775\nprocs_running 2\nprocs_blocked 1\n",
    );
    assert_eq!(lines.len(), 10 + 1 + 6, "{lines:#?}");
    for line in [
        "node_cpu_seconds_total{cpu=\"0\",mode=\"iowait\"} 5",
        "node_cpu_seconds_total{cpu=\"1\",mode=\"user\"} 0.05",
        "node_cpu_guest_seconds_total{cpu=\"0\",mode=\"nice\"} 10",
        "node_intr_total 575779",
        "node_forks_total 13775",
        "node_boot_time_seconds 1795365720",
    ] {
        assert!(
            lines.iter().any(|other| other == line),
            "{line} in {lines:#?}"
        );
    }
}

#[test]
fn meminfo_keys_become_names_and_units_bytes() {
    let lines = read(
        memory::meminfo,
        "MemTotal:  24684092 kB\nActive(anon): 4 kB\nHugePages_Total: 3\nNew: 1 kB\n",
    );
    let expected = [
        "node_memory_Active_anon_bytes 4096",
        "node_memory_HugePages_Total 3",
        "node_memory_MemTotal_bytes 25276510208",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn diskstats_of_any_kernel_are_read_and_partitions_left_out() {
    let old = " 8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n 8 1 sda1 1 2 3 4 5 6 7 8 9 10 11\n";
    let lines = read(disk::diskstats, old);
    assert_eq!(lines.len(), 11);
    assert!(
        lines.contains(&"node_disk_written_bytes_total{device=\"sda\"} 3584".to_owned()),
        "{lines:#?}"
    );
    assert!(
        lines
            .contains(&"node_disk_io_time_weighted_seconds_total{device=\"sda\"} 0.011".to_owned())
    );
    assert_eq!(
        read(
            disk::diskstats,
            " 254 0 vda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18\n"
        )
        .len(),
        17
    );
    for (device, left_out) in [
        ("sda", false),
        ("sda1", true),
        ("sdaa1", false),
        ("vdb12", true),
        ("xvda2", true),
        ("nvme0n1", false),
        ("nvme0n1p3", true),
        ("loop0", true),
        ("ram1", true),
        ("dm-0", false),
        ("md127", false),
        ("zram0", false),
        ("mmcblk0p1", false),
        ("7", false),
        ("", false),
    ] {
        assert_eq!(disk::is_left_out(device), left_out, "{device}");
    }
}

#[test]
fn protocol_statistics_pair_names_with_values() {
    let lines = read(
        network::netstat,
        "Tcp: RtoMin ActiveOpens CurrEstab\nTcp: 200 117 2\nTcpExt: ListenDrops\nTcpExt: 4\n",
    );
    assert_eq!(
        lines,
        [
            "node_netstat_TcpExt_ListenDrops 4",
            "node_netstat_Tcp_ActiveOpens 117",
            "node_netstat_Tcp_CurrEstab 2"
        ]
    );
    assert_eq!(
        read(
            network::snmp6,
            "Ip6InOctets \t128\nUdpLite6InErrors 3\nNothing 1\n"
        ),
        [
            "node_netstat_Ip6_InOctets 128",
            "node_netstat_UdpLite6_InErrors 3"
        ]
    );
    let page = rustix::param::page_size();
    let lines = read(
        network::sockstat,
        "sockets: used 31\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 2\n",
    );
    assert!(
        lines.contains(&format!("node_sockstat_TCP_mem_bytes {}", 2 * page)),
        "{lines:#?}"
    );
    assert!(lines.contains(&"node_sockstat_sockets_used 31".to_owned()));
}

#[test]
fn interfaces_have_sixteen_columns() {
    let header = "Inter-|   Receive |  Transmit\n face |bytes packets errs\n";
    let lines = read(
        network::dev,
        &format!("{header}  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n bad: 1 2\n"),
    );
    assert_eq!(lines.len(), 16);
    assert!(
        lines.contains(&"node_network_transmit_compressed_total{device=\"eth0\"} 16".to_owned())
    );
    assert!(lines.contains(&"node_network_receive_multicast_total{device=\"eth0\"} 8".to_owned()));
}

#[test]
fn mounts_are_unescaped() {
    let mounts: Vec<_> =
        mounts_of(b"/dev/vda /a\\040b\\134 ext4 ro,relatime 0 0\nshort\n").collect();
    let expected = Mount {
        device: "/dev/vda".into(),
        point: "/a b\\".into(),
        kind: "ext4".into(),
        read_only: true,
    };
    assert_eq!(mounts, [expected]);
}

#[test]
fn a_whole_host_is_read_from_other_roots() {
    let root = tempfile::TempDir::new().unwrap();
    let write = |file: &str, text: &str| {
        let path = root.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("proc/loadavg", "0.09 0.27 0.43 2/99 123\n");
    write(
        "proc/1/net/dev",
        "  eth9: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
    );
    write(
        "proc/1/mounts",
        "/dev/vda / ext4 rw 0 0\n/dev/vdb /gone ext4 rw 0 0\ntmpfs /dev/shm tmpfs rw 0 0\nx /p proc rw 0 0\n",
    );
    write(
        "proc/pressure/io",
        "some avg10=0.00 total=12932039\nfull avg10=0.00 total=11645209\n",
    );
    write("proc/pressure/irq", "full avg10=0.00 total=1000000\n");
    write("proc/sys/fs/file-nr", "681\t0\t2466186\n");
    write(
        "proc/schedstat",
        "version 15\ncpu0 0 0 0 0 0 0 2045936778163 343796328169 4767485306\n",
    );
    write("sys/class/net/eth9/operstate", "up\n");
    write("sys/class/net/eth9/speed", "-1\n");
    let mut collector = NodeCollector::new(Roots {
        proc: root.path().join("proc"),
        sys: root.path().join("sys"),
        root: root.path().to_owned(),
    });
    let mut table = table();
    collector.pass(&mut table, 1_500);
    let text = table.text(Format::Prometheus);
    let common = "guid=\"node-7\",instance=\"vm\"";
    for line in [
        format!("node_load15{{{common}}} 0.43"),
        format!("node_network_receive_bytes_total{{device=\"eth9\",{common}}} 1"),
        format!("node_network_up{{device=\"eth9\",{common}}} 1"),
        format!("node_network_speed_bytes{{device=\"eth9\",{common}}} -125000"),
        format!(
            "node_filesystem_device_error{{device=\"/dev/vda\",fstype=\"ext4\",{common},mountpoint=\"/\"}} 0"
        ),
        format!(
            "node_filesystem_device_error{{device=\"/dev/vdb\",fstype=\"ext4\",{common},mountpoint=\"/gone\"}} 1"
        ),
        format!("node_pressure_io_waiting_seconds_total{{{common}}} 12.932039"),
        format!("node_pressure_irq_stalled_seconds_total{{{common}}} 1"),
        format!("node_filefd_maximum{{{common}}} 2466186"),
        format!("node_schedstat_waiting_seconds_total{{cpu=\"0\",{common}}} 343.796328169"),
        format!("node_time_seconds{{{common}}} 1.5"),
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "{line} in {text}");
    }
    assert!(
        !text.contains("/dev/shm") && !text.contains("\"/p\""),
        "{text}"
    );
}

proptest! {
    #[test]
    fn property_test_no_bytes_upset_a_reader(bytes in prop::collection::vec(any::<u8>(), 0..400), text in "[ a-zA-Z0-9:=_.\\\\\n-]{0,400}") {
        let readers: [fn(&[u8], &mut SeriesTable); 15] = [
            cpu::stat, cpu::loadavg, cpu::schedstat, cpu::pressure_cpu, cpu::pressure_io, cpu::pressure_memory,
            cpu::pressure_irq, memory::meminfo, memory::vmstat, memory::file_nr, disk::diskstats, network::dev,
            network::netstat, network::snmp6, network::sockstat,
        ];
        let mut table = table();
        for input in [bytes.as_slice(), text.as_bytes()] {
            for reader in readers {
                table.begin();
                reader(input, &mut table);
            }
            let _ = mounts_of(input).count();
        }
    }
}
