//! `guidon check`: is the configuration in order?
//!
//! Judges the file and the environment, so that it can be asked anywhere. What of this machine
//! would keep the agent from starting with it is said too, but is no problem of the file: `guidon
//! doctor` looks deeper, and `guidon run` refuses.

use super::args::FileArgs;
use super::output::{Output, note, warn};
use super::{CommandError, Verdict};
use crate::api;
use crate::config::{self, Config, ConfigError, DEFAULT_PATH, Problem};

pub(super) fn run(args: &FileArgs, output: &mut Output) -> Result<Verdict, CommandError> {
    let (path, environment) = (args.config.as_deref(), config::environment());
    let config = match Config::read(path, &environment) {
        Ok(config) => config,
        Err(error @ ConfigError::Read { .. }) => return Err(error.into()),
        Err(error) => {
            let count = error.problems().len();
            let problems = if count == 1 { "problem" } else { "problems" };
            warn(&format!("{error}\n{count} {problems}"));
            return Ok(Verdict::Bad);
        }
    };
    if let Err(error) = Config::load(path, &environment) {
        for Problem { key, what, .. } in error.problems() {
            note(&format!("on this machine, {key}: {what}"));
        }
    } else if let Some(tls) = &config.api.tls
        && let Err(error) = api::server_config(tls)
    {
        note(&format!("on this machine, {error}"));
    }
    for key in config.inactive() {
        output.line(&format!(
            "note: {key} is valid, but not active in this version"
        ))?;
    }
    let shown = match &args.config {
        Some(path) => path.display().to_string(),
        None => DEFAULT_PATH.to_owned(),
    };
    output.line(&format!("{shown}: no problems"))?;
    Ok(Verdict::Good)
}
