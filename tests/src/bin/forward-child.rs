//! An agent's forwarder alone, to be killed: feeds numbered frames to a URL through the spool and
//! says on its output which of them were acknowledged.
//!
//! `forward-child DATA_DIR URL FEEDER:TIME…` feeds for ever, each feeder from its time on;
//! `forward-child DATA_DIR URL` only delivers what is there, until its input ends.
//!
//! Lines: `open RESENT` once, then `ack FEEDER TIME RESENT`.
#![allow(clippy::print_stdout, reason = "the output is the interface")]

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use guidon::config::Durability;
use guidon::forward::{Forward, Inlet, Stage};
use guidon_tests::forward::{frames, options};
use tokio::runtime::Handle;

/// Series of each feeder.
const SERIES: usize = 20;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let data_dir = args.next().context("no data directory")?;
    let url = args.next().context("no URL")?;
    let mut options = options(Path::new(&data_dir), &[url], Durability::Spool);
    options.tuning.max_records = 400;
    options.tuning.lane_bytes = 64 << 10;
    // Several segments, so that kills also meet rolling and removing.
    options.spool.max_bytes = 64 << 20;
    let (forward, inlet) = Forward::start(options, Handle::current())?;
    let feeders: Vec<String> = args.collect();
    say(&format!("open {}", resent(&forward)));
    for feeder in &feeders {
        let (name, from) = feeder.split_once(':').context("FEEDER:TIME")?;
        let from = from.parse()?;
        tokio::spawn(feed(forward.clone(), inlet.clone(), name.to_owned(), from));
    }
    let input = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    input.await??;
    forward.shutdown(Duration::from_secs(20)).await;
    for audit in forward.ledger().audit() {
        anyhow::ensure!(audit.closes(), "{audit}");
    }
    Ok(())
}

async fn feed(forward: Forward, inlet: Inlet, name: String, from: i64) -> anyhow::Result<()> {
    for time in from.. {
        let frame = frames::metrics(&name, SERIES, time)?;
        if inlet.accept(frame, Stage::Received).await.is_err() {
            return Ok(());
        }
        say(&format!("ack {name} {time} {}", resent(&forward)));
    }
    Ok(())
}

fn resent(forward: &Forward) -> u64 {
    forward.ledger().spools().iter().map(|row| row.resent).sum()
}

/// One line in one write: a pipe keeps it whole even when we die right after.
fn say(line: &str) {
    // Nobody listens any more: we are about to be killed.
    let _ = std::io::stdout()
        .lock()
        .write_all(format!("{line}\n").as_bytes());
}
