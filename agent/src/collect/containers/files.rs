//! What the cgroup files of one container say: v1, hybrid and v2, with files that stay open.

use std::path::{Path, PathBuf};

use super::super::hierarchy::{Controller, Hierarchy};
use super::super::scan::{self, Budget, Kept, Shape};

/// Values of one round. Absent: the file or the line is not there.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Stats {
    pub(super) cpu_ns: Option<u64>,
    pub(super) user_ns: Option<u64>,
    pub(super) system_ns: Option<u64>,
    pub(super) throttling: Option<Throttling>,
    pub(super) memory_usage: Option<u64>,
    pub(super) memory: Option<Memory>,
    pub(super) memory_max_usage: Option<u64>,
    pub(super) memory_failcnt: Option<u64>,
    pub(super) oom_kills: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) processes: Option<u64>,
    /// CPU, memory, I/O; each waiting and stalled, in microseconds.
    pub(super) pressure: [[Option<u64>; 2]; 3],
    pub(super) devices: Option<Vec<Device>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Throttling {
    pub(super) periods: u64,
    pub(super) throttled_periods: u64,
    pub(super) throttled_ns: u64,
}

/// From `memory.stat`, in bytes and faults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) inactive_file: u64,
    pub(super) rss: u64,
    pub(super) cache: u64,
    pub(super) swap: Option<u64>,
    pub(super) mapped: u64,
    /// Of the cgroup alone, and with those below it.
    pub(super) faults: [u64; 2],
    pub(super) major_faults: [u64; 2],
}

/// Traffic with one block device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) number: (u32, u32),
    pub(super) read_bytes: u64,
    pub(super) write_bytes: u64,
    pub(super) reads: u64,
    pub(super) writes: u64,
}

/// Limits: they change seldom and are read seldom.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Limits {
    pub(super) cpu_period_us: Option<u64>,
    /// Absent: no quota.
    pub(super) cpu_quota_us: Option<u64>,
    pub(super) cpu_shares: Option<u64>,
    /// Outer: is there such a file; inner: is there a limit.
    pub(super) memory: Option<Option<u64>>,
    pub(super) memory_reservation: Option<Option<u64>>,
    pub(super) memory_swap: Option<Option<u64>>,
    pub(super) threads: Option<Option<u64>>,
}

/// What the kernel programs do not tell of this container.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) cpu: bool,
    pub(super) memory_usage: bool,
    pub(super) oom: bool,
    pub(super) operations: bool,
}

/// v1 says "no limit" with the greatest multiple of a page.
const NO_LIMIT: u64 = 1 << 62;

#[derive(Debug)]
pub(super) struct Files {
    unified: Option<PathBuf>,
    memory: Option<PathBuf>,
    memory_v1: bool,
    cpu: Option<PathBuf>,
    cpuacct: Option<PathBuf>,
    blkio: Option<PathBuf>,
    pids: Option<PathBuf>,
    kept: Box<[Kept; KEPT]>,
    has_quota: bool,
}

const CPU_STAT: usize = 0;
const CPUACCT_USAGE: usize = 1;
const CPUACCT_USER: usize = 2;
const CPUACCT_SYSTEM: usize = 3;
const THROTTLING: usize = 4;
const MEMORY_USAGE: usize = 5;
const MEMORY_STAT: usize = 6;
const MEMORY_PEAK: usize = 7;
const MEMORY_FAILCNT: usize = 8;
const MEMORY_OOM: usize = 9;
const MEMORY_SWAP: usize = 10;
const IO: usize = 11;
const IO_OPERATIONS: usize = 12;
const PIDS: usize = 13;
const PRESSURE: usize = 14;
const PROCESSES: usize = 17;
const KEPT: usize = 18;

impl Files {
    /// The files of the container whose cgroup has this path in every hierarchy.
    pub(super) fn new(hierarchy: &Hierarchy, path: &str, budget: &Budget) -> Self {
        let below = |root: &Path| root.join(path.trim_start_matches('/'));
        let v1 = |controller| hierarchy.v1(controller).map(below);
        let unified = hierarchy.unified.as_deref().map(below);
        let (memory, memory_v1) = match hierarchy.memory() {
            Some((root, v1)) => (Some(below(root)), v1),
            None => (None, false),
        };
        Self {
            memory,
            memory_v1,
            cpu: v1(Controller::Cpu),
            cpuacct: v1(Controller::Cpuacct),
            blkio: v1(Controller::Blkio),
            pids: v1(Controller::Pids).or_else(|| unified.clone()),
            unified,
            kept: Box::new(std::array::from_fn(|_| Kept::new(budget))),
            has_quota: false,
        }
    }

