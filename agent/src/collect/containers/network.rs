//! A container's interfaces, read in its network namespace through one of its processes.
//!
//! The process' directory below `/proc` stays open: the kernel ties it to that very process, so a
//! reused pid cannot lend a container somebody else's interfaces, and unlike an open `net/dev` it
//! does not keep a dead container's namespace alive.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::super::netdev::{self, Interface};
use super::super::scan::{self, Shape};

/// Interfaces that are not the container's own: as cAdvisor leaves them out.
const FOREIGN: [&str; 3] = ["veth", "docker", "nerdctl"];

/// Reads in which the namespace is looked at anew: a runtime moves the first process there only
/// after it is in its cgroup.
const EARLY_READS: u8 = 3;

/// Searches for a process before giving up until [`Network::retry`].
const SEARCHES: u8 = 3;

#[derive(Debug, Default)]
pub(super) struct Network {
    process: Option<File>,
    reads: u8,
    searches: u8,
    /// Interfaces were read at least once.
    pub(super) known: bool,
}

/// What is the same for all containers.
#[derive(Debug)]
pub(super) struct Namespaces {
    proc: PathBuf,
    /// Inode of the host's `net/dev`. Each namespace has its own; unlike the namespace's, anybody
    /// may ask for it.
    host: Option<u64>,
}

impl Namespaces {
    pub(super) fn new(proc: &Path) -> Self {
        let host = rustix::fs::stat(proc.join("1/net/dev"))
            .ok()
            .map(|stat| stat.st_ino);
        Self {
            proc: proc.to_owned(),
            host,
        }
    }
}

impl Network {
    /// Reads `net/dev` into the buffer. False: the container has no network of its own, or none of
    /// its processes can be asked. `pids` are candidates, best first.
    pub(super) fn read(
        &mut self,
        namespaces: &Namespaces,
        container: &str,
        pids: impl FnOnce(&mut Vec<u8>) -> Vec<u32>,
        buffer: &mut Vec<u8>,
    ) -> bool {
        buffer.clear();
        if self.process.is_none() && self.searches < SEARCHES {
            self.searches += 1;
            self.reads = 0;
            let open = |pid: u32| open_process(&namespaces.proc, pid, container);
            self.process = pids(buffer)
                .into_iter()
                .filter(|&pid| pid != 0)
                .find_map(open);
        }
        let Some(process) = &self.process else {
            return false;
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(process, "net/dev", flags, Mode::empty()).map(File::from);
        if let Ok(file) = &file
            && self.reads < EARLY_READS
        {
            self.reads += 1;
            if rustix::fs::fstat(file).is_ok_and(|stat| Some(stat.st_ino) == namespaces.host) {
                return false;
            }
        }
        let read = file.is_ok_and(|file| scan::read_file(&file, Shape::Records, buffer).is_ok());
        if read {
            self.known = true;
            self.searches = 0;
        } else {
            // The process is gone; the container may have others.
            self.process = None;
        }
        read
    }

    /// Looks for a process, and at its namespace, again.
    pub(super) fn retry(&mut self) {
        self.searches = 0;
        self.reads = 0;
    }

    pub(super) fn close(&mut self) {
        self.process = None;
    }
}

/// The container's own interfaces of a `net/dev`.
pub(super) fn own_interfaces(bytes: &[u8]) -> impl Iterator<Item = (&str, Interface)> {
    netdev::interfaces(bytes)
        .filter(|(name, _)| *name != "lo" && !FOREIGN.iter().any(|prefix| name.starts_with(prefix)))
}

/// The directory of a process, if the process is in the container's cgroup.
fn open_process(proc: &Path, pid: u32, container: &str) -> Option<File> {
    let directory = File::open(proc.join(pid.to_string())).ok()?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let cgroup = rustix::fs::openat(&directory, "cgroup", flags, Mode::empty()).ok()?;
    let mut membership = Vec::new();
    scan::read_file(&File::from(cgroup), Shape::Records, &mut membership).ok()?;
    let id = container.as_bytes();
    membership
        .windows(id.len())
        .any(|window| window == id)
        .then_some(directory)
}
