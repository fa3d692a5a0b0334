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
use tokio::sync::{Semaphore, oneshot};

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
const QUEUE_FRAMES: usize = 1024;

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

/// The bytes that may wait for the disk, and why nothing is taken at present.
#[derive(Debug)]
pub(crate) struct Room {
    permits: Semaphore,
    capacity: u32,
    closed: ArcSwapOption<Closed>,
}

/// The spool failed; until then nothing is tried.
#[derive(Debug)]
struct Closed {
    until: Instant,
    refused: Refused,
}

impl Room {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        let capacity = u32::try_from(bytes).unwrap_or(u32::MAX).max(1);
        Arc::new(Self {
            permits: Semaphore::new(capacity as usize),
            capacity,
            closed: ArcSwapOption::empty(),
        })
    }

    /// What a frame takes of the room. Small ones count for more than they are, so that bytes bound
    /// the number of frames too.
    fn cost(&self, frame: &Frame) -> u32 {
        let least = self.capacity / QUEUE_FRAMES as u32;
        let bytes = u32::try_from(frame.payload.len()).unwrap_or(u32::MAX);
        bytes.clamp(least.max(1), self.capacity)
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
        if let Some(Way::Disk(disk)) = self.way.as_deref()
            && self.cost > 0
        {
            disk.room.give_back(self.cost);
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
                memory.check(frame)?;
                0
            }
            Some(Way::Disk(disk)) => {
                disk.room.check()?;
                let cost = disk.room.cost(frame);
                match disk.room.permits.try_acquire_many(cost) {
                    Ok(permit) => permit.forget(),
                    Err(_) => self.wait_for(&disk.room, cost).await?,
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

    async fn wait_for(&self, room: &Room, cost: u32) -> Result<(), Refused> {
        match tokio::time::timeout(self.accept_wait, room.permits.acquire_many(cost)).await {
            Ok(Ok(permit)) => {
                permit.forget();
                Ok(())
            }
            Ok(Err(_)) | Err(_) => Err(Refused::Full {
                what: format!("queue to the spool of {}", self.id),
                retry_after: self.accept_wait,
            }),
        }
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

/// Straight into memory.
#[derive(Debug)]
pub(crate) struct MemoryWay {
    lane: Arc<HotLane>,
    settings: Arc<ArcSwap<Settings>>,
    book: Arc<Book>,
    held: AtomicU64,
    max_bytes: usize,
}

impl MemoryWay {
    pub(crate) fn new(
        lane: Arc<HotLane>,
        settings: Arc<ArcSwap<Settings>>,
        book: Arc<Book>,
        max_bytes: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            lane,
            settings,
            book,
            held: AtomicU64::new(0),
            max_bytes,
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

    /// These records are delivered or dropped.
    pub(crate) fn let_go(&self, records: u64) {
        self.held.fetch_sub(records, Ordering::AcqRel);
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
        self.let_go(queued.frame.records());
    }

    fn refuses(&self) -> bool {
        self.settings.load().limits.when_full == WhenFull::Refuse
    }

    fn check(&self, frame: &Frame) -> Result<(), Refused> {
        let held = self.lane.bytes();
        if held > 0 && held + frame.payload.len() > self.max_bytes && self.refuses() {
            return Err(self.full("queue in memory".to_owned()));
        }
        Ok(())
    }

    fn full(&self, what: String) -> Refused {
        Refused::Full {
            what,
            retry_after: Duration::from_secs(1),
        }
    }

    fn push(&self, id: &DestinationId, frame: Frame, entry: Entry) -> Result<(), Refused> {
        let mut queued = Queued {
            frame,
            start: Mark::default(),
            end: Mark::default(),
            appended_ms: writer::now_ms(),
            segment: 0,
            offset: 0,
        };
        let records = queued.frame.records();
        self.held.fetch_add(records, Ordering::AcqRel);
        self.book.add(entry, &queued.frame.counts);
        while let Err(back) = self.lane.push(queued) {
            if self.refuses() {
                self.book.take_back(entry, &back.frame.counts);
                self.let_go(records);
                return Err(self.full(format!("queue in memory for {id}")));
            }
            if let Some(oldest) = self.lane.pop() {
                self.drop_one(&oldest, Reason::QueueFull);
            }
            queued = back;
        }
        if self.lane.is_closed() {
            self.drop_rest();
        }
        Ok(())
    }
}
