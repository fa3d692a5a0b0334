//! CPUs, load, scheduling, pressure.

use super::{families, put, put_if, put_with};
use crate::collect::scan;
use crate::signal::series::{Family, SeriesTable};

/// The unit of CPU times in `/proc/stat`: `USER_HZ`, 100 on all architectures that are left.
const TICKS_PER_SECOND: f64 = 100.0;

const MODES: [&str; 8] = [
    "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal",
];
const GUEST_MODES: [&str; 2] = ["user", "nice"];

/// `/proc/stat`.
pub(super) fn stat(bytes: &[u8], table: &mut SeriesTable) {
    for line in scan::lines(bytes) {
        let mut words = scan::words(line);
        let Some(key) = words.next() else { continue };
        if let Some(cpu) = key.strip_prefix(b"cpu") {
            if let Some(cpu) = decimal(cpu) {
                cpu_times(cpu, words, table);
            }
            continue;
        }
        let family = match key {
            b"ctxt" => &families::CONTEXT_SWITCHES,
            b"processes" => &families::FORKS,
            b"intr" => &families::INTERRUPTS,
            b"btime" => &families::BOOT_TIME,
            b"procs_running" => &families::PROCS_RUNNING,
            b"procs_blocked" => &families::PROCS_BLOCKED,
            _ => continue,
        };
        let value = words.next().and_then(scan::number);
        put_if(table, family, value.map(|value| value as f64));
    }
}

fn cpu_times<'a>(cpu: &str, words: impl Iterator<Item = &'a [u8]>, table: &mut SeriesTable) {
    let mut times = words.map(scan::number);
    let mut put_modes = |family: &Family, modes: &[&str]| {
        for mode in modes {
            let Some(Some(ticks)) = times.next() else {
                return;
            };
            let labels = [("cpu", cpu), ("mode", mode)];
            put_with(table, family, &labels, ticks as f64 / TICKS_PER_SECOND);
        }
    };
    put_modes(&families::CPU_SECONDS, &MODES);
    put_modes(&families::CPU_GUEST_SECONDS, &GUEST_MODES);
}

/// The number of a CPU, as text.
fn decimal(bytes: &[u8]) -> Option<&str> {
    let digits = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(bytes).ok().filter(|_| digits)
}

/// `/proc/loadavg`.
pub(super) fn loadavg(bytes: &[u8], table: &mut SeriesTable) {
    let loads = scan::words(bytes).map(scan::float);
    for (family, load) in [&families::LOAD1, &families::LOAD5, &families::LOAD15]
        .into_iter()
        .zip(loads)
    {
        put_if(table, family, load);
    }
}

/// `/proc/schedstat`: the fields 7 to 9 of the `cpu` lines.
pub(super) fn schedstat(bytes: &[u8], table: &mut SeriesTable) {
    for line in scan::lines(bytes) {
        let mut words = scan::words(line);
        let cpu = words
            .next()
            .and_then(|word| decimal(word.strip_prefix(b"cpu")?));
        let Some(cpu) = cpu else { continue };
        let values: Vec<u64> = words.skip(6).map_while(scan::number).collect();
        let &[running, waiting, timeslices, ..] = values.as_slice() else {
            continue;
        };
        let labels = [("cpu", cpu)];
        put_with(
            table,
            &families::SCHEDSTAT_RUNNING,
            &labels,
            running as f64 / 1e9,
        );
        put_with(
            table,
            &families::SCHEDSTAT_WAITING,
            &labels,
            waiting as f64 / 1e9,
        );
        put_with(
            table,
            &families::SCHEDSTAT_TIMESLICES,
            &labels,
            timeslices as f64,
        );
    }
}

/// `/proc/pressure/cpu`. Its `full` line means nothing for a host.
pub(super) fn pressure_cpu(bytes: &[u8], table: &mut SeriesTable) {
    pressure(bytes, table, Some(&families::PRESSURE_CPU_WAITING), None);
}

/// `/proc/pressure/io`.
pub(super) fn pressure_io(bytes: &[u8], table: &mut SeriesTable) {
    let stalled = Some(&families::PRESSURE_IO_STALLED);
    pressure(bytes, table, Some(&families::PRESSURE_IO_WAITING), stalled);
}

/// `/proc/pressure/memory`.
pub(super) fn pressure_memory(bytes: &[u8], table: &mut SeriesTable) {
    let stalled = Some(&families::PRESSURE_MEMORY_STALLED);
    pressure(
        bytes,
        table,
        Some(&families::PRESSURE_MEMORY_WAITING),
        stalled,
    );
}

/// `/proc/pressure/irq`.
pub(super) fn pressure_irq(bytes: &[u8], table: &mut SeriesTable) {
    pressure(bytes, table, None, Some(&families::PRESSURE_IRQ_STALLED));
}

fn pressure(bytes: &[u8], table: &mut SeriesTable, some: Option<&Family>, full: Option<&Family>) {
    let totals = scan::pressure(bytes);
    for (family, microseconds) in [some, full].into_iter().zip(totals) {
        if let (Some(family), Some(microseconds)) = (family, microseconds) {
            put(table, family, microseconds as f64 / 1e6);
        }
    }
}
