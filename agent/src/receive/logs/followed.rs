//! One log file, followed through rotation and truncation.
//!
//! Holds an open descriptor and two offsets, no text: unread text stays in the file. A file that
//! was renamed or deleted is read to its end through its descriptor before the next one is opened,
//! and generations that were rotated away between two looks (`x.1`, `x.2`, …) are read in order.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

/// Most rotated generations that are looked at when a file was rotated more than once unseen.
const MAX_GENERATIONS: u32 = 100;

/// Which file, whatever it is called by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
}

/// How far a file was read. Both streams have their own offset, since a line of one may be
/// pending while the other goes on; below its offset a stream's lines are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Position {
    #[serde(flatten)]
    pub file: Identity,
    pub stdout: u64,
    pub stderr: u64,
}

impl Position {
    /// Where reading must start again.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.stdout.min(self.stderr)
    }
}

/// What a look at a file found.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// This many bytes are in the buffer, from this offset on.
    Bytes { offset: u64, length: usize },
    /// Nothing new.
    Idle,
    /// The current file is at its end and a newer one was opened.
    Rotated,
    /// The file is shorter than what was read of it: it starts again.
    Truncated,
    /// At its end, and no file of this name is left.
    Gone,
}

/// Whether a path may lead over symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// The path is the node's own.
    Followed,
    /// Others can write to its folders: every component, and the file itself, must be what it was
    /// when the path was resolved.
    Refused,
}

/// A followed file.
#[derive(Debug)]
pub struct Followed {
    path: PathBuf,
    links: Links,
    current: Option<(File, Identity)>,
    offset: u64,
}

fn identity(file: &File) -> io::Result<Identity> {
    let metadata = file.metadata()?;
    Ok(Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
    })
}

fn identity_of(path: &Path) -> Option<Identity> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
    })
}

impl Links {
    fn open(self, path: &Path) -> io::Result<File> {
        if self == Self::Followed {
            return File::open(path);
        }
        // A pipe would make the open wait for its other end.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
        let file = File::from(opened);
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::other("no regular file")),
        }
    }
}

impl Followed {
    /// Follows `path`, going on at `position` where that file is still there under its own or a
    /// rotated name; else from the start of the oldest generation when `from_start`, else from the
    /// end of the current file.
    pub fn open(
        path: PathBuf,
        position: Option<Position>,
        from_start: bool,
        links: Links,
    ) -> io::Result<Self> {
        let mut followed = Self {
            path,
            links,
            current: None,
            offset: 0,
        };
        if let Some(position) = position
            && let Some(path) = followed.generation_of(position.file)
        {
            followed.open_at(&path, position.start())?;
            return Ok(followed);
        }
        let path = followed.path.clone();
        match followed.open_at(&path, 0) {
            Ok(()) if !from_start => followed.offset = followed.length()?,
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(followed)
    }

    /// The file that is being read.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.current.as_ref().map(|&(_, identity)| identity)
    }

