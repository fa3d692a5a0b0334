//! The tailing thread: finds files, reads them in turns, hands batches on, moves positions.
//!
//! One thread for all files. Each sweep reads what is new of every file into few requests, and only
//! when the inlet took it do the files' positions move; a refused request moves nothing and is
//! read again after a while. A directory watch on the runtime's container folder makes the thread
//! open a log within moments of its creation, so that even a container that is removed at once
//! leaves its lines: an open file outlives its name.

mod discover;
mod read;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::watch;

use super::engine::EngineLogs;
use super::followed::{Followed, Position};
use super::lines::{Progress, Records};
use super::positions::Positions;
use super::statistics::Statistics;
use super::targets::{FileTarget, Source, TargetState};
use super::watch::FolderWatch;
use crate::config::Guid;
use crate::directory::Directory;
use crate::forward::{Inlet, Refused, Stage};
use crate::signal::{Frame, GuidCounts, Kind};
use read::Found;

/// Pause after a request was refused.
const REFUSED_WAIT: Duration = Duration::from_millis(200);
/// Pause after a sweep that found text and read all of it: the next one finds more to batch.
const BUSY_WAIT: Duration = Duration::from_millis(50);
/// Positions are saved this often at most; a crash repeats what was taken since.
const SAVE_INTERVAL: Duration = Duration::from_millis(200);
/// How often the directory and the patterns are asked for files; also the longest pause.
const DISCOVERY_INTERVAL: Duration = Duration::from_millis(500);
/// How often it is counted how much is not read yet.
const LAG_INTERVAL: Duration = Duration::from_secs(5);
/// A request is handed on when it has this many bytes.
const REQUEST_BYTES: usize = 1 << 20;
/// What is read of a file at once; also the longest plain line.
const CHUNK: usize = 1 << 20;
/// Most bytes of one file per sweep, so that a flood does not starve the others.
const SWEEP_BYTES: usize = CHUNK;
/// How long the beginning of a line may wait for its end once nothing more comes.
pub(super) const PENDING_WAIT: Duration = Duration::from_secs(5);
/// How long an open log waits for the directory to learn whose it is.
const UNKNOWN_WAIT: Duration = Duration::from_secs(10);

/// What the thread needs.
#[derive(Debug)]
pub struct Options {
    /// Absent: containers are not followed, only targets.
    pub containers: Option<ContainerLogs>,
    /// Folder for the positions.
    pub state: PathBuf,
    /// Guid of the node: books lines that are nobody's.
    pub host: Guid,
}

/// Where containers' logs are.
#[derive(Debug, Clone)]
pub struct ContainerLogs {
    /// Where Docker keeps a folder per container, e.g. `/var/lib/docker/containers`: watched for new
    /// json-file logs.
    pub folder: PathBuf,
    /// Docker's socket: asked for logs that are no files.
    pub socket: PathBuf,
}

/// Extra files, and the paths that they may be below.
#[derive(Debug, Default)]
struct Targets {
    files: Vec<FileTarget>,
    allowed: Vec<PathBuf>,
}

type States = HashMap<Guid, TargetState>;

/// A running tailer; dropping it stops the thread after its current sweep.
#[derive(Debug)]
pub struct LogTailer {
    targets: Arc<ArcSwap<Targets>>,
    states: Arc<ArcSwap<States>>,
    follows_containers: bool,
    statistics: Arc<Statistics>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
    /// Dropping it stops it.
    _engine: Option<EngineLogs>,
}

impl LogTailer {
    /// Starts the thread. `runtime` is where the inlet is awaited.
    pub fn start(
        options: Options,
        directory: Arc<Directory>,
        inlet: Inlet,
        runtime: tokio::runtime::Handle,
    ) -> std::io::Result<Self> {
        std::fs::create_dir_all(&options.state)?;
        let positions = Positions::load(options.state.join("positions.json"))?;
        let targets = Arc::new(ArcSwap::<Targets>::default());
        let states = Arc::new(ArcSwap::<States>::default());
        let statistics = Arc::new(Statistics::default());
        let stop = Arc::new(AtomicBool::new(false));
        let follows_containers = options.containers.is_some();
        let engine = match &options.containers {
            Some(containers) => Some(EngineLogs::start(
                containers.socket.clone(),
                &options.state,
                Arc::clone(&directory),
                inlet.clone(),
                Arc::clone(&statistics),
                &runtime,
            )?),
            None => None,
        };
        let folder = options.containers.as_ref().map(|it| it.folder.as_path());
        let mut thread = Thread {
            watch: FolderWatch::new(folder),
            first_run: positions.is_first_run(),
            started: Instant::now(),
            discovered: None,
            changes: directory.changes(),
            is_missing: true,
            counted_lag: Instant::now(),
            said_closed: false,
            tails: HashMap::new(),
            positions,
            saved: Instant::now(),
            request: Vec::new(),
            counts: Vec::new(),
            records: Records::default(),
            chunk: vec![0; CHUNK],
            targets: Arc::clone(&targets),
            states: Arc::clone(&states),
            statistics: Arc::clone(&statistics),
            options,
            directory,
            inlet,
            runtime,
        };
        let stopped = Arc::clone(&stop);
        let handle = std::thread::Builder::new()
            .name("logs".to_owned())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    thread.sweep();
                }
                thread.save();
            })?;
        Ok(Self {
            targets,
            states,
            follows_containers,
            statistics,
            stop,
            thread: Some(handle),
            _engine: engine,
        })
    }

    /// Replaces the extra file targets; `allowed` are the paths that their files may be below.
    pub fn set_targets(&self, files: Vec<FileTarget>, allowed: Vec<PathBuf>) {
        self.targets.store(Arc::new(Targets { files, allowed }));
    }

    /// What became of an app's target, about as of now.
    #[must_use]
    pub fn state(&self, guid: &Guid) -> TargetState {
        self.states.load().get(guid).cloned().unwrap_or_default()
    }

    /// Whether containers' logs are followed, beside targets.
    #[must_use]
    pub fn follows_containers(&self) -> bool {
        self.follows_containers
    }

    /// The counters.
    #[must_use]
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }
}

