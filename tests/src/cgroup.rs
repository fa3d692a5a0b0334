//! Real cgroups, in whatever mode the machine has them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Where the machine's hierarchies are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchies {
    /// The cgroup2 mount.
    pub unified: PathBuf,
    /// The v1 mounts of `cpuacct` and `memory`, where those are not on v2.
    pub cpuacct: Option<PathBuf>,
    /// See `cpuacct`.
    pub memory: Option<PathBuf>,
}

impl Hierarchies {
    /// Finds them; panics if there is no cgroup2 mount.
    #[must_use]
    pub fn find() -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("read the mounts");
        let mut found = Self {
            unified: PathBuf::new(),
            cpuacct: None,
            memory: None,
        };
        for line in mounts.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let [_, path, kind, options, ..] = fields[..] else {
                continue;
            };
            let has = |controller: &str| options.split(',').any(|option| option == controller);
            match kind {
                "cgroup2" => found.unified = path.into(),
                "cgroup" if has("cpuacct") => found.cpuacct = Some(path.into()),
                "cgroup" if has("memory") => found.memory = Some(path.into()),
                _ => {}
            }
        }
        assert_ne!(found.unified, PathBuf::new(), "no cgroup2 is mounted");
        found
    }

    fn roots(&self) -> impl Iterator<Item = &PathBuf> {
        let v1 = [&self.cpuacct, &self.memory].into_iter().flatten();
        std::iter::once(&self.unified).chain(v1)
    }
}

/// A cgroup of the same path in every hierarchy, as runc makes it. Dropping it kills what runs in it
/// and removes it, and those below it.
#[derive(Debug)]
pub struct Cgroup {
    hierarchies: Hierarchies,
    path: String,
}

impl Cgroup {
    /// Makes one at a path relative to the mounts, starting with `/`.
    #[must_use]
    pub fn make(path: &str) -> Self {
        let cgroup = Self {
            hierarchies: Hierarchies::find(),
            path: path.to_owned(),
        };
        for folder in cgroup.folders() {
            fs::create_dir_all(&folder)
                .unwrap_or_else(|error| panic!("make {}: {error}", folder.display()));
        }
        cgroup
    }

    /// Makes one where Docker's cgroupfs driver would, under a random container id.
    #[must_use]
    pub fn like_docker() -> Self {
        Self::make(&format!("/docker/{}", container_id()))
    }

    /// A cgroup below this one.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self::make(&format!("{}/{name}", self.path))
    }

    /// Path below the mounts.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The cgroup id: inode number of the folder in the cgroup2 hierarchy.
    #[must_use]
    pub fn id(&self) -> u64 {
        let folder = &self.folders()[0];
        fs::metadata(folder).expect("the folder's inode").ino()
    }

    /// Its folder in each hierarchy, cgroup2 first.
    #[must_use]
    pub fn folders(&self) -> Vec<PathBuf> {
        self.hierarchies
            .roots()
            .map(|root| below(root, &self.path))
            .collect()
    }

    /// Starts a shell script inside: it joins every hierarchy before its first command.
    #[must_use]
    pub fn spawn(&self, script: &str) -> Child {
        let mut joined = String::new();
        for folder in self.folders() {
            joined.push_str(&format!("echo $$ > {}/cgroup.procs && ", folder.display()));
        }
        Command::new("sh")
            .args(["-c", &format!("{joined} exec sh -c \"$0\""), script])
            .spawn()
            .expect("start a shell")
    }

    /// CPU time by the kernel's own accounting, seconds.
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds(&self.hierarchies, &self.path)
    }

    /// Memory usage by the kernel's own accounting, bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        memory_bytes(&self.hierarchies, &self.path)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for folder in self.folders() {
            remove(&folder);
        }
    }
}

/// 64 random hex digits.
#[must_use]
pub fn container_id() -> String {
    (0..8)
        .map(|_| format!("{:08x}", rand::random::<u32>()))
        .collect()
}

/// CPU time of the cgroup at `path`, seconds: `cpuacct.usage` where v1 has it, else `cpu.stat`.
#[must_use]
pub fn cpu_seconds(hierarchies: &Hierarchies, path: &str) -> f64 {
    match &hierarchies.cpuacct {
        Some(root) => number(&below(root, path).join("cpuacct.usage")) as f64 / 1e9,
        None => {
            let file = below(&hierarchies.unified, path).join("cpu.stat");
            let text = read(&file);
            let usage = text
                .lines()
                .find_map(|line| line.strip_prefix("usage_usec "));
            usage.expect("usage_usec").parse::<f64>().expect("a number") / 1e6
        }
    }
}

/// Memory usage of the cgroup at `path`, bytes.
#[must_use]
pub fn memory_bytes(hierarchies: &Hierarchies, path: &str) -> u64 {
    match &hierarchies.memory {
        Some(root) => number(&below(root, path).join("memory.usage_in_bytes")),
        None => number(&below(&hierarchies.unified, path).join("memory.current")),
    }
}

/// Stops every process of the cgroup at `path`, or lets them go on. Unlike Docker's pause nobody
/// takes notice of it.
pub fn set_stopped(hierarchies: &Hierarchies, path: &str, stopped: bool) {
    let procs = below(&hierarchies.unified, path).join("cgroup.procs");
    let signal = match stopped {
        true => Signal::STOP,
        false => Signal::CONT,
    };
    let mut before = String::new();
    // Until no new process appears: one that was not stopped yet may have made some.
    loop {
        let now = read(&procs);
        if now == before {
            return;
        }
        for pid in now
            .lines()
            .filter_map(|line| Pid::from_raw(line.parse().ok()?))
        {
            // One that ended meanwhile does not run either.
            let _ = kill_process(pid, signal);
        }
        std::thread::sleep(Duration::from_millis(20));
        before = now;
    }
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("read {}: {error}", file.display()))
}

fn number(file: &Path) -> u64 {
    read(file).trim().parse().expect("a number")
}

/// Kills what runs below a cgroup folder and removes it; what is gone already is fine.
fn remove(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove(&entry.path());
        }
    }
    // A killed process leaves its cgroup a moment later.
    for _ in 0..100 {
        let procs = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        for pid in procs.lines().filter_map(|line| line.parse().ok()) {
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        match fs::remove_dir(folder) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                std::thread::sleep(Duration::from_millis(20));
            }
            _ => return,
        }
    }
    eprintln!("could not remove {}", folder.display());
}
