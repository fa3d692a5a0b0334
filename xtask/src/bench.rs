//! `cargo xtask bench`: every bench, or the named ones, one after the other.

use anyhow::{Result, bail};
use xtask::dockerd::Dockerd;
use xtask::run::{cargo, root, run, step};

use crate::{build, setup, test::names_in};

/// Runs benches by name; all of them without names. `arguments` go to each of them.
pub(crate) fn bench(names: &[String], arguments: &[String]) -> Result<()> {
    let known = names_in(&root().join("benches/src/bin"))?;
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        bail!("no bench {name:?}; there are: {}", known.join(", "));
    }
    setup::setup(setup::For::Test)?;
    // Benches that measure the whole agent measure the program that users run.
    let agent = build::release()?;
    // Some measure containers; it ends with this function if it was not there before.
    let _dockerd = Dockerd::system()?;
    for name in if names.is_empty() { &known } else { names } {
        step(&format!("bench {name}"));
        run(cargo()
            .args([
                "run",
                "--release",
                "--package",
                "guidon-benches",
                "--bin",
                name,
                "--",
            ])
            .args(arguments)
            .env("GUIDON_BIN", &agent))?;
    }
    Ok(())
}