    /// The container's directory in the memory controller's hierarchy.
    pub(super) fn memory_directory(&self) -> Option<&Path> {
        self.memory.as_deref()
    }

    /// Directories whose `cgroup.procs` list the container's own processes; the first that can be
    /// read counts.
    pub(super) fn process_directories(&self) -> impl Iterator<Item = &Path> {
        [&self.unified, &self.memory, &self.pids]
            .into_iter()
            .filter_map(Option::as_deref)
    }

    /// CPU time in nanoseconds, as the kernel accounts it: of the cgroup2 cgroup where there is one,
    /// since that is the one the programs count by; a runtime joins the others a moment later.
    pub(super) fn cpu_ns(&mut self, buffer: &mut Vec<u8>) -> Option<u64> {
        if let Some(directory) = &self.unified
            && self.kept[CPU_STAT].read(directory, "cpu.stat", Shape::Whole, buffer)
        {
            return scan::value_of(buffer, b"usage_usec").map(|usec| usec.saturating_mul(1000));
        }
        let directory = self.cpuacct.as_deref()?;
        self.kept[CPUACCT_USAGE].read(directory, "cpuacct.usage", Shape::Whole, buffer);
        scan::number(buffer)
    }

    /// Processes in the container's own cgroup.
    pub(super) fn processes(&mut self, buffer: &mut Vec<u8>) -> Option<u64> {
        let directory = self.process_directories().next()?.to_owned();
        let read = self.kept[PROCESSES].read(&directory, "cgroup.procs", Shape::Records, buffer);
        read.then(|| scan::lines(buffer).count() as u64)
    }

    /// Tasks killed for lack of memory.
    pub(super) fn oom_kills(&mut self, buffer: &mut Vec<u8>) -> Option<u64> {
        let name = if self.memory_v1 {
            "memory.oom_control"
        } else {
            "memory.events"
        };
        let directory = self.memory.as_deref()?;
        self.kept[MEMORY_OOM].read(directory, name, Shape::Whole, buffer);
        scan::value_of(buffer, b"oom_kill")
    }

    /// Reads what is wanted; `stats` is replaced.
    pub(super) fn read(&mut self, wanted: Wanted, buffer: &mut Vec<u8>, stats: &mut Stats) {
        *stats = Stats::default();
        self.read_cpu(wanted, buffer, stats);
        self.read_memory(wanted, buffer, stats);
        self.read_io(wanted, buffer, stats);
        if let Some(directory) = &self.pids
            && self.kept[PIDS].read(directory, "pids.current", Shape::Whole, buffer)
        {
            stats.threads = scan::number(buffer);
        }
        if let Some(directory) = &self.unified {
            let names = ["cpu.pressure", "memory.pressure", "io.pressure"];
            for (at, name) in names.into_iter().enumerate() {
                if self.kept[PRESSURE + at].read(directory, name, Shape::Whole, buffer) {
                    stats.pressure[at] = scan::pressure(buffer);
                }
            }
        }
    }

    fn read_cpu(&mut self, wanted: Wanted, buffer: &mut Vec<u8>, stats: &mut Stats) {
        let mut throttling_read = false;
        if let Some(directory) = &self.unified
            && self.kept[CPU_STAT].read(directory, "cpu.stat", Shape::Whole, buffer)
        {
            let nanoseconds =
                |key| scan::value_of(buffer, key).map(|usec| usec.saturating_mul(1000));
            stats.cpu_ns = nanoseconds(b"usage_usec");
            stats.user_ns = nanoseconds(b"user_usec");
            stats.system_ns = nanoseconds(b"system_usec");
            if self.cpu.is_none() && self.has_quota {
                stats.throttling = throttling(buffer);
                throttling_read = true;
            }
        }
        if let Some(directory) = &self.cpuacct {
            let mut value = |at: usize, name| {
                let kept: &mut Kept = &mut self.kept[at];
                kept.read(directory, name, Shape::Whole, buffer);
                scan::number(buffer)
            };
            if wanted.cpu {
                stats.cpu_ns = value(CPUACCT_USAGE, "cpuacct.usage").or(stats.cpu_ns);
            }
            if stats.user_ns.is_none() {
                stats.user_ns = value(CPUACCT_USER, "cpuacct.usage_user");
                stats.system_ns = value(CPUACCT_SYSTEM, "cpuacct.usage_sys");
            }
        }
        if let Some(directory) = &self.cpu
            && self.has_quota
            && !throttling_read
            && self.kept[THROTTLING].read(directory, "cpu.stat", Shape::Whole, buffer)
        {
            stats.throttling = throttling(buffer);
        }
    }

