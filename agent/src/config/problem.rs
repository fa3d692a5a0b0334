//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A place in the file; both count from 1, columns in characters.
    File { line: usize, column: usize },
    /// An environment variable.
    Env(String),
    /// Nobody wrote it: a default.
    Default,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub origin: Origin,
    /// Path of the key, e.g. `api.listen`; empty where the file as a whole is meant.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it; empty where `what` says it.
    pub fix: String,
}

impl Problem {
    /// The line, where the problem is in the file.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self.origin {
            Origin::File { line, .. } => Some(line),
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        formatter.write_str(&self.what)?;
        if !self.fix.is_empty() {
            write!(formatter, "; {}", self.fix)?;
        }
        Ok(())
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    /// The file (or the environment) has problems: all of them, in file order.
    #[error("{}", show(path.as_ref(), problems))]
    Invalid {
        /// Absent: there was no file, only the environment.
        path: Option<PathBuf>,
        problems: Vec<Problem>,
    },
}

impl ConfigError {
    /// The problems, where the file could be read.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Read { .. } => &[],
            Self::Invalid { problems, .. } => problems,
        }
    }
}

/// One line per problem: `file:line:column: key: what; fix`.
fn show(path: Option<&PathBuf>, problems: &[Problem]) -> String {
    let file = path.map_or_else(|| "configuration".into(), |path| path.to_string_lossy());
    let lines: Vec<String> = problems
        .iter()
        .map(|problem| match &problem.origin {
            Origin::File { line, column } => format!("{file}:{line}:{column}: {problem}"),
            Origin::Env(name) => format!("${name}: {problem}"),
            Origin::Default => format!("{file}: {problem}"),
        })
        .collect();
    lines.join("\n")
}

/// What is wrong with one value: the reader adds place and key.
#[derive(Debug)]
pub(super) struct Complaint {
    pub(super) what: String,
    pub(super) fix: String,
}

impl Complaint {
    pub(super) fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            fix: fix.into(),
        }
    }
}
