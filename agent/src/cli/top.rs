//! `guidon top`: a row per guid, refreshed.

use std::time::{Duration, Instant};

use super::args::TopArgs;
use super::client::Client;
use super::output::{Output, plain};
use super::table::{self, Column, NOTHING};
use super::{CommandError, Verdict};
use crate::api::model::{GuidRow, Status};

/// Homes the cursor and clears what is below it.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";
/// How often `--once` looks whether the interval is over.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Rates exist from the second round on.
const ROUNDS_FOR_RATES: u64 = 2;

pub(super) async fn run(args: &TopArgs, output: &mut Output) -> Result<Verdict, CommandError> {
    let client = Client::new(&args.api)?;
    if args.once {
        let status = rated(&client, args.after_first_interval).await?;
        show(&status, args.api.json, output)?;
        return Ok(Verdict::Good);
    }
    let clears = output.is_terminal() && !args.api.json;
    loop {
        let status: Status = client.get("/api/v1/status").await?;
        if clears {
            output.text(CLEAR)?;
        }
        show(&status, args.api.json, output)?;
        output.flush()?;
        tokio::select! {
            () = tokio::time::sleep(args.every) => {}
            _ = tokio::signal::ctrl_c() => return Ok(Verdict::Good),
        }
    }
}

/// The status as soon as it holds rates: over the agent's first interval, or (`from_now`) over one
/// that began after the call.
async fn rated(client: &Client, from_now: bool) -> Result<Status, CommandError> {
    let started = Instant::now();
    let mut rounds_wanted = None;
    loop {
        let status: Status = client.get("/api/v1/status").await?;
        let rounds_before = if from_now { status.collect.rounds } else { 0 };
        let wanted = *rounds_wanted.get_or_insert(rounds_before + ROUNDS_FOR_RATES);
        if status.collect.rounds >= wanted {
            return Ok(status);
        }
        let patience = 3.0 * status.collect.interval_seconds + 10.0;
        if started.elapsed().as_secs_f64() > patience {
            let message = format!("no full collection interval within {patience:.0} s");
            return Err(message.into());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn show(status: &Status, as_json: bool, output: &mut Output) -> Result<(), CommandError> {
    if as_json {
        return output.json(&status.guids);
    }
    let head = format!(
        "{}: guidon {}, up {}, {} containers, a round every {}",
        status.guid,
        status.version,
        table::duration(status.uptime_seconds),
        status.collect.containers,
        table::duration(status.collect.interval_seconds),
    );
    output.line(&plain(&head))?;
    output.line("")?;
    output.text(&render(&status.guids))?;
    Ok(())
}

/// The busiest first.
fn render(guids: &[GuidRow]) -> String {
    use Column::{Left, Right};
    let columns = [
        Left("GUID"),
        Left("NAME"),
        Right("CPU %"),
        Right("RUN QUEUE"),
        Right("MEMORY"),
        Right("RECEIVED/S"),
        Right("SENT/S"),
        Right("READ/S"),
        Right("WRITTEN/S"),
        Right("CONTAINERS"),
    ];
    let mut guids: Vec<&GuidRow> = guids.iter().collect();
    guids.sort_by(|left, right| {
        let cpu = |row: &GuidRow| row.cpu_cores.unwrap_or(-1.0);
        let by_cpu = cpu(right).total_cmp(&cpu(left));
        by_cpu.then_with(|| (&left.guid, &left.name).cmp(&(&right.guid, &right.name)))
    });
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.into());
    let size = |value: Option<f64>| or_nothing(value.map(table::bytes));
    let rows: Vec<_> = guids
        .into_iter()
        .map(|row| {
            let delay = row.run_queue_seconds_per_second;
            vec![
                or_nothing(row.guid.clone()),
                row.name.clone(),
                or_nothing(row.cpu_cores.map(|cores| format!("{:.1}", cores * 100.0))),
                or_nothing(delay.map(|delay| format!("{:.2} ms/s", delay * 1e3))),
                size(row.memory_bytes.map(|bytes| bytes as f64)),
                size(row.receive_bytes_per_second),
                size(row.transmit_bytes_per_second),
                size(row.read_bytes_per_second),
                size(row.write_bytes_per_second),
                row.containers.to_string(),
            ]
        })
        .collect();
    table::render(&columns, &rows)
}
