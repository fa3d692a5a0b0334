//! Images made here from Debian's programs, so that no registry is needed.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use crate::docker::Docker;
use crate::qemu::shared_libraries;
use crate::run::{find_program, output};

/// Imports a root filesystem with nothing but busybox and its applets as `name:latest`.
pub fn import_busybox(docker: &Docker, name: &str) -> Result<()> {
    docker.import(name, &rootfs_tar()?, None)
}

/// Imports a root filesystem with nothing but a program and its shared libraries, at their own
/// paths, as `name:latest` that starts the program.
pub fn import_program(docker: &Docker, name: &str, program: &Path) -> Result<()> {
    let libraries = shared_libraries(program)?;
    let files = libraries.iter().map(PathBuf::as_path).chain([program]);
    let paths = files.map(|path| path.strip_prefix("/").unwrap_or(path));
    let mut tar = tar(Path::new("/"));
    tar.arg("--dereference").args(paths);
    docker.import(name, &archive(&mut tar)?, Some(program))
}

/// The root filesystem as an uncompressed tar archive.
fn rootfs_tar() -> Result<Vec<u8>> {
    let busybox = find_program("busybox").context("busybox is missing: `cargo xtask setup`")?;
    // Several may be packed at the same time.
    static PACKED: AtomicU32 = AtomicU32::new(0);
    let number = PACKED.fetch_add(1, Ordering::Relaxed);
    let name = format!("guidon-rootfs-{}-{number}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    let archive = pack(&busybox, &folder);
    std::fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    archive
}

fn pack(busybox: &Path, folder: &Path) -> Result<Vec<u8>> {
    for name in ["bin", "dev", "etc", "proc", "sys", "tmp", "root"] {
        std::fs::create_dir_all(folder.join(name))?;
    }
    std::fs::copy(busybox, folder.join("bin/busybox"))?;
    for applet in output(Command::new(busybox).arg("--list"))?.lines() {
        if applet != "busybox" {
            symlink("busybox", folder.join("bin").join(applet))?;
        }
    }
    archive(tar(folder).arg("."))
}

/// A `tar` that archives what is named next, relative to `folder`.
fn tar(folder: &Path) -> Command {
    let mut tar = Command::new("tar");
    tar.args([
        "--create",
        "--numeric-owner",
        "--owner=0",
        "--group=0",
        "--directory",
    ]);
    tar.arg(folder);
    tar
}

fn archive(tar: &mut Command) -> Result<Vec<u8>> {
    let output = tar.output().context("start tar")?;
    anyhow::ensure!(output.status.success(), "tar failed: {}", output.status);
    Ok(output.stdout)
}
