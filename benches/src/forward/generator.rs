//! The load generator: a child process that takes orders on standard input.
//!
//! Owns: requests built and compressed once, one thread and one kept-alive connection per share of
//! the series, timestamps patched in place, acknowledgement times. Must not know: who receives.
//! A request costs it a write, a read and a few bytes, so that on a machine with few cores it takes
//! little from the forwarder.
//!
//! Two modes. *Saturating*: each connection sends its next request when the last one is answered.
//! *Fixed rate*: requests have their times; a request whose time comes while the one before it is
//! still unanswered counts its waiting, so a slow receiver cannot hide by slowing the generator.
//!
//! A request answered with 429 or 503 is sent again after `Retry-After` (at most 1 s; 5 ms without);
//! any other refusal is counted and the next request follows.

use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::http1::Connection;
use super::patch::Patchable;
use super::workload::{BASE_STEP_MS, Workload, requests};

/// How long a receiver may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What the generator sends.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Which series or records.
    pub workload: Workload,
    /// How many series.
    pub series: usize,
    /// Samples (or records) in a request.
    pub per_request: usize,
    /// Connections, each with its own share of the series.
    pub connections: usize,
}

/// One order: send for so long.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Order {
    /// Where to.
    pub target: SocketAddr,
    /// Not measured, before the rest.
    pub warmup_seconds: f64,
    /// Measured.
    pub seconds: f64,
    /// Records a second over all connections; absent: as many as the receiver takes.
    pub rate: Option<f64>,
}

/// What came of an order.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Records answered with a 2xx, warm-up included.
    pub acknowledged: u64,
    /// Requests answered with a 2xx in the measured time.
    pub requests: u64,
    /// Bodies' bytes in those.
    pub wire_bytes: u64,
    /// Times a request was answered with 429 or 503.
    pub pushed_back: u64,
    /// Requests refused otherwise.
    pub refused: u64,
    /// Requests of which nobody knows whether they were taken: the connection broke.
    pub unknown: u64,
    /// Median time to the answer, in ms.
    pub p50_ms: f64,
    /// 99th percentile of the same.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// What the generator says, a JSON line each.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Note {
    /// The requests are built.
    Ready,
    /// The warm-up is over.
    Measuring,
    /// The order is done.
    Done(Outcome),
}

/// Takes orders until standard input ends.
///
/// # Errors
/// The load cannot be built, or an order cannot be read or carried out.
pub fn serve(load: Load) -> Result<()> {
    let mut shares = (0..load.connections)
        .map(|connection| Share::build(load, connection))
        .collect::<Result<Vec<_>>>()?;
    say(Note::Ready)?;
    for line in std::io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?).context("order")?;
        let (sender, receiver) = mpsc::channel();
        let start = Instant::now() + Duration::from_millis(20);
        let parts = thread::scope(|scope| {
            let workers: Vec<_> = shares
                .iter_mut()
                .enumerate()
                .map(|(number, share)| {
                    let sender = sender.clone();
                    scope.spawn(move || share.carry_out(order, load, number, start, &sender))
                })
                .collect();
            // The last sender goes with the last worker, so this also ends if all of them fail.
            drop(sender);
            if receiver.recv().is_ok() {
                say(Note::Measuring)?;
            }
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|_| bail!("worker panicked")))
                .collect::<Result<Vec<_>>>()
        })?;
        say(Note::Done(sum(parts)))?;
    }
    Ok(())
}

fn say(note: Note) -> Result<()> {
    let mut output = std::io::stdout().lock();
    serde_json::to_writer(&mut output, &note)?;
    writeln!(output)?;
    output.flush()?;
    Ok(())
}

#[derive(Debug, Default)]
struct Part {
    outcome: Outcome,
    times: Vec<Duration>,
}

