//! Container metrics with the real kernel side, real cgroups and real Docker, against the kernel's
//! own files.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use guidon::collect::containers::{ContainerCollector, Options, Purpose, Source};
use guidon::directory::{Container as Known, Directory};
use guidon::kernel::{self, Events, Kernel};
use guidon::signal::series::{Format, SeriesTable};
use guidon_tests::cgroup::Cgroup;
use guidon_tests::{Container, Image, InitWatch, promtool, system_docker, unique};

/// The collector as the agent feeds it, without the agent.
struct Setup {
    kernel: Arc<Kernel>,
    events: Events,
    directory: Arc<Directory>,
    collector: ContainerCollector,
    table: SeriesTable,
}

fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64
}

impl Setup {
    fn start() -> Self {
        Self::with(Arc::new(Directory::new("node-7".parse().unwrap())))
    }

    fn with(directory: Arc<Directory>) -> Self {
        let options = kernel::Options {
            slots: Some(2048),
            run_queue: true,
            statistics: false,
        };
        let (kernel, events) = Kernel::load(&options).unwrap();
        let kernel = Arc::new(kernel);
        let source = Arc::clone(&kernel) as Arc<dyn Source>;
        let mut collector =
            ContainerCollector::new(Some(source), Arc::clone(&directory), Options::default());
        collector.resync(&kernel.cgroups(), now_ms());
        let table = SeriesTable::new(directory.host().clone(), Vec::new());
        Self {
            kernel,
            events,
            directory,
            collector,
            table,
        }
    }

    fn pump(&mut self) {
        let mut events = Vec::new();
        let lost = self.events.drain(&mut events);
        self.collector.on_events(&events, now_ms());
        if lost {
            self.collector.resync(&self.kernel.cgroups(), now_ms());
        }
    }

    /// A round's values, by name and labels without `id`.
    fn round(&mut self) -> Samples {
        self.pump();
        self.collector
            .pass(&mut self.table, now_ms(), Purpose::Round);
        let text = self.table.text(Format::Prometheus);
        self.table.finish(now_ms(), &mut Vec::new());
        Samples::parse(&text)
    }
}

struct Samples {
    text: String,
    values: BTreeMap<String, f64>,
}

impl Samples {
    fn parse(text: &str) -> Self {
        let mut values = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap();
            let labels: Vec<&str> = labels
                .trim_end_matches('}')
                .split(',')
                .filter(|label| !label.starts_with("id=") && !label.starts_with("image="))
                .collect();
            values.insert(
                format!("{name}{{{}}}", labels.join(",")),
                value.parse().unwrap(),
            );
        }
        Self {
            text: text.to_owned(),
            values,
        }
    }

    #[track_caller]
    fn of(&self, family: &str, guid: &str) -> f64 {
        let key = format!("{family}{{guid=\"{guid}\",name=\"{guid}\"}}");
        *self
            .values
            .get(&key)
            .unwrap_or_else(|| panic!("no {key} in {:#?}", self.values.keys()))
    }

    #[track_caller]
    fn cpu(&self, guid: &str) -> f64 {
        let key = format!(
            "container_cpu_usage_seconds_total{{cpu=\"total\",guid=\"{guid}\",name=\"{guid}\"}}"
        );
        *self.values.get(&key).unwrap_or_else(|| panic!("no {key}"))
    }
}

/// Makes a cgroup like a container's known under a guid before it is made.
fn announce(directory: &Directory, guid: &str) -> String {
    let id = guidon_tests::cgroup::container_id();
    directory.put(Known {
        id: id.clone(),
        name: guid.to_owned(),
        image: "demo".to_owned(),
        guid: Some(guid.parse().unwrap()),
        ..Known::default()
    });
    format!("/docker/{id}")
}

