//! Sees new container logs the moment they are made, and quiet files stir, through inotify.
//!
//! Without inotify (limits reached) the directory's records still lead to every log, and quiet files
//! are looked at now and then; only the shortest-lived containers could be missed.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

/// A watch on a folder of container folders, and on single files.
#[derive(Debug)]
pub(super) struct FolderWatch {
    /// Absent: nothing is watched.
    root: Option<PathBuf>,
    inotify: Option<OwnedFd>,
    root_watch: Option<i32>,
    folders: HashMap<i32, PathBuf>,
    found: Vec<PathBuf>,
    /// Files that are watched until something happens to them, once.
    files: HashMap<i32, Arc<Path>>,
    stirred: Vec<Arc<Path>>,
}

impl FolderWatch {
    /// Watches `root`, which may not exist yet.
    #[must_use]
    pub(super) fn new(root: Option<&Path>) -> Self {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(|error| tracing::warn!(%error, "no inotify, new logs are found by polling"))
            .ok();
        let mut watch = Self {
            root: root.map(Path::to_owned),
            inotify,
            root_watch: None,
            folders: HashMap::new(),
            found: Vec::new(),
            files: HashMap::new(),
            stirred: Vec::new(),
        };
        watch.watch_root();
        watch
    }

    /// Logs that were made since the last call.
    pub(super) fn new_logs(&mut self) -> Vec<PathBuf> {
        if self.root_watch.is_none() {
            self.watch_root();
        }
        self.read_events();
        std::mem::take(&mut self.found)
    }

    /// Has the next change of a file told by [`FolderWatch::stirred_files`], once; tells whether that
    /// can be. A change is also that the file got another name, or none.
    pub(super) fn watch_file(&mut self, path: &Arc<Path>) -> bool {
        let Some(inotify) = &self.inotify else {
            return false;
        };
        // A file that is held open and loses its name is not deleted: its attributes change.
        let flags =
            WatchFlags::MODIFY | WatchFlags::MOVE_SELF | WatchFlags::ATTRIB | WatchFlags::ONESHOT;
        let watch = inotify::add_watch(inotify, &**path, flags);
        if let Ok(watch) = watch {
            self.files.insert(watch, Arc::clone(path));
        }
        watch.is_ok()
    }

    /// Watched files that something happened to, as far as [`FolderWatch::new_logs`] has read.
    pub(super) fn stirred_files(&mut self) -> Vec<Arc<Path>> {
        std::mem::take(&mut self.stirred)
    }

    /// Sleeps until something happens in the watched folders, or for `timeout`.
    pub(super) fn wait(&self, timeout: Duration) {
        let Some(inotify) = &self.inotify else {
            std::thread::sleep(timeout);
            return;
        };
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        // An interrupted wait is a short wait.
        let _ = poll(&mut [PollFd::new(inotify, PollFlags::IN)], Some(&timeout));
    }

    fn watch_root(&mut self) {
        let (Some(inotify), Some(root)) = (&self.inotify, &self.root) else {
            return;
        };
        let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        self.root_watch = inotify::add_watch(inotify, root, flags).ok();
    }

    fn read_events(&mut self) {
        let Some(inotify) = self.inotify.take() else {
            return;
        };
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut reader = inotify::Reader::new(&inotify, &mut buffer);
        while let Ok(event) = reader.next() {
            let flags = event.events();
            let name = event
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            if let Some(path) = self.files.remove(&event.wd()) {
                self.stirred.push(path);
            } else if flags.contains(ReadFlags::IGNORED) {
                self.folders.remove(&event.wd());
                if self.root_watch == Some(event.wd()) {
                    self.root_watch = None;
                }
            } else if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                tracing::warn!("too many file events at once, new logs are found by polling");
                self.stirred
                    .extend(self.files.drain().map(|(_, path)| path));
            } else if let Some(name) = name {
                if self.root_watch == Some(event.wd()) {
                    self.watch_folder(&inotify, &name);
                } else if let Some(folder) = self.folders.get(&event.wd())
                    && is_log(folder, &name)
                {
                    let (wd, path) = (event.wd(), folder.join(&name));
                    self.found.push(path);
                    // Later generations are found through the first.
                    let _ = inotify::remove_watch(&inotify, wd);
                }
            }
        }
        self.inotify = Some(inotify);
    }

    fn watch_folder(&mut self, inotify: &OwnedFd, name: &str) {
        let Some(folder) = self.root.as_ref().map(|root| root.join(name)) else {
            return;
        };
        let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        if let Ok(watch) = inotify::add_watch(inotify, &folder, flags) {
            // The log may have been made before the watch was.
            let path = folder.join(format!("{name}-json.log"));
            if path.exists() {
                self.found.push(path);
            }
            self.folders.insert(watch, folder);
        }
    }
}

fn is_log(folder: &Path, name: &str) -> bool {
    let id = folder
        .file_name()
        .and_then(|id| id.to_str())
        .unwrap_or_default();
    name.strip_suffix("-json.log") == Some(id)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_seen_when_it_is_made_and_only_logs_are() {
        let root = tempfile::tempdir().unwrap();
        let mut watch = FolderWatch::new(Some(root.path()));
        let folder = root.path().join("abc");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("config.v2.json"), "{}").unwrap();
        assert_eq!(watch.new_logs(), Vec::<PathBuf>::new());
        let log = folder.join("abc-json.log");
        std::fs::write(&log, "").unwrap();
        watch.wait(Duration::from_secs(5));
        assert_eq!(watch.new_logs(), [log]);
    }

    #[test]
    fn a_watched_file_tells_of_its_next_change_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = FolderWatch::new(None);
        let path: Arc<Path> = folder.path().join("log").into();
        assert!(!watch.watch_file(&path), "there is no such file");
        let changes: [&dyn Fn(); 3] = [
            &|| std::fs::write(&path, "text").unwrap(),
            &|| std::fs::rename(&path, folder.path().join("log.1")).unwrap(),
            &|| std::fs::remove_file(&path).unwrap(),
        ];
        for change in changes {
            std::fs::write(&path, "").unwrap();
            let _held = std::fs::File::open(&path).unwrap();
            assert!(watch.watch_file(&path));
            assert!(watch.new_logs().is_empty());
            assert!(watch.stirred_files().is_empty());
            change();
            watch.wait(Duration::from_secs(5));
            watch.new_logs();
            assert_eq!(watch.stirred_files(), [Arc::clone(&path)]);
            watch.new_logs();
            assert!(watch.stirred_files().is_empty());
        }
    }

    #[test]
    fn a_log_made_before_its_folder_was_watched_is_seen() {
        let root = tempfile::tempdir().unwrap();
        let mut watch = FolderWatch::new(Some(root.path()));
        let log = root.path().join("abc/abc-json.log");
        std::fs::create_dir(log.parent().unwrap()).unwrap();
        std::fs::write(&log, "").unwrap();
        assert_eq!(watch.new_logs(), [log]);
    }

    #[test]
    fn a_root_that_appears_later_is_watched_then() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("containers");
        let mut watch = FolderWatch::new(Some(&root));
        assert!(watch.new_logs().is_empty());
        std::fs::create_dir(&root).unwrap();
        assert!(watch.new_logs().is_empty());
        std::fs::create_dir(root.join("abc")).unwrap();
        std::fs::write(root.join("abc/abc-json.log"), "").unwrap();
        assert_eq!(watch.new_logs().len(), 1);
    }
}
