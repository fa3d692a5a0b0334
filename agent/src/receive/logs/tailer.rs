//! The tailing thread: finds files, reads them in turns, hands batches on, moves positions.
//!
//! One thread for all files. Each sweep reads what is new of every file into one request, and only
//! when the inlet took it do the files' positions move; a refused request moves nothing and is
//! read again after a while. A directory watch on the runtime's container folder makes the thread
//! open a log within moments of its creation, so that even a container that is removed at once
//! leaves its lines: an open file outlives its name.

mod discover;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::engine::EngineLogs;
use super::followed::{Followed, Look, Position};
use super::lines::{Format, Progress, Records};
use super::positions::Positions;
use super::records::push_resource_logs;
use super::statistics::Statistics;
use super::targets::{FileTarget, Source, TargetState};
use super::watch::FolderWatch;
use crate::config::Guid;
use crate::directory::Directory;
use crate::forward::{Inlet, Refused, Stage};
use crate::signal::{Frame, GuidCounts, Kind};

/// Pause after a sweep that found nothing.
const IDLE_WAIT: Duration = Duration::from_millis(200);
/// Pause after a sweep that found text and read all of it: the next one finds more to batch.
const BUSY_WAIT: Duration = Duration::from_millis(50);
/// Positions are saved this often at most; a crash repeats what was taken since.
const SAVE_INTERVAL: Duration = Duration::from_millis(200);
/// How often the directory and the patterns are asked for files.
const DISCOVERY_INTERVAL: Duration = Duration::from_millis(500);
/// A quiet file is looked at less and less often, down to this.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// A request is handed on when it has this many bytes.
const REQUEST_BYTES: usize = 1 << 20;
/// What is read of a file at once; also the longest plain line.
const CHUNK: usize = 1 << 20;
/// Most bytes of one file per sweep, so that a flood does not starve the others.
const SWEEP_BYTES: usize = 4 * CHUNK;
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
    last_text: Instant,
    next_look: Instant,
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
    /// It was said that a file cannot be opened.
    said_closed: bool,
    saved: Instant,
    tails: HashMap<Arc<Path>, Tail>,
    request: Vec<u8>,
    counts: GuidCounts,
    records: Records,
    chunk: Vec<u8>,
}

/// What a look at a file found; a sweep found the most of what its looks did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    Nothing,
    Text,
    /// Text, and there is more that was left for the next sweep.
    More,
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
            Found::More if was_taken => {}
            Found::Text if was_taken => self.watch.wait(BUSY_WAIT),
            _ => self.watch.wait(IDLE_WAIT),
        }
    }

    fn save(&mut self) {
        self.saved = Instant::now();
        self.statistics.saved(self.positions.save());
    }

    /// Reads what is new of one file into the request.
    fn read(&mut self, path: &Path) -> Found {
        let host = self.options.host.clone();
        let Some(tail) = self.tails.get_mut(path) else {
            return Found::Nothing;
        };
        let Some(source) = tail.source.clone() else {
            tail.is_gone = tail.opened.elapsed() > UNKNOWN_WAIT;
            return Found::Nothing;
        };
        if tail.next_look > Instant::now() {
            return Found::Nothing;
        }
        let observed_ns = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
            });
        self.records.clear();
        let mut bytes_read = 0;
        let mut is_left = true;
        while bytes_read < SWEEP_BYTES {
            // A look at the end may go over to the next file, which must not happen before the
            // inlet took everything of this one.
            if tail.has_untaken() && tail.followed.lag() == 0 {
                is_left = tail.followed.is_replaced();
                break;
            }
            if tail.reading.is_pending() && tail.followed.lag() == 0 && tail.followed.is_replaced()
            {
                // The line's other pieces are in the next file, or nowhere.
                let end = tail.followed.offset();
                let into = &mut self.records;
                tail.reading
                    .finish(source.format, &[], end, true, observed_ns, into);
                break;
            }
            match tail.followed.look(&mut self.chunk) {
                Ok(Look::Bytes { offset, length }) => {
                    let is_full = length == self.chunk.len();
                    let chunk = &self.chunk[..length];
                    let mut done = tail.reading.read(
                        source.format,
                        chunk,
                        offset,
                        is_full,
                        observed_ns,
                        &mut self.records,
                    );
                    tail.last_text = Instant::now();
                    if done < length && !is_full && tail.is_over(&source) {
                        let rest = offset + done as u64;
                        tail.reading.finish(
                            source.format,
                            &chunk[done..],
                            rest,
                            false,
                            observed_ns,
                            &mut self.records,
                        );
                        done = length;
                    }
                    tail.followed.advance(done);
                    bytes_read += done;
                    if done < length {
                        is_left = false;
                        break;
                    }
                }
                Ok(Look::Idle) => {
                    is_left = false;
                    let is_stale = tail.last_text.elapsed() > PENDING_WAIT;
                    if tail.reading.is_pending() && (source.is_final || is_stale) {
                        let end = tail.followed.offset();
                        let into = &mut self.records;
                        tail.reading
                            .finish(source.format, &[], end, false, observed_ns, into);
                    }
                    let rest = (tail.last_text.elapsed() / 4).min(LONGEST_REST);
                    tail.next_look = Instant::now() + rest;
                    break;
                }
                Ok(Look::Rotated) => {
                    if let Some(file) = tail.followed.identity() {
                        tail.reading.restart(file);
                        tail.taken = tail.reading.clone();
                    }
                }
                Ok(Look::Truncated) => {
                    if let Some(file) = tail.followed.identity() {
                        tail.reading = Progress::start_of(file, 0);
                        tail.taken = tail.reading.clone();
                    }
                }
                Ok(Look::Gone) => {
                    tail.is_gone = true;
                    is_left = false;
                    break;
                }
                Err(error) => {
                    is_left = false;
                    self.statistics.count_error();
                    tracing::debug!(path = %path.display(), %error, "log file cannot be read");
                    break;
                }
            }
        }
        self.statistics
            .malformed
            .fetch_add(u64::from(self.records.malformed), Ordering::Relaxed);
        if self.records.count > 0 {
            push_resource_logs(&mut self.request, &source.resource, &self.records.encoded);
            let guid = source.guid.clone().unwrap_or(host);
            match self.counts.iter_mut().find(|(known, _)| *known == guid) {
                Some((_, count)) => *count += self.records.count,
                None => self.counts.push((guid, self.records.count)),
            }
        }
        match bytes_read {
            0 => Found::Nothing,
            _ if is_left => Found::More,
            _ => Found::Text,
        }
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

impl Tail {
    /// Whether nobody writes the current file any more, so that a last line without a newline is
    /// complete.
    fn is_over(&self, source: &Source) -> bool {
        match source.format {
            // The daemon ends each entry with a newline; only a torn one lacks it.
            Format::JsonFile => source.is_final && self.last_text.elapsed() > PENDING_WAIT,
            Format::Plain => self.last_text.elapsed() > PENDING_WAIT,
        }
    }
}
