//! The sink's cheap walk over what arrived.
//!
//! Owns: counting samples, spans and log records, finding the guid, and the per-series order check.
//! Reads only what it must: of ten labels it looks at two. Must not know: HTTP.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use anyhow::{Context, Result, bail};

use super::sink::Counts;
use super::workload::Workload;
use super::{GUID, GUID_LABEL, SERIES_LABEL};

/// Field 1 of a series, length-delimited.
const LABEL_TAG: u8 = 1 << 3 | 2;

/// What the sink counts, and the last timestamp of every series.
#[derive(Debug)]
pub(crate) struct Tally {
    last: Vec<AtomicI64>,
    records: AtomicU64,
    reordered: AtomicU64,
    duplicates: AtomicU64,
    untagged: AtomicU64,
    foreign: AtomicU64,
    histograms: AtomicU64,
    exemplars: AtomicU64,
    metadata: AtomicU64,
    malformed: AtomicU64,
    requests: AtomicU64,
    wire_bytes: AtomicU64,
}

impl Tally {
    /// Expects series numbered below `series`.
    pub(crate) fn new(series: usize) -> Self {
        Self {
            last: (0..series).map(|_| AtomicI64::new(i64::MIN)).collect(),
            records: AtomicU64::new(0),
            reordered: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            untagged: AtomicU64::new(0),
            foreign: AtomicU64::new(0),
            histograms: AtomicU64::new(0),
            exemplars: AtomicU64::new(0),
            metadata: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            wire_bytes: AtomicU64::new(0),
        }
    }

    /// Books one request that could be read.
    pub(crate) fn add(&self, counts: &Counts) {
        self.records.fetch_add(counts.records, Relaxed);
        self.reordered.fetch_add(counts.reordered, Relaxed);
        self.duplicates.fetch_add(counts.duplicates, Relaxed);
        self.untagged.fetch_add(counts.untagged, Relaxed);
        self.foreign.fetch_add(counts.foreign, Relaxed);
        self.histograms.fetch_add(counts.histograms, Relaxed);
        self.exemplars.fetch_add(counts.exemplars, Relaxed);
        self.metadata.fetch_add(counts.metadata, Relaxed);
        self.requests.fetch_add(1, Relaxed);
        self.wire_bytes.fetch_add(counts.wire_bytes, Relaxed);
    }

    /// Books one request that could not be read.
    pub(crate) fn malformed(&self) {
        self.malformed.fetch_add(1, Relaxed);
    }

    /// Everything so far.
    pub(crate) fn snapshot(&self) -> Counts {
        Counts {
            records: self.records.load(Relaxed),
            reordered: self.reordered.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            untagged: self.untagged.load(Relaxed),
            foreign: self.foreign.load(Relaxed),
            histograms: self.histograms.load(Relaxed),
            exemplars: self.exemplars.load(Relaxed),
            metadata: self.metadata.load(Relaxed),
            malformed: self.malformed.load(Relaxed),
            requests: self.requests.load(Relaxed),
            wire_bytes: self.wire_bytes.load(Relaxed),
        }
    }

    /// Walks a remote-write 1.0 request.
    pub(crate) fn write_request(&self, body: &[u8], counts: &mut Counts) -> Result<()> {
        let mut reader = Reader(body);
        while let Some((field, value)) = reader.next()? {
            match (field, value) {
                (1, Value::Bytes(series)) => self.series(series, counts)?,
                (3, _) => counts.metadata += 1,
                _ => {}
            }
        }
        Ok(())
    }

    fn series(&self, series: &[u8], counts: &mut Counts) -> Result<()> {
        let mut labels = Labels::default();
        // Labels come first and are short: they need no general reader, which would cost more than
        // all the rest of the sink.
        let mut rest = series;
        while let [LABEL_TAG, length @ 0..0x80, after @ ..] = rest {
            let (bytes, next) = after
                .split_at_checked(usize::from(*length))
                .context("label is cut")?;
            labels.read(bytes)?;
            rest = next;
        }
        let mut reader = Reader(rest);
        let mut samples = 0;
        let mut histograms = 0;
        while let Some((field, value)) = reader.next()? {
            let Value::Bytes(bytes) = value else { continue };
            match field {
                1 => labels.read(bytes)?,
                2 => {
                    samples += 1;
                    let last = labels.number.and_then(|number| self.last.get(number));
                    let Some(last) = last else { continue };
                    let time = sample_time(bytes)?;
                    let before = last.fetch_max(time, Relaxed);
                    counts.reordered += u64::from(before > time);
                    counts.duplicates += u64::from(before == time);
                }
                3 => counts.exemplars += 1,
                4 => histograms += 1,
                _ => {}
            }
        }
        if labels.number.is_some_and(|number| number < self.last.len()) {
            counts.records += samples;
            counts.histograms += histograms;
            counts.untagged += u64::from(!labels.tagged);
        } else {
            counts.foreign += samples;
        }
        Ok(())
    }
}

/// What the sink wants of a series' labels.
#[derive(Default)]
struct Labels {
    number: Option<usize>,
    tagged: bool,
}

