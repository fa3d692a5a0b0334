//! `cargo xtask build` and `cargo xtask ebpf`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use xtask::run::{cargo, root, run, step, target_dir};

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

/// Builds the kernel programs alone, as the agent's build script does.
pub(crate) fn ebpf() -> Result<()> {
    step("building the kernel programs");
    let folder = root().join("ebpf");
    run(std::process::Command::new("/usr/bin/cargo")
        .current_dir(&folder)
        .args([
            "build",
            "--release",
            "-Z",
            "build-std=core",
            "--target",
            "bpfel-unknown-none",
        ])
        .env_remove("RUSTUP_TOOLCHAIN")
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTC_BOOTSTRAP", "1")
        .env(
            "CARGO_TARGET_BPFEL_UNKNOWN_NONE_RUSTFLAGS",
            "-C link-arg=--btf -C debuginfo=2",
        ))?;
    step(&format!(
        "built in {}",
        folder.join("target/bpfel-unknown-none/release").display()
    ));
    Ok(())
}
