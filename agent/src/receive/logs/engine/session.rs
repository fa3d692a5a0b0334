//! One container's log, from a position to the end of the container's run.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;

use super::answer::{Answer, AskError, More};
use super::gather::Batch;
use super::joiner::{Joiner, Position};
use super::messages::{Decoder, StreamError};
use super::{PAUSE, Shared, now_ns};
use crate::receive::logs::lines::Records;
use crate::receive::logs::tailer::PENDING_WAIT;

/// Longest wait for bytes of a quiet container; there is nothing to do when it is over.
const QUIET: Duration = Duration::from_secs(3600);

/// Why a session ended before the container did.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("stopping")]
    Stopping,
}

/// What to follow.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) container: Arc<str>,
    pub(super) is_tty: bool,
    pub(super) pieces_share_time: bool,
    /// When the run began, Unix seconds.
    pub(super) started_at: f64,
    /// How much was handed over to be gathered.
    pub(super) position: Position,
    /// Before the next session, should this one fail.
    pub(super) pause: Duration,
}

impl Session {
    /// Follows until the container ends or something fails.
    pub(super) async fn run(
        &mut self,
        shared: &Shared,
        into: &mpsc::Sender<Batch>,
    ) -> Result<(), Failure> {
        let since_ns = self.position.ask_since_ns();
        let mut answer = Answer::ask(&shared.socket, &self.container, since_ns).await?;
        let mut decoder = Decoder::new(self.is_tty);
        let mut joiner = Joiner::resume(&self.position, self.pieces_share_time);
        let mut records = Records::default();
        loop {
            let wait = match joiner.is_pending() {
                true => PENDING_WAIT,
                false => QUIET,
            };
            let more = answer.more(wait).await?;
            let observed_ns = now_ns();
            let mut outcome = Ok(());
            match &more {
                More::Bytes(bytes) => {
                    decoder.push(bytes);
                    outcome = take_all(&mut decoder, &mut joiner, observed_ns, &mut records);
                }
                More::NotYet => joiner.finish(observed_ns, &mut records),
                More::Never => {
                    if let Some(message) = decoder.last() {
                        joiner.take(&message, observed_ns, &mut records);
                    }
                    joiner.finish(observed_ns, &mut records);
                }
            }
            let malformed = u64::from(decoder.take_malformed());
            shared
                .statistics
                .malformed
                .fetch_add(malformed, Ordering::Relaxed);
            if records.count > 0 {
                self.hand_over(&joiner, &mut records, into).await?;
            }
            outcome?;
            if matches!(more, More::Never) {
                return Ok(());
            }
        }
    }

    async fn hand_over(
        &mut self,
        joiner: &Joiner,
        records: &mut Records,
        into: &mpsc::Sender<Batch>,
    ) -> Result<(), Failure> {
        let position = joiner.position();
        let batch = Batch {
            container: Arc::clone(&self.container),
            records: std::mem::take(&mut records.encoded),
            count: records.count,
            position,
        };
        records.clear();
        into.send(batch).await.map_err(|_| Failure::Stopping)?;
        self.position = position;
        self.pause = PAUSE;
        Ok(())
    }
}

fn take_all(
    decoder: &mut Decoder,
    joiner: &mut Joiner,
    observed_ns: u64,
    into: &mut Records,
) -> Result<(), Failure> {
    while let Some(message) = decoder.next()? {
        joiner.take(&message, observed_ns, into);
    }
    Ok(())
}
