//! Senders: one task for each destination, one request at a time, so what a receiver gets is in the
//! order it was taken in.
//!
//! A batch stays with its sender until each frame of it has a verdict: delivered, or refused for
//! good. Whatever else happens it is tried again. A batch that is refused is taken apart, by halves,
//! until the culprits stand alone; only they are dropped. Knows nothing of who made the frames.

pub(crate) mod answer;
pub(crate) mod backoff;
pub(crate) mod batch;
pub(crate) mod body;
mod grpc;
pub(crate) mod source;
pub(crate) mod status;
pub(crate) mod transport;
pub(crate) mod url;
pub(crate) mod verdict;
mod version;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use self::answer::PartialSuccess;
use self::backoff::Backoff;
use self::body::Unmergeable;
use self::source::Source;
use self::status::Status;
use self::transport::{Prepared, Transport};
use self::verdict::Verdict;
use super::destination::DestinationId;
use super::ledger::{Book, Entry, Reason};
use super::options::Tuning;
use super::spool::tail::Queued;

/// At most one log line about refused data in this time, and one about failures.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// What a sender is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Run,
    /// Nothing new comes: send what is there, without lingering, and end.
    Drain,
    /// End now; what is not delivered stays.
    Stop,
}

/// One destination's sender.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) id: DestinationId,
    pub(crate) transport: Transport,
    pub(crate) tuning: Tuning,
    pub(crate) book: Arc<Book>,
    pub(crate) status: Arc<Status>,
    pub(crate) phase: watch::Receiver<Phase>,
}

/// The end of the attempts at one request.
enum End {
    Delivered(PartialSuccess),
    Refused {
        reason: Reason,
        apart: bool,
        words: String,
    },
    Stopped,
}

impl Sender {
    /// Sends until told to end.
    pub(crate) async fn run(mut self, mut source: Source) {
        while let Some(batch) = source.gather(&self.tuning, &mut self.phase).await {
            if !self.deliver(&mut source, batch).await {
                break;
            }
        }
        source.close();
    }

    /// Sees a batch through; `false` when told to stop meanwhile.
    async fn deliver(&mut self, source: &mut Source, batch: Vec<Queued>) -> bool {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            match self.send(&part).await {
                End::Delivered(partial) => {
                    self.book_delivered(&part, &partial);
                    source.settle(&part);
                }
                End::Refused { apart: true, .. } if part.len() > 1 => {
                    let rest = part.split_off(part.len() / 2);
                    parts.push(rest);
                    parts.push(part);
                }
                End::Refused { reason, words, .. } => {
                    for queued in &part {
                        self.book.add(Entry::Dropped(reason), &queued.frame.counts);
                    }
                    let records = part.iter().map(|queued| queued.frame.records()).sum();
                    self.complain(reason, records, &words);
                    source.settle(&part);
                }
                End::Stopped => {
                    // In memory they are lost one by one, so all parts have to be named.
                    source.abandon(&part);
                    for part in parts.iter().rev() {
                        source.abandon(part);
                    }
                    return false;
                }
            }
        }
        true
    }

    /// Sends a part of a batch until there is a verdict.
    async fn send(&mut self, part: &[Queued]) -> End {
        let mut request = match self.prepare(part).await {
            Ok(request) => request,
            Err(error) => {
                return End::Refused {
                    reason: Reason::Malformed,
                    apart: true,
                    words: error.to_string(),
                };
            }
        };
        let records = part.iter().map(|queued| queued.frame.records()).sum();
        let mut backoff = Backoff::new(self.tuning.backoff_min, self.tuning.backoff_max);
        let since = Instant::now();
        loop {
            let outcome = tokio::select! {
                outcome = self.transport.attempt(&request) => outcome,
                () = stopped(&mut self.phase) => return End::Stopped,
            };
            let verdict = match outcome.verdict {
                Verdict::AgainForAWhile(reason) if since.elapsed() >= self.tuning.patience => {
                    Verdict::Refused {
                        reason,
                        apart: true,
                    }
                }
                verdict => verdict,
            };
            match verdict {
                Verdict::Delivered => {
                    self.status.delivered(&self.id);
                    return End::Delivered(outcome.partial);
                }
                Verdict::Renegotiate => match self.prepare(part).await {
                    Ok(other) => request = other,
                    // It could be prepared before, so this does not happen.
                    Err(error) => self.status.failed(&self.id, &error.to_string()),
                },
                Verdict::Refused { reason, apart } => {
                    return End::Refused {
                        reason,
                        apart,
                        words: outcome.words,
                    };
                }
                Verdict::Again | Verdict::AgainForAWhile(_) => {
                    self.status.failed(&self.id, &outcome.words);
                    if outcome.in_doubt {
                        self.book.add_resent(records);
                    }
                    let asked = outcome
                        .come_back
                        .map(|asked| asked.min(self.tuning.retry_after_max));
                    let own = backoff.pause();
                    tokio::select! {
                        () = tokio::time::sleep(asked.map_or(own, |asked| asked.max(own))) => {}
                        () = stopped(&mut self.phase) => return End::Stopped,
                    }
                }
            }
        }
    }

    async fn prepare(&self, part: &[Queued]) -> Result<Prepared, Unmergeable> {
        let payloads = part.iter().map(|queued| queued.frame.payload.clone());
        self.transport.prepare(payloads.collect()).await
    }

    fn book_delivered(&self, part: &[Queued], partial: &PartialSuccess) {
        if partial.rejected == 0 {
            for queued in part {
                self.book.add(Entry::Sent, &queued.frame.counts);
            }
            if !partial.message.is_empty() {
                self.complain(Reason::Partial, 0, &partial.message);
            }
            return;
        }
        // The receiver does not say whose records it rejected. Where all have one guid that is
        // clear; else nobody is named.
        let records: u64 = part.iter().map(|queued| queued.frame.records()).sum();
        let rejected = partial.rejected.min(records);
        let mut guids = part
            .iter()
            .flat_map(|queued| &queued.frame.counts)
            .map(|(guid, _)| guid);
        let first = guids.next();
        match first.filter(|first| guids.all(|guid| guid == *first)) {
            Some(guid) => {
                self.book.add_one(Entry::Sent, guid, records - rejected);
                self.book
                    .add_one(Entry::Dropped(Reason::Partial), guid, rejected);
            }
            None => {
                self.book.add_unnamed(Entry::Sent, records - rejected);
                self.book
                    .add_unnamed(Entry::Dropped(Reason::Partial), rejected);
            }
        }
        self.complain(Reason::Partial, rejected, &partial.message);
    }

    /// Logs dropped data with the receiver's words, not too often.
    fn complain(&self, reason: Reason, records: u64, words: &str) {
        self.status.refused(words);
        if let Some(more) = self.status.may_log_refusal(records, LOG_EVERY) {
            tracing::warn!(
                destination = %self.id,
                reason = reason.as_str(),
                records = more,
                words,
                "the receiver refused records, they are dropped"
            );
        }
    }
}

/// Returns when told to stop. Not before, whatever else is said.
async fn stopped(phase: &mut watch::Receiver<Phase>) {
    // When nobody can say any more what to do, that is the end too.
    let _ = phase.wait_for(|phase| *phase == Phase::Stop).await;
}
