//! Fuzz targets: built as cargo-fuzz builds them, but by the pinned stable compiler and without
//! cargo-fuzz, which is not needed for more than a few flags and is a minute to install.
//!
//! No sanitizer: the fuzzed rooms forbid `unsafe`, so panics, overflows and memory limits are what
//! there is to find.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use xtask::run::{cargo, line, output, root, run, step, target_dir};

use super::names_in;

/// Coverage for libFuzzer, as cargo-fuzz asks for it.
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];

/// Every fuzz target.
pub(crate) fn targets() -> Result<Vec<String>> {
    names_in(&root().join("fuzz/fuzz_targets"))
}

/// Fuzzes the named targets (all without names) for `seconds` each.
pub(crate) fn fuzz(names: &[String], seconds: u64) -> Result<()> {
    let known = targets()?;
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        bail!("no fuzz target {name:?}; there are: {}", known.join(", "));
    }
    let chosen = if names.is_empty() { &known } else { names };
    for (target, result) in fuzz_each(chosen, seconds)? {
        result.with_context(|| format!("fuzz target {target}"))?;
    }
    Ok(())
}

/// Fuzzes each target for `seconds`; a target that failed does not keep the others from running.
pub(crate) fn fuzz_each(targets: &[String], seconds: u64) -> Result<Vec<(&str, Result<()>)>> {
    step("building the fuzz targets");
    let programs = build()?;
    Ok(targets
        .iter()
        .map(|target| {
            step(&format!("fuzzing {target} for {seconds} s"));
            (target.as_str(), fuzz_one(&programs, target, seconds))
        })
        .collect())
}

/// Builds all targets at once; the folder with their programs.
fn build() -> Result<PathBuf> {
    let version = output(cargo().arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    // With a target named, the flags are not for build scripts and macros.
    let host = host.context("cargo does not say what machine this is")?;
    let folder = target_dir().join("fuzz");
    run(cargo()
        .args(["build", "--release", "--bins", "--target", host])
        .arg("--manifest-path")
        .arg(root().join("fuzz/Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder)
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f")))?;
    Ok(folder.join(host).join("release"))
}

fn fuzz_one(programs: &Path, target: &str, seconds: u64) -> Result<()> {
    let fuzz = root().join("fuzz");
    let corpus = fuzz.join("corpus").join(target);
    let artifacts = fuzz.join("artifacts").join(target);
    for folder in [&corpus, &artifacts] {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    let mut command = Command::new(programs.join(target));
    command.arg(corpus).args([
        format!("-artifact_prefix={}/", artifacts.display()),
        format!("-max_total_time={seconds}"),
        "-timeout=10".to_owned(),
        "-rss_limit_mb=2048".to_owned(),
        "-print_final_stats=1".to_owned(),
        "-verbosity=0".to_owned(),
    ]);
    // The fuzzer says more than anybody wants to read of a run without findings.
    let ended = command.output().with_context(|| line(&command))?;
    let said = String::from_utf8_lossy(&ended.stderr);
    if !ended.status.success() {
        eprintln!("{said}");
        bail!("{} failed: {}", line(&command), ended.status);
    }
    for stat in said.lines().filter(|line| line.starts_with("stat::")) {
        eprintln!("      {stat}");
    }
    Ok(())
}