impl Drop for LogTailer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the log thread panicked");
        }
    }
}

/// A file being tailed.
#[derive(Debug)]
struct Tail {
    /// Absent until the directory knows whose file it is.
    source: Option<Arc<Source>>,
    followed: Followed,
    /// As far as the inlet took it; what was read beyond is in `reading`.
    taken: Progress,
    reading: Progress,
    opened: Instant,
    /// How far there was text at the last look, done with or not; and since when.
    text_end: u64,
    last_text: Instant,
    next_look: Instant,
    /// The next change of the file will be told.
    is_watched: bool,
    is_gone: bool,
}

impl Tail {
    fn has_untaken(&self) -> bool {
        self.reading != self.taken
    }
}

struct Thread {
    options: Options,
    directory: Arc<Directory>,
    inlet: Inlet,
    runtime: tokio::runtime::Handle,
    targets: Arc<ArcSwap<Targets>>,
    states: Arc<ArcSwap<States>>,
    statistics: Arc<Statistics>,
    watch: FolderWatch,
    positions: Positions<PathBuf, Position>,
    first_run: bool,
    started: Instant,
    discovered: Option<Instant>,
    /// News of the directory.
    changes: watch::Receiver<u64>,
    /// A container's log was not there yet.
    is_missing: bool,
    counted_lag: Instant,
    /// It was said that a file cannot be opened.
    said_closed: bool,
    saved: Instant,
    tails: HashMap<Arc<Path>, Tail>,
    request: Vec<u8>,
    counts: GuidCounts,
    records: Records,
    chunk: Vec<u8>,
}

impl Thread {
    fn sweep(&mut self) {
        self.discover();
        let paths: Vec<Arc<Path>> = self.tails.keys().map(Arc::clone).collect();
        let (mut found, mut was_taken) = (Found::Nothing, true);
        for path in &paths {
            found = found.max(self.read(path));
            if self.request.len() >= REQUEST_BYTES {
                was_taken = self.hand_on();
            }
            if !was_taken {
                break;
            }
        }
        was_taken = was_taken && self.hand_on();
        self.drop_gone();
        match found {
            _ if !was_taken => self.watch.wait(REFUSED_WAIT),
            Found::More => {}
            Found::Text => self.watch.wait(BUSY_WAIT),
            Found::Nothing => {
                let next = self.tails.values().map(|tail| tail.next_look).min();
                let wait = next.map_or(DISCOVERY_INTERVAL, |next| {
                    next.saturating_duration_since(Instant::now())
                });
                self.watch.wait(wait.clamp(BUSY_WAIT, DISCOVERY_INTERVAL));
            }
        }
    }

    fn save(&mut self) {
        self.saved = Instant::now();
        self.statistics.saved(self.positions.save());
    }

    /// Hands the request on and moves positions; a refused one moves nothing. Tells whether there
    /// is nothing left to hand on.
    fn hand_on(&mut self) -> bool {
        if !self.request.is_empty() {
            let payload = Bytes::copy_from_slice(&self.request);
            let frame = Frame {
                kind: Kind::OtlpLogs,
                raw_len: u32::try_from(payload.len()).unwrap_or(u32::MAX),
                payload,
                counts: std::mem::take(&mut self.counts),
            };
            let records = frame.records();
            self.request.clear();
            if let Err(error) = self
                .runtime
                .block_on(self.inlet.accept(frame, Stage::Collected))
            {
                self.refused(&error);
                return false;
            }
            self.statistics.lines.fetch_add(records, Ordering::Relaxed);
        }
        for (path, tail) in &mut self.tails {
            if tail.has_untaken() {
                tail.taken = tail.reading.clone();
                self.positions.set(&**path, tail.taken.position);
            }
        }
        if self.saved.elapsed() > SAVE_INTERVAL {
            self.save();
        }
        true
    }

    fn refused(&mut self, error: &Refused) {
        self.statistics.count_refused(error);
        for tail in self.tails.values_mut() {
            if tail.has_untaken() {
                tail.followed.back_to(tail.taken.position.start());
                tail.reading = Progress::at(tail.taken.position);
                tail.taken = tail.reading.clone();
                tail.is_gone = false;
            }
        }
    }

    fn drop_gone(&mut self) {
        let positions = &mut self.positions;
        self.tails.retain(|path, tail| {
            let keep = !tail.is_gone || tail.has_untaken();
            if !keep && tail.source.is_some() {
                positions.forget(&**path);
            }
            keep
        });
    }
}
