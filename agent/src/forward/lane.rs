//! A lane: the way of frames to one destination, from the inlet to the sender.
//!
//! With durability `spool` a thread of its own writes frames to the spool (several in one write),
//! answers those who wait, and hands the frames on in memory. With durability `memory` frames go
//! straight into the lane in memory. Knows nothing of protocols.

pub(crate) mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use crossbeam::channel;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use self::writer::{Command, Item};
use super::Refused;
use super::destination::DestinationId;
use super::hot::HotLane;
use super::ledger::{Book, Entry, Holdings, Reason};
use super::spool::Limits;
use super::spool::record::Mark;
use super::spool::tail::Queued;
use crate::config::WhenFull;
use crate::signal::Frame;

/// Frames that can wait for the disk at a time; the bytes are bounded too.
pub(crate) const QUEUE_FRAMES: usize = 1024;

/// What of a lane can change while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) fsync_interval: Option<Duration>,
}

/// The entrance of a lane.
#[derive(Debug)]
pub(crate) struct Entrance {
    id: DestinationId,
    way: ArcSwapOption<Way>,
    accept_wait: Duration,
}

/// How frames go on from the entrance.
#[derive(Debug)]
pub(crate) enum Way {
    Disk(DiskWay),
    Memory(Arc<MemoryWay>),
}

/// To the writer's thread.
#[derive(Debug)]
pub(crate) struct DiskWay {
    queue: channel::Sender<Command>,
    room: Arc<Room>,
}

/// The bytes that may wait for the disk (or in memory), and why nothing is taken at present.
#[derive(Debug)]
pub(crate) struct Room {
    permits: Semaphore,
    capacity: u32,
    /// What the smallest frame takes, so that bytes bound the number of frames too.
    least: u32,
    closed: ArcSwapOption<Closed>,
}

/// The spool failed; until then nothing is tried.
#[derive(Debug)]
struct Closed {
    until: Instant,
    refused: Refused,
}

impl Room {
    /// Room for so many bytes, and for no more than so many frames.
    pub(crate) fn new(bytes: usize, frames: usize) -> Arc<Self> {
        let capacity = u32::try_from(bytes).unwrap_or(u32::MAX).max(1);
        Arc::new(Self {
            permits: Semaphore::new(capacity as usize),
            capacity,
            least: capacity.div_ceil(u32::try_from(frames).unwrap_or(u32::MAX).max(1)),
            closed: ArcSwapOption::empty(),
        })
    }

    /// What a frame takes of the room.
    fn cost(&self, frame: &Frame) -> u32 {
        let bytes = u32::try_from(frame.payload.len()).unwrap_or(u32::MAX);
        bytes.clamp(self.least, self.capacity)
    }

    fn try_take(&self, cost: u32) -> bool {
        let taken = self.permits.try_acquire_many(cost);
        taken.map(SemaphorePermit::forget).is_ok()
    }

    /// Waits until there is room; says whether there was before the time was up.
    async fn take_until(&self, cost: u32, until: Instant) -> bool {
        match tokio::time::timeout_at(until.into(), self.permits.acquire_many(cost)).await {
            Ok(taken) => taken.map(SemaphorePermit::forget).is_ok(),
            Err(_) => false,
        }
    }

    fn give_back(&self, cost: u32) {
        self.permits.add_permits(cost as usize);
    }

    /// Whether nothing waits for the disk.
    pub(crate) fn is_idle(&self) -> bool {
        self.permits.available_permits() == self.capacity as usize
    }

    pub(crate) fn close_until(&self, until: Instant, refused: Refused) {
        self.closed.store(Some(Arc::new(Closed { until, refused })));
    }

    pub(crate) fn reopen(&self) {
        if self.closed.load().is_some() {
            self.closed.store(None);
        }
    }

    fn check(&self) -> Result<(), Refused> {
        match self.closed.load().as_ref() {
            Some(closed) if Instant::now() < closed.until => Err(closed.refused.clone()),
            _ => Ok(()),
        }
    }
}

