//! `cargo xtask tidy`: the house rules that no compiler holds, then the ones that it does.

mod files;
mod invariants;
mod rooms;
mod scan;
mod wording;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use xtask::run::{cargo, find_program, output, root, run, step};

/// One check, named as the summary shows it.
#[derive(Debug)]
pub(crate) struct Check {
    pub name: &'static str,
    pub run: fn() -> Result<()>,
}

/// All checks, the quick ones first.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "room order",
        run: || report(rooms::problems(&sources()?)),
    },
    Check {
        name: "file length",
        run: || report(files::too_long(&sources()?)),
    },
    Check {
        name: "unsafe only where the kernel is",
        run: || report(files::misplaced_unsafe(&sources()?)),
    },
    Check {
        name: "unfinished work",
        run: || report(files::unfinished(&sources()?)),
    },
    Check {
        name: "machine paths",
        run: || report(files::machine_paths(&texts()?)),
    },
    Check {
        name: "wording of logs and errors",
        run: || report(wording::problems(&sources()?)),
    },
    Check {
        name: "invariants name living tests",
        run: || report(invariants::problems(&texts()?)),
    },
    Check {
        name: "format",
        run: || run(cargo().args(["fmt", "--all", "--check"])),
    },
    Check {
        name: "lints",
        run: lints,
    },
    Check {
        name: "documentation",
        run: doc,
    },
    Check {
        name: "dependencies",
        run: dependencies,
    },
];

/// Relative path → text.
type Files = BTreeMap<String, String>;

/// Runs every check and fails if one did, after all of them spoke.
pub(crate) fn tidy() -> Result<()> {
    let mut failed = Vec::new();
    for check in CHECKS {
        step(check.name);
        if let Err(error) = (check.run)() {
            eprintln!("{error:#}");
            failed.push(check.name);
        }
    }
    if !failed.is_empty() {
        bail!("not tidy: {}", failed.join(", "));
    }
    Ok(())
}

/// API documentation of all crates, warnings being errors.
pub(crate) fn doc() -> Result<()> {
    run(cargo()
        .args(["doc", "--workspace", "--no-deps", "--quiet"])
        .env("RUSTDOCFLAGS", "-D warnings"))
}

fn lints() -> Result<()> {
    run(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]))
}

fn dependencies() -> Result<()> {
    if find_program("cargo-deny").is_none() {
        eprintln!(
            "cargo-deny is not installed (`cargo install --locked cargo-deny` takes many minutes): \
             licences are checked without it, advisories are not"
        );
        return files::licences();
    }
    run(cargo().args(["deny", "check"]))
}

fn report(problems: Vec<String>) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    bail!("{}", problems.join("\n"))
}

/// Rust sources under version control or about to be.
fn sources() -> Result<Files> {
    read(|path| path.ends_with(".rs"))
}

/// Every text file under version control or about to be.
fn texts() -> Result<Files> {
    read(|_| true)
}

fn read(wanted: impl Fn(&str) -> bool) -> Result<Files> {
    let root = root();
    let list = output(
        Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(&root),
    )?;
    Ok(list
        .lines()
        .filter(|path| wanted(path))
        .filter_map(|path| Some((path.to_owned(), read_text(&root.join(path))?)))
        .collect())
}

/// `None` for a file that was removed from the tree or is no text.
fn read_text(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}