fn sum(parts: Vec<Part>) -> Outcome {
    let mut total = Outcome::default();
    let mut times = Vec::new();
    for part in parts {
        total.acknowledged += part.outcome.acknowledged;
        total.requests += part.outcome.requests;
        total.wire_bytes += part.outcome.wire_bytes;
        total.pushed_back += part.outcome.pushed_back;
        total.refused += part.outcome.refused;
        total.unknown += part.outcome.unknown;
        times.extend(part.times);
    }
    times.sort_unstable();
    let at = |share: f64| {
        let index = (times.len() as f64 * share).ceil() as usize;
        times
            .get(index.saturating_sub(1))
            .map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    (total.p50_ms, total.p99_ms, total.max_ms) = (at(0.5), at(0.99), at(1.0));
    total
}

/// One connection's requests: head and body in one buffer, ready to be written.
struct Share {
    ring: Vec<Ready>,
    next: usize,
    base: i64,
}

struct Ready {
    bytes: Vec<u8>,
    head: usize,
    records: u64,
    packed: Option<Patchable>,
}

impl Share {
    fn build(load: Load, connection: usize) -> Result<Self> {
        let base = now_ms()?;
        let ring = requests(
            load.workload,
            load.series,
            load.per_request,
            load.connections,
            connection,
            base,
        )
        .into_iter()
        .map(|request| {
            let raw = request.encoded;
            let packed = if load.workload.is_otlp() {
                None
            } else {
                Some(Patchable::compress(&raw.bytes, &raw.stamps)?)
            };
            let body = packed.as_ref().map_or(&raw.bytes, |packed| &packed.block);
            let mut bytes = head(load.workload, body.len()).into_bytes();
            let head = bytes.len();
            bytes.extend_from_slice(body);
            Ok(Ready {
                bytes,
                head,
                records: request.records,
                packed,
            })
        })
        .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            ring,
            next: 0,
            base,
        })
    }

    fn carry_out(
        &mut self,
        order: Order,
        load: Load,
        number: usize,
        start: Instant,
        measuring: &mpsc::Sender<()>,
    ) -> Result<Part> {
        let mut part = Part::default();
        let measured = start + Duration::from_secs_f64(order.warmup_seconds);
        let end = measured + Duration::from_secs_f64(order.seconds);
        let step = order.rate.map(|rate| {
            Duration::from_secs_f64(load.per_request as f64 * load.connections as f64 / rate)
        });
        // Connections take turns, so that the rate is even.
        let mut due = start
            + step.map_or(Duration::ZERO, |step| {
                step.mul_f64(number as f64 / load.connections as f64)
            });
        let mut connection = None;
        let mut told = false;
        thread::sleep(start.saturating_duration_since(Instant::now()));
        loop {
            let mut begun = Instant::now();
            if let Some(step) = step {
                if due > begun {
                    thread::sleep(due - begun);
                    begun = Instant::now();
                } else {
                    begun = due;
                }
                due += step;
            }
            if begun >= end {
                return Ok(part);
            }
            if !told && begun >= measured {
                told = true;
                // Nobody listens after the first of the workers has said it.
                let _ = measuring.send(());
            }
            self.base = (self.base + BASE_STEP_MS).max(now_ms()?);
            let place = self.next;
            self.next = (place + 1) % self.ring.len();
            let ready = &mut self.ring[place];
            if let Some(packed) = &ready.packed {
                packed.set_base(&mut ready.bytes[ready.head..], self.base);
            }
            let taken = deliver(ready, order.target, &mut connection, end, &mut part.outcome)?;
            if taken {
                part.outcome.acknowledged += ready.records;
                if begun >= measured {
                    part.outcome.requests += 1;
                    part.outcome.wire_bytes += (ready.bytes.len() - ready.head) as u64;
                    part.times.push(begun.elapsed());
                }
            }
        }
    }
}

/// Sends until the receiver takes it or refuses it for good. Whether it was taken.
fn deliver(
    ready: &Ready,
    target: SocketAddr,
    connection: &mut Option<Connection>,
    end: Instant,
    outcome: &mut Outcome,
) -> Result<bool> {
    loop {
        let open = match connection {
            Some(open) => open,
            None => connection.insert(
                Connection::open(target, TIMEOUT)
                    .with_context(|| format!("generator cannot connect to {target}"))?,
            ),
        };
        let Ok(response) = open.exchange(&ready.bytes) else {
            *connection = None;
            outcome.unknown += 1;
            return Ok(false);
        };
        if response.close {
            *connection = None;
        }
        match response.status {
            200..300 => return Ok(true),
            429 | 503 => {
                outcome.pushed_back += 1;
                if Instant::now() > end {
                    return Ok(false);
                }
                thread::sleep(
                    response
                        .retry_after
                        .map_or(Duration::from_millis(5), |wait| {
                            Duration::from_secs(wait.min(1))
                        }),
                );
            }
            _ => {
                outcome.refused += 1;
                return Ok(false);
            }
        }
    }
}

fn head(workload: Workload, length: usize) -> String {
    let kind = if workload.is_otlp() {
        ""
    } else {
        "Content-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n"
    };
    format!(
        "POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: guidon-bench/1\r\n\
         Content-Type: application/x-protobuf\r\n{kind}Content-Length: {length}\r\n\r\n",
        workload.path()
    )
}

fn now_ms() -> Result<i64> {
    Ok(i64::try_from(
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis(),
    )?)
}
