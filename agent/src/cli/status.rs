//! `guidon status`: the agent at one glance.

use super::args::ApiArgs;
use super::client::Client;
use super::output::{Output, plain};
use super::stack;
use super::table::{self, Column, NOTHING};
use super::{CommandError, Verdict};
use crate::api::model::{Destination, KernelStatus, LedgerLine, Status};

pub(super) async fn run(args: &ApiArgs, output: &mut Output) -> Result<Verdict, CommandError> {
    let status: Status = Client::new(args)?.get("/api/v1/status").await?;
    if args.json {
        output.json(&status)?;
    } else {
        output.text(&render(&status))?;
    }
    Ok(Verdict::Good)
}

fn render(status: &Status) -> String {
    let collect = &status.collect;
    let docker = match (&status.docker.connected, &status.docker.reason) {
        (true, _) => format!("connected, {} containers running", status.docker.containers),
        (false, reason) => format!("away: {}", reason.as_deref().unwrap_or("not connected yet")),
    };
    let mut lines = vec![
        format!(
            "{}: guidon {}, up {}",
            status.guid,
            status.version,
            table::duration(status.uptime_seconds)
        ),
        format!(
            "collect: every {}, {} rounds, the latest took {:.1} ms for {} series of {} containers",
            table::duration(collect.interval_seconds),
            collect.rounds,
            collect.last_round_seconds * 1e3,
            collect.series,
            collect.containers
        ),
        format!("docker: {docker}"),
        kernel(&status.kernel),
    ];
    for one in &status.stack {
        lines.push(format!("{}: {}", one.name, stack::line(one)));
    }
    if !status.inactive.is_empty() {
        let keys = status.inactive.join(", ");
        lines.push(format!(
            "configured, but not active in this version: {keys}"
        ));
    }
    let mut text: String = lines.iter().map(|line| plain(line) + "\n").collect();
    text.push('\n');
    text.push_str(&ledger(&status.forward.ledger));
    text.push('\n');
    text.push_str(&destinations(&status.forward.destinations));
    if status.kernel.loaded {
        text.push('\n');
        text.push_str(&programs(&status.kernel));
    }
    text
}

fn kernel(kernel: &KernelStatus) -> String {
    if !kernel.loaded {
        let reason = kernel.reason.as_deref().unwrap_or("no reason known");
        return format!("kernel programs: off: {reason}");
    }
    let attached = kernel.programs.iter().filter(|program| program.attached);
    format!(
        "kernel programs: {} of {} attached, {} of {} slots free, {} cgroups without a slot, {} events lost",
        attached.count(),
        kernel.programs.len(),
        kernel.slots_free,
        kernel.slots,
        kernel.slot_misses,
        kernel.events_lost
    )
}

fn ledger(lines: &[LedgerLine]) -> String {
    use Column::{Left, Right};
    let columns = [
        Left("SIGNAL"),
        Right("RECEIVED"),
        Right("COLLECTED"),
        Right("SENT"),
        Right("SPOOLED"),
        Right("IN FLIGHT"),
        Left("DROPPED"),
    ];
    let rows: Vec<_> = lines
        .iter()
        .map(|line| {
            let reasons: Vec<String> = line
                .dropped
                .iter()
                .map(|(reason, count)| format!("{count} {reason}"))
                .collect();
            vec![
                line.signal.clone(),
                line.received.to_string(),
                line.collected.to_string(),
                line.sent.to_string(),
                line.spooled.to_string(),
                line.in_flight.to_string(),
                if reasons.is_empty() {
                    "0".into()
                } else {
                    reasons.join(", ")
                },
            ]
        })
        .collect();
    table::render(&columns, &rows)
}

fn destinations(destinations: &[Destination]) -> String {
    use Column::{Left, Right};
    let columns = [
        Left("SIGNAL"),
        Left("DESTINATION"),
        Right("WAITING"),
        Right("SPOOL"),
        Left("STATE"),
    ];
    let rows: Vec<_> = destinations
        .iter()
        .map(|one| {
            let of = table::bytes(one.spool_max_bytes as f64);
            vec![
                one.signal.clone(),
                one.destination.clone(),
                one.waiting_records.to_string(),
                format!("{} of {of}", table::bytes(one.spool_bytes as f64)),
                match (&one.last_error, one.healthy) {
                    (_, true) => "ok".into(),
                    (Some(error), false) => error.clone(),
                    (None, false) => "failing".into(),
                },
            ]
        })
        .collect();
    table::render(&columns, &rows)
}

fn programs(kernel: &KernelStatus) -> String {
    use Column::{Left, Right};
    let columns = [
        Left("PROGRAM"),
        Right("RUNS"),
        Right("NS/RUN"),
        Left("STATE"),
    ];
    let rows: Vec<_> = kernel
        .programs
        .iter()
        .map(|program| {
            let runs = program.run_count;
            let per_run = match runs {
                0 => NOTHING.into(),
                runs => format!("{:.0}", program.run_seconds * 1e9 / runs as f64),
            };
            vec![
                program.name.clone(),
                runs.to_string(),
                per_run,
                match (&program.reason, program.attached) {
                    (_, true) => "attached".into(),
                    (reason, false) => format!("off: {}", reason.as_deref().unwrap_or(NOTHING)),
                },
            ]
        })
        .collect();
    table::render(&columns, &rows)
}
