//! The busybox image: made here from Debian's busybox-static, so that no registry is needed.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::docker::Docker;
use crate::run::{find_program, output};

/// Imports a root filesystem with nothing but busybox and its applets as `name:latest`.
pub fn import_busybox(docker: &Docker, name: &str) -> Result<()> {
    docker.import(name, &rootfs_tar()?)
}

/// The root filesystem as an uncompressed tar archive.
fn rootfs_tar() -> Result<Vec<u8>> {
    let busybox = find_program("busybox").context("busybox is missing: `cargo xtask setup`")?;
    let folder = std::env::temp_dir().join(format!("guidon-rootfs-{}", std::process::id()));
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
    let output = Command::new("tar")
        .args([
            "--create",
            "--numeric-owner",
            "--owner=0",
            "--group=0",
            "--directory",
        ])
        .arg(folder)
        .arg(".")
        .output()
        .context("start tar")?;
    anyhow::ensure!(output.status.success(), "tar failed: {}", output.status);
    Ok(output.stdout)
}
