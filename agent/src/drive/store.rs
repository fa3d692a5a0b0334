//! What the Manager asked for, on disk: `<data_dir>/apps/<guid>.json`, one file per app.
//!
//! A file is replaced by renaming a written and synced one over it, so that after any crash it is
//! the old or the new description, never a part. Only root can read them: a description may hold
//! secrets in its environment.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::DriveError;
use super::app::App;
use crate::config::Guid;

/// What is wanted of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Desired {
    /// It shall be.
    Present(Box<App>),
    /// It shall go, and is not gone yet.
    Absent,
}

/// The folder.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
}

impl Store {
    /// Makes the folder if it is not there, and reads what it holds. A file that cannot be
    /// understood is named in the log and left alone: its container, if there is one, goes on.
    pub(super) fn open(data_dir: &Path) -> Result<(Self, Vec<(Guid, Desired)>), DriveError> {
        let folder = data_dir.join("apps");
        let storage = |source| DriveError::Storage {
            path: folder.clone(),
            source,
        };
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&folder).map_err(storage)?;
        let mut wanted = Vec::new();
        for entry in fs::read_dir(&folder).map_err(storage)? {
            let path = entry.map_err(storage)?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.unwrap_or_default();
            if name.starts_with('.') {
                // Left by a crash in the middle of a write, before it counted.
                let _ = fs::remove_file(&path);
                continue;
            }
            let Some(Ok(guid)) = name.strip_suffix(".json").map(str::parse::<Guid>) else {
                continue;
            };
            match read(&path) {
                Ok(desired) => wanted.push((guid, desired)),
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "stored app cannot be read");
                }
            }
        }
        Ok((Self { folder }, wanted))
    }

    /// Keeps what is wanted. When this returns it survives a crash of the node.
    pub(super) fn save(&self, guid: &Guid, desired: &Desired) -> Result<(), DriveError> {
        let part = self.folder.join(format!(".{guid}"));
        let path = self.path(guid);
        let write = || {
            let json = serde_json::to_vec_pretty(desired)?;
            let mut options = OpenOptions::new();
            let mut file = options
                .create(true)
                .truncate(true)
                .write(true)
                .mode(0o600)
                .open(&part)?;
            file.write_all(&json)?;
            file.sync_all()?;
            fs::rename(&part, &path)?;
            self.sync()
        };
        write().map_err(|source| {
            // The disk may be full: leave nothing that makes it fuller.
            let _ = fs::remove_file(&part);
            DriveError::Storage {
                path: path.clone(),
                source,
            }
        })
    }

    /// Forgets an app. It is no error if it was not there.
    pub(super) fn forget(&self, guid: &Guid) -> Result<(), DriveError> {
        let path = self.path(guid);
        let outcome = match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.sync(),
        };
        outcome.map_err(|source| DriveError::Storage { path, source })
    }

    fn path(&self, guid: &Guid) -> PathBuf {
        self.folder.join(format!("{guid}.json"))
    }

    /// Makes renames and removals durable.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

fn read(path: &Path) -> io::Result<Desired> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn app(image: &str) -> Desired {
        Desired::Present(Box::new(App {
            image: image.to_owned(),
            ..App::default()
        }))
    }

    #[test]
    fn what_was_saved_is_found_and_what_was_forgotten_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = ("one".parse().unwrap(), "two".parse().unwrap());
        let (store, nothing) = Store::open(folder.path()).unwrap();
        assert!(nothing.is_empty());
        store.save(&one, &app("a")).unwrap();
        store.save(&one, &app("b")).unwrap();
        store.save(&two, &Desired::Absent).unwrap();
        let (store, mut found) = Store::open(folder.path()).unwrap();
        found.sort_by(|left, right| left.0.cmp(&right.0));
        assert_eq!(found, [(one.clone(), app("b")), (two, Desired::Absent)]);
        store.forget(&one).unwrap();
        store.forget(&one).unwrap();
        assert_eq!(Store::open(folder.path()).unwrap().1.len(), 1);
    }

    #[test]
    fn only_the_owner_can_read_a_description() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path()).unwrap();
        store.save(&"one".parse().unwrap(), &app("a")).unwrap();
        let mode = |path: &str| {
            let path = folder.path().join(path);
            fs::metadata(path).unwrap().permissions().mode() & 0o777
        };
        assert_eq!((mode("apps"), mode("apps/one.json")), (0o700, 0o600));
    }

    #[test]
    fn leftovers_and_damage_do_not_hide_the_other_apps() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path()).unwrap();
        store.save(&"one".parse().unwrap(), &app("a")).unwrap();
        let apps = folder.path().join("apps");
        fs::write(apps.join(".two"), "{").unwrap();
        fs::write(apps.join("three.json"), "{").unwrap();
        fs::write(apps.join("NOT A GUID.json"), "{}").unwrap();
        let (_, found) = Store::open(folder.path()).unwrap();
        assert_eq!(found.len(), 1);
        assert!(!apps.join(".two").exists());
        assert!(apps.join("three.json").exists());
    }
}
