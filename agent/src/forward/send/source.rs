//! Where a sender gets its batches from, and where it says what became of them.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel;
use tokio::sync::watch;

use super::Phase;
use super::batch::Batch;
use crate::forward::hot::HotLane;
use crate::forward::lane::writer::Command;
use crate::forward::lane::{MemoryWay, Room};
use crate::forward::ledger::{Book, Entry, Reason};
use crate::forward::options::{Order, Tuning};
use crate::forward::spool::record::Mark;
use crate::forward::spool::tail::Queued;
use crate::forward::spool::{Read, Spool, Tail};

/// Payload bytes read from disk at a time.
const READ_BYTES: usize = 1 << 20;
/// At most one log line about damage in this time.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// Attempts at reading before a segment is given up.
const READ_ATTEMPTS: u32 = 4;
/// The pause between them.
const READ_PAUSE: Duration = Duration::from_millis(500);

/// Frames in memory only.
#[derive(Debug)]
pub(crate) struct MemorySource {
    pub(crate) way: Arc<MemoryWay>,
    peeked: Option<Queued>,
}

/// Frames on disk, the newest of them in memory too.
#[derive(Debug)]
pub(crate) struct SpoolSource {
    spool: Arc<Spool>,
    lane: Arc<HotLane>,
    commits: channel::Sender<Command>,
    room: Arc<Room>,
    book: Arc<Book>,
    order: Order,
    /// The next record of the backlog.
    at: Mark,
    hint: Option<(u64, u64)>,
    tail: Option<Tail>,
    read: VecDeque<Read>,
    peeked: Option<Queued>,
    fresh_turn: bool,
    read_failures: u32,
    damage: Damage,
}

/// Damage that was met, to be logged not too often.
#[derive(Debug, Default)]
struct Damage {
    records: u64,
    bytes: u64,
    logged: Option<Instant>,
}

/// One or the other.
#[derive(Debug)]
pub(crate) enum Source {
    Memory(MemorySource),
    Spool(Box<SpoolSource>),
}

impl Damage {
    fn met(&mut self, records: u64, bytes: u64) {
        self.records += records;
        self.bytes += bytes;
        if self
            .logged
            .is_none_or(|logged| logged.elapsed() >= LOG_EVERY)
        {
            self.logged = Some(Instant::now());
            let records = std::mem::take(&mut self.records);
            let bytes = std::mem::take(&mut self.bytes);
            tracing::warn!(records, bytes, "damage in the spool passed over");
        }
    }
}

enum Found {
    Record(Queued),
    /// The run of records ends here; more may follow.
    Boundary,
    /// More is on disk.
    OnDisk,
    Nothing,
}

impl Source {
    pub(crate) fn memory(way: Arc<MemoryWay>) -> Self {
        Self::Memory(MemorySource { way, peeked: None })
    }

    fn lane(&self) -> Arc<HotLane> {
        match self {
            Self::Memory(source) => Arc::clone(source.way.lane()),
            Self::Spool(source) => Arc::clone(&source.lane),
        }
    }

    /// The next batch, when it is worth sending. `None` when the sender shall end: at once in phase
    /// `Stop`, when nothing is left in phase `Drain`.
    pub(crate) async fn gather(
        &mut self,
        tuning: &Tuning,
        phase: &mut watch::Receiver<Phase>,
    ) -> Option<Vec<Queued>> {
        let lane = self.lane();
        loop {
            let mut batch = Batch::new(tuning);
            let fresh = self.begin();
            loop {
                if *phase.borrow_and_update() == Phase::Stop {
                    return None;
                }
                let draining = *phase.borrow() == Phase::Drain;
                match self.next(fresh, batch.last_end()) {
                    Found::Record(queued) => {
                        if let Err(queued) = batch.push(queued) {
                            self.put_back(queued);
                            break;
                        }
                    }
                    Found::Boundary => break,
                    Found::OnDisk => self.fill().await,
                    Found::Nothing if batch.is_empty() && draining && self.is_idle() => {
                        return None;
                    }
                    Found::Nothing if !batch.is_empty() && (draining || batch.is_enough()) => break,
                    Found::Nothing => {
                        let until = batch.deadline();
                        let poll = if draining {
                            Some(Duration::from_millis(5))
                        } else {
                            None
                        };
                        let due = until.or(poll.map(|poll| tokio::time::Instant::now() + poll));
                        let sleep = async {
                            match due {
                                Some(due) => tokio::time::sleep_until(due).await,
                                None => std::future::pending().await,
                            }
                        };
                        tokio::select! {
                            () = lane.pushed() => {}
                            // Nobody can say any more what to do: the forwarder is gone.
                            changed = phase.changed() => if changed.is_err() { return None },
                            () = sleep => if until.is_some() { break },
                        }
                    }
                }
            }
            let batch = self.take(batch.into_frames());
            if !batch.is_empty() {
                return Some(batch);
            }
        }
    }

