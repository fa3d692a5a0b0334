//! Values from files: v2, v1 and hybrid trees, with and without a kernel side.

use std::fs;

use super::*;

fn write(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A pure v2 host with one container of each controller's files.
fn v2(root: &Path) {
    let base = "sys/fs/cgroup";
    write(
        root,
        &format!("{base}/cgroup.controllers"),
        "cpu io memory pids\n",
    );
    let directory = format!("{base}/system.slice/docker-{}.scope", container_id(1));
    for (file, text) in [
        (
            "cpu.stat",
            "usage_usec 5000000\nuser_usec 3000000\nsystem_usec 2000000\n\
             nr_periods 100\nnr_throttled 7\nthrottled_usec 1500000\n",
        ),
        ("cpu.max", "50000 100000\n"),
        ("cpu.weight", "100\n"),
        ("memory.current", "104857600\n"),
        (
            "memory.stat",
            "anon 40960\nfile 81920\nfile_mapped 4096\ninactive_file 4857600\npgfault 12\npgmajfault 3\n",
        ),
        ("memory.peak", "204857600\n"),
        ("memory.swap.current", "8192\n"),
        ("memory.events", "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\n"),
        ("memory.max", "max\n"),
        ("memory.min", "0\n"),
        ("memory.swap.max", "1073741824\n"),
        (
            "io.stat",
            "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n",
        ),
        ("pids.current", "5\n"),
        ("pids.max", "max\n"),
        ("cgroup.procs", "17\n18\n"),
        (
            "cpu.pressure",
            "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        ),
    ] {
        write(root, &format!("{directory}/{file}"), text);
    }
    write(
        root,
        "proc/diskstats",
        "   7 0 loop0 0\n 254       0 vda 1 2 3\n",
    );
}

#[test]
fn v2_files_alone_tell_what_cadvisor_tells() {
    let mut host = Host::new(false, v2);
    host.know(1, "app-1");
    let sent = host.round();
    for (key, value) in [
        (
            "container_cpu_usage_seconds_total{cpu=total,guid=app-1}",
            5.0,
        ),
        ("container_cpu_user_seconds_total{guid=app-1}", 3.0),
        ("container_cpu_system_seconds_total{guid=app-1}", 2.0),
        ("container_cpu_cfs_periods_total{guid=app-1}", 100.0),
        ("container_cpu_cfs_throttled_periods_total{guid=app-1}", 7.0),
        ("container_cpu_cfs_throttled_seconds_total{guid=app-1}", 1.5),
        ("container_memory_usage_bytes{guid=app-1}", 104_857_600.0),
        (
            "container_memory_working_set_bytes{guid=app-1}",
            100_000_000.0,
        ),
        ("container_memory_rss{guid=app-1}", 40_960.0),
        ("container_memory_cache{guid=app-1}", 81_920.0),
        ("container_memory_mapped_file{guid=app-1}", 4_096.0),
        ("container_memory_swap{guid=app-1}", 8_192.0),
        (
            "container_memory_max_usage_bytes{guid=app-1}",
            204_857_600.0,
        ),
        ("container_memory_failcnt{guid=app-1}", 9.0),
        (
            "container_memory_failures_total{failure_type=pgfault,guid=app-1,scope=container}",
            12.0,
        ),
        (
            "container_memory_failures_total{failure_type=pgmajfault,guid=app-1,scope=hierarchy}",
            3.0,
        ),
        ("container_oom_events_total{guid=app-1}", 1.0),
        (
            "container_fs_reads_bytes_total{device=/dev/vda,guid=app-1}",
            4_096.0,
        ),
        ("container_fs_writes_total{device=/dev/vda,guid=app-1}", 2.0),
        (
            "container_blkio_device_usage_total{device=/dev/vda,guid=app-1,major=254,minor=0,operation=Write}",
            8_192.0,
        ),
        ("container_threads{guid=app-1}", 5.0),
        ("container_threads_max{guid=app-1}", 0.0),
        ("container_processes{guid=app-1}", 2.0),
        (
            "container_pressure_cpu_waiting_seconds_total{guid=app-1}",
            2.5,
        ),
        (
            "container_pressure_cpu_stalled_seconds_total{guid=app-1}",
            0.0,
        ),
        ("container_spec_cpu_period{guid=app-1}", 100_000.0),
        ("container_spec_cpu_quota{guid=app-1}", 50_000.0),
        ("container_spec_cpu_shares{guid=app-1}", 2_597.0),
        ("container_spec_memory_limit_bytes{guid=app-1}", 0.0),
        (
            "container_spec_memory_reservation_limit_bytes{guid=app-1}",
            0.0,
        ),
        (
            "container_spec_memory_swap_limit_bytes{guid=app-1}",
            1_073_741_824.0,
        ),
    ] {
        assert_eq!(sent.value(key), value, "{key}");
    }
    assert!(
        !sent.has("container_pressure_io_waiting_seconds_total{guid=app-1}"),
        "no such file"
    );
}

#[test]
fn a_container_found_by_walking_ends_when_its_directory_goes() {
    let mut host = Host::new(false, v2);
    host.know(1, "app-1");
    assert!(host.round().has(&cpu("app-1")));
    fs::remove_dir_all(host.root.path().join("sys/fs/cgroup/system.slice")).unwrap();
    assert!(host.round().all_ended());
    assert!(host.collector.is_empty());
    assert!(host.round().0.is_empty());
}

/// A v1 host; with `hybrid`, a cgroup2 hierarchy without controllers too.
fn v1(root: &Path, hybrid: bool) {
    let base = "sys/fs/cgroup";
    let path = format!("docker/{}", container_id(1));
    for controller in ["cpu", "cpuacct", "memory", "blkio", "pids"] {
        write(root, &format!("{base}/{controller}/cgroup.procs"), "1\n");
    }
    for (file, text) in [
        ("cpuacct/{}/cpuacct.usage", "7000000000\n"),
        ("cpuacct/{}/cpuacct.usage_user", "4000000000\n"),
        ("cpuacct/{}/cpuacct.usage_sys", "3000000000\n"),
        (
            "cpu/{}/cpu.stat",
            "nr_periods 10\nnr_throttled 2\nthrottled_time 500000000\n",
        ),
        ("cpu/{}/cpu.cfs_quota_us", "-1\n"),
        ("cpu/{}/cpu.cfs_period_us", "100000\n"),
        ("cpu/{}/cpu.shares", "1024\n"),
        ("memory/{}/memory.usage_in_bytes", "8388608\n"),
        (
            "memory/{}/memory.stat",
            "inactive_file 1\npgfault 5\npgmajfault 1\ntotal_inactive_file 388608\ntotal_rss 100\n\
             total_cache 200\ntotal_swap 300\ntotal_mapped_file 400\ntotal_pgfault 50\ntotal_pgmajfault 10\n",
        ),
        ("memory/{}/memory.limit_in_bytes", "9223372036854771712\n"),
        ("memory/{}/memory.failcnt", "4\n"),
        (
            "memory/{}/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 6\n",
        ),
        (
            "blkio/{}/blkio.throttle.io_service_bytes_recursive",
            "8:0 Read 4096\n8:0 Write 512\n8:0 Sync 0\n8:0 Total 4608\nTotal 4608\n",
        ),
        ("pids/{}/pids.current", "3\n"),
    ] {
        write(root, &format!("{base}/{}", file.replace("{}", &path)), text);
    }
    if hybrid {
        write(root, &format!("{base}/unified/cgroup.controllers"), "\n");
        let stat = "usage_usec 7000001\nuser_usec 4000001\nsystem_usec 3000000\n";
        write(root, &format!("{base}/unified/{path}/cpu.stat"), stat);
    }
}

#[test]
fn v1_and_hybrid_files_are_understood() {
    for hybrid in [false, true] {
        let mut host = Host::new(false, |root| v1(root, hybrid));
        host.know(1, "app-1");
        let sent = host.round();
        let user = if hybrid { 4.000001 } else { 4.0 };
        for (key, value) in [
            (
                "container_cpu_usage_seconds_total{cpu=total,guid=app-1}",
                7.0,
            ),
            ("container_cpu_user_seconds_total{guid=app-1}", user),
            ("container_memory_usage_bytes{guid=app-1}", 8_388_608.0),
            (
                "container_memory_working_set_bytes{guid=app-1}",
                8_000_000.0,
            ),
            ("container_memory_rss{guid=app-1}", 100.0),
            ("container_memory_swap{guid=app-1}", 300.0),
            ("container_memory_failcnt{guid=app-1}", 4.0),
            (
                "container_memory_failures_total{failure_type=pgfault,guid=app-1,scope=container}",
                5.0,
            ),
            (
                "container_memory_failures_total{failure_type=pgfault,guid=app-1,scope=hierarchy}",
                50.0,
            ),
            ("container_oom_events_total{guid=app-1}", 6.0),
            (
                "container_blkio_device_usage_total{guid=app-1,major=8,minor=0,operation=Read}",
                4_096.0,
            ),
            ("container_threads{guid=app-1}", 3.0),
            ("container_spec_memory_limit_bytes{guid=app-1}", 0.0),
            ("container_spec_cpu_shares{guid=app-1}", 1_024.0),
        ] {
            assert_eq!(sent.value(key), value, "hybrid {hybrid}: {key}");
        }
        assert!(!sent.has("container_spec_cpu_quota{guid=app-1}"));
        assert!(
            !sent.has("container_cpu_cfs_periods_total{guid=app-1}"),
            "no quota, no throttling"
        );
    }
}

#[test]
fn cpu_time_from_before_the_attach_is_taken_over_once() {
    let mut host = Host::new(true, |root| v1(root, true));
    let path = host.know(1, "app-1");
    host.kernel.run(2, 1_000_000_000);
    host.collector.resync(&[cgroup(11, &path, 2)], host.now_ms);
    assert_eq!(host.round().value(&cpu("app-1")), 7.000001);
    host.kernel.run(2, 500_000_000);
    let sent = host.round();
    assert_eq!(
        sent.value(&cpu("app-1")),
        7.500001,
        "the slot counts on, the file is not asked again"
    );
    assert_eq!(sent.value("container_oom_events_total{guid=app-1}"), 6.0);
    // Events were lost: a second look at the file takes nothing away.
    host.collector.resync(&[cgroup(11, &path, 2)], host.now_ms);
    assert_eq!(host.round().value(&cpu("app-1")), 7.500001);
    host.events(&[removed(11, 2), released(11, 2)]);
    assert_eq!(host.round().value(&cpu("app-1")), 7.500001);
}

#[test]
fn the_iterator_tells_memory_by_the_id_of_the_memory_hierarchy() {
    use std::os::unix::fs::MetadataExt;
    let mut host = Host::new(true, |root| v1(root, true));
    let path = host.know(1, "app-1");
    let directory = host
        .root
        .path()
        .join("sys/fs/cgroup/memory")
        .join(&path[1..]);
    let id = CgroupId(fs::metadata(directory).unwrap().ino());
    *host.kernel.memory.lock().unwrap() = vec![Memory {
        id,
        usage_bytes: 4_388_608,
        lru: None,
    }];
    host.events(&[born(11, &path, 2)]);
    let sent = host.round();
    assert_eq!(
        sent.value("container_memory_usage_bytes{guid=app-1}"),
        4_388_608.0
    );
    assert_eq!(
        sent.value("container_memory_working_set_bytes{guid=app-1}"),
        4_000_000.0
    );
}

#[test]
fn files_beyond_the_budget_are_read_without_being_kept() {
    let mut host = Host::new(false, v2);
    host.know(1, "app-1");
    let open = |host: &Host| {
        let root = host.root.path().to_owned();
        let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
        links
            .filter(|link| fs::read_link(link.path()).is_ok_and(|to| to.starts_with(&root)))
            .count()
    };
    let options = Options {
        open_files: 3,
        ..host.collector.options.clone()
    };
    host.collector = ContainerCollector::new(None, Arc::clone(&host.directory), options);
    assert_eq!(host.round().value("container_threads{guid=app-1}"), 5.0);
    assert_eq!(open(&host), 3);
    assert_eq!(host.round().value("container_threads{guid=app-1}"), 5.0);
    fs::remove_dir_all(host.root.path().join("sys/fs/cgroup/system.slice")).unwrap();
    host.round();
    assert_eq!(open(&host), 0);
}

#[test]
fn garbage_in_files_is_left_out() {
    let mut host = Host::new(false, |root| {
        v2(root);
        let directory = format!(
            "sys/fs/cgroup/system.slice/docker-{}.scope",
            container_id(1)
        );
        for file in [
            "cpu.stat",
            "memory.stat",
            "io.stat",
            "pids.current",
            "cpu.pressure",
            "memory.events",
        ] {
            let garbage = b"\xff\xfe some total=\n:: 9:9:9 =\nusage_usec -5\nusage_usec 99999999999999999999\n";
            fs::write(root.join(&directory).join(file), garbage).unwrap();
        }
    });
    host.know(1, "app-1");
    let sent = host.round();
    assert!(!sent.has(&cpu("app-1")));
    assert!(!sent.has("container_threads{guid=app-1}"));
    assert!(sent.has("container_last_seen{guid=app-1}"));
}
