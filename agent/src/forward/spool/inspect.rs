//! `guidon spool ls|verify|repair`: looking at spools, also while an agent runs, and mending them
//! while none does.
//!
//! `ls` and `verify` open nothing for writing. On a live spool they see a moment of it: what is
//! being written then may look torn.

use std::collections::BTreeMap;
use std::fmt;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SpoolError;
use super::cursor::{self, CursorFile, Saved};
use super::disk::{Disk, DiskFile, RealDisk, write_all};
use super::lock::DirLock;
use super::progress::{Progress, Snapshot};
use super::record::{self, Mark, Marker};
use super::segment::{self, Item, Payloads, SEGMENT_HEADER, SegmentHeader, SegmentReader};
use crate::forward::root::{is_spool_dir, read_about};

/// Damaged places that a report names; more are only counted.
const MAX_PLACES: usize = 100;

/// One spool, in short.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Its directory.
    pub dir: PathBuf,
    /// Which frames it holds; empty where the note in the directory is missing.
    pub route: String,
    /// Whose it is: a URL without credentials, or `local`; empty where the note is missing.
    pub destination: String,
    /// Files of the log.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that wait for delivery.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
}

/// One spool, read from end to end.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// In short.
    pub summary: Summary,
    /// Frames that can be read, delivered ones included.
    pub readable_frames: u64,
    /// Records in them.
    pub readable_records: u64,
    /// Records that the log should hold between its first and its last and does not.
    pub missing_records: u64,
    /// Bytes that hold no record, torn ones excluded.
    pub damaged_bytes: u64,
    /// Bytes behind the last record of the last segment.
    pub torn_bytes: u64,
    /// Where the damage is: the first hundred places.
    pub damage: Vec<Damage>,
    /// Both slots of the cursor are unreadable: everything would be delivered again.
    pub cursor_damaged: bool,
    /// What the readable records belong to.
    pub guids: BTreeMap<String, u64>,
}

/// A damaged place.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// The file's name.
    pub segment: String,
    /// Where it starts.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
}

impl Report {
    /// Whether there is nothing to repair. Records may be missing all the same, if they were lost
    /// before: they are counted when delivery comes by.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damaged_bytes == 0 && self.torn_bytes == 0 && !self.cursor_damaged
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_unknown = |text: &str| if text.is_empty() { "?" } else { text }.to_owned();
        write!(
            formatter,
            "{} {}: {} records in {} frames wait, {} bytes in {} segments, {}",
            or_unknown(&self.route),
            or_unknown(&self.destination),
            self.records,
            self.frames,
            self.bytes,
            self.segments,
            self.dir.display()
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.summary)?;
        write!(
            formatter,
            "  {}: {} records in {} frames readable, {} missing; {} bytes damaged, {} torn",
            if self.is_sound() { "sound" } else { "damaged" },
            self.readable_records,
            self.readable_frames,
            self.missing_records,
            self.damaged_bytes,
            self.torn_bytes
        )?;
        if self.cursor_damaged {
            write!(formatter, "; cursor lost, everything will be sent again")?;
        }
        for place in &self.damage {
            let Damage {
                segment,
                offset,
                bytes,
            } = place;
            write!(formatter, "\n  {segment}: {bytes} bytes at {offset}")?;
        }
        Ok(())
    }
}

/// All spools below a data directory, in short.
pub fn ls(data_dir: &Path) -> Result<Vec<Summary>, SpoolError> {
    spool_dirs(data_dir)?
        .into_iter()
        .map(|dir| Ok(Look::at(dir)?.summary()))
        .collect()
}

/// Reads every record of every spool.
pub fn verify(data_dir: &Path) -> Result<Vec<Report>, SpoolError> {
    spool_dirs(data_dir)?
        .into_iter()
        .map(|dir| Look::at(dir)?.verify())
        .collect()
}

/// Takes out of every spool what cannot be read, so that it is sound; returns what was found, for
/// each spool that was not. Needs the lock, so no agent may run.
pub fn repair(data_dir: &Path) -> Result<Vec<Report>, SpoolError> {
    let dirs = spool_dirs(data_dir)?;
    if dirs.is_empty() {
        return Ok(Vec::new());
    }
    let _alone = DirLock::acquire(&data_dir.join("spool"))?;
    let mut repaired = Vec::new();
    for dir in dirs {
        let look = Look::at(dir)?;
        let report = look.verify()?;
        if !report.is_sound() {
            look.repair(&report)?;
            repaired.push(report);
        }
    }
    Ok(repaired)
}

