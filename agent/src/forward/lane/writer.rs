//! The thread that writes one spool: opens it (again and again, while that fails), gathers waiting
//! frames into one write, answers, books, hands on, keeps the cursor, syncs.
//!
//! All writing to a spool's directory happens here, so no task of the runtime waits for a disk and a
//! disk that hangs stops one destination only.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use crossbeam::channel::{Receiver, RecvTimeoutError};
use tokio::sync::{oneshot, watch};

use super::{Room, Settings};
use crate::forward::Refused;
use crate::forward::destination::DestinationId;
use crate::forward::hot::HotLane;
use crate::forward::ledger::{Book, Entry};
use crate::forward::root::SpoolRoot;
use crate::forward::spool::disk::Disk;
use crate::forward::spool::tail::Queued;
use crate::forward::spool::{self, Appender, Placed, Spool, SpoolError};
use crate::signal::Frame;

/// Most frames of one write.
const GROUP_FRAMES: usize = 256;
/// Most bytes of one write, unless one frame has more.
const GROUP_BYTES: usize = 1 << 20;
/// After a failure nothing is tried for so long; frames are refused at once meanwhile.
const PAUSE: Duration = Duration::from_millis(250);
/// A spool that cannot be opened is tried again this often, frames or not.
const REOPEN: Duration = Duration::from_secs(2);
/// At most one log line about failures in this time.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// What the thread is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Write(Item),
    /// The delivery state changed: keep it.
    Commit,
}

/// A frame that waits for the disk.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) frame: Frame,
    pub(crate) entry: Entry,
    pub(crate) cost: u32,
    pub(crate) done: oneshot::Sender<Result<(), Refused>>,
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// The thread's belongings.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) id: DestinationId,
    pub(crate) root: Arc<SpoolRoot>,
    pub(crate) dir: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) settings: Arc<ArcSwap<Settings>>,
    pub(crate) commands: Receiver<Command>,
    pub(crate) room: Arc<Room>,
    /// Absent for the local bus, which nobody sends.
    pub(crate) lane: Option<Arc<HotLane>>,
    /// Where the spool is announced once it is open.
    pub(crate) opened: watch::Sender<Option<Arc<Spool>>>,
    pub(crate) book: Arc<Book>,
}

/// What waits for an answer, beside its frame.
struct Waiting {
    entry: Entry,
    cost: u32,
    done: oneshot::Sender<Result<(), Refused>>,
}

struct Work {
    writer: Writer,
    log: Option<Appender>,
    retry_at: Instant,
    synced: Instant,
    logged: Option<Instant>,
    failing: bool,
    frames: Vec<Frame>,
    waiting: Vec<Waiting>,
    placed: Vec<Placed>,
}

impl Writer {
    /// Works until everybody who could send a command is gone.
    pub(crate) fn run(self) {
        let now = Instant::now();
        let mut work = Work {
            writer: self,
            log: None,
            retry_at: now,
            synced: now,
            logged: None,
            failing: false,
            frames: Vec::with_capacity(GROUP_FRAMES),
            waiting: Vec::with_capacity(GROUP_FRAMES),
            placed: Vec::with_capacity(GROUP_FRAMES),
        };
        work.open();
        work.run();
    }
}

