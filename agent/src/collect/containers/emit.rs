//! One container's values in one pass: counters, files, series.

use super::entry::Entry;
use super::files::{Limits, Stats, Wanted};
use super::metrics::{Identity, Metric, Setter};
use super::source::Abilities;
use super::{ContainerCollector, Purpose, ROUNDS_ENDED, SELDOM, devices, network, sum};
use crate::collect::catalogue::containers as families;
use crate::collect::netdev::{BYTES, DROPPED, ERRORS, PACKETS};
use crate::collect::rows::Totals;
use crate::collect::scan;
use crate::directory::Snapshot;
use crate::kernel::Counters;
use crate::signal::series::SeriesTable;

/// What one pass found out of a container.
struct Found {
    /// From the programs, base not added; absent: no slot counts for it.
    counted: Option<Counters>,
    cpu_ns: Option<u64>,
    memory_usage: Option<u64>,
    working_set: Option<u64>,
    /// The buffer holds the container's `net/dev`.
    interfaces: bool,
}

impl ContainerCollector {
    /// Sets the container's values. False: its final sample is among them, it leaves the books.
    pub(super) fn collect(
        &mut self,
        entry: &mut Entry,
        snapshot: &Snapshot,
        table: &mut SeriesTable,
        now_ms: i64,
        purpose: Purpose,
    ) -> bool {
        if !identify(entry, snapshot)
            && now_ms - entry.seen_ms < self.options.unknown_grace.as_millis() as i64
        {
            return true;
        }
        let found = self.measure(entry);
        let released = entry.is_released();
        let at_ms = match entry.ended_ms {
            // Only forward: an older sample would make the receiver refuse the request.
            Some(ended_ms) if released && ended_ms > entry.sent_ms => ended_ms.min(now_ms),
            _ => 0,
        };
        self.emit(entry, &found, table, now_ms, at_ms);
        if purpose == Purpose::Look {
            return true;
        }
        account(entry, &found, self.abilities, now_ms, &self.buffer);
        entry.sent_ms = now_ms;
        if entry.ended_ms.is_some() {
            entry.rounds_ended += 1;
        }
        entry.ended_ms.is_none() || !(released || entry.rounds_ended >= ROUNDS_ENDED)
    }

    fn measure(&mut self, entry: &mut Entry) -> Found {
        let alive = entry.ended_ms.is_none();
        let counted = match &self.kernel {
            Some(kernel) if entry.has_slots => Some(sum(&**kernel, entry)),
            _ => None,
        };
        let seldom = entry.passes.is_multiple_of(SELDOM);
        entry.passes = entry.passes.wrapping_add(1);
        let with_slots = counted.is_some();
        let memory = self.memory_of(entry);
        entry.stats = if alive && self.options.files {
            if seldom {
                entry.limits = entry.files.limits(&mut self.buffer);
                entry.network.retry();
            }
            let wanted = Wanted {
                cpu: !(with_slots && self.abilities.cpu),
                memory_usage: memory.is_none(),
                oom: !(with_slots && self.abilities.oom),
                operations: !(with_slots && self.abilities.block),
            };
            let mut stats = std::mem::take(&mut entry.stats);
            entry.files.read(wanted, &mut self.buffer, &mut stats);
            stats.processes = entry.processes(&mut self.buffer);
            stats
        } else {
            Stats::default()
        };
        let interfaces = alive && self.options.files && self.read_interfaces(entry);
        let cpu_counted = counted.as_ref().filter(|_| self.abilities.cpu);
        let memory_usage = memory
            .map(|memory| memory.usage_bytes)
            .or(entry.stats.memory_usage);
        let inactive_file = entry.stats.memory.map(|memory| memory.inactive_file);
        let inactive_file = inactive_file.or_else(|| {
            // Of the cgroup alone, so only right where nothing lies below it.
            let alone = entry.members.len() <= 1;
            memory
                .filter(|_| alone)
                .and_then(|memory| memory.lru)
                .map(|lru| lru.inactive_file)
        });
        Found {
            cpu_ns: cpu_counted
                .map(|counted| counted.cpu_ns + entry.base.cpu_ns)
                .or(entry.stats.cpu_ns),
            working_set: memory_usage
                .zip(inactive_file)
                .map(|(usage, file)| usage.saturating_sub(file)),
            memory_usage,
            counted,
            interfaces,
        }
    }

