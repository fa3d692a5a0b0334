//! `cargo xtask setup`: install what is missing, saying what and why.

mod packages;
mod toolchain;

use anyhow::Result;
use clap::ValueEnum;

/// What the machine should be ready for; each includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum For {
    /// Building the agent with its kernel programs.
    Build,
    /// Trying it out with Docker.
    Up,
    /// The whole test suite: real receivers, a virtual machine, fuzzing.
    Test,
}

/// Installs what is missing for `what`. Says nothing and does nothing when nothing is.
pub(crate) fn setup(what: For) -> Result<()> {
    packages::install(what)?;
    toolchain::install()
}
