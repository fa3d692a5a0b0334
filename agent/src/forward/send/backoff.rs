//! Pauses between attempts: doubling, jittered, bounded.

use std::time::Duration;

use rand::Rng;

/// The pauses of one batch.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { next: min, max }
    }

    /// The next pause: between half and all of the doubled step, so that agents that failed
    /// together do not come back together.
    pub(crate) fn pause(&mut self) -> Duration {
        let step = self.next.min(self.max);
        self.next = step.saturating_mul(2).min(self.max);
        step.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Backoff;

    #[test]
    fn pauses_double_up_to_the_bound_and_are_jittered() {
        let mut backoff = Backoff::new(Duration::from_millis(30), Duration::from_secs(30));
        let mut step = 30.0_f64;
        for _ in 0..20 {
            let pause = backoff.pause().as_secs_f64() * 1000.0;
            assert!(
                (step * 0.499..=step * 1.001).contains(&pause),
                "{pause} of {step}"
            );
            step = (step * 2.0).min(30_000.0);
        }
    }
}
