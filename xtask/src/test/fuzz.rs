//! Fuzz targets through cargo-fuzz.

use anyhow::{Context, Result, bail, ensure};
use xtask::run::{cargo, output, root, run, step};

use crate::setup;

/// Every fuzz target.
pub(crate) fn targets() -> Result<Vec<String>> {
    let folder = root().join("fuzz");
    ensure!(folder.is_dir(), "there is no {}", folder.display());
    let list = output(cargo().args(["fuzz", "list"])).context("cargo-fuzz: `cargo xtask setup`")?;
    Ok(list.lines().map(str::to_owned).collect())
}

/// Fuzzes the named targets (all without names) for `seconds` each.
pub(crate) fn fuzz(names: &[String], seconds: u64) -> Result<()> {
    setup::setup(setup::For::Test)?;
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
    run(&mut fuzz_command("build"))?;
    Ok(targets
        .iter()
        .map(|target| {
            step(&format!("fuzzing {target} for {seconds} s"));
            let result = run(fuzz_command("run").arg(target).args([
                "--",
                &format!("-max_total_time={seconds}"),
                "-rss_limit_mb=2048",
                "-print_final_stats=1",
                "-verbosity=0",
            ]));
            (target.as_str(), result)
        })
        .collect())
}

/// cargo-fuzz wants compiler flags that only nightly knows; the pinned compiler takes them too when
/// told so. No sanitizer: the fuzzed rooms forbid `unsafe`, so panics, overflows and memory limits
/// are what there is to find.
fn fuzz_command(verb: &str) -> std::process::Command {
    let mut command = cargo();
    command
        .args(["fuzz", verb, "--sanitizer", "none"])
        .env("RUSTC_BOOTSTRAP", "1")
        // No target loads them, and they would be built once more for the fuzz workspace.
        .env("GUIDON_NO_BPF", "1");
    command
}