    /// Decides whether the next batch is fresh data that overtakes a backlog.
    fn begin(&mut self) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::Spool(source) => source.begin(),
        }
    }

    fn next(&mut self, fresh: bool, last: Option<Mark>) -> Found {
        match self {
            Self::Memory(source) => {
                match source.peeked.take().or_else(|| source.way.lane().pop()) {
                    Some(queued) => Found::Record(queued),
                    None => Found::Nothing,
                }
            }
            Self::Spool(source) if fresh => source.next_fresh(last),
            Self::Spool(source) => source.next(last),
        }
    }

    fn put_back(&mut self, queued: Queued) {
        match self {
            Self::Memory(source) => source.peeked = Some(queued),
            Self::Spool(source) => source.put_back(queued),
        }
    }

    async fn fill(&mut self) {
        if let Self::Spool(source) = self {
            source.fill().await;
        }
    }

    fn is_idle(&self) -> bool {
        match self {
            Self::Memory(_) => true,
            Self::Spool(source) => source.room.is_idle() && source.at.seq >= source.spool.end_seq(),
        }
    }

    fn take(&mut self, frames: Vec<Queued>) -> Vec<Queued> {
        match self {
            Self::Memory(_) => frames,
            Self::Spool(source) => source.take(frames),
        }
    }

    /// These frames have had their verdict.
    pub(crate) fn settle(&mut self, frames: &[Queued]) {
        match self {
            Self::Memory(source) => source.way.settle(frames),
            Self::Spool(source) => {
                if let Some(last) = frames.last() {
                    source.spool.state().progress.settle(last.end);
                    source.commit();
                }
            }
        }
    }

    /// These frames will have no verdict in this life: on disk they stay for the next one.
    pub(crate) fn abandon(&mut self, frames: &[Queued]) {
        match self {
            Self::Memory(source) => {
                for queued in frames {
                    source.way.drop_one(queued, Reason::Shutdown);
                }
            }
            Self::Spool(source) => {
                source.spool.state().progress.release();
                source.commit();
            }
        }
    }

    /// The sender ends.
    pub(crate) fn close(&mut self) {
        if let Self::Memory(source) = self {
            if let Some(queued) = source.peeked.take() {
                source.way.drop_one(&queued, Reason::Shutdown);
            }
            source.way.close();
        }
    }
}

impl SpoolSource {
    pub(crate) fn new(
        spool: Arc<Spool>,
        lane: Arc<HotLane>,
        commits: channel::Sender<Command>,
        room: Arc<Room>,
        book: Arc<Book>,
        order: Order,
    ) -> Self {
        let at = spool.state().progress.low();
        Self {
            tail: Some(Tail::new(Arc::clone(&spool), at)),
            spool,
            lane,
            commits,
            room,
            book,
            order,
            at,
            hint: None,
            read: VecDeque::new(),
            peeked: None,
            fresh_turn: true,
            read_failures: 0,
            damage: Damage::default(),
        }
    }

    fn commit(&self) {
        // When the queue is full the writer is busy, and keeps the cursor after each write.
        let _ = self.commits.try_send(Command::Commit);
    }

    /// The oldest frame in memory that is not behind us, nor read from disk already.
    fn peek(&mut self) -> Option<&Queued> {
        if self.peeked.is_none() {
            let from = match self.read.back() {
                Some(Read::Record(queued)) => queued.end,
                Some(Read::Gap { to, .. }) => *to,
                None => self.at,
            };
            while let Some(queued) = self.lane.pop() {
                if queued.start >= from {
                    self.peeked = Some(queued);
                    break;
                }
            }
        }
        self.peeked.as_ref()
    }

    fn begin(&mut self) -> bool {
        if self.order != Order::FreshFirst {
            return false;
        }
        let at = self.at;
        let Some(start) = self.peek().map(|queued| queued.start) else {
            return false;
        };
        let backlog = start > at && !self.backlog_is_done_below(start);
        if !backlog || !self.spool.state().progress.may_run_ahead(start) {
            return false;
        }
        self.fresh_turn = !self.fresh_turn;
        !self.fresh_turn
    }

    /// Whether everything from the present place to there was delivered ahead.
    fn backlog_is_done_below(&self, start: Mark) -> bool {
        let ahead = self.spool.state().progress.next_ahead(self.at);
        ahead.is_some_and(|(from, to)| from <= self.at && to >= start)
    }

    fn next_fresh(&mut self, last: Option<Mark>) -> Found {
        match self.peek().map(|queued| queued.start) {
            // The backlog waits: do not linger for more.
            None => Found::Boundary,
            Some(start) if last.is_some_and(|last| last != start) => Found::Boundary,
            Some(_) => self.peeked.take().map_or(Found::Nothing, Found::Record),
        }
    }

