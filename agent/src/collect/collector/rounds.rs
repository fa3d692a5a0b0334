//! When rounds are made.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::delivery::Delivery;
use super::state::{State, now_ms};
use super::{Collector, Overview};
use crate::forward::Inlet;

/// The number of the interval that a time lies in; ticks are where it changes.
fn number(now_ms: i64, interval: Duration) -> i64 {
    now_ms.div_euclid(interval_ms(interval))
}

/// Until the next tick.
fn wait(now_ms: i64, interval: Duration) -> Duration {
    let interval_ms = interval_ms(interval);
    Duration::from_millis((interval_ms - now_ms.rem_euclid(interval_ms)).unsigned_abs())
}

fn interval_ms(interval: Duration) -> i64 {
    i64::try_from(interval.as_millis())
        .unwrap_or(i64::MAX)
        .max(1)
}

impl Collector {
    /// A round at every multiple of the interval since 1970, so that all nodes' samples fall
    /// together, and a last one at the end.
    pub(super) async fn rounds(&self, inlet: Inlet, shutdown: &CancellationToken) {
        let mut interval = self.interval.subscribe();
        let mut delivery = Delivery::default();
        let mut latest: Option<i64> = None;
        loop {
            let every = *interval.borrow_and_update();
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = interval.changed() => {
                    latest = None;
                    continue;
                }
                () = tokio::time::sleep(wait(now_ms(), every)) => {}
            }
            let tick = number(now_ms(), every);
            if let Some(latest) = latest
                && tick > latest + 1
            {
                self.meters.skipped.add((tick - latest - 1).unsigned_abs());
            }
            // A timer that fires a moment early finds the tick that was served already.
            if latest == Some(tick) {
                continue;
            }
            latest = Some(tick);
            self.round(&inlet, &mut delivery).await;
        }
        self.round(&inlet, &mut delivery).await;
    }

    async fn round(&self, inlet: &Inlet, delivery: &mut Delivery) {
        let since = Instant::now();
        let Some(round) = self.state.blocking(State::round).await else {
            return;
        };
        let took = since.elapsed();
        for (meter, took) in self.meters.parts.iter().zip(round.took) {
            meter.set(took.as_secs_f64());
        }
        for (meter, series) in self.meters.series.iter().zip(round.series) {
            meter.set(series as f64);
        }
        self.tell_of_misses();
        self.meters.rounds.increment();
        self.meters.containers.set(round.containers as f64);
        self.overview.store(Arc::new(Overview {
            rounds: self.meters.rounds.get(),
            last_round: took,
            series: round.series.iter().sum::<usize>() as u64,
            containers: round.containers as u64,
            rows: round.rows,
        }));
        let since = Instant::now();
        let dropped = delivery.offer(inlet, round.frames).await;
        self.meters.samples_dropped.add(dropped);
        self.meters.parts[3].set(since.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_multiples_of_the_interval() {
        let ten = Duration::from_secs(10);
        assert_eq!(wait(1_000_000, ten), ten);
        assert_eq!(wait(1_000_001, ten), Duration::from_millis(9_999));
        assert_eq!(wait(1_009_999, ten), Duration::from_millis(1));
        assert_eq!(number(1_009_999, ten), 100);
        assert_eq!(number(1_010_000, ten), 101);
        assert_eq!(wait(-1, ten), Duration::from_millis(1));
    }
}
