//! What a program prints, in a file that stays bounded.
//!
//! The program writes to the file itself, so that it goes on when the agent is killed. A full file
//! is copied to `log.1` and emptied: the program appends, so its next line is the first. A line
//! between copy and emptying is lost.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Two files of this size at most.
const MOST_BYTES: u64 = 4 << 20;
/// What is shown of the end.
const END_BYTES: u64 = 8 << 10;
const END_LINES: usize = 20;

/// The log of one component.
#[derive(Debug, Clone)]
pub(super) struct LogFile {
    path: PathBuf,
}

impl LogFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// For a program to write to.
    pub(super) fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        options.open(&self.path)
    }

    /// Empties it if it is full.
    pub(super) fn rotate(&self) -> io::Result<()> {
        match fs::metadata(&self.path) {
            Ok(metadata) if metadata.len() > MOST_BYTES => {
                let copied = fs::copy(&self.path, self.path.with_extension("1"));
                // On a full disk the older half is given up: the program must not fill it further.
                OpenOptions::new()
                    .write(true)
                    .open(&self.path)?
                    .set_len(0)?;
                copied.map(drop)
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The last lines.
    pub(super) fn end(&self) -> Vec<String> {
        self.read_end().unwrap_or_default()
    }

    fn read_end(&self) -> io::Result<Vec<String>> {
        let mut file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        let from = length.saturating_sub(END_BYTES);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(END_BYTES).read_to_end(&mut bytes)?;
        Ok(last_lines(&bytes, from > 0))
    }
}

/// The last lines of a text; the first one is left out where it is a `part`.
pub(super) fn last_lines(bytes: &[u8], part: bool) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().skip(usize::from(part)).collect();
    let from = lines.len().saturating_sub(END_LINES);
    lines[from..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io::Write;

    use super::*;

    #[test]
    fn a_full_log_is_emptied_and_its_writer_goes_on_at_the_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::new(folder.path().join("log"));
        log.rotate().unwrap();
        assert!(log.end().is_empty());
        let mut writer = log.open().unwrap();
        writer.write_all(b"first\n").unwrap();
        log.rotate().unwrap();
        assert_eq!(log.end(), ["first"]);
        writer.write_all(&vec![b'x'; MOST_BYTES as usize]).unwrap();
        log.rotate().unwrap();
        writer.write_all(b"after\n").unwrap();
        assert_eq!(log.end(), ["after"]);
        let old = fs::read(folder.path().join("log.1")).unwrap();
        assert!(old.starts_with(b"first\nxxx"));
    }

    #[test]
    fn the_end_is_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::new(folder.path().join("log"));
        let mut writer = log.open().unwrap();
        for number in 0..2000 {
            writeln!(writer, "line {number}").unwrap();
        }
        let end = log.end();
        assert_eq!(end.len(), END_LINES);
        assert_eq!(end[0], "line 1980");
        assert_eq!(last_lines(b"art\nwhole", true), ["whole"]);
    }
}