impl Work {
    fn run(&mut self) {
        loop {
            let command = match self.pause() {
                None => self.writer.commands.recv().ok(),
                Some(pause) => match self.writer.commands.recv_timeout(pause) {
                    Ok(command) => Some(command),
                    Err(RecvTimeoutError::Timeout) => {
                        self.idle();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => None,
                },
            };
            let Some(command) = command else {
                break;
            };
            self.gather(command);
            self.write_group();
            self.sync_when_due();
        }
        if let Some(log) = &mut self.log {
            log.commit();
            if self.writer.settings.load().fsync_interval.is_some()
                && let Err(error) = log.sync()
            {
                tracing::warn!(destination = %self.writer.id, %error, "spool not synced at the end");
            }
        }
    }

    /// How long to wait for a command at most.
    fn pause(&self) -> Option<Duration> {
        match (&self.log, self.writer.settings.load().fsync_interval) {
            (None, _) => Some(REOPEN),
            (Some(_), interval) => interval.map(|every| {
                every
                    .saturating_sub(self.synced.elapsed())
                    .max(Duration::from_millis(1))
            }),
        }
    }

    fn idle(&mut self) {
        if self.log.is_none() {
            self.open();
        }
        self.sync_when_due();
    }

    fn sync_when_due(&mut self) {
        let Some(every) = self.writer.settings.load().fsync_interval else {
            return;
        };
        if self.synced.elapsed() < every {
            return;
        }
        self.synced = Instant::now();
        if let Some(Err(error)) = self.log.as_mut().map(Appender::sync) {
            self.complain(&error);
        }
    }

    /// Opens the spool, or says for how long nobody need ask.
    fn open(&mut self) {
        let writer = &self.writer;
        let settings = **writer.settings.load();
        let opened = writer.root.hold().and_then(|()| {
            spool::open(
                Arc::clone(&writer.disk),
                &writer.dir,
                settings.limits,
                Arc::clone(&writer.book),
            )
        });
        match opened {
            Ok((log, report)) => {
                writer.root.describe(&writer.id, &writer.dir);
                let spool = Arc::clone(log.spool());
                let held = Arc::clone(&spool);
                writer.book.held_by(move || held.holdings());
                if let Some(lane) = &writer.lane {
                    lane.set_disk_below(spool.end_seq());
                }
                if report.backlog > 0 || report.torn_bytes > 0 || report.cursor_lost {
                    tracing::info!(
                        destination = %writer.id,
                        backlog = report.backlog,
                        resent = report.resent,
                        torn_bytes = report.torn_bytes,
                        damaged_bytes = report.damaged_bytes,
                        cursor_lost = report.cursor_lost,
                        "spool taken over"
                    );
                }
                writer.opened.send_replace(Some(spool));
                self.log = Some(log);
                self.recovered();
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Takes waiting frames, up to the bounds of one write.
    fn gather(&mut self, command: Command) {
        let limits = self.writer.settings.load().limits;
        let bound = GROUP_BYTES.min(usize::try_from(limits.segment_bytes()).unwrap_or(GROUP_BYTES));
        let mut bytes = 0;
        let mut next = Some(command);
        while let Some(command) = next {
            if let Command::Write(item) = command {
                bytes += item.frame.payload.len();
                self.frames.push(item.frame);
                self.waiting.push(Waiting {
                    entry: item.entry,
                    cost: item.cost,
                    done: item.done,
                });
            }
            if bytes >= bound || self.frames.len() >= GROUP_FRAMES {
                return;
            }
            next = self.writer.commands.try_recv().ok();
        }
    }

    fn write_group(&mut self) {
        if self.log.is_none() && Instant::now() >= self.retry_at {
            self.open();
        }
        let result = match &mut self.log {
            None => Err(self.closed()),
            Some(log) => {
                let settings = **self.writer.settings.load();
                log.configure(settings.limits, settings.fsync_interval.is_some());
                log.append(&self.frames, now_ms(), &mut self.placed)
                    .map_err(|error| self.refusal(&error))
            }
        };
        match result {
            Ok(()) => {
                self.recovered();
                self.hand_on();
            }
            Err(refused) => {
                self.frames.clear();
                for waiting in self.waiting.drain(..) {
                    self.writer.room.give_back(waiting.cost);
                    // Who does not wait any more need not know.
                    let _ = waiting.done.send(Err(refused.clone()));
                }
            }
        }
        if let Some(log) = &mut self.log {
            log.commit();
        }
    }

    /// The frames are kept: book them, answer, and hand them to the sender.
    fn hand_on(&mut self) {
        let now = now_ms();
        for (waiting, frame) in self.waiting.iter().zip(&self.frames) {
            self.writer.book.add(waiting.entry, &frame.counts);
        }
        for waiting in self.waiting.drain(..) {
            self.writer.room.give_back(waiting.cost);
            let _ = waiting.done.send(Ok(()));
        }
        let Some(lane) = &self.writer.lane else {
            self.frames.clear();
            return;
        };
        for (frame, placed) in self.frames.drain(..).zip(&self.placed) {
            let queued = Queued {
                frame,
                start: placed.start,
                end: placed.end,
                appended_ms: now,
                segment: placed.segment,
                offset: placed.offset,
            };
            if lane.push(queued).is_err() {
                lane.set_disk_below(placed.end.seq);
            }
        }
    }

    fn refusal(&mut self, error: &SpoolError) -> Refused {
        match error {
            SpoolError::Full { .. } => Refused::Full {
                what: format!("spool of {}", self.writer.id),
                retry_after: Duration::from_secs(5),
            },
            SpoolError::Io { .. } | SpoolError::InUse { .. } | SpoolError::Newer { .. } => {
                self.failed(error);
                Refused::Spool {
                    destination: self.writer.id.label(),
                    error: error.to_string(),
                }
            }
        }
    }

    fn closed(&self) -> Refused {
        let reason = self.writer.room.check().err();
        reason.unwrap_or_else(|| Refused::Spool {
            destination: self.writer.id.label(),
            error: "not open".to_owned(),
        })
    }

    fn failed(&mut self, error: &SpoolError) {
        self.retry_at = Instant::now() + PAUSE;
        self.writer.room.close_until(
            self.retry_at,
            Refused::Spool {
                destination: self.writer.id.label(),
                error: error.to_string(),
            },
        );
        self.complain(error);
        self.failing = true;
    }

    fn recovered(&mut self) {
        if std::mem::take(&mut self.failing) {
            self.writer.room.reopen();
            tracing::info!(destination = %self.writer.id, "spool works again");
        }
    }

    fn complain(&mut self, error: &SpoolError) {
        if self
            .logged
            .is_none_or(|logged| logged.elapsed() >= LOG_EVERY)
        {
            self.logged = Some(Instant::now());
            tracing::error!(destination = %self.writer.id, %error, "spool cannot be used, data is refused");
        }
    }
}
