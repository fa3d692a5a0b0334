//! The command line: the shell around the rooms.
//!
//! `run` hands over to `node`; `check`, `doctor` and `spool` work on the machine they are called
//! on; everything else is a client of a running agent's API. Exit codes: 0 done, 1 failed (the
//! reason is on stderr), 64 the command line itself is wrong.

mod app;
mod args;
mod bus;
mod check;
mod client;
mod doctor;
mod exporters;
mod logs;
mod output;
mod run;
mod spool;
mod stack;
mod status;
mod table;
mod top;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use args::{Args, Command};
use output::Output;

/// Exit code of a wrong command line (sysexits.h `EX_USAGE`).
const USAGE: u8 = 64;

/// What stops a command; its text is what the user reads.
type CommandError = Box<dyn std::error::Error + Send + Sync>;

/// How a command ended, where nothing stopped it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    /// What was asked about is not in order; the output says what.
    Bad,
}

/// Runs the command of this process.
#[must_use]
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let is_answer = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            // Nobody reads: nothing to say.
            error.print().ok();
            return ExitCode::from(if is_answer { 0 } else { USAGE });
        }
    };
    let mut output = Output::stdout();
    let outcome = dispatch(args, &mut output);
    // Whoever reads our output may stop at any time: `guidon top | head -1` is no failure.
    let outcome = outcome.and_then(|verdict| output.flush().map(|()| verdict).map_err(Into::into));
    match outcome {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::FAILURE,
        Err(error) if output::is_broken_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&*error);
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: Args, output: &mut Output) -> Result<Verdict, CommandError> {
    match args.command {
        Command::Run(run) => run::run(&run),
        Command::Check(file) => check::run(&file, output),
        Command::Doctor(doctor) => doctor::run(&doctor, output),
        Command::Spool(spool) => spool::run(&spool, output),
        Command::Status(api) => client::block_on(status::run(&api, output)),
        Command::Top(top) => client::block_on(top::run(&top, output)),
        Command::Bus(bus) => client::block_on(bus::run(&bus, output)),
        Command::Logs(logs) => client::block_on(logs::run(&logs, output)),
        Command::Exporters(exporters) => client::block_on(exporters::run(&exporters, output)),
        Command::Stack(api) => client::block_on(stack::run(&api, output)),
        Command::App(app) => client::block_on(app::run(&app, output)),
    }
}
