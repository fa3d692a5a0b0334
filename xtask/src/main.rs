//! Every chore of the project is `cargo xtask …`.

#![deny(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "chores talk to a person at a terminal"
)]

mod bench;
mod build;
mod setup;
mod test;
mod tidy;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Every chore of guidon: set up the machine, build, try it out, test, measure, check.
///
/// New here? `cargo xtask up` shows the agent at work on a demo app and leaves nothing behind;
/// `cargo xtask test` is what has to pass before a change goes in.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Install what is missing, saying what and why (Debian packages, the BPF linker).
    ///
    /// Needs root or sudo and apt; without them it prints the exact list to install by hand and
    /// fails. Running it again does nothing when nothing is missing.
    Setup {
        /// What to be ready for.
        #[arg(value_enum, default_value_t = setup::For::Test)]
        what: setup::For,
    },
    /// Build the kernel programs and the agent (release).
    Build,
    /// Try it out: build, start the agent and a demo app, show a live table of guids until Ctrl-C.
    ///
    /// Everything it started (Docker too, if none ran) is stopped and removed at the end.
    Up {
        /// Print one table after the first full interval and exit.
        #[arg(long)]
        once: bool,
    },
    /// The part of `up` that needs root rights; `up` calls it through sudo.
    #[command(hide = true)]
    UpAsRoot {
        agent: PathBuf,
        #[arg(long)]
        once: bool,
    },
    /// Run the tests; without names all of them, as CI does.
    Test {
        /// Which suites; several may be named.
        #[arg(value_enum)]
        suites: Vec<test::Suite>,
    },
    /// Measure; without names every bench.
    ///
    /// Numbers go to standard output with what they were measured on.
    Bench {
        /// Benches to run (file names under `benches/src/bin`, without `.rs`).
        names: Vec<String>,
        /// What follows `--` goes to the bench; try `cargo xtask bench forward -- --help`.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Check what compilers do not: room order, file lengths, wording, format, lints, docs.
    Tidy,
    /// Build the kernel programs alone and say where the object is.
    Ebpf,
    /// Fuzz one target (or all in turn) for some time.
    Fuzz {
        /// Targets as in `fuzz/fuzz_targets`; default all.
        targets: Vec<String>,
        /// Seconds per target.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Build the API documentation of all crates, warnings being errors.
    Doc,
}

fn main() -> ExitCode {
    match run(Arguments::parse().chore) {
        Ok(true) => ExitCode::SUCCESS,
        // What failed was listed, and the closing line stays the last one.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether all is well; a chore that reports by itself says `false` instead of an error.
fn run(chore: Chore) -> Result<bool> {
    match chore {
        Chore::Setup { what } => setup::setup(what)?,
        Chore::Build => {
            setup::setup(setup::For::Build)?;
            build::release().map(drop)?;
        }
        Chore::Up { once } => up::up(once)?,
        Chore::UpAsRoot { agent, once } => up::show(&agent, once)?,
        Chore::Test { suites } => return test::test(&suites),
        Chore::Bench { names, arguments } => bench::bench(&names, &arguments)?,
        Chore::Tidy => tidy::tidy()?,
        Chore::Ebpf => {
            setup::setup(setup::For::Build)?;
            build::ebpf()?;
        }
        Chore::Fuzz { targets, seconds } => test::fuzz::fuzz(&targets, seconds)?,
        Chore::Doc => tidy::doc()?,
    }
    Ok(true)
}
