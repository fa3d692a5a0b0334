//! How long to wait before the next start.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// What ran so long did not fail at its start.
const STABLE: Duration = Duration::from_secs(60);

/// Pauses that double, and begin anew once it ran for long enough.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    started: Option<Instant>,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self {
            next: FIRST,
            started: None,
        }
    }

    /// It was started now.
    pub(super) fn started(&mut self) {
        self.started = Some(Instant::now());
    }

    /// It ended, or could not be started: the pause, drawn between half and the whole of a value
    /// that doubles.
    pub(super) fn pause(&mut self) -> Duration {
        let ran = self.started.take().map(|started| started.elapsed());
        self.pause_after(ran)
    }

    fn pause_after(&mut self, ran: Option<Duration>) -> Duration {
        if ran.is_some_and(|ran| ran >= STABLE) {
            self.next = FIRST;
        }
        let pause = self.next.mul_f64(rand::random_range(0.5..1.0));
        self.next = (self.next * 2).min(LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_begin_anew_after_a_stable_time() {
        let mut backoff = Backoff::new();
        for whole in [1, 2, 4, 8, 16, 30, 30] {
            let (pause, whole) = (backoff.pause_after(None), Duration::from_secs(whole));
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} {whole:?}");
        }
        let nearly = STABLE - Duration::from_secs(1);
        assert!(backoff.pause_after(Some(nearly)) >= LONGEST / 2);
        assert!(backoff.pause_after(Some(STABLE)) <= FIRST);
    }
}
