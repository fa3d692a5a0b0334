//! Walking the cgroup2 directory tree.

use std::{
    fs, io,
    os::unix::fs::{DirEntryExt, MetadataExt},
    path::Path,
};

use guidon_common::CgroupId;

use super::book::Twins;

/// A directory of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Branch {
    /// Its inode number, which is the cgroup's id.
    pub(super) id: CgroupId,
    /// The directory above.
    pub(super) parent: CgroupId,
    /// Relative to the root, starting with `/`.
    pub(super) path: String,
}

/// All cgroups below the root, parents before children. What goes away during the walk is left
/// out, names that are not UTF-8 are spelt with replacement characters.
///
/// # Errors
/// If the root itself cannot be read.
pub(super) fn walk(root: &Path) -> io::Result<Vec<Branch>> {
    let root_id = CgroupId(fs::metadata(root)?.ino());
    let mut branches = Vec::new();
    descend(root, root_id, "", &mut branches)?;
    let mut next = 0;
    while let Some(branch) = branches.get(next).cloned() {
        next += 1;
        // Gone meanwhile: then nothing is below it any more either.
        let folder = below(root, &branch.path);
        match descend(&folder, branch.id, &branch.path, &mut branches) {
            Ok(()) => {}
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(branches)
}

fn descend(folder: &Path, id: CgroupId, path: &str, branches: &mut Vec<Branch>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if is_gone(&error) => break,
            Err(error) => return Err(error),
        };
        // The kernel tells the kind with the name, so this makes no system call.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            branches.push(Branch {
                id: CgroupId(entry.ino()),
                parent: id,
                path: format!("{path}/{}", entry.file_name().to_string_lossy()),
            });
        }
    }
    Ok(())
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

/// Whether the directory is still that cgroup's.
pub(super) fn exists(root: &Path, branch: &Branch) -> bool {
    inode(root, &branch.path) == Some(branch.id)
}

/// The id of the cgroup with this path below the mount point of its hierarchy.
pub(super) fn inode(root: &Path, path: &str) -> Option<CgroupId> {
    fs::metadata(below(root, path))
        .ok()
        .map(|metadata| CgroupId(metadata.ino()))
}

/// The same path's ids in the cgroup v1 hierarchies.
pub(super) fn twins(block: Option<&Path>, memory: Option<&Path>, path: &str) -> Twins {
    Twins {
        block: block.and_then(|root| inode(root, path)),
        memory: memory.and_then(|root| inode(root, path)),
    }
}

fn below(root: &Path, path: &str) -> std::path::PathBuf {
    root.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn folders_are_found_parents_first_and_files_are_not() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b/c")).unwrap();
        fs::create_dir_all(root.path().join("d")).unwrap();
        fs::write(root.path().join("a/cgroup.procs"), "").unwrap();
        let mut found = walk(root.path()).unwrap();
        assert!(found.iter().all(|branch| exists(root.path(), branch)));
        let at = |path: &str| found.iter().position(|branch| branch.path == path).unwrap();
        assert!(at("/a") < at("/a/b") && at("/a/b") < at("/a/b/c"));
        assert_eq!(found[at("/a/b/c")].parent, found[at("/a/b")].id);
        fs::remove_dir(root.path().join("d")).unwrap();
        found.retain(|branch| exists(root.path(), branch));
        assert_eq!(found.len(), 3);
        assert!(walk(&root.path().join("missing")).is_err());
    }
}
