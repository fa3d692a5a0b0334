//! Files that are the old or the new one after any crash, never a part: written and synced under
//! another name, then renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes and syncs `part`, which [`replace`] puts in place. Leaves nothing where it fails.
pub(crate) fn prepare(part: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let write = || {
        let mut options = OpenOptions::new();
        options.create_new(true).write(true).mode(mode);
        let mut file = options.open(part)?;
        file.write_all(content)?;
        file.sync_all()
    };
    // Left by a crash, before it counted; and it might have other permissions.
    discard(part)?;
    write().inspect_err(|_| {
        // The disk may be full: leave nothing that makes it fuller.
        let _ = fs::remove_file(part);
    })
}

/// Renames `part`, of the same folder, to `path`.
pub(crate) fn replace(part: &Path, path: &Path) -> io::Result<()> {
    fs::rename(part, path)?;
    path.parent().map_or(Ok(()), sync)
}

/// Removes a file; one that is not there is fine.
pub(crate) fn discard(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes renames and removals durable.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
