//! Cgroups, workers in them, and the loaded kernel room beside.

use std::{
    fs,
    io::{BufRead, BufReader, Lines, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use guidon::kernel::{Cgroup, Counters, Event, Events, Kernel, Options, Slot};
use guidon_common::CgroupId;

/// Tests share the machine's cgroup tree, so they run one after the other.
static ONE_AT_A_TIME: Mutex<Option<Lab>> = Mutex::new(None);

/// The room, loaded, and what it told.
pub(crate) struct Lab {
    pub(crate) kernel: Kernel,
    pub(crate) events: Events,
    pub(crate) seen: Vec<Event>,
}

pub(crate) fn options() -> Options {
    Options {
        slots: Some(1024),
        run_queue: true,
        statistics: false,
    }
}

/// Nobody else's test runs as long as this is held. The lab in it is for those that need nothing
/// special: loading takes its time.
pub(crate) fn alone() -> Alone {
    Alone(ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner))
}

pub(crate) struct Alone(MutexGuard<'static, Option<Lab>>);

impl Alone {
    /// The common lab, which has seen what happened so far and given all slots back.
    pub(crate) fn lab(&mut self) -> &mut Lab {
        let lab = self.0.get_or_insert_with(|| Lab::with(&options()));
        lab.catch_up();
        lab
    }
}

/// Whether the machine is an emulated one, which takes many times as long for everything.
pub(crate) fn is_emulated() -> bool {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap();
    text.contains("QEMU TCG")
}

impl Lab {
    /// One with its own options; the caller holds [`Alone`].
    pub(crate) fn with(options: &Options) -> Self {
        let (kernel, events) = Kernel::load(options).unwrap_or_else(|error| {
            panic!("load the kernel programs: {error}: {error:?}");
        });
        Self {
            kernel,
            events,
            seen: Vec::new(),
        }
    }

    /// Takes all events, recycles what slots are final and waits until they are in the pool again:
    /// another test may have used them all up while this lab was not looked after.
    pub(crate) fn catch_up(&mut self) {
        loop {
            let lost = self.drain();
            if self.seen.is_empty() && !lost {
                break;
            }
            for event in self.seen.drain(..) {
                if let Event::Released { slot, .. } = event {
                    self.kernel.recycle(slot);
                }
            }
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let status = self.kernel.status();
            // Half of them: other people's cgroups come and go too.
            if status.slots_free > status.slots / 2 {
                break;
            }
            assert!(Instant::now() < deadline, "slots do not return: {status:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Takes what events there are.
    pub(crate) fn drain(&mut self) -> bool {
        self.events.drain(&mut self.seen)
    }

    /// Waits until an event of that kind was seen.
    pub(crate) fn await_event<T>(&mut self, what: &str, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            self.drain();
            if let Some(found) = self.seen.iter().find_map(&wanted) {
                return found;
            }
            assert!(Instant::now() < deadline, "no event: {what}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn born(&mut self, group: &Group) -> Cgroup {
        let id = group.id;
        self.await_event("born", |event| match event {
            Event::Born(cgroup) if cgroup.id == id => Some(cgroup.clone()),
            _ => None,
        })
    }

    pub(crate) fn released(&mut self, id: CgroupId) -> Slot {
        self.await_event("released", |event| match event {
            Event::Released { id: gone, slot } if *gone == id => Some(*slot),
            _ => None,
        })
    }

    pub(crate) fn counters(&self, slot: Slot) -> Counters {
        let mut counters = Counters::default();
        self.kernel.read(slot, &mut counters);
        counters
    }

    /// The counters of a group once they stand still: what it caused may be counted a moment after
    /// its last process is gone.
    pub(crate) fn settled(&self, slot: Slot) -> Counters {
        assert_ne!(slot, Slot(0), "the host never rests");
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut last = self.counters(slot);
        loop {
            thread::sleep(Duration::from_millis(30));
            let now = self.counters(slot);
            if now == last {
                return now;
            }
            assert!(Instant::now() < deadline, "still counting: {now:?}");
            last = now;
        }
    }
}

/// Mount points of the hierarchies that tests use.
pub(crate) struct Hierarchies {
    pub(crate) unified: PathBuf,
    pub(crate) legacy: Vec<(String, PathBuf)>,
}

impl Hierarchies {
    pub(crate) fn find() -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mut unified = None;
        let mut legacy = Vec::new();
        for line in mounts.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            match fields[2] {
                "cgroup2" if unified.is_none() => unified = Some(PathBuf::from(fields[1])),
                "cgroup" => {
                    for controller in ["cpuacct", "memory", "blkio"] {
                        if fields[3].split(',').any(|option| option == controller) {
                            legacy.push((controller.to_owned(), PathBuf::from(fields[1])));
                        }
                    }
                }
                _ => {}
            }
        }
        Self {
            unified: unified.expect("a cgroup2 mount"),
            legacy,
        }
    }
}

/// A cgroup of the same path in every hierarchy; removed on drop.
pub(crate) struct Group {
    pub(crate) id: CgroupId,
    pub(crate) path: String,
    folders: Vec<(String, PathBuf)>,
}

impl Group {
    /// A cgroup of its own below the root.
    pub(crate) fn new(name: &str) -> Self {
        Self::at(&format!("/guidon-{name}-{:08x}", rand::random::<u32>()))
    }

    pub(crate) fn at(path: &str) -> Self {
        let hierarchies = Hierarchies::find();
        let mut roots = hierarchies.legacy;
        roots.push(("unified".to_owned(), hierarchies.unified));
        let folders: Vec<(String, PathBuf)> = roots
            .into_iter()
            .map(|(name, root)| (name, root.join(path.trim_start_matches('/'))))
            .collect();
        for (_, folder) in &folders {
            fs::create_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        }
        let id = CgroupId(fs::metadata(&folders.last().unwrap().1).unwrap().ino());
        Self {
            id,
            path: path.to_owned(),
            folders,
        }
    }

    pub(crate) fn child(&self, name: &str) -> Self {
        Self::at(&format!("{}/{name}", self.path))
    }

    /// Its folder in a cgroup v1 hierarchy, if there is one.
    pub(crate) fn legacy(&self, controller: &str) -> Option<&Path> {
        let found = self.folders.iter().find(|(name, _)| name == controller);
        found.map(|(_, folder)| folder.as_path())
    }

    pub(crate) fn unified(&self) -> &Path {
        &self.folders.last().unwrap().1
    }

    /// CPU time by cgroup2's own accounting, which needs no controller.
    pub(crate) fn cpu_ns(&self) -> u64 {
        let text = fs::read_to_string(self.unified().join("cpu.stat")).unwrap();
        let usage = text
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "));
        usage.unwrap().parse::<u64>().unwrap() * 1000
    }

    /// [`Group::cpu_ns`] of a group whose processes have ended, once it stands still: a process
    /// that is reaped already may still have its last steps to run.
    pub(crate) fn final_cpu_ns(&self) -> u64 {
        let mut last = self.cpu_ns();
        loop {
            thread::sleep(Duration::from_millis(20));
            let now = self.cpu_ns();
            if now == last {
                return now;
            }
            last = now;
        }
    }

    /// Starts a worker inside; it has joined when this returns.
    pub(crate) fn start(&self, work: &str) -> Worker {
        let joins: Vec<PathBuf> = self
            .folders
            .iter()
            .map(|(_, folder)| folder.join("cgroup.procs"))
            .collect();
        Worker::start(work, &joins)
    }

    /// Runs a shell script inside to its end: a worker that starts faster.
    pub(crate) fn shell(&self, script: &str) {
        let joins: Vec<String> = self
            .folders
            .iter()
            .map(|(_, folder)| format!("echo 0 > {}/cgroup.procs", folder.display()))
            .collect();
        let script = format!("{} && {script}", joins.join(" && "));
        let status = Command::new("sh").args(["-c", &script]).status();
        assert!(status.expect("start a shell").success(), "{script}");
    }

    /// Runs a worker to its end.
    pub(crate) fn run(&self, work: &str) {
        self.start(work).finish();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // cgroup2 last of all hierarchies, as runc does it.
        for (_, folder) in &self.folders {
            // A process that has just ended leaves its cgroup a moment later.
            for _ in 0..200 {
                match fs::remove_dir(folder) {
                    Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                        thread::sleep(Duration::from_millis(5));
                    }
                    _ => break,
                }
            }
        }
    }
}

/// A process that does something on demand: `kernel-worker`.
pub(crate) struct Worker {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// CPU time between its joining the first hierarchy and the last one.
    pub(crate) joining_ns: u64,
}

impl Worker {
    pub(crate) fn start(work: &str, joins: &[PathBuf]) -> Self {
        let mut child = Command::new(Self::program())
            .arg(work)
            .args(joins)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start a worker");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut worker = Self {
            child,
            lines,
            joining_ns: 0,
        };
        let said = worker.line();
        let joining_ns = said.strip_prefix("joined ").map(str::parse);
        worker.joining_ns = joining_ns.expect("the worker has joined").unwrap();
        worker
    }

    /// Where cargo built it; in the virtual machine it lies beside the tests.
    fn program() -> PathBuf {
        let built = PathBuf::from(env!("CARGO_BIN_EXE_kernel-worker"));
        if built.exists() {
            return built;
        }
        std::env::current_exe()
            .unwrap()
            .with_file_name("kernel-worker")
    }

    /// The next line it says.
    pub(crate) fn line(&mut self) -> String {
        let line = self.lines.next().expect("the worker says something");
        line.expect("the worker speaks UTF-8")
    }

    /// Lets it go on.
    pub(crate) fn go(&mut self) {
        writeln!(self.child.stdin.as_mut().unwrap()).expect("the worker listens");
    }

    /// Waits for its end; says whether it went well.
    pub(crate) fn end(mut self) -> bool {
        drop(self.child.stdin.take());
        self.child.wait().expect("the worker ends").success()
    }

    pub(crate) fn finish(mut self) {
        let said: Vec<String> = self.lines.by_ref().map_while(Result::ok).collect();
        assert!(self.end(), "the worker failed: {said:#?}");
    }
}
