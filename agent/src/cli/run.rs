//! `guidon run`: log, configuration, then the node takes over.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::args::{LogFormat, RunArgs};
use super::{CommandError, Verdict};
use crate::config::{self, Config};
use crate::node::{self, NodeOptions};

/// Says what is logged: `debug`, `info,guidon::forward=debug`.
const LOG_VARIABLE: &str = "GUIDON_LOG";

pub(super) fn run(args: &RunArgs) -> Result<Verdict, CommandError> {
    let config = Config::load(args.file.config.as_deref(), &config::environment())?;
    start_log(args.log_format)?;
    let inactive = config.inactive();
    if !inactive.is_empty() {
        tracing::warn!(
            keys = inactive.join(", "),
            "configured, but not active in this version"
        );
    }
    node::run(NodeOptions {
        config,
        config_path: args.file.config.clone(),
    })?;
    Ok(Verdict::Good)
}

fn start_log(format: LogFormat) -> Result<(), CommandError> {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var(LOG_VARIABLE)
        .from_env()
        .map_err(|error| format!("{LOG_VARIABLE}: {error}; write it like \"debug\""))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match format {
        LogFormat::Human => log.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    }
}
