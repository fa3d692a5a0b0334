//! Where the host's cgroup hierarchies are mounted: unified (v2), hybrid, or v1 alone.

use std::path::{Path, PathBuf};

/// The v1 controllers that are read.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuacct", "memory", "blkio", "pids"];

/// Mount points of the hierarchies.
#[derive(Debug, Clone, Default)]
pub struct Hierarchy {
    /// The cgroup2 hierarchy, with or without controllers.
    pub(super) unified: Option<PathBuf>,
    /// v1 hierarchies by [`Controller`]; all absent on pure v2.
    v1: [Option<PathBuf>; CONTROLLERS.len()],
}

/// A v1 controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    Cpu,
    Cpuacct,
    Memory,
    Blkio,
    Pids,
}

impl Hierarchy {
    /// Finds the mounts below `sys` (`/sys`, or where the host's is seen): by their files, since a
    /// bind mount hides the file system's type from nobody but does not always show it.
    #[must_use]
    pub fn detect(sys: &Path) -> Self {
        let root = sys.join("fs/cgroup");
        if root.join("cgroup.controllers").exists() {
            return Self {
                unified: Some(root),
                v1: Default::default(),
            };
        }
        let unified = root.join("unified");
        let present = |path: PathBuf| path.join("cgroup.procs").exists().then_some(path);
        Self {
            unified: unified
                .join("cgroup.controllers")
                .exists()
                .then_some(unified),
            v1: CONTROLLERS.map(|name| present(root.join(name))),
        }
    }

    /// The v1 hierarchy of a controller.
    pub(super) fn v1(&self, controller: Controller) -> Option<&Path> {
        self.v1[controller as usize].as_deref()
    }

    /// The hierarchy whose memory controller counts, and whether it is v1.
    pub(super) fn memory(&self) -> Option<(&Path, bool)> {
        match self.v1(Controller::Memory) {
            Some(path) => Some((path, true)),
            None => self.unified.as_deref().map(|path| (path, false)),
        }
    }

    /// Where containers are looked for when no kernel program tells: cgroup2 if the runtimes use
    /// it, else a v1 hierarchy.
    pub(super) fn walkable(&self) -> Vec<&Path> {
        let v1 = [Controller::Memory, Controller::Cpuacct, Controller::Pids];
        let v1 = v1.into_iter().find_map(|controller| self.v1(controller));
        self.unified.as_deref().into_iter().chain(v1).collect()
    }
}