    fn read_memory(&mut self, wanted: Wanted, buffer: &mut Vec<u8>, stats: &mut Stats) {
        let Some(directory) = self.memory.clone() else {
            return;
        };
        let v1 = self.memory_v1;
        let kept = &mut self.kept;
        let mut read = |at: usize, names: [&str; 2], buffer: &mut Vec<u8>| {
            kept[at].read(&directory, names[usize::from(v1)], Shape::Whole, buffer)
        };
        if wanted.memory_usage
            && read(
                MEMORY_USAGE,
                ["memory.current", "memory.usage_in_bytes"],
                buffer,
            )
        {
            stats.memory_usage = scan::number(buffer);
        }
        if read(MEMORY_STAT, ["memory.stat"; 2], buffer) {
            stats.memory = memory(buffer, v1);
        }
        if read(
            MEMORY_PEAK,
            ["memory.peak", "memory.max_usage_in_bytes"],
            buffer,
        ) {
            stats.memory_max_usage = scan::number(buffer);
        }
        if v1 {
            if read(MEMORY_FAILCNT, ["memory.failcnt"; 2], buffer) {
                stats.memory_failcnt = scan::number(buffer);
            }
            if wanted.oom {
                stats.oom_kills = self.oom_kills(buffer);
            }
            return;
        }
        if read(MEMORY_SWAP, ["memory.swap.current"; 2], buffer)
            && let Some(memory) = &mut stats.memory
        {
            memory.swap = scan::number(buffer);
        }
        if read(MEMORY_OOM, ["memory.events"; 2], buffer) {
            stats.memory_failcnt = scan::value_of(buffer, b"max");
            stats.oom_kills = scan::value_of(buffer, b"oom_kill");
        }
    }

    fn read_io(&mut self, wanted: Wanted, buffer: &mut Vec<u8>, stats: &mut Stats) {
        if let Some(directory) = &self.blkio {
            let bytes = "blkio.throttle.io_service_bytes_recursive";
            if self.kept[IO].read(directory, bytes, Shape::Whole, buffer) {
                v1_devices(buffer, stats.devices.get_or_insert_default(), |device| {
                    (&mut device.read_bytes, &mut device.write_bytes)
                });
            }
            let operations = "blkio.throttle.io_serviced_recursive";
            if wanted.operations
                && self.kept[IO_OPERATIONS].read(directory, operations, Shape::Whole, buffer)
            {
                v1_devices(buffer, stats.devices.get_or_insert_default(), |device| {
                    (&mut device.reads, &mut device.writes)
                });
            }
        } else if let Some(directory) = &self.unified
            && self.kept[IO].read(directory, "io.stat", Shape::Whole, buffer)
        {
            v2_devices(buffer, stats.devices.get_or_insert_default());
        }
    }

    /// Reads the limits: opens, reads and closes each file.
    pub(super) fn limits(&mut self, buffer: &mut Vec<u8>) -> Limits {
        let mut limits = Limits::default();
        let mut read = |directory: &Option<PathBuf>, name: &str| -> Option<Vec<u8>> {
            scan::read_path(&directory.as_ref()?.join(name), buffer).ok()?;
            Some(buffer.trim_ascii().to_vec())
        };
        let bounded = |bytes: Vec<u8>| scan::number(&bytes).filter(|&value| value < NO_LIMIT);
        if self.cpu.is_some() {
            limits.cpu_period_us = read(&self.cpu, "cpu.cfs_period_us").and_then(bounded);
            limits.cpu_quota_us = read(&self.cpu, "cpu.cfs_quota_us").and_then(bounded);
            limits.cpu_shares = read(&self.cpu, "cpu.shares").and_then(bounded);
        } else {
            if let Some(line) = read(&self.unified, "cpu.max") {
                let mut words = scan::words(&line).map(scan::number);
                limits.cpu_quota_us = words.next().flatten();
                limits.cpu_period_us = words.next().flatten();
            }
            let weight = read(&self.unified, "cpu.weight").and_then(bounded);
            limits.cpu_shares = weight.map(shares_of_weight);
        }
        let names = if self.memory_v1 {
            [
                "memory.limit_in_bytes",
                "memory.soft_limit_in_bytes",
                "memory.memsw.limit_in_bytes",
            ]
        } else {
            ["memory.max", "memory.min", "memory.swap.max"]
        };
        let [memory, reservation, swap] = names.map(|name| read(&self.memory, name).map(bounded));
        limits.memory = memory;
        limits.memory_reservation = reservation;
        limits.memory_swap = swap;
        limits.threads = read(&self.pids, "pids.max").map(bounded);
        self.has_quota = limits.cpu_quota_us.is_some();
        limits
    }

