//! What can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

/// A node agent that runs apps under their guid and ships their metrics, logs and traces.
#[derive(Debug, Parser)]
#[command(name = "guidon", version, propagate_version = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the agent
    Run(RunArgs),
    /// Check the configuration: every problem at once, with its line
    Check(FileArgs),
    /// Look at this machine: what will work, what will not, and what to do about it
    Doctor(DoctorArgs),
    /// Show how the running agent is
    Status(ApiArgs),
    /// Show what every guid uses, refreshed
    Top(TopArgs),
    /// Make apps exist, show them, make them go
    App(AppArgs),
    /// Follow log files as an app's
    Logs(LogsArgs),
    /// Register exporters for Prometheus to scrape
    Exporters(ExportersArgs),
    /// Show the managed components
    Stack(ApiArgs),
    /// Read the local bus
    Bus(BusArgs),
    /// Look at the spools of this machine, and repair them
    Spool(SpoolArgs),
}

/// Which configuration.
#[derive(Debug, clap::Args)]
pub(super) struct FileArgs {
    /// Configuration file [default: /etc/guidon/guidon.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct DoctorArgs {
    /// Configuration file [default: /etc/guidon/guidon.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct SpoolArgs {
    /// Configuration file that names the data directory
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) config: Option<PathBuf>,
    /// Data directory, in place of the configuration's
    #[arg(long, value_name = "DIR", global = true)]
    pub(super) data_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: SpoolCommand,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(super) enum SpoolCommand {
    /// List the spools and what waits in them
    Ls,
    /// Read every record; exits with 1 if something is damaged
    Verify,
    /// Take out what cannot be read; no agent may run
    Repair,
}

#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) file: FileArgs,
    /// How the log is written to stderr; what is logged is up to GUIDON_LOG, e.g. `debug` or
    /// `info,guidon::forward=debug`
    #[arg(long, value_enum, default_value_t = LogFormat::Human)]
    pub(super) log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    Human,
    Json,
}

/// How to reach a running agent.
#[derive(Debug, clap::Args)]
pub(super) struct ApiArgs {
    /// URL of the agent's API [default: $GUIDON_API, else `api.listen` of the configuration file]
    #[arg(long, value_name = "URL", global = true)]
    pub(super) api: Option<String>,
    /// File with the API token [default: $GUIDON_TOKEN_FILE, else `api.token_file` of the
    /// configuration file where the URL comes from there too]
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) token_file: Option<PathBuf>,
    /// PEM file of the authority to believe for https [default: `api.tls.cert` of the configuration
    /// file where the URL comes from there, else the system's]
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) ca: Option<PathBuf>,
    /// PEM file of a client certificate to show
    #[arg(long, value_name = "FILE", global = true, requires = "key")]
    pub(super) cert: Option<PathBuf>,
    /// PEM file of the client certificate's key
    #[arg(long, value_name = "FILE", global = true, requires = "cert")]
    pub(super) key: Option<PathBuf>,
    /// Configuration file to look the defaults up in
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) config: Option<PathBuf>,
    /// Print JSON, as the API gives it
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct TopArgs {
    #[command(flatten)]
    pub(super) api: ApiArgs,
    /// Print one table, as soon as the agent has rates (after its first full interval), and end
    #[arg(long)]
    pub(super) once: bool,
    /// With --once: wait for a full interval from now on, so that what was started just now has
    /// rates too
    #[arg(long, requires = "once")]
    pub(super) after_first_interval: bool,
    /// Time between two looks
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub(super) every: Duration,
}

#[derive(Debug, clap::Args)]
pub(super) struct AppArgs {
    #[command(flatten)]
    pub(super) api: ApiArgs,
    #[command(subcommand)]
    pub(super) command: AppCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum AppCommand {
    /// Make an app be as described
    Put(Box<PutArgs>),
    /// List the apps of this node
    Ls,
    /// Show one app
    Show { guid: String },
    /// Make an app go, with its containers
    Rm { guid: String },
}

#[derive(Debug, clap::Args)]
pub(super) struct PutArgs {
    pub(super) guid: String,
    /// Read the app as JSON, as the API takes it (`-`: from stdin); the options below change it
    #[arg(long, short, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    #[arg(long)]
    pub(super) image: Option<String>,
    /// Replace the image's entry point; repeat for its arguments
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub(super) command: Vec<String>,
    /// Set an environment variable; repeat for more
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = pair)]
    pub(super) env: Vec<(String, String)>,
    /// Publish a port, as `[[address:]host:]container[/protocol]`; repeat for more
    #[arg(long, short, value_name = "PORT")]
    pub(super) port: Vec<String>,
    /// Mount a volume or a folder of the host, as `source:target[:ro]`; repeat for more
    #[arg(long, value_name = "MOUNT")]
    pub(super) mount: Vec<String>,
    /// Start it again after an end: no, always, unless-stopped, on-failure or on-failure:N
    #[arg(long, value_name = "WHEN")]
    pub(super) restart: Option<String>,
    /// CPU cores it may use, e.g. 0.5
    #[arg(long, value_name = "CORES")]
    pub(super) cpus: Option<f64>,
    /// Memory it may use, e.g. 256MiB
    #[arg(long, value_name = "SIZE")]
    pub(super) memory: Option<String>,
    /// Arguments for the command
    #[arg(last = true)]
    pub(super) args: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct LogsArgs {
    #[command(flatten)]
    pub(super) api: ApiArgs,
    #[command(subcommand)]
    pub(super) command: LogsCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum LogsCommand {
    /// Follow these files as the app's
    Put {
        guid: String,
        /// Absolute path; `*` and `?` match within a component
        #[arg(required = true)]
        files: Vec<String>,
    },
    /// List what is followed, and how far
    Ls,
    /// Show one app's files
    Show { guid: String },
    /// Follow the app's files no longer
    Rm { guid: String },
}

#[derive(Debug, clap::Args)]
pub(super) struct ExportersArgs {
    #[command(flatten)]
    pub(super) api: ApiArgs,
    #[command(subcommand)]
    pub(super) command: ExportersCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum ExportersCommand {
    /// Register an exporter, or change it
    Put {
        name: String,
        /// Host and port
        address: String,
        /// Path of its metrics [default: /metrics]
        #[arg(long)]
        path: Option<String>,
        /// Ask it over TLS
        #[arg(long)]
        https: bool,
        /// Put a label on its series (`guid` says whose it is); repeat for more
        #[arg(long, short, value_name = "NAME=VALUE", value_parser = pair)]
        label: Vec<(String, String)>,
    },
    /// List the exporters of this node and how they are
    Ls,
    /// Show one exporter
    Show { name: String },
    /// Forget an exporter
    Rm { name: String },
}

#[derive(Debug, clap::Args)]
pub(super) struct BusArgs {
    #[command(flatten)]
    pub(super) api: ApiArgs,
    #[command(subcommand)]
    pub(super) command: BusCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum BusCommand {
    /// Print what comes by: a line per sample, log record or span (with --json: per frame)
    Tail(TailArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct TailArgs {
    pub(super) signal: SignalArg,
    /// Begin with the oldest that is kept
    #[arg(long)]
    pub(super) from_start: bool,
    /// Print what is kept and end
    #[arg(long)]
    pub(super) no_follow: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SignalArg {
    Metrics,
    Logs,
    Traces,
}

impl SignalArg {
    /// As it stands in paths.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Traces => "traces",
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("write NAME=VALUE".into()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "write a number of seconds")?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| (0.1..=3600.0).contains(&duration.as_secs_f64()))
        .ok_or_else(|| "use 0.1 to 3600 seconds".into())
}