    fn next(&mut self, last: Option<Mark>) -> Found {
        if let Some(read) = self.read.pop_front() {
            return match read {
                Read::Record(queued) => self.found(queued, last),
                Read::Gap { .. } if last.is_some() => {
                    self.read.push_front(read);
                    Found::Boundary
                }
                Read::Gap { from, to } => {
                    self.pass(from, to);
                    Found::Boundary
                }
            };
        }
        if let Some(to) = self.done_here() {
            self.at = to;
            self.hint = None;
            return Found::Boundary;
        }
        let at = self.at;
        match self.peek().map(|queued| queued.start) {
            Some(start) if start == at => match self.peeked.take() {
                Some(queued) => self.found(queued, last),
                None => Found::Nothing,
            },
            Some(_) => Found::OnDisk,
            None if at.seq < self.lane.disk_below() => Found::OnDisk,
            None => Found::Nothing,
        }
    }

    fn found(&mut self, queued: Queued, last: Option<Mark>) -> Found {
        if last.is_some_and(|last| last != queued.start) {
            self.read.push_front(Read::Record(queued));
            return Found::Boundary;
        }
        self.at = queued.end;
        self.hint = Some((queued.segment, queued.offset));
        Found::Record(queued)
    }

    /// The end of what was delivered ahead, if we stand in it, or of what the bound took.
    fn done_here(&self) -> Option<Mark> {
        let state = self.spool.state();
        let low = state.progress.low();
        if self.at < low {
            return Some(low);
        }
        let (from, to) = state.progress.next_ahead(self.at)?;
        (from <= self.at).then_some(to)
    }

    /// Books records that the log held and cannot give back, and goes on behind them.
    fn pass(&mut self, from: Mark, to: Mark) {
        let lost = {
            let mut state = self.spool.state();
            let from = from.max(state.progress.low());
            state.progress.done(from, to);
            to.total.saturating_sub(from.total)
        };
        self.at = self.at.max(to);
        self.book
            .add_unnamed(Entry::Dropped(Reason::SpoolCorrupt), lost);
        self.damage.met(lost, 0);
        self.commit();
    }

    fn put_back(&mut self, queued: Queued) {
        // A fresh frame ahead of the backlog goes back to the head of the lane.
        if queued.end > self.at {
            self.peeked = Some(queued);
            return;
        }
        self.at = queued.start;
        self.read.push_front(Read::Record(queued));
    }

    /// Reads on from disk, up to what is in memory, or was delivered ahead.
    async fn fill(&mut self) {
        let Some(mut tail) = self.tail.take() else {
            return;
        };
        let until = {
            let peeked = self.peek().map(|queued| queued.start);
            let state = self.spool.state();
            let ahead = state.progress.next_ahead(self.at).map(|(from, _)| from);
            [Some(state.end), peeked, ahead]
                .into_iter()
                .flatten()
                .filter(|place| *place > self.at)
                .min()
                .unwrap_or(state.end)
        };
        tail.seek(self.at, self.hint);
        let give_up = self.read_failures >= READ_ATTEMPTS;
        let reading = tokio::task::spawn_blocking(move || {
            let mut found = VecDeque::new();
            let result = match give_up {
                true => {
                    tail.skip_segment(until, &mut found);
                    Ok(())
                }
                false => tail.read(until, READ_BYTES, &mut found),
            };
            (tail, found, result)
        });
        let Ok((mut tail, found, result)) = reading.await else {
            // The reader is gone with its thread; a new one starts where we are.
            self.tail = Some(Tail::new(Arc::clone(&self.spool), self.at));
            return;
        };
        let damaged = tail.take_damaged_bytes();
        if damaged > 0 {
            self.damage.met(0, damaged);
        }
        if found.is_empty() && result.is_ok() && tail.at() > self.at {
            // What lay here went with its segment, booked by who dropped it.
            self.at = tail.at();
        }
        self.tail = Some(tail);
        self.read = found;
        match result {
            Ok(()) => self.read_failures = 0,
            Err(error) => self.read_failed(&error).await,
        }
    }

    async fn read_failed(&mut self, error: &io::Error) {
        self.read_failures += 1;
        if self.read_failures == 1 {
            tracing::error!(%error, "spool cannot be read, trying again");
        }
        tokio::time::sleep(READ_PAUSE).await;
    }

    /// Puts a batch on the line, without what the bound took meanwhile.
    fn take(&mut self, mut frames: Vec<Queued>) -> Vec<Queued> {
        let mut state = self.spool.state();
        let low = state.progress.low();
        frames.retain(|queued| queued.start >= low);
        if let (Some(first), Some(last)) = (frames.first(), frames.last()) {
            state.progress.take(first.start, last.end);
            drop(state);
            self.commit();
        }
        frames
    }
}