fn stop(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Where a process is, its children are: kills all that is in the cgroup, and waits until the last
/// of them has taken its last step.
fn quiet(cgroup: &Cgroup, child: Child) {
    for folder in cgroup.folders().iter().take(1) {
        let procs = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        for pid in procs.lines() {
            let _ = std::process::Command::new("kill")
                .args(["-9", pid])
                .status();
        }
    }
    stop(child);
    let mut last = accounted(cgroup);
    guidon_tests::eventually(Duration::from_secs(20), "the cgroup at rest", || {
        std::thread::sleep(Duration::from_millis(200));
        let before = std::mem::replace(&mut last, accounted(cgroup));
        (before == last).then_some(())
    });
}

/// CPU time by the kernel's accounting of the cgroup2 cgroup, which the programs count by; a shell
/// joins the hierarchies one after the other, so `cpuacct` misses its first moments.
fn accounted(cgroup: &Cgroup) -> f64 {
    let stat = std::fs::read_to_string(cgroup.folders()[0].join("cpu.stat")).unwrap();
    let usage = stat
        .lines()
        .find_map(|line| line.strip_prefix("usage_usec "))
        .unwrap();
    usage.parse::<f64>().unwrap() / 1e6
}

const BUSY: &str = "while :; do :; done";
const SLEEPER: &str = "while :; do sleep 0.002; done";
const PING_PONG: &str = "mkfifo /tmp/$$.a /tmp/$$.b; (while read x; do echo $x; done </tmp/$$.a >/tmp/$$.b) & \
    exec 3>/tmp/$$.a 4</tmp/$$.b; rm -f /tmp/$$.a /tmp/$$.b; while :; do echo 1 >&3; read y <&4; done";
const IDLE: &str = "exec sleep 600";

#[test]
fn cpu_time_and_memory_equal_the_kernels_own_accounting() {
    let directory = Arc::new(Directory::new("node-7".parse().unwrap()));
    let init = InitWatch::start();
    // One is older than the agent.
    let older = unique("older");
    let old = Cgroup::make(&announce(&directory, &older));
    let old_child = old.spawn(BUSY);
    std::thread::sleep(Duration::from_millis(300));

    let mut setup = Setup::with(Arc::clone(&directory));
    let mut apps = vec![(older, old, old_child)];
    for (name, script) in [
        ("busy", BUSY),
        ("sleeper", SLEEPER),
        ("pingpong", PING_PONG),
        ("idle", IDLE),
    ] {
        let guid = unique(name);
        let cgroup = Cgroup::make(&announce(&directory, &guid));
        let child = cgroup.spawn(script);
        apps.push((guid, cgroup, child));
    }
    std::thread::sleep(Duration::from_secs(3));

    // While they run: within 0.1 % of what the kernel says at the same moment, more or less.
    let before: Vec<f64> = apps
        .iter()
        .map(|(_, cgroup, _)| cgroup.cpu_seconds())
        .collect();
    let running = setup.round();
    for ((guid, cgroup, _), before) in apps.iter().zip(before) {
        let after = accounted(cgroup);
        let cpu = running.cpu(guid);
        let slack = after * 0.001 + 2e-6;
        assert!(
            (before - slack..=after + slack).contains(&cpu),
            "{guid}: {cpu} not in {before}..{after}"
        );
        assert!(running.of("container_memory_usage_bytes", guid) > 0.0);
    }

    // At rest: to the microsecond that the file tells, and to the byte.
    let mut rested = Vec::new();
    for (guid, cgroup, child) in apps {
        quiet(&cgroup, child);
        rested.push((guid, cgroup));
    }
    let still = setup.round();
    let withheld = init.withheld().as_secs_f64();
    for (guid, cgroup) in &rested {
        let accounted = accounted(cgroup);
        let cpu = still.cpu(guid);
        // What was there before the agent is taken over between two readings of a running clock.
        let slack = if guid.starts_with("older") {
            accounted * 0.001
        } else {
            1e-6
        };
        assert!(
            (accounted - withheld - slack..=accounted + slack).contains(&cpu),
            "{guid}: {cpu}, the kernel says {accounted} and withheld up to {withheld}"
        );
        let bytes = still.of("container_memory_usage_bytes", guid);
        assert_eq!(bytes, cgroup.memory_bytes() as f64, "{guid}");
    }
    let forks = still.of("container_forks_total", &rested[2].0);
    assert!(
        forks > 100.0,
        "the sleeper starts a process every few ms: {forks}"
    );
    let waits = still.of("container_cpu_run_queue_seconds_count", &rested[1].0);
    assert!(waits > 0.0);
}

#[test]
fn many_short_lives_on_all_cpus_have_exact_final_samples() {
    const LIVES: usize = 500;
    /// Of this many lives one may lack what the kernel withheld; see [`InitWatch`].
    const ONE_IN: usize = 50;
    let mut setup = Setup::start();
    setup.round();
    let next = AtomicUsize::new(0);
    let ended = Mutex::new(BTreeMap::new());
    let paths = Mutex::new(BTreeSet::new());
    let directory = Arc::clone(&setup.directory);
    let free_before = setup.kernel.status().slots_free;
    let mut samples = BTreeMap::new();
    let mut nameless = 0;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while next.fetch_add(1, Ordering::Relaxed) < LIVES {
                        let guid = unique("short");
                        let init = InitWatch::start();
                        let path = announce(&directory, &guid);
                        paths.lock().unwrap().insert(path.clone());
                        let cgroup = Cgroup::make(&path);
                        let nested = cgroup.child("inner");
                        let mut child =
                            nested.spawn("i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done");
                        child.wait().unwrap();
                        let accounted = loop {
                            // The last bits are charged when the dead are buried.
                            let first = accounted(&cgroup);
                            std::thread::sleep(Duration::from_millis(20));
                            if first == accounted(&cgroup) {
                                break first;
                            }
                        };
                        drop(nested);
                        drop(cgroup);
                        let known = (accounted, init.withheld().as_secs_f64());
                        ended.lock().unwrap().insert(guid, known);
                    }
                })
            })
            .collect();
        let mut rounds_after = 0;
        while rounds_after < 4 {
            if workers
                .iter()
                .all(std::thread::ScopedJoinHandle::is_finished)
            {
                rounds_after += 1;
            }
            std::thread::sleep(Duration::from_millis(100));
            let round = setup.round();
            let prefix = "container_cpu_usage_seconds_total{cpu=\"total\",guid=\"short-";
            for (series, &value) in round
                .values
                .iter()
                .filter(|(series, _)| series.starts_with(prefix))
            {
                let guid = series.split('"').nth(3).unwrap().to_owned();
                let before = samples.insert(guid.clone(), value);
                assert!(
                    before.is_none_or(|before| before <= value),
                    "{guid} went backwards"
                );
            }
            // Other tests' containers are strangers here.
            let paths = paths.lock().unwrap();
            for line in round.text.lines().filter(|line| !line.contains("guid=")) {
                let id = line
                    .split("id=\"")
                    .nth(1)
                    .and_then(|rest| rest.split('"').next());
                nameless += usize::from(id.is_some_and(|id| paths.contains(id)));
            }
        }
    });
    let ended = ended.into_inner().unwrap();
    assert_eq!(ended.len(), LIVES);
    let mut short = Vec::new();
    for (guid, (accounted, withheld)) in &ended {
        let cpu = samples
            .get(guid)
            .unwrap_or_else(|| panic!("no sample of {guid}"));
        if (cpu - accounted).abs() <= 1e-6 {
            continue;
        }
        assert!(
            (accounted - withheld..=*accounted).contains(cpu),
            "{guid}: {cpu}, the kernel says {accounted} and withheld up to {withheld}"
        );
        short.push(accounted - cpu);
    }
    assert!(short.len() <= LIVES / ONE_IN, "too many: {short:?}");
    assert_eq!(nameless, 0, "samples without a guid");
    // Other tests take some meanwhile, and a keeper waits a little before it hands a slot out anew.
    guidon_tests::eventually(Duration::from_secs(15), "slots back in the pool", || {
        setup.round();
        (setup.kernel.status().slots_free + 20 >= free_before).then_some(())
    });
}