    fn memory_of(&mut self, entry: &mut Entry) -> Option<crate::kernel::Memory> {
        if entry.ended_ms.is_some() || self.memory.is_empty() {
            return None;
        }
        if entry.memory_id.is_none() {
            entry.find_memory_id();
        }
        self.memory.get(&entry.memory_id?).copied()
    }

    fn read_interfaces(&mut self, entry: &mut Entry) -> bool {
        let known_pid = entry.known.as_ref().map_or(0, |known| known.pid);
        let files = &entry.files;
        let candidates = |buffer: &mut Vec<u8>| {
            let mut pids = vec![known_pid];
            for directory in files.process_directories() {
                if scan::read_path(&directory.join("cgroup.procs"), buffer).is_ok() {
                    let listed = scan::lines(buffer).filter_map(scan::number);
                    pids.extend(listed.take(4).filter_map(|pid| u32::try_from(pid).ok()));
                }
            }
            pids
        };
        entry
            .network
            .read(&self.namespaces, &entry.id, candidates, &mut self.buffer)
    }

    fn emit(
        &mut self,
        entry: &mut Entry,
        found: &Found,
        table: &mut SeriesTable,
        now_ms: i64,
        at_ms: i64,
    ) {
        let known = entry.known.clone();
        let known = known.as_deref();
        let mut setter = Setter {
            table,
            places: &mut entry.places,
            identity: Identity {
                guid: known
                    .and_then(|known| known.guid.as_ref())
                    .map_or("", |guid| guid.as_str()),
                name: known.map_or("", |known| &known.name),
                image: known.map_or("", |known| &known.image),
                id: &entry.path,
            },
            at_ms,
        };
        let seconds = |ns: u64| ns as f64 / 1e9;
        setter.set_if(Metric::CpuUsage, found.cpu_ns.map(seconds));
        let interfaces_known = entry.network.known;
        if let Some(counted) = &found.counted {
            self.emit_counted(&mut setter, counted, entry.base.oom_kills, interfaces_known);
        } else {
            setter.set_if(
                Metric::OomEvents,
                entry.stats.oom_kills.map(|kills| kills as f64),
            );
        }
        setter.set_if(
            Metric::MemoryUsage,
            found.memory_usage.map(|bytes| bytes as f64),
        );
        setter.set_if(
            Metric::MemoryWorkingSet,
            found.working_set.map(|bytes| bytes as f64),
        );
        if entry.ended_ms.is_none() && self.options.files {
            emit_stats(&mut setter, &entry.stats);
            emit_limits(&mut setter, &entry.limits);
            if found.interfaces {
                emit_interfaces(&mut setter, &self.buffer);
            }
            let with_devices = found.counted.is_none() || !self.abilities.block;
            self.emit_devices(&mut setter, &entry.stats, with_devices);
        }
        let started = known.map_or(0.0, |known| known.started_at);
        let started = if started > 0.0 {
            started
        } else {
            entry.born_ms as f64 / 1e3
        };
        let seen_ms = entry.ended_ms.unwrap_or(now_ms);
        if found.counted.is_some() || entry.ended_ms.is_none() {
            setter.set(Metric::StartTime, started);
            setter.set(Metric::LastSeen, seen_ms as f64 / 1e3);
        }
    }

    fn emit_counted(
        &self,
        setter: &mut Setter<'_>,
        counted: &Counters,
        oom_base: u64,
        interfaces_known: bool,
    ) {
        let able = self.abilities;
        let seconds = |ns: u64| ns as f64 / 1e9;
        let mut set = |able: bool, values: &[(Metric, u64)]| {
            for &(metric, value) in values.iter().filter(|_| able) {
                setter.set(metric, value as f64);
            }
        };
        set(
            able.run_queue,
            &[
                (Metric::SwitchesVoluntary, counted.switches_voluntary),
                (Metric::SwitchesInvoluntary, counted.switches_involuntary),
            ],
        );
        set(able.forks, &[(Metric::Forks, counted.forks)]);
        set(able.execs, &[(Metric::Execs, counted.execs)]);
        set(able.exits, &[(Metric::Exits, counted.exits)]);
        set(
            able.oom,
            &[(Metric::OomEvents, counted.oom_kills + oom_base)],
        );
        set(
            able.network,
            &[
                (Metric::SocketReceiveBytes, counted.receive_bytes),
                (Metric::SocketReceivePackets, counted.receive_packets),
                (Metric::SocketTransmitBytes, counted.transmit_bytes),
                (Metric::SocketTransmitPackets, counted.transmit_packets),
            ],
        );
        set(
            able.network && !interfaces_known,
            &[
                (Metric::ReceiveBytes, counted.receive_bytes),
                (Metric::ReceivePackets, counted.receive_packets),
                (Metric::TransmitBytes, counted.transmit_bytes),
                (Metric::TransmitPackets, counted.transmit_packets),
            ],
        );
        set(
            able.retransmits,
            &[(Metric::TcpRetransmits, counted.tcp_retransmits)],
        );
        set(
            able.connections,
            &[
                (Metric::TcpConnects, counted.tcp_connects),
                (Metric::TcpAccepts, counted.tcp_accepts),
                (Metric::TcpFailures, counted.tcp_failures),
            ],
        );
        set(
            able.block,
            &[
                (Metric::FsReadsBytes, counted.read_bytes),
                (Metric::FsWritesBytes, counted.write_bytes),
                (Metric::FsReads, counted.read_operations),
                (Metric::FsWrites, counted.write_operations),
            ],
        );
        if able.block {
            setter.set(Metric::FsReadSeconds, seconds(counted.read_ns));
            setter.set(Metric::FsWriteSeconds, seconds(counted.write_ns));
        }
        if able.run_queue {
            setter.run_queue(&counted.run_queue_buckets, counted.run_queue_ns);
        }
    }

