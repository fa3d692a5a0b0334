//! Memory and file handles.

use super::{put, put_if};
use crate::collect::catalogue::node::{self as families, keyed};
use crate::collect::scan;
use crate::signal::series::SeriesTable;

/// `/proc/meminfo`: `Key: value kB`, or without a unit.
pub(super) fn meminfo(bytes: &[u8], table: &mut SeriesTable) {
    for line in scan::lines(bytes) {
        let mut words = scan::words(line);
        let Some(key) = words.next().and_then(|word| word.strip_suffix(b":")) else {
            continue;
        };
        let Some(value) = words.next().and_then(scan::number) else {
            continue;
        };
        let (list, unit) = match words.next() {
            Some(b"kB") => (keyed::MEMINFO, 1024.0),
            _ => (keyed::MEMINFO_COUNTS, 1.0),
        };
        if let Some(family) = keyed::find(list, key) {
            put(table, family, value as f64 * unit);
        }
    }
}

/// `/proc/vmstat`.
pub(super) fn vmstat(bytes: &[u8], table: &mut SeriesTable) {
    for (key, value) in scan::pairs(bytes) {
        if let Some(family) = keyed::find(keyed::VMSTAT, key) {
            put(table, family, value as f64);
        }
    }
}

/// `/proc/sys/fs/file-nr`: in use, always 0, most.
pub(super) fn file_nr(bytes: &[u8], table: &mut SeriesTable) {
    let mut numbers = scan::words(bytes).map(scan::float);
    put_if(table, &families::FILEFD_ALLOCATED, numbers.next().flatten());
    put_if(table, &families::FILEFD_MAXIMUM, numbers.nth(1).flatten());
}