    /// The container is gone: lets go of all files.
    pub(super) fn close(&mut self) {
        for kept in self.kept.iter_mut() {
            kept.close();
        }
    }
}

/// The inverse of how runtimes turn v1 shares (2 to 262144) into a v2 weight (1 to 10000).
fn shares_of_weight(weight: u64) -> u64 {
    2 + weight.saturating_sub(1).saturating_mul(262_142) / 9_999
}

fn throttling(bytes: &[u8]) -> Option<Throttling> {
    let nanoseconds = scan::value_of(bytes, b"throttled_time")
        .or_else(|| Some(scan::value_of(bytes, b"throttled_usec")?.saturating_mul(1000)))?;
    Some(Throttling {
        periods: scan::value_of(bytes, b"nr_periods")?,
        throttled_periods: scan::value_of(bytes, b"nr_throttled")?,
        throttled_ns: nanoseconds,
    })
}

fn memory(bytes: &[u8], v1: bool) -> Option<Memory> {
    let mut memory = Memory::default();
    let mut any = false;
    for (key, value) in scan::pairs(bytes) {
        any = true;
        if v1 {
            match key {
                b"total_inactive_file" => memory.inactive_file = value,
                b"total_rss" => memory.rss = value,
                b"total_cache" => memory.cache = value,
                b"total_swap" => memory.swap = Some(value),
                b"total_mapped_file" => memory.mapped = value,
                b"pgfault" => memory.faults[0] = value,
                b"total_pgfault" => memory.faults[1] = value,
                b"pgmajfault" => memory.major_faults[0] = value,
                b"total_pgmajfault" => memory.major_faults[1] = value,
                _ => {}
            }
        } else {
            match key {
                b"inactive_file" => memory.inactive_file = value,
                b"anon" => memory.rss = value,
                b"file" => memory.cache = value,
                b"file_mapped" => memory.mapped = value,
                // v2 counts hierarchically; cAdvisor gives the same number for both scopes.
                b"pgfault" => memory.faults = [value; 2],
                b"pgmajfault" => memory.major_faults = [value; 2],
                _ => {}
            }
        }
    }
    any.then_some(memory)
}

fn device_number(word: &[u8]) -> Option<(u32, u32)> {
    let colon = word.iter().position(|&byte| byte == b':')?;
    let part = |bytes| u32::try_from(scan::number(bytes)?).ok();
    Some((part(&word[..colon])?, part(&word[colon + 1..])?))
}

fn device_entry(devices: &mut Vec<Device>, number: (u32, u32)) -> Option<&mut Device> {
    let at = match devices.iter().position(|device| device.number == number) {
        Some(at) => at,
        None => {
            devices.push(Device {
                number,
                ..Device::default()
            });
            devices.len() - 1
        }
    };
    devices.get_mut(at)
}

/// `8:0 Read 4096` lines.
fn v1_devices(
    bytes: &[u8],
    devices: &mut Vec<Device>,
    fields: impl Fn(&mut Device) -> (&mut u64, &mut u64),
) {
    for line in scan::lines(bytes) {
        let mut words = scan::words(line);
        let Some(number) = words.next().and_then(device_number) else {
            continue;
        };
        let operation = words.next();
        let Some(value) = words.next().and_then(scan::number) else {
            continue;
        };
        let Some(device) = device_entry(devices, number) else {
            continue;
        };
        let (read, write) = fields(device);
        match operation {
            Some(b"Read") => *read = value,
            Some(b"Write") => *write = value,
            _ => {}
        }
    }
}

/// `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 …` lines.
fn v2_devices(bytes: &[u8], devices: &mut Vec<Device>) {
    for line in scan::lines(bytes) {
        let mut words = scan::words(line);
        let Some(number) = words.next().and_then(device_number) else {
            continue;
        };
        let Some(device) = device_entry(devices, number) else {
            continue;
        };
        for word in words {
            let Some(equals) = word.iter().position(|&byte| byte == b'=') else {
                continue;
            };
            let Some(value) = scan::number(&word[equals + 1..]) else {
                continue;
            };
            match &word[..equals] {
                b"rbytes" => device.read_bytes = value,
                b"wbytes" => device.write_bytes = value,
                b"rios" => device.reads = value,
                b"wios" => device.writes = value,
                _ => {}
            }
        }
    }
}
