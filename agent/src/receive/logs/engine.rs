//! Logs of containers whose driver writes no json-file: streamed by the Engine API.
//!
//! Docker can give back what the drivers `local` and `journald` keep, and since version 20.10 what
//! it keeps in a cache of its own for drivers that only send. A container is followed from its
//! start to its end by a session with a connection of its own; its lines are joined with other
//! containers' into one request, and only when the inlet took that is the position kept.
//!
//! Unlike a file that is held open, a log that only Docker can read is gone with its container: of
//! one that was removed before the first question nothing is left.
//!
//! Bounds: a session holds what it read of Docker at once (64 KiB) and the longest line there may
//! be per stream; [`BATCHES`] batches of that size wait for the inlet. While nothing is taken the
//! daemon is not read.

mod answer;
mod gather;
mod joiner;
mod messages;
mod session;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam::channel::Receiver;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::positions::Positions;
use super::statistics::Statistics;
use crate::directory::{Container, Directory, Snapshot};
use crate::forward::Inlet;
use answer::AskError;
use gather::Batch;
use joiner::Position;
use session::{Failure, Session};

/// Batches that wait for the inlet.
const BATCHES: usize = 16;

/// Pause before a container's log is asked for again after a failure: the first and the longest.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// A log that ended while the directory still has its container running is asked for again after
/// this: the news of a container's end and the end of its log come by different ways.
const RECHECK: Duration = Duration::from_secs(2);

/// The directory may change many times in a row; it is looked at this often at most.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// How long the lines under way may take to be handed on at the end.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// What sessions and the gathering task share.
#[derive(Debug)]
struct Shared {
    socket: PathBuf,
    directory: Arc<Directory>,
    inlet: Inlet,
    statistics: Arc<Statistics>,
    positions: Mutex<Positions<String, Position>>,
    /// Where a container's log begins of which no position is known and that is nobody's.
    foreign: Position,
    stop: CancellationToken,
}

impl Shared {
    /// Where to go on, or to begin. A beginning is kept at once: after a restart it must not look
    /// like that of a container that was made meanwhile.
    fn position(&self, container: &Container) -> Position {
        let mut positions = self.lock_positions();
        if let Some(position) = positions.get(container.id.as_str()) {
            return position;
        }
        let first = match container.guid {
            Some(_) => Position::default(),
            None => self.foreign,
        };
        positions.set(container.id.as_str(), first);
        first
    }

    fn forget(&self, container: &str) {
        self.lock_positions().forget(container);
    }

    /// Writes positions to disk.
    fn save(&self) {
        self.statistics.saved(self.lock_positions().save());
    }

    fn lock_positions(&self) -> MutexGuard<'_, Positions<String, Position>> {
        // Whoever panicked with it left whole positions: each is set at once.
        self.positions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows logs through the Engine API; dropping it hands on what was read and stops.
#[derive(Debug)]
pub(super) struct EngineLogs {
    stop: CancellationToken,
    /// Closed when everything has ended.
    ended: Receiver<()>,
}

impl EngineLogs {
    /// Starts on `runtime`. `state` is the folder for the positions.
    pub(super) fn start(
        socket: PathBuf,
        state: &Path,
        directory: Arc<Directory>,
        inlet: Inlet,
        statistics: Arc<Statistics>,
        runtime: &Handle,
    ) -> io::Result<Self> {
        let positions = Positions::load(state.join("engine-positions.json"))?;
        // On a first run, what was there before is old news of other people's containers.
        let foreign = match positions.is_first_run() {
            true => Position::from(now_ns()),
            false => Position::default(),
        };
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            socket,
            directory,
            inlet,
            statistics,
            positions: Mutex::new(positions),
            foreign,
            stop: stop.clone(),
        });
        let (ends, ended) = crossbeam::channel::bounded(0);
        let (into, batches) = mpsc::channel(BATCHES);
        let gathering = gather::gather(batches, Arc::clone(&shared));
        runtime.spawn(async move {
            let following = Follower::new(shared, into).run();
            tokio::join!(following, gathering);
            drop(ends);
        });
        Ok(Self { stop, ended })
    }
}

impl Drop for EngineLogs {
    fn drop(&mut self) {
        self.stop.cancel();
        // Nothing is ever sent: it waits for the other end to close.
        let _ = self.ended.recv_timeout(STOP_GRACE);
    }
}

/// Where a container's log stands.
#[derive(Debug)]
enum State {
    /// A session follows it.
    Followed,
    /// Read to the end of the run that began then (Unix seconds).
    Read { started_at: f64, at: Instant },
    /// Asked for again at that time.
    Failed { again: Instant },
    /// The driver gives nothing back.
    Unreadable,
}

#[derive(Debug)]
struct Log {
    state: State,
    /// How much sessions have read; newer than the position that is kept. Absent before the first.
    position: Option<Position>,
    /// Before the next session, should one fail.
    pause: Duration,
}

impl Log {
    /// When it wants a session, if it does.
    fn due(&self, container: &Container, now: Instant) -> Option<Instant> {
        match self.state {
            State::Followed | State::Unreadable => None,
            State::Failed { again } => Some(again),
            State::Read { started_at, .. } if started_at != container.started_at => Some(now),
            State::Read { .. } if container.pid == 0 => None,
            State::Read { at, .. } => Some(at + RECHECK),
        }
    }
}

