//! A disk in memory that fails as told.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::forward::spool::disk::{Disk, DiskFile};

/// The disk. Cloning it is what a power cut leaves: the same bytes in other files.
#[derive(Debug, Default)]
pub(crate) struct FaultyDisk {
    files: Mutex<BTreeMap<PathBuf, Arc<Mutex<Vec<u8>>>>>,
    faults: Arc<Faults>,
}

/// What goes wrong at present.
#[derive(Debug)]
pub(crate) struct Faults {
    /// Bytes that files may still grow by; what is over is written short, then `ENOSPC`.
    pub(crate) room: AtomicI64,
    /// Bytes that may still be written at all before the process is dead.
    pub(crate) life: AtomicI64,
    pub(crate) read_only: AtomicBool,
    pub(crate) writes_fail: AtomicBool,
    pub(crate) truncates_fail: AtomicBool,
    pub(crate) reads_fail: AtomicBool,
    pub(crate) bytes_read: AtomicU64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            room: AtomicI64::new(i64::MAX),
            life: AtomicI64::new(i64::MAX),
            read_only: AtomicBool::default(),
            writes_fail: AtomicBool::default(),
            truncates_fail: AtomicBool::default(),
            reads_fail: AtomicBool::default(),
            bytes_read: AtomicU64::default(),
        }
    }
}

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

impl FaultyDisk {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The same bytes on a disk without faults.
    pub(crate) fn after_the_crash(&self) -> Arc<Self> {
        let files = self.files.lock().unwrap();
        let copy = files.iter().map(|(path, data)| {
            let data = data.lock().unwrap().clone();
            (path.clone(), Arc::new(Mutex::new(data)))
        });
        Arc::new(Self {
            files: Mutex::new(copy.collect()),
            faults: Arc::default(),
        })
    }

    /// The segments, oldest first.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let files = self.files.lock().unwrap();
        files
            .keys()
            .filter(|path| path.extension().is_some())
            .cloned()
            .collect()
    }

    pub(crate) fn change(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.files.lock().unwrap()[path].lock().unwrap());
    }

    pub(crate) fn delete(&self, path: &Path) {
        self.files.lock().unwrap().remove(path).unwrap();
    }
}

impl Faults {
    fn writable(&self) -> io::Result<()> {
        if self.life.load(Ordering::SeqCst) <= 0 {
            return Err(errno(libc::EIO));
        }
        if self.read_only.load(Ordering::SeqCst) {
            return Err(errno(libc::EROFS));
        }
        Ok(())
    }
}

impl Disk for FaultyDisk {
    fn make_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<(String, u64)>> {
        let files = self.files.lock().unwrap();
        let inside = files.iter().filter(|(path, _)| path.parent() == Some(dir));
        Ok(inside
            .map(|(path, data)| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, data.lock().unwrap().len() as u64)
            })
            .collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.faults.writable()?;
        let mut files = self.files.lock().unwrap();
        let data = Arc::clone(files.entry(path.to_owned()).or_default());
        Ok(Arc::new(FaultyFile {
            data,
            faults: Arc::clone(&self.faults),
        }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let files = self.files.lock().unwrap();
        let data = files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(FaultyFile {
            data: Arc::clone(data),
            faults: Arc::clone(&self.faults),
        }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.faults.writable()?;
        let removed = self.files.lock().unwrap().remove(path);
        removed.map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.writable()?;
        let mut files = self.files.lock().unwrap();
        let data = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), data);
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct FaultyFile {
    data: Arc<Mutex<Vec<u8>>>,
    faults: Arc<Faults>,
}

impl DiskFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.data.lock().unwrap().len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.faults.reads_fail.load(Ordering::SeqCst) {
            return Err(errno(libc::EIO));
        }
        let data = self.data.lock().unwrap();
        let from = (offset as usize).min(data.len());
        // Odd short reads: callers must come back for the rest.
        let count = buffer.len().min(data.len() - from).min(7001);
        buffer[..count].copy_from_slice(&data[from..from + count]);
        self.faults
            .bytes_read
            .fetch_add(count as u64, Ordering::SeqCst);
        Ok(count)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.faults.writable()?;
        if self.faults.writes_fail.load(Ordering::SeqCst) {
            return Err(errno(libc::EIO));
        }
        let mut bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        let mut data = self.data.lock().unwrap();
        let offset = offset as usize;
        // Odd short writes too.
        bytes.truncate(5003);
        let room = usize::try_from(self.faults.room.load(Ordering::SeqCst)).unwrap_or(0);
        let inside = data.len().saturating_sub(offset);
        bytes.truncate(inside.saturating_add(room));
        let life = usize::try_from(self.faults.life.load(Ordering::SeqCst)).unwrap_or(0);
        bytes.truncate(life);
        if bytes.is_empty() {
            return Err(errno(libc::ENOSPC));
        }
        let grown = bytes.len().saturating_sub(inside);
        self.faults.room.fetch_sub(grown as i64, Ordering::SeqCst);
        self.faults
            .life
            .fetch_sub(bytes.len() as i64, Ordering::SeqCst);
        if data.len() < offset + bytes.len() {
            data.resize(offset + bytes.len(), 0);
        }
        data[offset..offset + bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.faults.writable()?;
        if self.faults.truncates_fail.load(Ordering::SeqCst) {
            return Err(errno(libc::EIO));
        }
        let mut data = self.data.lock().unwrap();
        let freed = data.len() as i64 - len as i64;
        let room = self.faults.room.load(Ordering::SeqCst);
        self.faults
            .room
            .store(room.saturating_add(freed), Ordering::SeqCst);
        data.resize(len as usize, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.faults.writable()
    }
}
