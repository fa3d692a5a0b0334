//! The kernel tests twice: on the running kernel, and on Debian's 6.1 with pure cgroup v2.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use xtask::qemu;
use xtask::run::{cargo, output, root, step};

use super::names_in;
use super::tally::Tally;

/// A program that the kernel tests start processes of.
const WORKER: &str = "kernel-worker";
/// Booting takes 3 s, a run some 15 s; a busy machine may need several times that.
const VM_TIMEOUT: Duration = Duration::from_secs(240);

/// Whether a file of `tests/tests` holds kernel tests: those need no Docker and no server, so they
/// also run in a machine that has only the kernel.
pub(crate) fn is_kernel_test(name: &str) -> bool {
    name.starts_with("kernel")
}

pub(crate) fn run(tally: &mut Tally) -> Result<()> {
    let mut programs = Vec::new();
    let mut worker = None;
    for name in names_in(&root().join("tests/tests"))? {
        if is_kernel_test(&name) {
            programs.push(executable(&name, &name)?);
            worker = Some(executable(&name, WORKER)?);
        }
    }
    if programs.is_empty() {
        bail!("no kernel tests in tests/tests");
    }
    step("kernel tests on this kernel");
    for program in &programs {
        tally.libtest(Command::new(program).arg("--test-threads=1"))?;
    }
    let kernel = qemu::debian_kernel()?;
    step(&format!("kernel tests on {}", kernel.display()));
    let mut script = String::from("uname -r\n");
    for program in &programs {
        let name = program.file_name().context("a program without a name")?;
        script.push_str(&format!("{} --test-threads=1\n", name.to_string_lossy()));
    }
    let console = qemu::run_in_vm(&qemu::Machine {
        kernel: &kernel,
        programs: &programs.iter().cloned().chain(worker).collect::<Vec<_>>(),
        files: &[],
        script: &script,
        timeout: VM_TIMEOUT,
    })?;
    println!("{console}");
    tally.libtest_output(&console);
    let reports = console.matches("test result: ").count();
    if reports != programs.len() {
        bail!(
            "{reports} of {} test programs reported from the machine",
            programs.len()
        );
    }
    Ok(())
}

/// Builds a test program with the programs it starts, and returns where the named one is.
fn executable(test: &str, name: &str) -> Result<PathBuf> {
    let messages = output(cargo().args([
        "test",
        "--package",
        "guidon-tests",
        "--test",
        test,
        "--no-run",
        "--message-format=json",
    ]))?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("cargo names no program for {name}"))
}
