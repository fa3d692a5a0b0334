//! The typed configuration: its file format, validation, overrides, and reload as a difference.
//!
//! Knows nothing that runs. Every key is optional; unknown keys are errors; all problems of a file
//! are reported together, each with its line.
//!
//! Precedence, weakest first: the defaults of the types here, the file, environment variables
//! named `GUIDON__SECTION__KEY` (e.g. `GUIDON__API__LISTEN`, `GUIDON__STACK__VECTOR__MANAGED`).
//! A variable's value is read as TOML where it is some (`false`, `["a", "b"]`, `"text"`), else as
//! a string without quotes. It replaces the whole value of its key.

pub(crate) mod atomic;
mod difference;
mod guid;
mod host;
mod kept;
mod network;
mod problem;
mod read;
mod reader;
mod rules;
mod secret;
mod tree;
mod types;
mod units;
mod values;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

pub use difference::{Change, Effect};
pub use guid::{Guid, InvalidGuid};
pub use host::{HostGuidError, host_guid};
pub use kept::{Kept, KeptError, Put};
pub use network::{InvalidNetwork, Network};
pub use problem::{ConfigError, Origin, Problem};
pub use secret::{Secret, TokenError};
pub use types::*;
pub(crate) use units::{bytes as parse_bytes, duration as parse_duration, show_bytes};

/// Where the file is looked for when nobody names one.
pub const DEFAULT_PATH: &str = "/etc/guidon/guidon.toml";
/// A configuration is smaller; a wrong path must not be slurped.
const MAX_FILE_LEN: u64 = 1 << 20;

/// Environment variables, name and value.
pub type Environment = Vec<(String, String)>;

/// The variables of this process that are text.
#[must_use]
pub fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

impl Config {
    /// Reads the file at `path`, or at [`DEFAULT_PATH`], where its absence is not an error, and
    /// checks that the files it names can be read: what the agent needs to start.
    pub fn load(path: Option<&Path>, environment: &Environment) -> Result<Self, ConfigError> {
        load(path, environment, unreadable_files)
    }

    /// Like [`Config::load`], for those who only look something up: the files it names are not
    /// touched.
    pub fn read(path: Option<&Path>, environment: &Environment) -> Result<Self, ConfigError> {
        load(path, environment, |_, _| Vec::new())
    }

    /// Reads a configuration from text; touches no file. Problems come in file order.
    pub fn parse(text: &str, environment: &Environment) -> Result<Self, Vec<Problem>> {
        walk(text, environment).map(|(config, _)| config)
    }

    /// Every key there is, in the order of the file; sections included.
    #[must_use]
    pub fn keys() -> Vec<String> {
        let mut walk = reader::Walk::default();
        let mut config = Self::default();
        walk.read(&tree::Table::default(), |root| {
            read::config(root, &mut config);
        });
        walk.keys
    }
}

fn load(
    path: Option<&Path>,
    environment: &Environment,
    check: impl FnOnce(&Config, &BTreeMap<String, Origin>) -> Vec<Problem>,
) -> Result<Config, ConfigError> {
    let file = path.unwrap_or(Path::new(DEFAULT_PATH));
    let (text, shown) = match read_limited(file) {
        Ok(text) => (text, Some(file.to_owned())),
        Err(error) if path.is_none() && error.kind() == ErrorKind::NotFound => {
            (String::new(), None)
        }
        Err(source) => {
            return Err(ConfigError::Read {
                path: file.to_owned(),
                source,
            });
        }
    };
    let checked = walk(&text, environment).and_then(|(config, origins)| {
        let problems = check(&config, &origins);
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(problems)
        }
    });
    checked.map_err(|problems| ConfigError::Invalid {
        path: shown,
        problems,
    })
}

fn walk(
    text: &str,
    environment: &Environment,
) -> Result<(Config, BTreeMap<String, Origin>), Vec<Problem>> {
    let mut walk = reader::Walk::default();
    let mut tree = tree::parse(text, &mut walk.problems);
    let broken_lines: Vec<Option<usize>> = walk.problems.iter().map(Problem::line).collect();
    tree::overlay(&mut tree, environment, &mut walk.problems);
    let syntax_problems = walk.problems.len();

    let mut config = Config::default();
    walk.read(&tree, |root| read::config(root, &mut config));
    let mut problems = walk.problems;
    // What was guessed around a syntax error says nothing of its own.
    let mut index = 0;
    problems.retain(|problem| {
        index += 1;
        index <= syntax_problems
            || problem.line().is_none()
            || !broken_lines.contains(&problem.line())
    });
    problems.extend(rules::check(&config, &walk.origins, &problems));
    if problems.is_empty() {
        Ok((config, walk.origins))
    } else {
        problems.sort_by(|left, right| left.origin.cmp(&right.origin));
        Err(problems)
    }
}

/// Files without which the agent would refuse to start.
fn unreadable_files(config: &Config, origins: &BTreeMap<String, Origin>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut complain = |key: &str, what: String, fix: &str| {
        problems.push(Problem {
            origin: origins.get(key).cloned().unwrap_or(Origin::Default),
            key: key.to_owned(),
            what,
            fix: fix.to_owned(),
        });
    };
    if let Some(path) = &config.api.token_file
        && let Err(error) = Secret::read_token(path)
    {
        let fix = "write one line with the token, readable for the agent";
        complain("api.token_file", error.to_string(), fix);
    }
    if let Some(tls) = &config.api.tls {
        for (key, path) in [
            ("api.tls.cert", Some(&tls.cert)),
            ("api.tls.key", Some(&tls.key)),
            ("api.tls.client_ca", tls.client_ca.as_ref()),
        ] {
            if let Some(path) = path
                && let Err(error) = read_limited(path)
            {
                let what = format!("cannot read {}: {error}", path.display());
                complain(key, what, "name a PEM file that the agent may read");
            }
        }
    }
    problems
}

fn read_limited(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MAX_FILE_LEN + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_LEN {
        return Err(io::Error::new(
            ErrorKind::FileTooLarge,
            format!("longer than {MAX_FILE_LEN} bytes"),
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
