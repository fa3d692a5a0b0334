//! What the loader must know about the host: cgroup hierarchies, CPUs, NUMA nodes, memory,
//! privileges. All of it from procfs and sysfs.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::KernelError;

/// Inode number of a cgroup hierarchy's real root.
const ROOT_INODE: u64 = 1;

/// Bits of the capabilities that loading needs.
const CAPABILITIES: [(&str, u32); 2] = [("CAP_BPF", 39), ("CAP_PERFMON", 38)];
const CAP_SYS_ADMIN: u32 = 21;

/// A cgroup v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    /// Its number, as in `/proc/<pid>/cgroup`.
    pub(super) number: u32,
    /// Where it is mounted, if it is where we can see it.
    pub(super) mount: Option<PathBuf>,
}

/// The cgroup hierarchies in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchies {
    /// Where cgroup2 is mounted.
    pub(super) unified: PathBuf,
    /// The blkio controller's, if it is cgroup v1.
    pub(super) block: Option<Hierarchy>,
    /// The memory controller's, if it is cgroup v1.
    pub(super) memory: Option<Hierarchy>,
}

/// Finds the hierarchies.
pub(super) fn hierarchies() -> Result<Hierarchies, KernelError> {
    let mounts = mounts(&read("/proc/self/mountinfo")?);
    let numbers = read("/proc/self/cgroup")?;
    // Of several mounts the one that shows the hierarchy's real root: ids are the same everywhere,
    // but paths are told from there.
    let is_root = |mount: &&Mount| {
        fs::metadata(&mount.point).is_ok_and(|metadata| metadata.ino() == ROOT_INODE)
    };
    let unified = mounts
        .iter()
        .filter(|mount| mount.kind == "cgroup2")
        .find(is_root)
        .ok_or(KernelError::NoUnifiedHierarchy)?;
    let legacy = |controller: &str| {
        let number = hierarchy_number(&numbers, controller)?;
        let mount = mounts
            .iter()
            .filter(|mount| mount.kind == "cgroup" && mount.has_option(controller))
            .find(is_root)
            .map(|mount| mount.point.clone());
        Some(Hierarchy { number, mount })
    };
    Ok(Hierarchies {
        unified: unified.point.clone(),
        block: legacy("blkio"),
        memory: legacy("memory"),
    })
}

#[derive(Debug)]
struct Mount {
    point: PathBuf,
    kind: String,
    options: String,
}

impl Mount {
    fn has_option(&self, option: &str) -> bool {
        self.options.split(',').any(|known| known == option)
    }
}

/// Parses mountinfo: `id parent device root point options tags… - kind source super-options`.
fn mounts(text: &str) -> Vec<Mount> {
    text.lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let point = left.split(' ').nth(4)?;
            let mut right = right.split(' ');
            let kind = right.next()?.to_owned();
            let options = right.nth(1).unwrap_or_default().to_owned();
            Some(Mount {
                point: unescape(point).into(),
                kind,
                options,
            })
        })
        .collect()
}

/// The kernel writes spaces, tabs, newlines and backslashes as three octal digits.
fn unescape(text: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (escaped, plain)| {
        text.replace(escaped, plain)
    })
}

/// The number of a cgroup v1 controller's hierarchy, from `/proc/self/cgroup`.
fn hierarchy_number(text: &str, controller: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let number = fields.next()?.parse().ok()?;
        fields
            .next()?
            .split(',')
            .any(|known| known == controller)
            .then_some(number)
    })
}

/// Possible CPUs: the highest number that a CPU can have, plus one.
pub(super) fn possible_cpus() -> Result<u32, KernelError> {
    highest("/sys/devices/system/cpu/possible")
}

/// Possible NUMA nodes; 1 on kernels without NUMA.
pub(super) fn possible_nodes() -> u32 {
    highest("/sys/devices/system/node/possible").unwrap_or(1)
}

/// One more than the last number of a list such as `0-3,5`.
fn highest(path: &str) -> Result<u32, KernelError> {
    let text = read(path)?;
    let last = text
        .trim()
        .rsplit([',', '-'])
        .next()
        .and_then(|last| last.parse::<u32>().ok());
    let last = last.ok_or_else(|| KernelError::Host {
        path: path.into(),
        source: io::Error::from(io::ErrorKind::InvalidData),
    })?;
    Ok(last + 1)
}

/// Memory of the host in bytes.
pub(super) fn memory_bytes() -> Result<u64, KernelError> {
    let path = "/proc/meminfo";
    let text = read(path)?;
    text.lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .map(|kilobytes: u64| kilobytes * 1024)
        .ok_or_else(|| KernelError::Host {
            path: path.into(),
            source: io::Error::from(io::ErrorKind::InvalidData),
        })
}

/// Inode number of our network namespace.
pub(super) fn network_namespace() -> Result<u32, KernelError> {
    let path = Path::new("/proc/self/ns/net");
    let metadata = fs::metadata(path).map_err(|source| KernelError::Host {
        path: path.into(),
        source,
    })?;
    // Namespaces are numbered with 32 bits.
    Ok(metadata.ino() as u32)
}

/// The capabilities that loading needs and this thread does not have.
pub(super) fn missing_capabilities() -> Result<Vec<&'static str>, KernelError> {
    Ok(missing_from(&read("/proc/thread-self/status")?))
}

fn missing_from(status: &str) -> Vec<&'static str> {
    let effective = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())
        .unwrap_or(0);
    if effective >> CAP_SYS_ADMIN & 1 == 1 {
        return Vec::new();
    }
    CAPABILITIES
        .into_iter()
        .filter(|(_, bit)| effective >> bit & 1 == 0)
        .map(|(name, _)| name)
        .collect()
}

fn read(path: &str) -> Result<String, KernelError> {
    fs::read_to_string(path).map_err(|source| KernelError::Host {
        path: path.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_with_tags_and_escaped_names() {
        let text = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                    35 31 0:32 / /sys/fs/cgroup/memory rw shared:5 master:1 - cgroup cgroup rw,memory\n\
                    36 31 0:33 /x /mnt/with\\040space rw - cgroup2 cgroup2 rw,nsdelegate\n\
                    broken line\n";
        let found = mounts(text);
        assert_eq!(found.len(), 3);
        assert!(found[1].has_option("memory") && !found[1].has_option("mem"));
        assert_eq!(found[2].point, Path::new("/mnt/with space"));
        assert_eq!(found[2].kind, "cgroup2");
    }

    #[test]
    fn hierarchy_numbers_are_found_by_controller() {
        let text = "12:name=systemd:/\n7:cpu,cpuacct:/\n4:memory:/a:b\n0::/\n";
        assert_eq!(hierarchy_number(text, "memory"), Some(4));
        assert_eq!(hierarchy_number(text, "cpuacct"), Some(7));
        assert_eq!(hierarchy_number(text, "blkio"), None);
    }

    #[test]
    fn only_what_is_missing_is_named() {
        assert_eq!(
            missing_from("CapEff:\t000001ffffffffff\n"),
            Vec::<&str>::new()
        );
        assert_eq!(
            missing_from("CapEff:\t0000000000200000\n"),
            Vec::<&str>::new()
        );
        assert_eq!(missing_from("CapEff:\t0000008000000000\n"), ["CAP_PERFMON"]);
        assert_eq!(
            missing_from("CapEff:\t0000000000000000\n"),
            ["CAP_BPF", "CAP_PERFMON"]
        );
        assert_eq!(missing_from(""), ["CAP_BPF", "CAP_PERFMON"]);
    }
}
