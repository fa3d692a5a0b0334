//! Block devices.

use super::{families, put_with};
use crate::collect::scan;
use crate::signal::series::SeriesTable;

/// Unit of sectors in `/proc/diskstats`, whatever the device's own.
const SECTOR: f64 = 512.0;

/// `/proc/diskstats`: major, minor, name, then 11 fields, 15 from kernel 4.18, 17 from 5.5 on.
pub(super) fn diskstats(bytes: &[u8], table: &mut SeriesTable) {
    for line in scan::lines(bytes) {
        let mut words = scan::words(line).skip(2);
        let Some(device) = words.next().and_then(|name| std::str::from_utf8(name).ok()) else {
            continue;
        };
        if is_left_out(device) {
            continue;
        }
        let labels = [("device", device)];
        let columns = [
            (&families::DISK_READS, 1.0),
            (&families::DISK_READS_MERGED, 1.0),
            (&families::DISK_READ_BYTES, SECTOR),
            (&families::DISK_READ_SECONDS, 1e-3),
            (&families::DISK_WRITES, 1.0),
            (&families::DISK_WRITES_MERGED, 1.0),
            (&families::DISK_WRITTEN_BYTES, SECTOR),
            (&families::DISK_WRITE_SECONDS, 1e-3),
            (&families::DISK_IO_NOW, 1.0),
            (&families::DISK_IO_SECONDS, 1e-3),
            (&families::DISK_IO_WEIGHTED_SECONDS, 1e-3),
            (&families::DISK_DISCARDS, 1.0),
            (&families::DISK_DISCARDS_MERGED, 1.0),
            (&families::DISK_DISCARDED_SECTORS, 1.0),
            (&families::DISK_DISCARD_SECONDS, 1e-3),
            (&families::DISK_FLUSHES, 1.0),
            (&families::DISK_FLUSH_SECONDS, 1e-3),
        ];
        for ((family, unit), value) in columns.into_iter().zip(words.map_while(scan::number)) {
            put_with(table, family, &labels, value as f64 * unit);
        }
    }
}

/// Ram disks, loop devices, floppies and partitions: node exporter's default.
/// `^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$`
pub(super) fn is_left_out(device: &str) -> bool {
    let stem = device.trim_end_matches(|character: char| character.is_ascii_digit());
    if stem.len() == device.len() {
        return false;
    }
    if matches!(stem, "ram" | "loop" | "fd") {
        return true;
    }
    let letter = stem.as_bytes().last().is_some_and(u8::is_ascii_lowercase);
    if letter && matches!(&stem[..stem.len() - 1], "hd" | "sd" | "vd" | "xvd") {
        return true;
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    stem.strip_prefix("nvme")
        .and_then(|rest| rest.strip_suffix('p'))
        .and_then(|rest| rest.split_once('n'))
        .is_some_and(|(controller, namespace)| digits(controller) && digits(namespace))
}
