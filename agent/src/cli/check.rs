//! `guidon check`: is the configuration in order?

use super::args::FileArgs;
use super::output::Output;
use super::{CommandError, Verdict};
use crate::api;
use crate::config::{self, Config, ConfigError, DEFAULT_PATH};

pub(super) fn run(args: &FileArgs, output: &mut Output) -> Result<Verdict, CommandError> {
    let config = match Config::load(args.config.as_deref(), &config::environment()) {
        Ok(config) => config,
        Err(error @ ConfigError::Read { .. }) => return Err(error.into()),
        Err(error) => {
            output.line(&error.to_string())?;
            let count = error.problems().len();
            let problems = if count == 1 { "problem" } else { "problems" };
            output.line(&format!("{count} {problems}"))?;
            return Ok(Verdict::Bad);
        }
    };
    if let Some(tls) = &config.api.tls
        && let Err(error) = api::server_config(tls)
    {
        output.line(&error.to_string())?;
        return Ok(Verdict::Bad);
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
