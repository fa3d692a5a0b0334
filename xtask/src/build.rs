//! `cargo xtask build` and `cargo xtask ebpf`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use xtask::run::{cargo, run, step, target_dir};

/// Builds the agent with optimizations (its build script builds and embeds the kernel programs) and
/// returns the path of the program.
pub(crate) fn release() -> Result<PathBuf> {
    step("building the agent (release; the first time takes some minutes)");
    run(cargo().args([
        "build",
        "--release",
        "--package",
        "guidon",
        "--bin",
        "guidon",
    ]))?;
    let program = target_dir().join("release/guidon");
    std::fs::metadata(&program).with_context(|| format!("{} is missing", program.display()))?;
    Ok(program)
}

/// Builds the kernel programs: the agent's build script does it, on its way to a mere check.
pub(crate) fn ebpf() -> Result<()> {
    step("building the kernel programs");
    run(cargo().args(["check", "--quiet", "--package", "guidon"]))?;
    let object = target_dir().join("ebpf/bpfel-unknown-none/release/guidon");
    let size = std::fs::metadata(&object)
        .with_context(|| format!("{} is missing", object.display()))?
        .len();
    println!("{} ({} KiB)", object.display(), size / 1024);
    Ok(())
}
