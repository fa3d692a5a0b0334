//! One agent for one spool directory: an flock that the kernel gives back when the process dies.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::SpoolError;

const FILE_NAME: &str = "lock";

/// Held as long as it lives.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Makes the directory and takes its lock.
    pub(crate) fn acquire(dir: &Path) -> Result<Self, SpoolError> {
        std::fs::create_dir_all(dir).map_err(|error| SpoolError::io("make", dir, error))?;
        let path = dir.join(FILE_NAME);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| SpoolError::io("open", &path, error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // Without the text the error still says what matters.
                let _ = file.read_to_string(&mut holder);
                return Err(SpoolError::InUse {
                    path: dir.to_owned(),
                    holder: match holder.trim() {
                        "" => "unknown".to_owned(),
                        pid => pid.to_owned(),
                    },
                });
            }
            Err(error) => return Err(SpoolError::io("lock", &path, error.into())),
        }
        // The pid is for people only: on a full disk the lock holds all the same.
        let _ = write_pid(&mut file);
        Ok(Self { _file: file })
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}