/// Has a session for each container that needs one.
struct Follower {
    shared: Arc<Shared>,
    into: mpsc::Sender<Batch>,
    sessions: JoinSet<(Session, Result<(), Failure>)>,
    logs: HashMap<Arc<str>, Log>,
}

impl Follower {
    fn new(shared: Arc<Shared>, into: mpsc::Sender<Batch>) -> Self {
        Self {
            shared,
            into,
            sessions: JoinSet::new(),
            logs: HashMap::new(),
        }
    }

    async fn run(mut self) {
        let mut changes = self.shared.directory.changes();
        let stop = self.shared.stop.clone();
        while !stop.is_cancelled() {
            changes.mark_unchanged();
            let next = self.look();
            tokio::select! {
                () = stop.cancelled() => {}
                _ = changes.changed() => sleep(LOOK_PAUSE).await,
                // One that panicked is not begun again.
                Some(Ok((session, end))) = self.sessions.join_next() => self.ended(session, end),
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
        // Their senders go with them, which ends the gathering.
        self.sessions.shutdown().await;
    }

    /// Begins the sessions that are due; returns when the next one is, unless something changes.
    fn look(&mut self) -> Option<Instant> {
        let snapshot = Arc::clone(&self.shared.directory.load());
        let now = Instant::now();
        let mut next = None::<Instant>;
        for container in snapshot.containers().filter(|it| is_streamed(it)) {
            // Before its first start Docker has nothing to follow.
            if container.started_at == 0.0 || snapshot.is_gone(&container.id) {
                continue;
            }
            let due = match self.logs.get(&*container.id) {
                Some(log) => log.due(container, now),
                None => Some(now),
            };
            match due {
                Some(due) if due <= now => self.begin(container),
                Some(due) => next = Some(next.map_or(due, |next| next.min(due))),
                None => {}
            }
        }
        self.forget_gone(&snapshot);
        self.shared.save();
        self.count();
        next
    }

    fn begin(&mut self, container: &Container) {
        let id: Arc<str> = container.id.as_str().into();
        let log = self.logs.entry(Arc::clone(&id)).or_insert_with(|| Log {
            state: State::Followed,
            position: None,
            pause: PAUSE,
        });
        log.state = State::Followed;
        let mut session = Session {
            container: id,
            is_tty: container.log.is_tty,
            // The journal has the time at which it got each piece.
            pieces_share_time: container.log.driver != "journald",
            started_at: container.started_at,
            position: log
                .position
                .unwrap_or_else(|| self.shared.position(container)),
            pause: log.pause,
        };
        let (shared, into) = (Arc::clone(&self.shared), self.into.clone());
        self.sessions.spawn(async move {
            let end = session.run(&shared, &into).await;
            (session, end)
        });
    }

    fn ended(&mut self, session: Session, end: Result<(), Failure>) {
        let id = &*session.container;
        let mut pause = session.pause;
        let state = match end {
            Ok(()) => State::Read {
                started_at: session.started_at,
                at: Instant::now(),
            },
            Err(Failure::Ask(AskError::Unreadable(words))) => {
                let snapshot = Arc::clone(&self.shared.directory.load());
                let container = snapshot.container(id);
                let name = container.map_or("", |container| &container.name);
                let driver = container.map_or("", |container| &container.log.driver);
                tracing::warn!(name, id, driver, error = words, "output is not followed");
                State::Unreadable
            }
            Err(error) => {
                self.shared.statistics.count_error();
                tracing::debug!(id, %error, "log cannot be read now");
                let again = Instant::now() + pause.mul_f64(rand::random_range(0.5..1.0));
                pause = (pause * 2).min(PAUSE_MAX);
                State::Failed { again }
            }
        };
        let log = Log {
            state,
            position: Some(session.position),
            pause,
        };
        self.logs.insert(session.container, log);
    }

    /// Lets go of what the directory no longer has, unless its last lines are being read.
    fn forget_gone(&mut self, snapshot: &Snapshot) {
        let shared = &self.shared;
        self.logs.retain(|id, log| {
            let is_there = snapshot.container(id).is_some() && !snapshot.is_gone(id);
            let keep = is_there || matches!(log.state, State::Followed);
            if !keep {
                shared.forget(id);
            }
            keep
        });
    }

    fn count(&self) {
        let count = |is: fn(&State) -> bool| {
            let logs = self.logs.values().filter(|log| is(&log.state));
            logs.count() as u64
        };
        let statistics = &self.shared.statistics;
        let followed = count(|state| matches!(state, State::Followed));
        statistics.streams.store(followed, Ordering::Relaxed);
        let unreadable = count(|state| matches!(state, State::Unreadable));
        statistics.unreadable.store(unreadable, Ordering::Relaxed);
    }
}

/// Whether only Docker can tell what a container wrote.
fn is_streamed(container: &Container) -> bool {
    !matches!(container.log.driver.as_str(), "" | "json-file")
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}
