//! Which files are followed: those of the directory's containers, and those that targets name.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{DISCOVERY_INTERVAL, LAG_INTERVAL, States, Tail, Thread, UNKNOWN_WAIT};
use crate::receive::logs::followed::{Followed, Links};
use crate::receive::logs::lines::{Format, Progress};
use crate::receive::logs::targets::{FollowedFile, Source};

impl Thread {
    /// Opens what is new, and learns whose the open files are.
    pub(super) fn discover(&mut self) {
        for path in self.watch.new_logs() {
            self.open(path, None);
        }
        for path in self.watch.stirred_files() {
            if let Some(tail) = self.tails.get_mut(&path) {
                tail.stir();
            }
        }
        if self
            .discovered
            .is_some_and(|at| at.elapsed() < DISCOVERY_INTERVAL)
        {
            return;
        }
        self.discovered = Some(Instant::now());
        // The sender is the directory's, which lives as long as this.
        let is_changed = self.changes.has_changed().unwrap_or(true);
        if self.options.containers.is_some() && (is_changed || self.is_missing) {
            self.changes.mark_unchanged();
            self.discover_containers();
        }
        self.discover_targets();
        let files = self.tails.len() as u64;
        self.statistics.files.store(files, Ordering::Relaxed);
        if self.counted_lag.elapsed() >= LAG_INTERVAL {
            self.counted_lag = Instant::now();
            let lag = self.tails.values().map(|tail| tail.followed.lag()).sum();
            self.statistics.lag_bytes.store(lag, Ordering::Relaxed);
        }
    }

    fn discover_containers(&mut self) {
        let snapshot = Arc::clone(&self.directory.load());
        // What was there before the agent ever looked is old news of other people's containers.
        let is_backlog = self.first_run && self.started.elapsed() < UNKNOWN_WAIT;
        self.is_missing = false;
        for container in snapshot.containers() {
            if let Some(source) = Source::of_container(container, !is_backlog) {
                let is_open = self.open(source.path.clone(), Some(source));
                self.is_missing |= !is_open && !snapshot.is_gone(&container.id);
            }
        }
    }

    /// Finds the files of targets, and lets go of what is no target's any more.
    fn discover_targets(&mut self) {
        let targets = self.targets.load_full();
        let mut wanted = HashSet::new();
        let mut states = States::new();
        for target in &targets.files {
            let (sources, problems) = Source::of_target(target, &targets.allowed);
            for source in sources {
                if wanted.insert(source.path.clone()) {
                    self.open(source.path.clone(), Some(source));
                }
            }
            states.entry(target.guid.clone()).or_default().problems = problems;
        }
        // A file that was rotated away or removed is read to its end first.
        for (path, tail) in &mut self.tails {
            let source = tail.source.as_ref();
            let of_target = source.is_some_and(|source| source.format == Format::Plain);
            let guid = source.and_then(|source| source.guid.as_ref());
            let has_target = || targets.files.iter().any(|it| Some(&it.guid) == guid);
            if of_target && !wanted.contains(&**path) && (path.exists() || !has_target()) {
                tail.is_gone = true;
            }
        }
        for (path, tail) in &self.tails {
            let Some(source) = tail.source.as_ref() else {
                continue;
            };
            let state = source.guid.as_ref().and_then(|guid| states.get_mut(guid));
            if let Some(state) = state.filter(|_| source.format == Format::Plain) {
                state.following.push(FollowedFile {
                    path: path.display().to_string(),
                    read_bytes: tail.taken.position.start(),
                    lag_bytes: tail.followed.lag(),
                });
            }
        }
        for state in states.values_mut() {
            state
                .following
                .sort_by(|one, other| one.path.cmp(&other.path));
        }
        self.states.store(Arc::new(states));
    }

    /// Follows a file, or learns whose it is; tells whether it is followed.
    fn open(&mut self, path: PathBuf, source: Option<Source>) -> bool {
        if let Some(tail) = self.tails.get_mut(path.as_path()) {
            if source.is_some() && tail.source.as_deref() != source.as_ref() {
                tail.source = source.map(Arc::new);
                // Whether its writer is gone may have changed.
                tail.next_look = Instant::now();
            }
            return true;
        }
        match path.try_exists() {
            Ok(true) => {}
            Ok(false) => return false,
            Err(error) => {
                self.cannot_open(&path, &error);
                return false;
            }
        }
        let position = self.positions.get(path.as_path());
        let from_start = source.as_ref().is_none_or(|source| source.from_start);
        let is_target = source
            .as_ref()
            .is_some_and(|source| source.format == Format::Plain);
        let links = match is_target {
            true => Links::Refused,
            false => Links::Followed,
        };
        match Followed::open(path.clone(), position, from_start, links) {
            Ok(followed) => {
                let Some(file) = followed.identity() else {
                    return false;
                };
                let taken = match position {
                    Some(position) if position.file == file => Progress::at(position),
                    _ => Progress::start_of(file, followed.offset()),
                };
                // Kept at once: after a restart the file must not look like one that is new.
                self.positions.set(path.as_path(), taken.position);
                let now = Instant::now();
                self.tails.insert(
                    path.into(),
                    Tail {
                        source: source.map(Arc::new),
                        followed,
                        reading: taken.clone(),
                        taken,
                        opened: now,
                        text_end: 0,
                        last_text: now,
                        next_look: now,
                        is_watched: false,
                        is_gone: false,
                    },
                );
                true
            }
            Err(error) => {
                self.cannot_open(&path, &error);
                false
            }
        }
    }

    /// It is tried again and again; the first time, that is said.
    fn cannot_open(&mut self, path: &Path, error: &std::io::Error) {
        self.statistics.count_error();
        if std::mem::replace(&mut self.said_closed, true) {
            tracing::debug!(path = %path.display(), %error, "log file cannot be opened");
            return;
        }
        tracing::warn!(
            path = %path.display(), %error,
            "a log file cannot be opened; without root the agent needs CAP_DAC_READ_SEARCH. \
             It is tried again, others that cannot be opened are not named"
        );
    }
}
