//! What does not come from Debian: the BPF linker.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use xtask::run::{cargo, find_program, output, run, step};

const BPF_LINKER: &str = "0.13.0";
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

pub(super) fn install() -> Result<()> {
    if find_program("bpf-linker").is_none() {
        install_bpf_linker()?;
    }
    Ok(())
}

/// Debian's LLVM if there is one, else the LLVM inside a nightly toolchain from rustup.
fn install_bpf_linker() -> Result<()> {
    let mut install = cargo();
    install.args(["install", "--version", BPF_LINKER, "bpf-linker"]);
    if Path::new(LLVM_PREFIX).join("lib/libLLVM.so").exists() {
        step("installing bpf-linker: links the kernel programs (about a minute)");
        install
            .args(["--no-default-features", "--features", "llvm-22"])
            .env("LLVM_PREFIX", LLVM_PREFIX);
    } else {
        step("no LLVM 22 from Debian: falling back to rustup's nightly for the kernel programs");
        install_nightly()?;
        step("installing bpf-linker: links the kernel programs (some minutes)");
    }
    run(&mut install).context("the kernel programs cannot be built without bpf-linker")
}

fn install_nightly() -> Result<()> {
    let rustup = find_program("rustup").context(
        "neither Debian's rustc-web and llvm-22-dev nor rustup is there; \
         install rustup from https://rustup.rs, then run this again",
    )?;
    let installed = output(Command::new(&rustup).args(["toolchain", "list"]))?;
    if !installed.contains("nightly") {
        run(Command::new(&rustup).args([
            "toolchain",
            "install",
            "nightly",
            "--profile",
            "minimal",
        ]))?;
    }
    run(Command::new(&rustup).args(["component", "add", "rust-src", "--toolchain", "nightly"]))
}