fn spool_dirs(data_dir: &Path) -> Result<Vec<PathBuf>, SpoolError> {
    let root = data_dir.join("spool");
    let failed = |error| SpoolError::io("list", &root, error);
    let entries = match std::fs::read_dir(&root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut dirs = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_str().is_some_and(is_spool_dir) {
            dirs.push(entry.path());
        }
    }
    dirs.sort();
    Ok(dirs)
}

/// What a spool's directory holds, before records are looked at.
struct Look {
    dir: PathBuf,
    files: Vec<(u64, u64)>,
    saved: Option<Saved>,
    marker: Marker,
}

impl Look {
    fn at(dir: PathBuf) -> Result<Self, SpoolError> {
        let listed = RealDisk.list(&dir);
        let mut files: Vec<(u64, u64)> = listed
            .map_err(|error| SpoolError::io("list", &dir, error))?
            .into_iter()
            .filter_map(|(name, len)| Some((segment::parse_file_name(&name)?, len)))
            .collect();
        files.sort_unstable();
        let path = dir.join(cursor::FILE_NAME);
        let saved = match RealDisk.open(&path) {
            Ok(file) => {
                cursor::read(&*file).map_err(|error| SpoolError::io("read", &path, error))?
            }
            Err(_) => None,
        };
        let mut look = Self {
            dir,
            files,
            saved: saved.map(|(_, saved)| saved),
            marker: Marker::default(),
        };
        look.marker = match &look.saved {
            Some(saved) => saved.marker,
            None => look.marker_of_segments().unwrap_or_default(),
        };
        Ok(look)
    }

    fn marker_of_segments(&self) -> Option<Marker> {
        self.files.iter().find_map(|&(name, _)| {
            let file = RealDisk.open(&self.path(name)).ok()?;
            match segment::read_header(&*file).ok()? {
                SegmentHeader::Valid { marker, .. } => Some(marker),
                SegmentHeader::Newer(_) | SegmentHeader::Damaged => None,
            }
        })
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.dir.join(segment::file_name(segment))
    }

    /// The end of the log, by the last segment that has a record.
    fn end(&self) -> Mark {
        let mut end = self
            .saved
            .as_ref()
            .map_or_else(Mark::default, |saved| saved.written);
        for &(name, len) in self.files.iter().rev() {
            let mut found = false;
            let Ok(file) = RealDisk.open(&self.path(name)) else {
                continue;
            };
            let mut reader = SegmentReader::new(file, self.marker, 0, len);
            while let Ok(Some(item)) = reader.next(Payloads::Skip) {
                if let Item::Record { header, .. } = item {
                    end = end.max(header.end());
                    found = true;
                }
            }
            if found {
                break;
            }
        }
        end
    }

    fn summary(&self) -> Summary {
        let about = read_about(&self.dir);
        let (route, destination) =
            about.map_or_else(Default::default, |about| (about.route, about.destination));
        let snapshot = match &self.saved {
            Some(saved) => saved.delivery.clone(),
            None => self.everything(),
        };
        let progress = Progress::restore(snapshot);
        let end = self.end();
        Summary {
            dir: self.dir.clone(),
            route,
            destination,
            segments: self.files.len() as u64,
            bytes: self.files.iter().map(|(_, len)| len).sum(),
            frames: progress.waiting_frames(end),
            records: progress.waiting(end),
        }
    }

    /// The delivery state of a spool without a cursor: nothing is done.
    fn everything(&self) -> Snapshot {
        let first = self.files.first().and_then(|&(name, len)| {
            let file = RealDisk.open(&self.path(name)).ok()?;
            if let Ok(SegmentHeader::Valid { first, .. }) = segment::read_header(&*file) {
                return Some(first);
            }
            let mut reader = SegmentReader::new(file, self.marker, 0, len);
            loop {
                if let Item::Record { header, .. } = reader.next(Payloads::Skip).ok()?? {
                    return Some(header.start);
                }
            }
        });
        Snapshot {
            low: first.unwrap_or_default(),
            ..Snapshot::default()
        }
    }