    /// The name it is followed by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The offset of the next byte to read.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes of the current file that were not read yet.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.length()
            .map_or(0, |length| length.saturating_sub(self.offset))
    }

    /// Reads on into `buffer` without moving; [`Self::advance`] moves. Goes over to the next file
    /// at the end of one that was rotated away.
    pub fn look(&mut self, buffer: &mut [u8]) -> io::Result<Look> {
        let Some((file, identity)) = &self.current else {
            let path = self.path.clone();
            return match self.open_at(&path, 0) {
                Ok(()) => Ok(Look::Rotated),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Look::Gone),
                Err(error) => Err(error),
            };
        };
        let mut length = 0;
        while length < buffer.len() {
            match file.read_at(&mut buffer[length..], self.offset + length as u64) {
                Ok(0) => break,
                Ok(count) => length += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if length > 0 {
            return Ok(Look::Bytes {
                offset: self.offset,
                length,
            });
        }
        if file.metadata()?.len() < self.offset {
            self.offset = 0;
            return Ok(Look::Truncated);
        }
        match identity_of(&self.path) {
            Some(named) if named == *identity => Ok(Look::Idle),
            Some(_) => {
                let next = self.next_generation(*identity);
                // The writer may have written to the old file after the read above and before the
                // rename: what it wrote is there now, so only an unchanged end is the end.
                if self.lag() > 0 {
                    return self.look(buffer);
                }
                self.open_at(&next, 0)?;
                Ok(Look::Rotated)
            }
            None => Ok(Look::Gone),
        }
    }

    /// Bytes up to here are done.
    pub fn advance(&mut self, bytes: usize) {
        self.offset += bytes as u64;
    }

    /// Reads again from here on.
    pub fn back_to(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Whether the file goes by another name by now, or by none.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        self.identity() != identity_of(&self.path)
    }

    fn length(&self) -> io::Result<u64> {
        self.current
            .as_ref()
            .map_or(Ok(0), |(file, _)| Ok(file.metadata()?.len()))
    }

    fn open_at(&mut self, path: &Path, offset: u64) -> io::Result<()> {
        let file = self.links.open(path)?;
        let identity = identity(&file)?;
        self.current = Some((file, identity));
        self.offset = offset.min(self.length()?);
        Ok(())
    }

    fn generation(&self, number: u32) -> PathBuf {
        if number == 0 {
            return self.path.clone();
        }
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    /// The name that a file goes by now.
    fn generation_of(&self, file: Identity) -> Option<PathBuf> {
        (0..=MAX_GENERATIONS)
            .map(|number| self.generation(number))
            .take_while(|path| path.exists())
            .find(|path| identity_of(path) == Some(file))
    }

    /// The file that came after the given one: the generation one younger, or the oldest that is
    /// left where the given one is gone.
    fn next_generation(&self, file: Identity) -> PathBuf {
        let mut oldest = 0;
        for number in 1..=MAX_GENERATIONS {
            match identity_of(&self.generation(number)) {
                Some(found) if found == file => return self.generation(number - 1),
                Some(_) => oldest = number,
                None => break,
            }
        }
        // The file itself was deleted: everything that was rotated since is newer than it.
        self.generation(oldest)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    struct Log {
        folder: tempfile::TempDir,
    }

    impl Log {
        fn new() -> Self {
            Self {
                folder: tempfile::tempdir().unwrap(),
            }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn append(&self, text: &str) {
            let mut file = fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(self.path("log"))
                .unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        fn rotate(&self) {
            for number in (1..5).rev() {
                let _ = fs::rename(
                    self.path(&format!("log.{number}")),
                    self.path(&format!("log.{}", number + 1)),
                );
            }
            fs::rename(self.path("log"), self.path("log.1")).unwrap();
        }

        fn follow(&self) -> Followed {
            Followed::open(self.path("log"), None, true, Links::Refused).unwrap()
        }
    }

    /// Reads until nothing is left, with a small buffer.
    fn read(followed: &mut Followed) -> String {
        let mut text = Vec::new();
        let mut buffer = [0; 3];
        loop {
            match followed.look(&mut buffer).unwrap() {
                Look::Bytes { length, .. } => {
                    text.extend_from_slice(&buffer[..length]);
                    followed.advance(length);
                }
                Look::Rotated | Look::Truncated => {}
                Look::Idle | Look::Gone => return String::from_utf8(text).unwrap(),
            }
        }
    }

    #[test]
    fn reads_on_as_the_file_grows() {
        let log = Log::new();
        log.append("one\n");
        let mut followed = log.follow();
        assert_eq!(read(&mut followed), "one\n");
        log.append("two\n");
        assert_eq!(followed.lag(), 4);
        assert_eq!(read(&mut followed), "two\n");
        assert_eq!(followed.lag(), 0);
    }

    #[test]
    fn several_rotations_between_two_looks_lose_nothing() {
        let log = Log::new();
        log.append("a");
        let mut followed = log.follow();
        assert_eq!(read(&mut followed), "a");
        for text in ["b", "c", "d"] {
            log.append(text);
            log.rotate();
        }
        log.append("e");
        assert_eq!(read(&mut followed), "bcde");
    }

    #[test]
    fn a_deleted_file_is_read_to_its_end() {
        let log = Log::new();
        log.append("last words");
        let mut followed = log.follow();
        fs::remove_file(log.path("log")).unwrap();
        assert_eq!(read(&mut followed), "last words");
        assert_eq!(followed.look(&mut [0; 8]).unwrap(), Look::Gone);
    }

    #[test]
    fn a_truncated_file_starts_again() {
        let log = Log::new();
        log.append("before");
        let mut followed = log.follow();
        assert_eq!(read(&mut followed), "before");
        fs::write(log.path("log"), "new").unwrap();
        assert_eq!(read(&mut followed), "new");
    }

    #[test]
    fn a_position_is_found_again_under_a_rotated_name() {
        let log = Log::new();
        log.append("abc");
        let mut followed = log.follow();
        read(&mut followed);
        let file = followed.identity().unwrap();
        let position = Position {
            file,
            stdout: 2,
            stderr: 3,
        };
        log.rotate();
        log.append("de");
        let mut again =
            Followed::open(log.path("log"), Some(position), false, Links::Followed).unwrap();
        assert_eq!(read(&mut again), "cde", "from the lower of both offsets");
    }

    #[test]
    fn an_unknown_position_starts_where_it_is_told() {
        let log = Log::new();
        log.append("old");
        let gone = Position {
            file: Identity {
                device: 0,
                inode: 1,
            },
            stdout: 9,
            stderr: 9,
        };
        let mut end = Followed::open(log.path("log"), Some(gone), false, Links::Followed).unwrap();
        let mut start = Followed::open(log.path("log"), Some(gone), true, Links::Followed).unwrap();
        assert_eq!(
            (read(&mut end), read(&mut start)),
            (String::new(), "old".to_owned())
        );
        log.append("new");
        assert_eq!(read(&mut end), "new");
    }

    #[test]
    fn a_link_in_place_of_a_file_is_not_followed() {
        let log = Log::new();
        fs::write(log.path("secret"), "secret").unwrap();
        std::os::unix::fs::symlink(log.path("secret"), log.path("log")).unwrap();
        let open = |links| Followed::open(log.path("log"), None, true, links);
        assert_eq!(read(&mut open(Links::Followed).unwrap()), "secret");
        assert!(open(Links::Refused).is_err());
    }

    #[test]
    fn a_file_that_is_not_there_yet_is_waited_for() {
        let log = Log::new();
        let mut followed = log.follow();
        assert_eq!(followed.look(&mut [0; 8]).unwrap(), Look::Gone);
        log.append("here");
        assert_eq!(read(&mut followed), "here");
    }
}