impl Labels {
    fn read(&mut self, label: &[u8]) -> Result<()> {
        match label.get(1).copied().map(usize::from) {
            Some(length) if length == GUID_LABEL.len() => {
                if let Some(value) = label_value(label, GUID_LABEL)? {
                    self.tagged = value == GUID.as_bytes();
                }
            }
            Some(length) if length == SERIES_LABEL.len() => {
                if let Some(value) = label_value(label, SERIES_LABEL)? {
                    self.number = std::str::from_utf8(value)?.parse().ok();
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Walks an OTLP export of traces or logs: they have the same shape down to the record.
pub(crate) fn otlp_request(body: &[u8], counts: &mut Counts) -> Result<()> {
    let mut reader = Reader(body);
    while let Some((field, value)) = reader.next()? {
        let (1, Value::Bytes(resource)) = (field, value) else {
            continue;
        };
        let mut tagged = false;
        let mut reader = Reader(resource);
        while let Some((field, value)) = reader.next()? {
            match (field, value) {
                (1, Value::Bytes(resource)) => tagged = has_guid(resource)?,
                (2, Value::Bytes(scope)) => {
                    let mut reader = Reader(scope);
                    while let Some((field, _)) = reader.next()? {
                        counts.records += u64::from(field == 2);
                    }
                }
                _ => {}
            }
        }
        counts.untagged += u64::from(!tagged);
    }
    Ok(())
}

/// The walk for a workload's path.
pub(crate) fn workload_of(path: &str) -> Option<Workload> {
    [Workload::A, Workload::Traces, Workload::Logs]
        .into_iter()
        .find(|workload| workload.path() == path)
}

fn has_guid(resource: &[u8]) -> Result<bool> {
    let mut reader = Reader(resource);
    while let Some((field, value)) = reader.next()? {
        let (1, Value::Bytes(attribute)) = (field, value) else {
            continue;
        };
        // KeyValue { key = 1, value = 2 AnyValue { string = 1 } }: the value is a label in a message.
        let mut reader = Reader(attribute);
        let (mut key, mut text) = (&[][..], &[][..]);
        while let Some((field, value)) = reader.next()? {
            match (field, value) {
                (1, Value::Bytes(bytes)) => key = bytes,
                (2, Value::Bytes(any)) => {
                    if let Some((1, Value::Bytes(bytes))) = Reader(any).next()? {
                        text = bytes;
                    }
                }
                _ => {}
            }
        }
        if key == GUID_LABEL.as_bytes() {
            return Ok(text == GUID.as_bytes());
        }
    }
    Ok(false)
}

/// The value of a label if its name is `name`.
fn label_value<'a>(label: &'a [u8], name: &str) -> Result<Option<&'a [u8]>> {
    let mut reader = Reader(label);
    let Some((1, Value::Bytes(found))) = reader.next()? else {
        bail!("label does not start with its name");
    };
    if found != name.as_bytes() {
        return Ok(None);
    }
    let Some((2, Value::Bytes(value))) = reader.next()? else {
        bail!("label without a value");
    };
    Ok(Some(value))
}

fn sample_time(sample: &[u8]) -> Result<i64> {
    let mut reader = Reader(sample);
    while let Some((field, value)) = reader.next()? {
        if let (2, Value::Varint(time)) = (field, value) {
            return Ok(time.cast_signed());
        }
    }
    bail!("sample without a timestamp")
}

enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Fixed
            }
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(usize::try_from(length)?)?)
            }
            5 => {
                self.take(4)?;
                Value::Fixed
            }
            kind => bail!("wire type {kind}"),
        };
        Ok(Some((tag >> 3, value)))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64> {
        if let [byte @ 0..0x80, rest @ ..] = self.0 {
            self.0 = rest;
            return Ok(u64::from(*byte));
        }
        let mut value = 0;
        for (index, byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.0 = &self.0[index + 1..];
                return Ok(value);
            }
        }
        bail!("varint is cut or too long")
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).context("field is cut")?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::workload::requests;
    use super::*;

    fn walk(tally: &Tally, body: &[u8]) -> Counts {
        let mut counts = Counts::default();
        tally.write_request(body, &mut counts).unwrap();
        counts
    }

    #[test]
    fn every_sample_is_counted_and_an_older_one_is_seen_as_reordered() {
        for workload in [Workload::A, Workload::As, Workload::B] {
            let tally = Tally::new(2_000);
            let early = requests(workload, 2_000, 500, 1, 0, 1_790_000_000_000);
            let late = requests(workload, 2_000, 500, 1, 0, 1_790_000_000_005);
            let counts = walk(&tally, &late[0].encoded.bytes);
            assert_eq!(counts.records, late[0].records);
            assert_eq!((counts.reordered, counts.duplicates), (0, 0));
            let counts = walk(&tally, &early[0].encoded.bytes);
            assert_eq!(counts.reordered, early[0].records, "{workload:?}");
        }
    }

    #[test]
    fn a_forged_guid_is_not_taken_for_the_right_one() {
        let tally = Tally::new(2_000);
        let request = &requests(Workload::B, 2_000, 500, 1, 0, 1_790_000_000_000)[0];
        let counts = walk(&tally, &request.encoded.bytes);
        assert!(counts.untagged > 300, "{counts:?}");
        assert!(counts.exemplars > 0 && counts.histograms > 0 && counts.metadata == 10);
    }

    #[test]
    fn otlp_records_are_counted_and_missing_guids_too() {
        for workload in [Workload::Traces, Workload::Logs] {
            let mut counts = Counts::default();
            let request = &requests(workload, 0, 400, 1, 0, 0)[0];
            otlp_request(&request.encoded.bytes, &mut counts).unwrap();
            assert_eq!((counts.records, counts.untagged), (400, 4));
        }
    }
}
