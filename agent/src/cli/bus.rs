//! `guidon bus tail`: what comes by on the local bus.

use serde_json::Value;

use super::args::{BusArgs, BusCommand, TailArgs};
use super::client::Client;
use super::output::{Output, plain};
use super::{CommandError, Verdict};
use crate::api::model::{BusPageView, FrameView, SampleValue, SeriesView};

/// Seconds that one request waits for frames.
const WAIT_SECONDS: u32 = 30;

pub(super) async fn run(args: &BusArgs, output: &mut Output) -> Result<Verdict, CommandError> {
    let BusCommand::Tail(tail) = &args.command;
    let client = Client::new(&args.api)?;
    let follow = follow(&client, tail, args.api.json, output);
    tokio::select! {
        outcome = follow => outcome?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(Verdict::Good)
}

async fn follow(
    client: &Client,
    tail: &TailArgs,
    as_json: bool,
    output: &mut Output,
) -> Result<(), CommandError> {
    let is_oldest = tail.from_start || tail.no_follow;
    let mut cursor = if is_oldest { "oldest" } else { "latest" }.to_owned();
    let wait = if tail.no_follow { 0 } else { WAIT_SECONDS };
    loop {
        let signal = tail.signal.as_str();
        let path = format!(
            "/api/v1/bus/{signal}?cursor={}&wait={wait}",
            encode(&cursor)
        );
        let page: BusPageView = client.get(&path).await?;
        if page.skipped {
            super::output::note("frames were dropped from the bus before they were read");
        }
        for frame in &page.frames {
            if as_json {
                output.line(&serde_json::to_string(frame)?)?;
            } else {
                print(frame, output)?;
            }
        }
        output.flush()?;
        if page.frames.is_empty() && tail.no_follow {
            return Ok(());
        }
        cursor = page.next;
    }
}

/// A line per sample, log record or span.
fn print(frame: &FrameView, output: &mut Output) -> Result<(), CommandError> {
    for series in frame.series.iter().flatten() {
        let name = name(series);
        for sample in &series.samples {
            let value = match &sample.value {
                SampleValue::Number(number) => number.to_string(),
                SampleValue::Word(word) => word.clone(),
            };
            output.line(&plain(&format!("{} {name} {value}", sample.timestamp_ms)))?;
        }
    }
    if let Some(request) = &frame.request {
        for line in otlp_lines(request) {
            output.line(&plain(&line))?;
        }
    }
    if let Some(error) = &frame.error {
        output.line(&plain(&format!(
            "a frame of kind {} is damaged: {error}",
            frame.kind
        )))?;
    }
    Ok(())
}

/// `name{label="value",…}`.
fn name(series: &SeriesView) -> String {
    let labels: Vec<String> = series
        .labels
        .iter()
        .filter(|(name, _)| *name != "__name__")
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    let name = series.labels.get("__name__").map_or("", String::as_str);
    format!("{name}{{{}}}", labels.join(","))
}

/// One line per log record or span; other records as JSON.
fn otlp_lines(request: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (groups, scopes, records) in [
        ("resourceLogs", "scopeLogs", "logRecords"),
        ("resourceSpans", "scopeSpans", "spans"),
        ("resourceMetrics", "scopeMetrics", "metrics"),
    ] {
        for group in items(&request[groups]) {
            let attributes = items(&group["resource"]["attributes"]);
            let guid = attributes
                .iter()
                .find(|attribute| attribute["key"] == "guid")
                .and_then(|attribute| attribute["value"]["stringValue"].as_str())
                .unwrap_or("-");
            for record in items(&group[scopes])
                .iter()
                .flat_map(|scope| items(&scope[records]))
            {
                lines.push(match records {
                    "logRecords" => log_line(guid, record),
                    "spans" => span_line(guid, record),
                    _ => format!("{guid} {record}"),
                });
            }
        }
    }
    lines
}

fn log_line(guid: &str, record: &Value) -> String {
    let time = nanoseconds(&record["timeUnixNano"]);
    let severity = text(&record["severityText"]);
    let body = &record["body"];
    let body = body["stringValue"]
        .as_str()
        .map_or_else(|| body.to_string(), str::to_owned);
    let severity = if severity.is_empty() { "-" } else { severity };
    format!("{} {guid} {severity} {body}", time / 1_000_000)
}

fn span_line(guid: &str, span: &Value) -> String {
    let start = nanoseconds(&span["startTimeUnixNano"]);
    let took = nanoseconds(&span["endTimeUnixNano"]).saturating_sub(start);
    format!(
        "{} {guid} {} {:.3}ms trace={} span={}",
        start / 1_000_000,
        text(&span["name"]),
        took as f64 / 1e6,
        text(&span["traceId"]),
        text(&span["spanId"]),
    )
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

/// OTLP/JSON writes 64-bit numbers as strings.
fn nanoseconds(value: &Value) -> u64 {
    let number = value.as_u64();
    number.or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

/// A cursor as part of a query: what is not plain is escaped.
fn encode(cursor: &str) -> String {
    cursor
        .bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
