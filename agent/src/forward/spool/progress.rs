//! How far delivery of a spool has come: everything below `low` is done, ranges `ahead` of it may
//! be done too (fresh data that overtook a backlog), and one range may be on the line.
//!
//! Pure bookkeeping: knows neither files nor the network.

use super::record::Mark;

/// Most ranges that may be done ahead of the backlog; a sender at this limit works off the
/// backlog first. Bounds the cursor file.
pub(crate) const MAX_AHEAD: usize = 64;

/// What of the progress survives a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Snapshot {
    pub(crate) low: Mark,
    /// Everything below was handed to the network at least once.
    pub(crate) attempted: Mark,
    /// Ascending, disjoint, all above `low`.
    pub(crate) ahead: Vec<(Mark, Mark)>,
}

/// The delivery state of one spool.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    low: Mark,
    attempted: Mark,
    ahead: Vec<(Mark, Mark)>,
    taken: Option<(Mark, Mark)>,
}

impl Progress {
    pub(crate) fn restore(snapshot: Snapshot) -> Self {
        let mut progress = Self {
            low: snapshot.low,
            attempted: snapshot.attempted.max(snapshot.low),
            ahead: snapshot.ahead,
            taken: None,
        };
        progress.normalise();
        progress
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            low: self.low,
            attempted: self.attempted,
            ahead: self.ahead.clone(),
        }
    }

    /// The oldest place that is not done.
    pub(crate) fn low(&self) -> Mark {
        self.low
    }

    /// The first range that is done ahead, at or behind a place.
    pub(crate) fn next_ahead(&self, at: Mark) -> Option<(Mark, Mark)> {
        self.ahead.iter().copied().find(|&(_, to)| to > at)
    }

    /// Whether another range may be opened ahead of the backlog at this place.
    pub(crate) fn may_run_ahead(&self, from: Mark) -> bool {
        self.ahead.len() < MAX_AHEAD - 1 || self.ahead.iter().any(|&(_, to)| to == from)
    }

    /// Puts a range on the line. Only one can be there.
    pub(crate) fn take(&mut self, from: Mark, to: Mark) {
        self.taken = Some((from, to));
        self.attempted = self.attempted.max(to);
    }

    /// What is on the line is done up to here.
    pub(crate) fn settle(&mut self, upto: Mark) {
        let Some((from, to)) = self.taken else {
            return;
        };
        if upto >= to {
            self.taken = None;
        } else {
            self.taken = Some((upto, to));
        }
        self.done(from, upto);
    }

    /// Nothing is on the line any more; what was not settled is to be delivered again.
    pub(crate) fn release(&mut self) {
        self.taken = None;
    }

    /// Passes over a range that will not be delivered.
    pub(crate) fn done(&mut self, from: Mark, to: Mark) {
        if from <= self.low {
            self.low = self.low.max(to);
        } else {
            match self.ahead.iter_mut().find(|range| range.1 == from) {
                Some(range) => range.1 = to,
                None => {
                    self.ahead.push((from, to));
                    self.ahead.sort_unstable();
                }
            }
        }
        self.normalise();
    }

    /// Everything below a place is gone. Returns the parts that nobody has delivered, nor has on
    /// the line: those are lost.
    pub(crate) fn forget_below(&mut self, place: Mark) -> Vec<(Mark, Mark)> {
        let mut lost = Vec::new();
        let mut at = self.low;
        let mut held: Vec<(Mark, Mark)> = self.ahead.iter().copied().chain(self.taken).collect();
        held.sort_unstable();
        for (from, to) in held {
            if from >= place {
                break;
            }
            if from > at {
                lost.push((at, from));
            }
            at = at.max(to);
        }
        if at < place {
            lost.push((at, place));
        }
        self.low = self.low.max(place);
        self.normalise();
        lost
    }

    /// Records that lie in a log which ends here, neither done nor on the line.
    pub(crate) fn waiting(&self, end: Mark) -> u64 {
        self.waiting_by(end, |mark| mark.total)
    }

    /// Likewise, frames.
    pub(crate) fn waiting_frames(&self, end: Mark) -> u64 {
        self.waiting_by(end, |mark| mark.seq)
    }

    fn waiting_by(&self, end: Mark, count: impl Fn(Mark) -> u64) -> u64 {
        let low = count(self.low);
        let span = |(from, to): (Mark, Mark)| count(to).saturating_sub(count(from).max(low));
        let ahead: u64 = self.ahead.iter().copied().map(&span).sum();
        let taken = self.taken.map_or(0, &span);
        count(end).saturating_sub(low).saturating_sub(ahead + taken)
    }

    /// Records on the line.
    pub(crate) fn in_flight(&self) -> u64 {
        self.taken
            .map_or(0, |(from, to)| to.total.saturating_sub(from.total))
    }

    fn normalise(&mut self) {
        self.ahead.retain(|range| range.1 > self.low);
        while let Some(&(from, to)) = self.ahead.first()
            && from <= self.low
        {
            self.low = to;
            self.ahead.remove(0);
        }
        let mut index = 1;
        while index < self.ahead.len() {
            if self.ahead[index - 1].1 >= self.ahead[index].0 {
                let (_, to) = self.ahead.remove(index);
                self.ahead[index - 1].1 = self.ahead[index - 1].1.max(to);
            } else {
                index += 1;
            }
        }
        self.attempted = self.attempted.max(self.low);
    }
}
