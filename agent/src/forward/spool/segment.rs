//! One file of the log: its header, and reading its records past any damage.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::disk::{DiskFile, read_full};
use super::record::{self, FIXED, Header, Mark, Marker, Parsed};
use crate::signal::Frame;

/// Length of a segment's header.
pub(crate) const SEGMENT_HEADER: u64 = 40;
/// The format's version, in each segment's header.
pub(crate) const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"GUIDSPOL";
/// The first read of a record: holds the header with its counts nearly always.
const PEEK: usize = 4096;
/// How much is looked through at a time for the next record after damage.
const SCAN: usize = 64 << 10;

/// The file name of a segment that starts at this frame number: sorts as text.
pub(crate) fn file_name(seq: u64) -> String {
    format!("{seq:020}.seg")
}

/// The inverse of [`file_name`].
pub(crate) fn parse_file_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

/// A segment's header as bytes.
pub(crate) fn encode_header(marker: &Marker, first: Mark) -> [u8; SEGMENT_HEADER as usize] {
    let mut bytes = [0; SEGMENT_HEADER as usize];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(marker);
    bytes[24..32].copy_from_slice(&first.seq.to_le_bytes());
    bytes[32..40].copy_from_slice(&first.total.to_le_bytes());
    let crc = header_crc(&bytes);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn header_crc(bytes: &[u8; SEGMENT_HEADER as usize]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..12]);
    hasher.update(&bytes[16..]);
    hasher.finalize()
}

/// What the header of a segment file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SegmentHeader {
    Valid {
        marker: Marker,
        first: Mark,
    },
    /// Intact, but written by a newer guidon.
    Newer(u32),
    Damaged,
}

/// Reads a segment's header.
pub(crate) fn read_header(file: &dyn DiskFile) -> io::Result<SegmentHeader> {
    let mut bytes = [0; SEGMENT_HEADER as usize];
    if read_full(file, &mut bytes, 0)? < bytes.len() || bytes[..8] != *MAGIC {
        return Ok(SegmentHeader::Damaged);
    }
    let long = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        word
    };
    let version = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    let crc = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
    if header_crc(&bytes) != crc {
        return Ok(SegmentHeader::Damaged);
    }
    if version > VERSION {
        return Ok(SegmentHeader::Newer(version));
    }
    Ok(SegmentHeader::Valid {
        marker: long(16),
        first: Mark {
            seq: u64::from_le_bytes(long(24)),
            total: u64::from_le_bytes(long(32)),
        },
    })
}

/// What a reader found next.
#[derive(Debug)]
pub(crate) enum Item {
    Record {
        header: Header,
        frame: Frame,
    },
    /// These many bytes hold no record.
    Damage {
        bytes: u64,
    },
}

/// Which payloads a reader fetches, and so checks. Others are passed over, and their frames are
/// without payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payloads {
    /// Those of frames from this number on.
    From(u64),
    Skip,
}

/// Reads records in order from one segment. Holds one record at a time.
#[derive(Debug)]
pub(crate) struct SegmentReader {
    file: Arc<dyn DiskFile>,
    marker: Marker,
    offset: u64,
    limit: u64,
    peek: Vec<u8>,
}

impl SegmentReader {
    pub(crate) fn new(file: Arc<dyn DiskFile>, marker: Marker, offset: u64, limit: u64) -> Self {
        Self {
            file,
            marker,
            offset: offset.max(SEGMENT_HEADER),
            limit,
            peek: Vec::new(),
        }
    }

    /// Where the next record is looked for.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// More of the segment has been written.
    pub(crate) fn extend(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// The next record, or damage that was passed over; `None` at the limit. A record whose bytes
    /// end beyond the limit is damage up to the limit.
    pub(crate) fn next(&mut self, payloads: Payloads) -> io::Result<Option<Item>> {
        if self.offset >= self.limit {
            return Ok(None);
        }
        let Some(header) = self.header_at(self.offset)? else {
            return self.resync().map(Some);
        };
        let start = self.offset;
        let end = start + header.record_len();
        let counts_end = header.len();
        let wanted = match payloads {
            Payloads::From(seq) => header.start.seq >= seq,
            Payloads::Skip => false,
        };
        let payload = match wanted {
            false => Bytes::new(),
            true => {
                let mut payload = vec![0; header.payload_len as usize];
                let have = self
                    .peek
                    .len()
                    .saturating_sub(counts_end)
                    .min(payload.len());
                payload[..have].copy_from_slice(&self.peek[counts_end..counts_end + have]);
                let from = start + (counts_end + have) as u64;
                let read = have + read_full(&*self.file, &mut payload[have..], from)?;
                if read < payload.len() || !header.matches(&payload) {
                    self.offset = end;
                    return Ok(Some(Item::Damage { bytes: end - start }));
                }
                Bytes::from(payload)
            }
        };
        self.offset = end;
        let frame = header.frame(&self.peek[FIXED..counts_end], payload);
        Ok(Some(Item::Record { header, frame }))
    }

    /// The header at an offset, if a whole record is there. Leaves its bytes in `peek`.
    fn header_at(&mut self, offset: u64) -> io::Result<Option<Header>> {
        let mut want = PEEK;
        loop {
            let room = usize::try_from(self.limit - offset).unwrap_or(usize::MAX);
            self.peek.resize(want.min(room), 0);
            let read = read_full(&*self.file, &mut self.peek, offset)?;
            self.peek.truncate(read);
            match record::parse(&self.peek, &self.marker) {
                Parsed::Header(header) if offset + header.record_len() <= self.limit => {
                    return Ok(Some(header));
                }
                Parsed::Needs(len) if len > want && len <= room => want = len,
                Parsed::Header(_) | Parsed::Needs(_) | Parsed::Damaged => return Ok(None),
            }
        }
    }

    /// Looks for the next record behind the present offset and goes there.
    fn resync(&mut self) -> io::Result<Item> {
        let from = self.offset;
        let finder = self.marker;
        let mut window = vec![0; SCAN];
        let mut at = from + 1;
        while at < self.limit {
            let room = usize::try_from(self.limit - at)
                .unwrap_or(usize::MAX)
                .min(SCAN);
            let read = read_full(&*self.file, &mut window[..room], at)?;
            let hits: Vec<usize> = memchr::memmem::find_iter(&window[..read], &finder).collect();
            for hit in hits {
                let candidate = at + hit as u64;
                if self.header_at(candidate)?.is_some() {
                    self.offset = candidate;
                    return Ok(Item::Damage {
                        bytes: candidate - from,
                    });
                }
            }
            // A marker may lie across two windows.
            match read.checked_sub(finder.len() - 1) {
                Some(step) if step > 0 => at += step as u64,
                _ => break,
            }
        }
        self.offset = self.limit;
        Ok(Item::Damage {
            bytes: self.limit - from,
        })
    }
}
