//! What the Manager asked for beside the configuration file, kept on disk: one JSON file per name.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::atomic;

/// A folder of things that have names, and what it holds.
#[derive(Debug)]
pub struct Kept<T> {
    folder: PathBuf,
    items: Mutex<BTreeMap<String, T>>,
}

/// What putting something of a name did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Put {
    /// There was none of this name.
    Created,
    /// It was another one.
    Changed,
    /// It was so already.
    Unchanged,
}

impl Put {
    /// As JSON has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
        }
    }
}

/// The folder or a file of it cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct KeptError {
    path: PathBuf,
    source: io::Error,
}

impl<T: Clone + PartialEq + Serialize + DeserializeOwned> Kept<T> {
    /// Makes the folder if it is not there, and reads what it holds. A file that cannot be
    /// understood is named in the log and left alone.
    pub fn open(folder: PathBuf) -> Result<Self, KeptError> {
        let problem = |source| KeptError {
            path: folder.clone(),
            source,
        };
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&folder);
        made.map_err(problem)?;
        let mut items = BTreeMap::new();
        for entry in fs::read_dir(&folder).map_err(problem)? {
            let path = entry.map_err(problem)?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.unwrap_or_default();
            if name.starts_with('.') {
                // Left by a crash in the middle of a write, before it counted.
                let _ = fs::remove_file(&path);
                continue;
            }
            let Some(name) = name.strip_suffix(".json") else {
                continue;
            };
            let read = fs::read(&path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
            match read {
                Ok(item) => {
                    items.insert(name.to_owned(), item);
                }
                Err(error) => tracing::error!(path = %path.display(), %error, "cannot be read"),
            }
        }
        Ok(Self {
            folder,
            items: Mutex::new(items),
        })
    }

    /// Everything, by name.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, T> {
        self.items().clone()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<T> {
        self.items().get(name).cloned()
    }

    /// Keeps it. When this returns it survives a crash of the node. The name becomes a file's:
    /// the caller has checked it.
    pub fn put(&self, name: &str, item: T) -> Result<Put, KeptError> {
        let mut items = self.items();
        let put = match items.get(name) {
            None => Put::Created,
            Some(old) if *old == item => return Ok(Put::Unchanged),
            Some(_) => Put::Changed,
        };
        let (part, path) = (self.folder.join(format!(".{name}")), self.path(name));
        let write = || {
            atomic::prepare(&part, 0o600, &serde_json::to_vec_pretty(&item)?)?;
            atomic::replace(&part, &path)
        };
        write().map_err(|source| KeptError { path, source })?;
        items.insert(name.to_owned(), item);
        Ok(put)
    }

    /// Forgets it; tells whether it was there.
    pub fn remove(&self, name: &str) -> Result<bool, KeptError> {
        let mut items = self.items();
        if !items.contains_key(name) {
            return Ok(false);
        }
        let path = self.path(name);
        let removed = atomic::discard(&path).and_then(|()| atomic::sync(&self.folder));
        removed.map_err(|source| KeptError { path, source })?;
        items.remove(name);
        Ok(true)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    fn items(&self) -> MutexGuard<'_, BTreeMap<String, T>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_is_kept_is_there_after_a_restart_and_what_is_removed_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Kept::<u32>::open(folder.path().join("kept")).unwrap();
        let kept = open();
        assert_eq!(kept.put("a", 1).unwrap(), Put::Created);
        assert_eq!(kept.put("a", 1).unwrap(), Put::Unchanged);
        assert_eq!(kept.put("a", 2).unwrap(), Put::Changed);
        assert_eq!(kept.put("b", 3).unwrap(), Put::Created);
        assert!(kept.remove("b").unwrap());
        assert!(!kept.remove("b").unwrap());
        drop(kept);
        fs::write(folder.path().join("kept/.c"), "4").unwrap();
        fs::write(folder.path().join("kept/d.json"), "{").unwrap();
        let again = open();
        assert_eq!(again.all(), BTreeMap::from([("a".to_owned(), 2)]));
        assert_eq!(again.get("a"), Some(2));
        assert!(!folder.path().join("kept/.c").exists());
        assert!(folder.path().join("kept/d.json").exists());
    }

    #[test]
    fn a_write_that_fails_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::<u32>::open(folder.path().join("kept")).unwrap();
        kept.put("a", 1).unwrap();
        fs::remove_dir_all(folder.path().join("kept")).unwrap();
        assert!(kept.put("a", 2).is_err());
        assert_eq!(kept.get("a"), Some(1));
    }
}
