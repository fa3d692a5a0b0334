//! `cargo xtask test`: every suite, one closing line.

pub(crate) mod fuzz;
mod kernel;
mod tally;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use xtask::dockerd::Dockerd;
use xtask::run::{cargo, root, step};

use crate::{build, setup, tidy};
use tally::Tally;

/// Seconds of fuzzing in a full run, shared by all targets.
const FUZZ_BUDGET_SECONDS: u64 = 60;

/// What can be tested by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// Tests beside the code; no privileges needed.
    Unit,
    /// Format, lints, docs, room order and the other house rules.
    Tidy,
    /// The real agent against real Docker and real receivers (root).
    Agent,
    /// The kernel programs, here and on Debian's 6.1 kernel in a virtual machine (root).
    Kernel,
    /// A short run of every fuzz target.
    Fuzz,
}

/// What runs without names.
const ROUTINE: &[Suite] = &[
    Suite::Unit,
    Suite::Tidy,
    Suite::Fuzz,
    Suite::Agent,
    Suite::Kernel,
];

/// Runs the suites (all without names); prints `N passed, N failed, N skipped` as the last line and
/// returns whether nothing failed.
pub(crate) fn test(suites: &[Suite]) -> Result<bool> {
    let suites = if suites.is_empty() { ROUTINE } else { suites };
    let started = Instant::now();
    let plain = [Suite::Unit, Suite::Tidy, Suite::Fuzz];
    if suites.iter().any(|suite| !plain.contains(suite)) {
        setup::setup(setup::For::Test)?;
    }
    let mut tally = Tally::new()?;
    for &suite in suites {
        let begun = Instant::now();
        if let Err(error) = run(suite, &mut tally) {
            // A suite that could not run at all is a failure; the others still run.
            tally.fail(&format!("{suite:?}: {error:#}"));
        }
        step(&format!(
            "{suite:?} took {:.0} s",
            begun.elapsed().as_secs_f64()
        ));
    }
    step(&format!(
        "all took {:.0} s",
        started.elapsed().as_secs_f64()
    ));
    tally.close()
}

fn run(suite: Suite, tally: &mut Tally) -> Result<()> {
    match suite {
        Suite::Unit => {
            step("unit tests");
            tally.libtest(cargo().args(["test", "--no-fail-fast"]))
        }
        Suite::Tidy => {
            for check in tidy::CHECKS {
                step(check.name);
                tally.check(check.name, (check.run)());
            }
            Ok(())
        }
        Suite::Agent => agent(tally),
        Suite::Kernel => kernel::run(tally),
        Suite::Fuzz => {
            let targets = fuzz::targets()?;
            let seconds = FUZZ_BUDGET_SECONDS / (targets.len().max(1) as u64);
            for (target, result) in fuzz::fuzz_each(&targets, seconds)? {
                tally.check(&format!("fuzz {target}"), result);
            }
            Ok(())
        }
    }
}

/// Whole-system tests: one after the other, for they share a machine and measure it.
fn agent(tally: &mut Tally) -> Result<()> {
    let program = build::release()?;
    let dockerd = Dockerd::system()?;
    step("whole-system tests");
    let mut command = cargo();
    command
        .args([
            "test",
            "--package",
            "guidon-tests",
            "--no-fail-fast",
            "--lib",
        ])
        .env("GUIDON_BIN", program);
    for name in names_in(&root().join("tests/tests"))? {
        if !kernel::is_kernel_test(&name) {
            command.args(["--test", &name]);
        }
    }
    command.args(["--", "--test-threads=1"]);
    tally.libtest(&mut command)?;
    drop(dockerd);
    Ok(())
}

/// Names, without `.rs`, of the Rust files in a folder, sorted.
pub(crate) fn names_in(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".rs") {
            names.push(name.to_owned());
        }
    }
    if names.is_empty() {
        bail!("nothing in {}", folder.display());
    }
    names.sort();
    Ok(names)
}
