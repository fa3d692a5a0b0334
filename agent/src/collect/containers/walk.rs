//! Finding containers by walking the cgroup file system: for hosts without the kernel programs.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use guidon_common::CgroupId;

use super::super::hierarchy::Hierarchy;
use super::ContainerCollector;
use crate::directory::container_of_path;

/// Deepest directory that is searched: containers lie at most six below the root (kind).
const MAX_DEPTH: usize = 10;

impl ContainerCollector {
    /// Takes found containers into the books; what is not found any more has ended.
    pub(super) fn walk(&mut self, now_ms: i64) {
        self.walks += 1;
        let roots = self.hierarchy.walkable().into_iter().map(Path::to_owned);
        for root in roots.collect::<Vec<_>>() {
            let mut found = Vec::new();
            search(&root, "", 0, &mut found);
            for path in found {
                self.found(&root, &path, now_ms);
            }
        }
        let walks = self.walks;
        for entry in self
            .entries
            .iter_mut()
            .flatten()
            .filter(|entry| entry.walk != walks)
        {
            entry.end(now_ms);
        }
    }

    fn found(&mut self, root: &Path, path: &str, now_ms: i64) {
        let Some((container, _)) = container_of_path(path) else {
            return;
        };
        let container = container.to_owned();
        let index = match self.by_container.get(&container) {
            Some(&index) => index,
            None => {
                let born_ms = made_ms(&self.hierarchy, path).unwrap_or(now_ms);
                if let Ok(metadata) = std::fs::metadata(root.join(&path[1..])) {
                    self.directory.cgroup_born(CgroupId(metadata.ino()), path);
                }
                self.entry_of(&container, path, now_ms, born_ms)
            }
        };
        let walks = self.walks;
        if let Some(entry) = &mut self.entries[index] {
            entry.walk = walks;
            if entry.ended_ms.is_some() {
                entry.begin(now_ms);
            }
        }
    }
}

/// Appends the paths of containers' cgroups, not looking below them.
fn search(directory: &Path, path: &str, depth: usize, found: &mut Vec<String>) {
    let Ok(children) = std::fs::read_dir(directory) else {
        return;
    };
    for child in children.flatten() {
        if !child.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let Ok(name) = child.file_name().into_string() else {
            continue;
        };
        let path = format!("{path}/{name}");
        if container_of_path(&path).is_some() {
            found.push(path);
        } else if depth < MAX_DEPTH {
            search(&child.path(), &path, depth + 1, found);
        }
    }
}

/// When the cgroup was made, in Unix milliseconds, as far as its directory tells.
pub(super) fn made_ms(hierarchy: &Hierarchy, path: &str) -> Option<i64> {
    let root = hierarchy.walkable().into_iter().next()?;
    let modified = std::fs::metadata(root.join(path.trim_start_matches('/')))
        .ok()?
        .modified()
        .ok()?;
    i64::try_from(modified.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}