/// A frame's place in the queue for the disk, not yet used.
#[derive(Debug)]
pub(crate) struct Ticket<'a> {
    way: arc_swap::Guard<Option<Arc<Way>>>,
    cost: u32,
    entrance: &'a Entrance,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        match self.way.as_deref() {
            Some(Way::Disk(disk)) => disk.room.give_back(self.cost),
            Some(Way::Memory(memory)) => memory.room.give_back(self.cost),
            None => {}
        }
    }
}

impl Entrance {
    pub(crate) fn new(id: DestinationId, way: Way, accept_wait: Duration) -> Self {
        Self {
            id,
            way: ArcSwapOption::from_pointee(way),
            accept_wait,
        }
    }

    /// Waits, for a bounded time, until there is room for a frame.
    pub(crate) async fn reserve(&self, frame: &Frame) -> Result<Ticket<'_>, Refused> {
        let way = self.way.load();
        let cost = match way.as_deref() {
            None => return Err(Refused::Closing),
            Some(Way::Memory(memory)) => {
                let cost = memory.room.cost(frame);
                if !memory.room.try_take(cost) {
                    memory.make_room(cost, self.accept_wait, &self.id).await?;
                }
                cost
            }
            Some(Way::Disk(disk)) => {
                disk.room.check()?;
                let cost = disk.room.cost(frame);
                let until = || Instant::now() + self.accept_wait;
                if !disk.room.try_take(cost) && !disk.room.take_until(cost, until()).await {
                    return Err(Refused::Full {
                        what: format!("queue to the spool of {}", self.id),
                        retry_after: self.accept_wait,
                    });
                }
                cost
            }
        };
        Ok(Ticket {
            way,
            cost,
            entrance: self,
        })
    }

    /// From now on frames are refused with [`Refused::Closing`].
    pub(crate) fn close(&self) {
        self.way.store(None);
    }
}

/// A frame on its way to the disk.
pub(crate) type Answer = oneshot::Receiver<Result<(), Refused>>;

impl Ticket<'_> {
    /// Sends a frame on its way. Nothing to wait for comes back when it is already there.
    pub(crate) fn enter(mut self, frame: Frame, entry: Entry) -> Result<Option<Answer>, Refused> {
        match self.way.as_deref() {
            None => Err(Refused::Closing),
            Some(Way::Memory(memory)) => {
                memory.push(&self.entrance.id, frame, entry)?;
                self.cost = 0;
                Ok(None)
            }
            Some(Way::Disk(disk)) => {
                let (done, answer) = oneshot::channel();
                let item = Item {
                    frame,
                    entry,
                    cost: self.cost,
                    done,
                };
                match disk.queue.try_send(Command::Write(item)) {
                    Ok(()) => {
                        self.cost = 0;
                        Ok(Some(answer))
                    }
                    Err(channel::TrySendError::Full(_)) => Err(Refused::Full {
                        what: format!("queue to the spool of {}", self.entrance.id),
                        retry_after: self.entrance.accept_wait,
                    }),
                    Err(channel::TrySendError::Disconnected(_)) => Err(Refused::Closing),
                }
            }
        }
    }
}

impl DiskWay {
    /// The entrance's and the writer's end of the queue for the disk.
    pub(crate) fn new(room: &Arc<Room>) -> (Self, channel::Receiver<Command>) {
        // Beside frames the sender's requests to keep the cursor go through here.
        let (queue, commands) = channel::bounded(QUEUE_FRAMES + 64);
        let way = Self {
            queue,
            room: Arc::clone(room),
        };
        (way, commands)
    }

    pub(crate) fn queue(&self) -> channel::Sender<Command> {
        self.queue.clone()
    }
}

/// Straight into memory. Frames take room until they have had their verdict.
#[derive(Debug)]
pub(crate) struct MemoryWay {
    lane: Arc<HotLane>,
    settings: Arc<ArcSwap<Settings>>,
    book: Arc<Book>,
    held: AtomicU64,
    room: Arc<Room>,
    started: Instant,
    /// When the destination last took something, or had nothing to take: ms since `started`.
    moved_ms: AtomicU64,
}

