//! What the wire costs one core, without HTTP: nanoseconds a record to uncompress, tag and
//! compress, by workload, and for comparison what a decoder and encoder cost.
//!
//! `cargo run --release -p guidon-benches --bin splice [-- --rounds N]`

use std::hint::black_box;

use anyhow::{Context, Result};
use clap::Parser;
use guidon::signal::otlp::OtlpSplicer;
use guidon::signal::remote_write::Splicer;
use guidon::signal::remote_write_v2::{EncoderV2, Transcoder};
use guidon::signal::{Policy, SeriesLimits, Signal, Tag, snappy};
use guidon_benches::forward::workload::{Workload, bodies};

/// As the forwarding bench has it.
const SERIES: usize = 10_000;
const PER_REQUEST: usize = 2_000;

#[derive(Debug, Parser)]
#[command(about = "What the wire costs one core, without HTTP")]
struct Options {
    /// Times each step goes over all requests; the median counts.
    #[arg(long, default_value_t = 41)]
    rounds: usize,
}

/// CPU time of this thread in ns: others on the machine do not count.
fn cpu_ns() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Medians in ns a record.
struct Median<'r> {
    rounds: usize,
    requests: &'r [(Vec<u8>, u64)],
}

impl Median<'_> {
    /// Of a step that is given the place of a request.
    fn of(&self, mut step: impl FnMut(usize) -> Result<()>) -> Result<f64> {
        let records: u64 = self.requests.iter().map(|(_, records)| records).sum();
        let mut times = Vec::with_capacity(self.rounds);
        for _ in 0..self.rounds {
            let begun = cpu_ns();
            for place in 0..self.requests.len() {
                step(place)?;
            }
            times.push((cpu_ns() - begun) / records as f64);
        }
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().context("no rounds")
    }
}

#[allow(clippy::print_stdout, reason = "its purpose")]
fn remote_write(options: &Options, workload: Workload, tag: &Tag) -> Result<()> {
    let requests = bodies(workload, SERIES, PER_REQUEST);
    let median = Median {
        rounds: options.rounds,
        requests: &requests,
    };
    let policy = Policy::Always(tag);
    let limits = SeriesLimits::default();
    let mut encoder = snappy::Encoder::default();
    let mut blocks = Vec::new();
    let (mut tagged, mut second) = (Vec::new(), Vec::new());
    let mut splicer = Splicer::default();
    for (raw, _) in &requests {
        blocks.push(encoder.encode(raw)?.to_vec());
        let mut out = Vec::new();
        splicer.splice(raw, policy, &limits, &mut out)?;
        tagged.push(out.clone());
        let mut out_v2 = Vec::new();
        EncoderV2::default().encode(&out, &mut out_v2)?;
        second.push(out_v2);
    }
    let mut scratch = Vec::new();
    let uncompress = median.of(|place| {
        black_box(snappy::decode(&blocks[place], 1 << 30, &mut scratch)?);
        Ok(())
    })?;
    let mut out = Vec::new();
    let splice = median.of(|place| {
        black_box(splicer.splice(&requests[place].0, policy, &limits, &mut out)?);
        Ok(())
    })?;
    let compress = median.of(|place| {
        black_box(encoder.encode(&tagged[place])?);
        Ok(())
    })?;
    let mut encoder_v2 = EncoderV2::default();
    let to_v2 = median.of(|place| {
        encoder_v2.encode(&tagged[place], &mut out)?;
        black_box(&out);
        Ok(())
    })?;
    let compress_v2 = median.of(|place| {
        black_box(encoder.encode(&second[place])?);
        Ok(())
    })?;
    let mut transcoder = Transcoder::default();
    let from_v2 = median.of(|place| {
        black_box(transcoder.transcode(&second[place], policy, &limits, &mut out)?);
        Ok(())
    })?;
    let (mut bytes, mut bytes_v2, mut raw_bytes) = (0, 0, 0);
    let records: u64 = requests.iter().map(|(_, records)| records).sum();
    for place in 0..requests.len() {
        raw_bytes += tagged[place].len();
        bytes += encoder.encode(&tagged[place])?.len();
        bytes_v2 += encoder.encode(&second[place])?.len();
    }
    println!(
        "{:<7} {uncompress:>10.0} {splice:>8.0} {compress:>9.0} {:>9.0} | {to_v2:>8.0} {compress_v2:>9.0} {from_v2:>8.0} | {:>8.0} {:>8.1} {:>8.1}",
        workload.name(),
        uncompress + splice + compress,
        raw_bytes as f64 / records as f64,
        bytes as f64 / records as f64,
        bytes_v2 as f64 / records as f64,
    );
    Ok(())
}

#[allow(clippy::print_stdout, reason = "its purpose")]
fn otlp(options: &Options, workload: Workload, signal: Signal, tag: &Tag) -> Result<()> {
    let requests = bodies(workload, SERIES, PER_REQUEST);
    let median = Median {
        rounds: options.rounds,
        requests: &requests,
    };
    let mut splicer = OtlpSplicer::default();
    let mut out = Vec::new();
    let splice = median.of(|place| {
        let raw = &requests[place].0;
        black_box(splicer.splice(signal, raw, Policy::Always(tag), &mut out)?);
        Ok(())
    })?;
    println!("{:<7} {:>10} {splice:>8.0}", workload.name(), "");
    Ok(())
}

#[allow(clippy::print_stdout, reason = "its purpose")]
fn main() -> Result<()> {
    let options = Options::parse();
    let tag = Tag::new("app-1".parse()?).with_container(&"0".repeat(64), "web");
    println!(
        "CPU ns a record, medians of {} rounds on one thread",
        options.rounds
    );
    println!(
        "{:<7} {:>10} {:>8} {:>9} {:>9} | {:>8} {:>9} {:>8} | {:>8} {:>8} {:>8}",
        "",
        "uncompress",
        "splice",
        "compress",
        "all three",
        "1.0→2.0",
        "compress",
        "2.0→1.0",
        "B raw",
        "B 1.0",
        "B 2.0",
    );
    for workload in [Workload::A, Workload::As, Workload::B] {
        remote_write(&options, workload, &tag)?;
    }
    otlp(&options, Workload::Traces, Signal::Traces, &tag)?;
    otlp(&options, Workload::Logs, Signal::Logs, &tag)
}