    fn verify(&self) -> Result<Report, SpoolError> {
        let mut report = Report {
            summary: self.summary(),
            readable_frames: 0,
            readable_records: 0,
            missing_records: 0,
            damaged_bytes: 0,
            torn_bytes: 0,
            damage: Vec::new(),
            cursor_damaged: self.saved.is_none() && !self.files.is_empty(),
            guids: BTreeMap::new(),
        };
        let mut at: Option<Mark> = None;
        for (index, &(name, len)) in self.files.iter().enumerate() {
            let path = self.path(name);
            let failed = |error| SpoolError::io("read", &path, error);
            let file = match RealDisk.open(&path) {
                Ok(file) => file,
                // Delivered and removed while we read.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            let header = segment::read_header(&*file).map_err(failed)?;
            let sound =
                matches!(header, SegmentHeader::Valid { marker, .. } if marker == self.marker);
            if !sound {
                report.note(name, 0, SEGMENT_HEADER.min(len));
            }
            if let SegmentHeader::Valid { first, .. } = header {
                at = Some(at.unwrap_or(first));
            }
            let mut reader = SegmentReader::new(file, self.marker, 0, len);
            let mut from = reader.offset();
            let mut last_damage = None;
            while let Some(item) = reader.next(Payloads::From(0)).map_err(failed)? {
                match item {
                    Item::Damage { bytes } => {
                        last_damage = Some(bytes + last_damage.unwrap_or_default());
                        report.note(name, from, bytes);
                    }
                    Item::Record { header, frame } => {
                        last_damage = None;
                        let expected = at.unwrap_or(header.start);
                        report.missing_records += header.start.total.saturating_sub(expected.total);
                        at = Some(header.end());
                        report.readable_frames += 1;
                        report.readable_records += header.records;
                        for (guid, records) in &frame.counts {
                            *report.guids.entry(guid.to_string()).or_default() +=
                                u64::from(*records);
                        }
                    }
                }
                from = reader.offset();
            }
            if index + 1 == self.files.len()
                && let Some(bytes) = last_damage
            {
                report.torn_bytes = bytes;
                report.damaged_bytes -= bytes;
            }
        }
        let (at, written) = (
            at.unwrap_or_default(),
            self.saved.as_ref().map(|saved| saved.written),
        );
        let written = written.map_or(0, |written| written.total);
        report.missing_records += written.saturating_sub(at.total);
        Ok(report)
    }

    fn repair(&self, report: &Report) -> Result<(), SpoolError> {
        let mut damaged: Vec<&str> = report
            .damage
            .iter()
            .map(|place| place.segment.as_str())
            .collect();
        damaged.dedup();
        let everything = report.damage.len() >= MAX_PLACES;
        for &(name, len) in &self.files {
            if everything || damaged.contains(&segment::file_name(name).as_str()) {
                self.rewrite(name, len)?;
            }
        }
        if self.saved.is_none() {
            let failed = |error| SpoolError::io("write the cursor in", &self.dir, error);
            let (mut cursor, _) = CursorFile::open(&RealDisk, &self.dir).map_err(failed)?;
            let saved = Saved {
                marker: self.marker,
                written: self.end(),
                delivery: self.everything(),
            };
            cursor.reserve(&saved).map_err(failed)?;
        }
        Ok(())
    }

    /// Copies a segment's readable records to a new file that takes its place.
    fn rewrite(&self, name: u64, len: u64) -> Result<(), SpoolError> {
        let path = self.path(name);
        let copy = path.with_extension("tmp");
        let failed = |error| SpoolError::io("rewrite", &path, error);
        let old = RealDisk.open(&path).map_err(failed)?;
        let header = segment::read_header(&*old).map_err(failed)?;
        let mut reader = SegmentReader::new(old, self.marker, 0, len);
        let new: Arc<dyn DiskFile> = RealDisk.create(&copy).map_err(failed)?;
        new.truncate(0).map_err(failed)?;
        let mut first = match header {
            SegmentHeader::Valid { first, .. } => Some(first),
            SegmentHeader::Newer(_) | SegmentHeader::Damaged => None,
        };
        let mut offset = SEGMENT_HEADER;
        let mut head = Vec::new();
        while let Some(item) = reader.next(Payloads::From(0)).map_err(failed)? {
            let Item::Record { header, frame } = item else {
                continue;
            };
            first.get_or_insert(header.start);
            head.clear();
            record::encode(
                &mut head,
                &self.marker,
                &frame,
                header.start,
                header.appended_ms,
            );
            let mut slices = [IoSlice::new(&head), IoSlice::new(&frame.payload)];
            write_all(&*new, &mut slices, offset).map_err(failed)?;
            offset += header.record_len();
        }
        let Some(first) = first else {
            // Neither a header nor a record: there is nothing to keep.
            RealDisk.remove(&copy).map_err(failed)?;
            return RealDisk.remove(&path).map_err(failed);
        };
        let header = segment::encode_header(&self.marker, first);
        write_all(&*new, &mut [IoSlice::new(&header)], 0).map_err(failed)?;
        new.sync().map_err(failed)?;
        RealDisk.rename(&copy, &path).map_err(failed)
    }
}

impl Report {
    fn note(&mut self, segment: u64, offset: u64, bytes: u64) {
        self.damaged_bytes += bytes;
        if self.damage.len() < MAX_PLACES {
            self.damage.push(Damage {
                segment: segment::file_name(segment),
                offset,
                bytes,
            });
        }
    }
}