impl MemoryWay {
    pub(crate) fn new(
        lane: Arc<HotLane>,
        settings: Arc<ArcSwap<Settings>>,
        book: Arc<Book>,
        room: Arc<Room>,
    ) -> Arc<Self> {
        Arc::new(Self {
            lane,
            settings,
            book,
            held: AtomicU64::new(0),
            room,
            started: Instant::now(),
            moved_ms: AtomicU64::new(0),
        })
    }

    pub(crate) fn lane(&self) -> &Arc<HotLane> {
        &self.lane
    }

    pub(crate) fn holdings(&self) -> Holdings {
        Holdings {
            spooled: 0,
            bytes: 0,
            in_flight: self.held.load(Ordering::Acquire),
        }
    }

    /// These have had their verdict.
    pub(crate) fn settle(&self, frames: &[Queued]) {
        self.moved();
        for queued in frames {
            self.let_go(queued);
        }
    }

    fn let_go(&self, queued: &Queued) {
        self.held
            .fetch_sub(queued.frame.records(), Ordering::AcqRel);
        self.room.give_back(self.room.cost(&queued.frame));
    }

    /// Nobody sends any more: what is left is lost, and booked.
    pub(crate) fn close(&self) {
        self.lane.close();
        self.drop_rest();
    }

    fn drop_rest(&self) {
        while let Some(queued) = self.lane.pop() {
            self.drop_one(&queued, Reason::Shutdown);
        }
    }

    pub(crate) fn drop_one(&self, queued: &Queued, reason: Reason) {
        self.book.add(Entry::Dropped(reason), &queued.frame.counts);
        self.let_go(queued);
    }

    fn moved(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(now, Ordering::Relaxed);
    }

    /// Takes room when there is none at once. As long as the destination takes frames, whoever
    /// sends faster than that is slowed down. Only when it has taken nothing for `patience` the
    /// policy for what is full decides.
    async fn make_room(
        &self,
        cost: u32,
        patience: Duration,
        id: &DestinationId,
    ) -> Result<(), Refused> {
        loop {
            let moved = Duration::from_millis(self.moved_ms.load(Ordering::Relaxed));
            let stuck = self.started + moved + patience;
            if self.room.take_until(cost, stuck).await {
                return Ok(());
            }
            let still = Duration::from_millis(self.moved_ms.load(Ordering::Relaxed)) == moved;
            if still {
                break;
            }
        }
        while self.settings.load().limits.when_full == WhenFull::DropOldest
            && let Some(oldest) = self.lane.pop()
        {
            self.drop_one(&oldest, Reason::QueueFull);
            if self.room.try_take(cost) {
                return Ok(());
            }
        }
        Err(Self::full(id))
    }

    fn full(id: &DestinationId) -> Refused {
        Refused::Full {
            what: format!("queue in memory for {id}"),
            retry_after: Duration::from_secs(1),
        }
    }

    /// The caller has taken room.
    fn push(&self, id: &DestinationId, frame: Frame, entry: Entry) -> Result<(), Refused> {
        let queued = Queued {
            frame,
            start: Mark::default(),
            end: Mark::default(),
            appended_ms: writer::now_ms(),
            segment: 0,
            offset: 0,
        };
        let records = queued.frame.records();
        if self.held.fetch_add(records, Ordering::AcqRel) == 0 {
            self.moved();
        }
        self.book.add(entry, &queued.frame.counts);
        // It has room for whatever there are permits for.
        if let Err(back) = self.lane.push(queued) {
            self.book.take_back(entry, &back.frame.counts);
            self.held.fetch_sub(records, Ordering::AcqRel);
            return Err(Self::full(id));
        }
        if self.lane.is_closed() {
            self.drop_rest();
        }
        Ok(())
    }
}