    fn emit_devices(&mut self, setter: &mut Setter<'_>, stats: &Stats, with_totals: bool) {
        for device in stats.devices.iter().flatten() {
            let (major, minor) = device.number;
            let name = self.device_names.entry(device.number).or_insert_with(|| {
                devices::name(&self.options.proc, device.number).unwrap_or_default()
            });
            let (major, minor) = (major.to_string(), minor.to_string());
            let key = format!("{major}:{minor}");
            for (operation, bytes) in [("Read", device.read_bytes), ("Write", device.write_bytes)] {
                let labels = [
                    ("device", name.as_str()),
                    ("major", &major),
                    ("minor", &minor),
                    ("operation", operation),
                ];
                let key = format!("{key} {operation}");
                setter.varied(&families::BLKIO_USAGE, &key, &labels, bytes as f64);
            }
            if with_totals {
                for (family, value) in [
                    (&families::FS_READS_BYTES, device.read_bytes),
                    (&families::FS_WRITES_BYTES, device.write_bytes),
                    (&families::FS_READS, device.reads),
                    (&families::FS_WRITES, device.writes),
                ] {
                    setter.varied(family, &key, &[("device", name)], value as f64);
                }
            }
        }
    }
}

/// Looks the container up; other labels than before begin other series. False: it is not known.
fn identify(entry: &mut Entry, snapshot: &Snapshot) -> bool {
    let Some(current) = snapshot.container(&entry.id) else {
        return entry.known.is_some();
    };
    if let Some(known) = &entry.known {
        if std::sync::Arc::ptr_eq(known, current) {
            return true;
        }
        if known.guid != current.guid || known.name != current.name || known.image != current.image
        {
            entry.places.clear();
        }
    } else {
        entry.places.clear();
    }
    entry.known = Some(std::sync::Arc::clone(current));
    true
}

fn emit_stats(setter: &mut Setter<'_>, stats: &Stats) {
    let seconds = |ns: Option<u64>| ns.map(|ns| ns as f64 / 1e9);
    let plain = |value: Option<u64>| value.map(|value| value as f64);
    setter.set_if(Metric::CpuUser, seconds(stats.user_ns));
    setter.set_if(Metric::CpuSystem, seconds(stats.system_ns));
    if let Some(throttling) = stats.throttling {
        setter.set(Metric::CpuPeriods, throttling.periods as f64);
        setter.set(
            Metric::CpuThrottledPeriods,
            throttling.throttled_periods as f64,
        );
        setter.set(
            Metric::CpuThrottledSeconds,
            throttling.throttled_ns as f64 / 1e9,
        );
    }
    if let Some(memory) = stats.memory {
        setter.set(Metric::MemoryRss, memory.rss as f64);
        setter.set(Metric::MemoryCache, memory.cache as f64);
        setter.set(Metric::MemoryMapped, memory.mapped as f64);
        setter.set_if(Metric::MemorySwap, plain(memory.swap));
        setter.set(Metric::FaultsContainer, memory.faults[0] as f64);
        setter.set(Metric::FaultsHierarchy, memory.faults[1] as f64);
        setter.set(Metric::MajorFaultsContainer, memory.major_faults[0] as f64);
        setter.set(Metric::MajorFaultsHierarchy, memory.major_faults[1] as f64);
    }
    setter.set_if(Metric::MemoryMaxUsage, plain(stats.memory_max_usage));
    setter.set_if(Metric::MemoryFailcnt, plain(stats.memory_failcnt));
    setter.set_if(Metric::Threads, plain(stats.threads));
    setter.set_if(Metric::Processes, plain(stats.processes));
    let metrics = [
        [Metric::PressureCpuWaiting, Metric::PressureCpuStalled],
        [Metric::PressureMemoryWaiting, Metric::PressureMemoryStalled],
        [Metric::PressureIoWaiting, Metric::PressureIoStalled],
    ];
    for (metrics, values) in metrics.into_iter().zip(stats.pressure) {
        for (metric, microseconds) in metrics.into_iter().zip(values) {
            setter.set_if(metric, microseconds.map(|value| value as f64 / 1e6));
        }
    }
}

