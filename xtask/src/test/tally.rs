//! Counting what passed, failed and was skipped, over runners that report differently.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use xtask::run::{line, target_dir};

/// A runner that is silent for so long hangs.
const SILENCE: Duration = Duration::from_secs(600);

/// Where tests that find at run time that they cannot run here say so, a line each
/// (`guidon_tests::skip`): the test framework would count them as passed.
const SKIPS_VARIABLE: &str = "GUIDON_TEST_SKIPS";

/// Lines of a panic's text that the closing summary repeats.
const PANIC_LINES: usize = 6;

/// The sums, and the names of what failed or was skipped.
#[derive(Debug)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
    failures: Vec<String>,
    panics: Panics,
    skips: PathBuf,
}

/// What panics said, for the end of a long log.
#[derive(Debug, Default)]
struct Panics {
    texts: Vec<String>,
    /// Lines of the last text that may still come.
    lines_left: usize,
}

/// What one `test result:` line says.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tally {
    pub(crate) fn new() -> Result<Self> {
        let skips = target_dir().join("test-skips");
        std::fs::create_dir_all(target_dir())?;
        std::fs::write(&skips, "").with_context(|| format!("write {}", skips.display()))?;
        Ok(Self {
            passed: 0,
            failed: 0,
            skipped: 0,
            failures: Vec::new(),
            panics: Panics::default(),
            skips,
        })
    }

    /// Books one failure.
    pub(crate) fn fail(&mut self, what: &str) {
        eprintln!("failed: {what}");
        self.failed += 1;
        self.failures.push(what.to_owned());
    }

    /// Books a check that is one thing.
    pub(crate) fn check(&mut self, name: &str, result: Result<()>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(error) => self.fail(&format!("{name}: {error:#}")),
        }
    }

    /// Books what a run of Rust's test framework printed.
    pub(crate) fn libtest_output(&mut self, text: &str) -> u64 {
        let failed_before = self.failed;
        for line in text.lines() {
            self.libtest_line(line);
        }
        self.failed - failed_before
    }

    /// Runs Rust's test framework and books what it reports.
    pub(crate) fn libtest(&mut self, command: &mut Command) -> Result<()> {
        let mut child = command
            .env(SKIPS_VARIABLE, &self.skips)
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", line(command)))?;
        let stdout = child.stdout.take().context("no pipe")?;
        let (sender, lines) = channel();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(|line| line.ok()) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let failed_before = self.failed;
        loop {
            match lines.recv_timeout(SILENCE) {
                Ok(line) => {
                    println!("{line}");
                    self.libtest_line(&line);
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(group) = i32::try_from(child.id())
                        .ok()
                        .and_then(rustix::process::Pid::from_raw)
                    {
                        rustix::process::kill_process_group(group, rustix::process::Signal::KILL)?;
                    }
                    child.wait()?;
                    bail!("{} said nothing for {SILENCE:?}", line(command));
                }
            }
        }
        if reader.join().is_err() {
            bail!("reading the output of {} failed", line(command));
        }
        let status = child.wait()?;
        // A test program that did not compile or broke off reports no failed test.
        if !status.success() && self.failed == failed_before {
            bail!("{} failed: {status}", line(command));
        }
        Ok(())
    }

    fn libtest_line(&mut self, line: &str) {
        if let Some(counts) = parse_result(line) {
            self.passed += counts.passed;
            self.failed += counts.failed;
            self.skipped += counts.ignored;
        } else if let Some(name) = failed_name(line) {
            self.failures.push(name.to_owned());
        }
        self.panics.line(line);
    }

    /// Prints what failed and was skipped, then the closing line; returns whether nothing failed.
    pub(crate) fn close(mut self) -> Result<bool> {
        let skips = std::fs::read_to_string(&self.skips)?;
        let late = skips.lines().count() as u64;
        self.passed = self.passed.saturating_sub(late);
        self.skipped += late;
        for skip in skips.lines() {
            println!("skipped: {skip}");
        }
        // Some panic on purpose in tests that pass.
        if self.failed > 0 {
            for panic in &self.panics.texts {
                println!("{panic}");
            }
        }
        for failure in &self.failures {
            println!("failed: {failure}");
        }
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        );
        Ok(self.failed == 0)
    }
}

impl Panics {
    /// Keeps the first lines of what a panic says.
    fn line(&mut self, line: &str) {
        if line.starts_with("thread '") && line.contains(" panicked at ") {
            self.texts.push(line.to_owned());
            self.lines_left = PANIC_LINES;
        } else if line.is_empty() || line.starts_with("note: ") {
            self.lines_left = 0;
        } else if let Some(left) = self.lines_left.checked_sub(1)
            && let Some(last) = self.texts.last_mut()
        {
            self.lines_left = left;
            last.push_str("\n  ");
            last.push_str(line);
        }
    }
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.0s`
fn parse_result(line: &str) -> Option<Counts> {
    let mut counts = Counts {
        passed: 0,
        failed: 0,
        ignored: 0,
    };
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    for part in numbers.split(';') {
        let (number, word) = part.trim().split_once(' ')?;
        match word {
            "passed" => counts.passed = number.parse().ok()?,
            "failed" => counts.failed = number.parse().ok()?,
            "ignored" => counts.ignored = number.parse().ok()?,
            _ => break,
        }
    }
    Some(counts)
}

/// `test some::name ... FAILED`
fn failed_name(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

#[cfg(test)]
mod tests {
    use super::{Counts, Panics, failed_name, parse_result};

    #[test]
    fn the_frameworks_closing_line_is_understood() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s";
        let counts = Counts {
            passed: 12,
            failed: 3,
            ignored: 1,
        };
        assert_eq!(parse_result(line), Some(counts));
        assert_eq!(parse_result("test result of something else"), None);
    }

    #[test]
    fn a_failed_test_is_remembered_by_name() {
        assert_eq!(failed_name("test a::b ... FAILED"), Some("a::b"));
        assert_eq!(failed_name("test a::b ... ok"), None);
    }

    #[test]
    fn what_a_panic_says_is_kept() {
        let mut panics = Panics::default();
        let text = "---- a::b stdout ----\n\nthread 'a::b' (7) panicked at src/a.rs:1:2:\n\
                    assertion failed\n  left: 1\nnote: run with more\nno part of it\n";
        for line in text.lines() {
            panics.line(line);
        }
        let expected =
            "thread 'a::b' (7) panicked at src/a.rs:1:2:\n  assertion failed\n    left: 1";
        assert_eq!(panics.texts, [expected]);
    }
}
