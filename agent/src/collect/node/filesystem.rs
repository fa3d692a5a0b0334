//! File systems: `statfs` of every mount that node exporter shows by default.
//!
//! A dead network file system can block `statfs` for ever. Calls are made on a thread of their
//! own; what does not answer within [`PATIENCE`] is reported as a device error, without delay,
//! until its call returns. At most [`MAX_STUCK`] threads wait that way.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

use super::{Roots, families, put_with};
use crate::collect::scan;
use crate::signal::series::SeriesTable;

/// How long a file system may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// File systems that may block a thread each; while there are more, none is asked.
const MAX_STUCK: usize = 32;

/// Types that hold no data of their own: node exporter's default.
const TYPES_LEFT_OUT: [&str; 24] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "procfs",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
];

/// One mount of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) device: String,
    pub(super) point: String,
    pub(super) kind: String,
    pub(super) read_only: bool,
}

/// What `statfs` says, in bytes and inodes.
#[derive(Debug, Clone, Copy)]
struct Space {
    size: f64,
    free: f64,
    available: f64,
    files: f64,
    files_free: f64,
}

/// The mounts, and the thread that asks them.
#[derive(Debug, Default)]
pub(super) struct Filesystems {
    worker: Option<Worker>,
    stuck: HashMap<PathBuf, Worker>,
}

#[derive(Debug)]
struct Worker {
    ask: Sender<PathBuf>,
    answer: Receiver<Option<Space>>,
}

impl Filesystems {
    pub(super) fn collect(&mut self, roots: &Roots, buffer: &mut Vec<u8>, table: &mut SeriesTable) {
        let mounts = roots.proc.join("1/mounts");
        let read = scan::read_path(&mounts, buffer);
        if read.is_err() && scan::read_path(&roots.proc.join("mounts"), buffer).is_err() {
            return;
        }
        self.stuck
            .retain(|_, worker| matches!(worker.answer.try_recv(), Err(TryRecvError::Empty)));
        let mut seen = HashSet::new();
        for mount in mounts_of(buffer) {
            if is_left_out(&mount) || !seen.insert((mount.device.clone(), mount.point.clone())) {
                continue;
            }
            let path = roots.root.join(mount.point.trim_start_matches('/'));
            self.put(table, &mount, &path);
        }
    }

    fn put(&mut self, table: &mut SeriesTable, mount: &Mount, path: &Path) {
        let labels = [
            ("device", &*mount.device),
            ("fstype", &*mount.kind),
            ("mountpoint", &*mount.point),
        ];
        let space = self.space(path);
        let flag = |set: bool| if set { 1.0 } else { 0.0 };
        put_with(
            table,
            &families::FILESYSTEM_DEVICE_ERROR,
            &labels,
            flag(space.is_none()),
        );
        let Some(space) = space else { return };
        put_with(
            table,
            &families::FILESYSTEM_READONLY,
            &labels,
            flag(mount.read_only),
        );
        put_with(table, &families::FILESYSTEM_SIZE, &labels, space.size);
        put_with(table, &families::FILESYSTEM_FREE, &labels, space.free);
        put_with(table, &families::FILESYSTEM_AVAIL, &labels, space.available);
        put_with(table, &families::FILESYSTEM_FILES, &labels, space.files);
        put_with(
            table,
            &families::FILESYSTEM_FILES_FREE,
            &labels,
            space.files_free,
        );
    }

    fn space(&mut self, path: &Path) -> Option<Space> {
        if self.stuck.contains_key(path) || self.stuck.len() >= MAX_STUCK {
            return None;
        }
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => spawn()?,
        };
        worker.ask.send(path.to_owned()).ok()?;
        match worker.answer.recv_timeout(PATIENCE) {
            Ok(space) => {
                self.worker = Some(worker);
                space
            }
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!(path = %path.display(), "file system does not answer");
                self.stuck.insert(path.to_owned(), worker);
                None
            }
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }
}

/// A thread that asks until nobody wants to know any more.
fn spawn() -> Option<Worker> {
    let (ask, asked) = channel::<PathBuf>();
    let (answers, answer) = channel();
    let run = move || {
        for path in asked {
            if answers.send(statfs(&path)).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("guidon-statfs".into())
        .spawn(run)
        .ok()?;
    Some(Worker { ask, answer })
}

fn statfs(path: &Path) -> Option<Space> {
    let statfs = rustix::fs::statfs(path).ok()?;
    let block = statfs.f_bsize as f64;
    Some(Space {
        size: statfs.f_blocks as f64 * block,
        free: statfs.f_bfree as f64 * block,
        available: statfs.f_bavail as f64 * block,
        files: statfs.f_files as f64,
        files_free: statfs.f_ffree as f64,
    })
}

/// The lines of `/proc/<pid>/mounts`.
pub(super) fn mounts_of(bytes: &[u8]) -> impl Iterator<Item = Mount> {
    scan::lines(bytes).filter_map(|line| {
        let mut words = scan::words(line);
        Some(Mount {
            device: unescape(words.next()?),
            point: unescape(words.next()?),
            kind: unescape(words.next()?),
            read_only: words
                .next()?
                .split(|&byte| byte == b',')
                .any(|option| option == b"ro"),
        })
    })
}

/// The kernel writes spaces, tabs, line ends and backslashes as `\` and three octal digits.
fn unescape(word: &[u8]) -> String {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let [byte, tail @ ..] = rest {
        if let (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) = (*byte, tail) {
            plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = &tail[3..];
        } else {
            plain.push(*byte);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// Whether node exporter leaves the mount out by default, by its type or by its place:
/// `^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)`
fn is_left_out(mount: &Mount) -> bool {
    if TYPES_LEFT_OUT.contains(&mount.kind.as_str()) {
        return true;
    }
    let below = |prefix: &str| {
        mount
            .point
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let something_in = |prefix: &str| {
        mount
            .point
            .strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty())
    };
    below("/dev")
        || below("/proc")
        || below("/sys")
        || something_in("/run/credentials/")
        || something_in("/var/lib/docker/")
        || something_in("/var/lib/containers/storage/")
}