fn emit_limits(setter: &mut Setter<'_>, limits: &Limits) {
    let plain = |value: Option<u64>| value.map(|value| value as f64);
    // As cAdvisor: 0 where there is no limit, nothing where there is no such file.
    let limit = |value: Option<Option<u64>>| value.map(|value| value.unwrap_or(0) as f64);
    setter.set_if(Metric::SpecCpuPeriod, plain(limits.cpu_period_us));
    setter.set_if(Metric::SpecCpuQuota, plain(limits.cpu_quota_us));
    setter.set_if(Metric::SpecCpuShares, plain(limits.cpu_shares));
    setter.set_if(Metric::SpecMemoryLimit, limit(limits.memory));
    setter.set_if(
        Metric::SpecMemoryReservation,
        limit(limits.memory_reservation),
    );
    setter.set_if(Metric::SpecMemorySwapLimit, limit(limits.memory_swap));
    setter.set_if(Metric::ThreadsMax, limit(limits.threads));
}

fn emit_interfaces(setter: &mut Setter<'_>, net_dev: &[u8]) {
    for (name, interface) in network::own_interfaces(net_dev) {
        let labels = [("interface", name)];
        for (family, value) in [
            (&families::RECEIVE_BYTES, interface.receive[BYTES]),
            (&families::RECEIVE_PACKETS, interface.receive[PACKETS]),
            (&families::RECEIVE_ERRORS, interface.receive[ERRORS]),
            (&families::RECEIVE_DROPPED, interface.receive[DROPPED]),
            (&families::TRANSMIT_BYTES, interface.transmit[BYTES]),
            (&families::TRANSMIT_PACKETS, interface.transmit[PACKETS]),
            (&families::TRANSMIT_ERRORS, interface.transmit[ERRORS]),
            (&families::TRANSMIT_DROPPED, interface.transmit[DROPPED]),
        ] {
            setter.varied(family, name, &labels, value as f64);
        }
    }
}

/// Keeps this round's totals for the live table.
fn account(entry: &mut Entry, found: &Found, able: Abilities, now_ms: i64, net_dev: &[u8]) {
    let counted = found.counted.as_ref();
    let mut totals = Totals {
        at_ms: now_ms,
        cpu_ns: found.cpu_ns,
        run_queue_ns: counted
            .filter(|_| able.run_queue)
            .map(|counted| counted.run_queue_ns),
        ..Totals::default()
    };
    if let Some(counted) = counted.filter(|_| able.network) {
        totals.receive_bytes = Some(counted.receive_bytes);
        totals.transmit_bytes = Some(counted.transmit_bytes);
    } else if found.interfaces {
        let all = || network::own_interfaces(net_dev).map(|(_, interface)| interface);
        totals.receive_bytes = Some(all().map(|interface| interface.receive[BYTES]).sum());
        totals.transmit_bytes = Some(all().map(|interface| interface.transmit[BYTES]).sum());
    }
    if let Some(counted) = counted.filter(|_| able.block) {
        totals.read_bytes = Some(counted.read_bytes);
        totals.write_bytes = Some(counted.write_bytes);
    } else if let Some(devices) = &entry.stats.devices {
        totals.read_bytes = Some(devices.iter().map(|device| device.read_bytes).sum());
        totals.write_bytes = Some(devices.iter().map(|device| device.write_bytes).sum());
    }
    entry.usage.before = (entry.usage.now.at_ms != 0).then_some(entry.usage.now);
    entry.usage.now = totals;
    entry.usage.memory_bytes = found.memory_usage;
}
