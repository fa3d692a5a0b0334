//! What other rooms count, as families.

use super::family;
use crate::collect::catalogue::own as families;
use crate::forward::Ledger;
use crate::kernel::Status;
use crate::signal::series::FamilySamples;

/// The kernel side's programs, slots and losses.
pub fn kernel(status: Option<&Status>, out: &mut Vec<FamilySamples>) {
    let loaded = if status.is_some() { 1.0 } else { 0.0 };
    out.push(FamilySamples::single(families::KERNEL_LOADED, loaded));
    let Some(status) = status else { return };
    let programs = || {
        let program = |name: &str| vec![("program", name.to_owned())];
        status
            .programs
            .iter()
            .map(move |status| (program(status.name), status))
    };
    let attached = programs().map(|(labels, program)| {
        (
            labels,
            if program.off_because.is_none() {
                1.0
            } else {
                0.0
            },
        )
    });
    out.push(family(families::PROGRAM_ATTACHED, attached));
    let runs = programs().map(|(labels, program)| (labels, program.run_count as f64));
    out.push(family(families::PROGRAM_RUNS, runs));
    let seconds = programs().map(|(labels, program)| (labels, program.run_ns as f64 / 1e9));
    out.push(family(families::PROGRAM_SECONDS, seconds));
    let state = |name: &str, slots: u32| (vec![("state", name.to_owned())], f64::from(slots));
    let used = status.slots.saturating_sub(status.slots_free);
    let slots = [state("free", status.slots_free), state("used", used)];
    out.push(family(families::SLOTS, slots));
    for (family, value) in [
        (families::SLOT_MISSES, status.slot_misses),
        (families::EVENTS_LOST, status.events_lost),
        (families::MEMORY_DROPPED, status.memory_dropped),
    ] {
        out.push(FamilySamples::single(family, value as f64));
    }
}

/// The books of the way to the bus.
pub fn ledger(ledger: &Ledger, out: &mut Vec<FamilySamples>) {
    let records = ledger.records().into_iter().map(|row| {
        let labels = vec![
            ("signal", row.signal.to_owned()),
            ("stage", row.stage.to_owned()),
            ("reason", row.reason.to_owned()),
            ("guid", row.guid),
        ];
        (labels, row.records as f64)
    });
    out.push(family(families::RECORDS, records));
    let spools = ledger.spools();
    let rows = |value: fn(&crate::forward::ledger::SpoolRow) -> u64| {
        spools.iter().map(move |row| {
            let labels = vec![
                ("signal", row.signal.to_owned()),
                ("destination", row.destination.clone()),
            ];
            (labels, value(row) as f64)
        })
    };
    out.push(family(families::SPOOL_RECORDS, rows(|row| row.records)));
    out.push(family(families::SPOOL_BYTES, rows(|row| row.bytes)));
    out.push(family(families::IN_FLIGHT, rows(|row| row.in_flight)));
    out.push(family(families::RESENT, rows(|row| row.resent)));
}