#[test]
fn network_counters_equal_the_interfaces_own() {
    let mut setup = Setup::start();
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let name = unique("net");
    // Known by its id only after it was made: as the agent would put it before the start.
    let script = "sleep 1; ping -c 20 -i 0.05 -s 1000 172.17.0.1 >/dev/null; \
        ping -c 5 -s 100 127.0.0.1 >/dev/null; sleep 600";
    let container = Container::run(&docker, &image, &name, script);
    let pid = container.inspect()["State"]["Pid"].as_u64().unwrap();
    setup.directory.put(Known {
        id: container.id(),
        name: name.clone(),
        guid: Some(name.parse().unwrap()),
        pid: u32::try_from(pid).unwrap(),
        ..Known::default()
    });
    setup.round();
    std::thread::sleep(Duration::from_secs(8));
    let column = |line: &str, at: usize| {
        line.split_whitespace()
            .nth(at)
            .unwrap()
            .parse::<f64>()
            .unwrap()
    };
    let interface = || {
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
        let line = table
            .lines()
            .find(|line| line.trim().starts_with("eth0:"))
            .unwrap()
            .to_owned();
        line.replace(':', " ")
    };
    let before = interface();
    let round = setup.round();
    assert_eq!(before, interface(), "the line is still");
    for (family, at) in [
        ("receive_bytes", 1),
        ("receive_packets", 2),
        ("receive_errors", 3),
        ("receive_packets_dropped", 4),
        ("transmit_bytes", 9),
        ("transmit_packets", 10),
    ] {
        let key = format!(
            "container_network_{family}_total{{guid=\"{name}\",interface=\"eth0\",name=\"{name}\"}}"
        );
        assert_eq!(round.values[&key], column(&before, at), "{family}");
    }
    // At the sockets: 20 requests of 1028 bytes and 5 over loopback of 128, each with an answer,
    // both ways over loopback; from the IP header on.
    let sockets =
        |family: &str| round.of(&format!("container_network_socket_{family}_total"), &name);
    assert_eq!(sockets("transmit_bytes"), 20.0 * 1028.0 + 5.0 * 128.0);
    assert_eq!(sockets("transmit_packets"), 25.0);
    assert_eq!(promtool::check_metrics(&round.text), "");
}
