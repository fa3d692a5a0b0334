//! Names of block devices by their numbers.

use std::path::Path;

use super::super::scan;

/// `/dev/…` of the device with these numbers, from `diskstats`.
pub(super) fn name(proc: &Path, (major, minor): (u32, u32)) -> Option<String> {
    let mut buffer = Vec::new();
    scan::read_path(&proc.join("diskstats"), &mut buffer).ok()?;
    scan::lines(&buffer).find_map(|line| {
        let mut words = scan::words(line);
        let found = scan::number(words.next()?)? == u64::from(major)
            && scan::number(words.next()?)? == u64::from(minor);
        found
            .then(|| words.next())
            .flatten()
            .map(|name| format!("/dev/{}", String::from_utf8_lossy(name)))
    })
}
