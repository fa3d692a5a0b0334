//! The cursor file: how far delivery has come. Two slots, written in turn in place, each with a
//! generation and a checksum: a torn write leaves the other slot, and a full disk does not stop
//! the cursor, because no new block is ever needed.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use super::disk::{Disk, DiskFile, read_full, write_all};
use super::progress::{MAX_AHEAD, Snapshot};
use super::record::{Mark, Marker};

/// The cursor's file name in a spool's directory.
pub(crate) const FILE_NAME: &str = "cursor";
const SLOT: usize = 4096;
const MAGIC: &[u8; 8] = b"GUIDCURS";
/// Magic, checksum, version, generation, marker, three marks, number of ranges and padding.
const FIXED: usize = 8 + 4 + 4 + 8 + 8 + 3 * 16 + 16;
/// Bytes of a range: two marks.
const RANGE: usize = 32;

/// What the cursor file keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) marker: Marker,
    /// How far the log was written.
    pub(crate) written: Mark,
    pub(crate) delivery: Snapshot,
}

/// The open cursor file.
#[derive(Debug)]
pub(crate) struct CursorFile {
    file: Arc<dyn DiskFile>,
    generation: u64,
    last: Option<Saved>,
}

impl CursorFile {
    /// Opens or makes the file; returns what the newest intact slot says, if there is one.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path) -> io::Result<(Self, Option<Saved>)> {
        let file = disk.create(&dir.join(FILE_NAME))?;
        let newest = read(&*file)?;
        let (generation, saved) = match newest {
            Some((generation, saved)) => (generation, Some(saved)),
            None => (0, None),
        };
        let cursor = Self {
            file,
            generation,
            last: saved.clone(),
        };
        Ok((cursor, saved))
    }

    /// Writes both slots once, so that later writes need no new block.
    pub(crate) fn reserve(&mut self, saved: &Saved) -> io::Result<()> {
        self.save(saved)?;
        self.last = None;
        self.save(saved)?;
        Ok(())
    }

    /// Writes the state into the slot that is not the newest. Returns whether anything changed, and
    /// so was written.
    pub(crate) fn save(&mut self, saved: &Saved) -> io::Result<bool> {
        if self.last.as_ref() == Some(saved) {
            return Ok(false);
        }
        let generation = self.generation + 1;
        let bytes = encode(generation, saved);
        let offset = (generation % 2) * SLOT as u64;
        write_all(&*self.file, &mut [IoSlice::new(&bytes)], offset)?;
        self.generation = generation;
        self.last = Some(saved.clone());
        Ok(true)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

/// The newest intact slot with its generation.
pub(crate) fn read(file: &dyn DiskFile) -> io::Result<Option<(u64, Saved)>> {
    let mut newest: Option<(u64, Saved)> = None;
    let mut bytes = vec![0; SLOT];
    for slot in 0..2 {
        let read = read_full(file, &mut bytes, slot * SLOT as u64)?;
        if let Some(found) = decode(&bytes[..read])
            && newest.as_ref().is_none_or(|(best, _)| found.0 > *best)
        {
            newest = Some(found);
        }
    }
    Ok(newest)
}

fn encode(generation: u64, saved: &Saved) -> Vec<u8> {
    let mut out = Vec::with_capacity(SLOT);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&super::segment::VERSION.to_le_bytes());
    out.extend_from_slice(&generation.to_le_bytes());
    out.extend_from_slice(&saved.marker);
    let mut mark = |mark: Mark| {
        out.extend_from_slice(&mark.seq.to_le_bytes());
        out.extend_from_slice(&mark.total.to_le_bytes());
    };
    mark(saved.delivery.low);
    mark(saved.written);
    mark(saved.delivery.attempted);
    mark(Mark {
        seq: saved.delivery.ahead.len() as u64,
        total: 0,
    });
    for &(from, to) in &saved.delivery.ahead {
        mark(from);
        mark(to);
    }
    let crc = crc32fast::hash(&out[12..]);
    out[8..12].copy_from_slice(&crc.to_le_bytes());
    // A slot is always written whole, so that an older, longer one leaves no tail.
    out.resize(SLOT, 0);
    out
}

fn decode(bytes: &[u8]) -> Option<(u64, Saved)> {
    let fixed = bytes.get(..FIXED)?;
    let long = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(bytes.get(at..at + 8)?);
        Some(u64::from_le_bytes(word))
    };
    let mark = |at: usize| {
        Some(Mark {
            seq: long(at)?,
            total: long(at + 8)?,
        })
    };
    let ranges = usize::try_from(long(80)?).ok()?;
    if fixed[..8] != *MAGIC || ranges > MAX_AHEAD {
        return None;
    }
    let end = FIXED + ranges * RANGE;
    let crc = u32::from_le_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]);
    if crc32fast::hash(bytes.get(12..end)?) != crc {
        return None;
    }
    let mut marker = Marker::default();
    marker.copy_from_slice(&fixed[24..32]);
    let mut ahead = Vec::with_capacity(ranges);
    for range in 0..ranges {
        let at = FIXED + range * RANGE;
        ahead.push((mark(at)?, mark(at + RANGE / 2)?));
    }
    let saved = Saved {
        marker,
        written: mark(48)?,
        delivery: Snapshot {
            low: mark(32)?,
            attempted: mark(64)?,
            ahead,
        },
    };
    Some((long(16)?, saved))
}
