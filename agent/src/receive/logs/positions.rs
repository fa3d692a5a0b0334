//! Where reading goes on after a restart: one small file, replaced as a whole.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Stored positions by what is followed.
#[derive(Debug)]
pub struct Positions<Key, Position> {
    path: PathBuf,
    known: HashMap<Key, Position>,
    is_dirty: bool,
    /// Whether there was no file: the agent never tailed anything here.
    is_first_run: bool,
}

impl<Key, Position> Positions<Key, Position>
where
    Key: Eq + Hash + Serialize + DeserializeOwned,
    Position: Copy + Serialize + DeserializeOwned,
{
    /// Reads the positions kept at `path`. A file that cannot be read as such is set aside under
    /// `.damaged` and told of by the caller's log; tailing starts as on a first run.
    pub fn load(path: PathBuf) -> io::Result<Self> {
        let (known, is_first_run) = match std::fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice::<Vec<(Key, Position)>>(&bytes) {
                Ok(known) => (known.into_iter().collect(), false),
                Err(error) => {
                    let aside = path.with_extension("damaged");
                    tracing::warn!(
                        path = %path.display(), aside = %aside.display(), %error,
                        "log positions are damaged, starting as on a first run"
                    );
                    std::fs::rename(&path, aside)?;
                    (HashMap::new(), true)
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => (HashMap::new(), true),
            Err(error) => return Err(error),
        };
        Ok(Self {
            path,
            known,
            is_dirty: false,
            is_first_run,
        })
    }

    /// See [`Positions::load`].
    #[must_use]
    pub fn is_first_run(&self) -> bool {
        self.is_first_run
    }

    /// The stored position.
    #[must_use]
    pub fn get<Name>(&self, name: &Name) -> Option<Position>
    where
        Key: Borrow<Name>,
        Name: Eq + Hash + ?Sized,
    {
        self.known.get(name).copied()
    }

    /// Everything before was taken by the inlet.
    pub fn set<Name>(&mut self, name: &Name, position: Position)
    where
        Key: Borrow<Name>,
        Name: Eq + Hash + ToOwned<Owned = Key> + ?Sized,
    {
        match self.known.get_mut(name) {
            Some(known) => *known = position,
            None => {
                self.known.insert(name.to_owned(), position);
            }
        }
        self.is_dirty = true;
    }

    /// What was followed is gone for good.
    pub fn forget<Name>(&mut self, name: &Name)
    where
        Key: Borrow<Name>,
        Name: Eq + Hash + ?Sized,
    {
        self.is_dirty |= self.known.remove(name).is_some();
    }

    /// Writes what changed; atomic, so that a crash leaves the old or the new file.
    pub fn save(&mut self) -> io::Result<()> {
        if !self.is_dirty {
            return Ok(());
        }
        let entries: Vec<(&Key, &Position)> = self.known.iter().collect();
        let bytes = serde_json::to_vec(&entries)?;
        let temporary = self.path.with_extension("new");
        std::fs::write(&temporary, bytes)?;
        std::fs::rename(&temporary, &self.path)?;
        self.is_dirty = false;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::path::Path;

    use super::super::followed::{Identity, Position};
    use super::*;

    type FilePositions = Positions<PathBuf, Position>;

    #[test]
    fn positions_survive_and_damage_starts_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("positions.json");
        let mut positions = FilePositions::load(path.clone()).unwrap();
        assert!(positions.is_first_run());
        let file = Identity {
            device: 1,
            inode: 2,
        };
        let position = Position {
            file,
            stdout: 3,
            stderr: 4,
        };
        positions.set(Path::new("/a"), position);
        positions.set(Path::new("/b"), position);
        positions.forget(Path::new("/b"));
        positions.save().unwrap();

        let again = FilePositions::load(path.clone()).unwrap();
        assert!(!again.is_first_run());
        assert_eq!(again.get(Path::new("/a")), Some(position));
        assert_eq!(again.get(Path::new("/b")), None);

        std::fs::write(&path, "[[").unwrap();
        assert!(FilePositions::load(path.clone()).unwrap().is_first_run());
        assert!(path.with_extension("damaged").exists());
    }
}
