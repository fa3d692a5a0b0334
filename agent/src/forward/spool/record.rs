//! One record of the log as bytes: see the format in [`super`]. Knows nothing of files.

use bytes::Bytes;

use crate::config::Guid;
use crate::signal::{Frame, GuidCounts, Kind};

/// Length of a record header without its guid counts.
pub(crate) const FIXED: usize = 64;
/// A payload longer than this is not a record: a flipped length must not make a reader allocate.
pub(crate) const MAX_PAYLOAD: u32 = 256 << 20;
/// Likewise for the guid counts.
const MAX_COUNTS: u32 = 16 << 20;

/// Eight random bytes, made with the spool, at the head of every record. What a sender puts into
/// a payload can therefore not pass for a record when a reader looks for the next one after damage.
pub(crate) type Marker = [u8; 8];

/// A place in the log, between two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Mark {
    /// The number of the next frame. The first is 0.
    pub(crate) seq: u64,
    /// Records (samples, log records, spans) in all frames before.
    pub(crate) total: u64,
}

/// What a record's header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) start: Mark,
    pub(crate) records: u64,
    pub(crate) raw_len: u32,
    pub(crate) appended_ms: u64,
    pub(crate) counts_len: u32,
    pub(crate) payload_len: u32,
    payload_crc: u32,
}

impl Header {
    /// Bytes before the payload.
    pub(crate) fn len(&self) -> usize {
        FIXED + self.counts_len as usize
    }

    /// Bytes of the whole record.
    pub(crate) fn record_len(&self) -> u64 {
        self.len() as u64 + u64::from(self.payload_len)
    }

    /// The place after this record.
    pub(crate) fn end(&self) -> Mark {
        Mark {
            seq: self.start.seq.saturating_add(1),
            total: self.start.total.saturating_add(self.records),
        }
    }

    /// Whether these bytes are what was written.
    pub(crate) fn matches(&self, payload: &[u8]) -> bool {
        crc32fast::hash(payload) == self.payload_crc
    }

    /// The frame again, from the counts block and the payload.
    pub(crate) fn frame(&self, counts: &[u8], payload: Bytes) -> Frame {
        Frame {
            kind: self.kind,
            payload,
            raw_len: self.raw_len,
            counts: decode_counts(counts),
        }
    }
}

/// The outcome of looking for a header at the start of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    Header(Header),
    /// Plausible so far; this many bytes are needed to tell.
    Needs(usize),
    /// No record starts here.
    Damaged,
}

/// Appends the header and counts of a record to `out`. The payload is written from where it is.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    marker: &Marker,
    frame: &Frame,
    start: Mark,
    appended_ms: u64,
) {
    let at = out.len();
    out.extend_from_slice(marker);
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&(frame.payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&frame.payload).to_le_bytes());
    out.extend_from_slice(&frame.raw_len.to_le_bytes());
    out.extend_from_slice(&[frame.kind as u8, 0, 0, 0]);
    out.extend_from_slice(&start.seq.to_le_bytes());
    out.extend_from_slice(&start.total.to_le_bytes());
    out.extend_from_slice(&appended_ms.to_le_bytes());
    out.extend_from_slice(&frame.records().to_le_bytes());
    for (guid, count) in &frame.counts {
        // A guid is at most 63 bytes by its type.
        out.push(guid.as_str().len() as u8);
        out.extend_from_slice(guid.as_str().as_bytes());
        out.extend_from_slice(&count.to_le_bytes());
    }
    let counts_len = (out.len() - at - FIXED) as u32;
    out[at + 12..at + 16].copy_from_slice(&counts_len.to_le_bytes());
    let crc = crc32fast::hash(&out[at + 12..]);
    out[at + 8..at + 12].copy_from_slice(&crc.to_le_bytes());
}

/// Looks for a record header at the start of `bytes`.
pub(crate) fn parse(bytes: &[u8], marker: &Marker) -> Parsed {
    let Some(fixed) = bytes.first_chunk::<FIXED>() else {
        return Parsed::Needs(FIXED);
    };
    let word =
        |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    let counts_len = word(12);
    let payload_len = word(16);
    if fixed[..8] != *marker || counts_len > MAX_COUNTS || payload_len > MAX_PAYLOAD {
        return Parsed::Damaged;
    }
    let len = FIXED + counts_len as usize;
    let Some(whole) = bytes.get(12..len) else {
        return Parsed::Needs(len);
    };
    if crc32fast::hash(whole) != word(8) {
        return Parsed::Damaged;
    }
    let kind = match fixed[28] {
        1 => Kind::RemoteWrite,
        2 => Kind::OtlpMetrics,
        3 => Kind::OtlpLogs,
        4 => Kind::OtlpTraces,
        _ => return Parsed::Damaged,
    };
    Parsed::Header(Header {
        kind,
        start: Mark {
            seq: long(32),
            total: long(40),
        },
        records: long(56),
        raw_len: word(24),
        appended_ms: long(48),
        counts_len,
        payload_len,
        payload_crc: word(20),
    })
}

/// The counts block. It is covered by the header's checksum, so a malformed rest is left out.
fn decode_counts(mut bytes: &[u8]) -> GuidCounts {
    let mut counts = GuidCounts::new();
    while let Some((&len, rest)) = bytes.split_first() {
        let Some((name, rest)) = rest.split_at_checked(usize::from(len)) else {
            break;
        };
        let Some((count, rest)) = rest.split_first_chunk::<4>() else {
            break;
        };
        if let Some(guid) = std::str::from_utf8(name)
            .ok()
            .and_then(|name| name.parse::<Guid>().ok())
        {
            counts.push((guid, u32::from_le_bytes(*count)));
        }
        bytes = rest;
    }
    counts
}
