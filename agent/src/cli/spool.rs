//! `guidon spool ls|verify|repair`: the spools of this machine, with or without a running agent.

use super::args::{SpoolArgs, SpoolCommand};
use super::output::Output;
use super::{CommandError, Verdict};
use crate::config::{self, Config};
use crate::forward::spool::inspect;

pub(super) fn run(args: &SpoolArgs, output: &mut Output) -> Result<Verdict, CommandError> {
    let data_dir = match &args.data_dir {
        Some(folder) => folder.clone(),
        None => Config::read(args.config.as_deref(), &config::environment())?.data_dir,
    };
    match args.command {
        SpoolCommand::Ls => {
            let spools = inspect::ls(&data_dir)?;
            if args.json {
                output.json(&spools)?;
            } else {
                for spool in &spools {
                    output.line(&spool.to_string())?;
                }
            }
            Ok(Verdict::Good)
        }
        SpoolCommand::Verify => {
            let reports = inspect::verify(&data_dir)?;
            show(&reports, args.json, output)?;
            if reports.iter().all(inspect::Report::is_sound) {
                Ok(Verdict::Good)
            } else {
                Ok(Verdict::Bad)
            }
        }
        SpoolCommand::Repair => {
            let repaired = inspect::repair(&data_dir)?;
            show(&repaired, args.json, output)?;
            if !args.json {
                let count = repaired.len();
                output.line(&match count {
                    0 => "nothing to repair".to_owned(),
                    1 => "1 spool repaired".to_owned(),
                    _ => format!("{count} spools repaired"),
                })?;
            }
            Ok(Verdict::Good)
        }
    }
}

fn show(
    reports: &[inspect::Report],
    as_json: bool,
    output: &mut Output,
) -> Result<(), CommandError> {
    if as_json {
        return output.json(&reports);
    }
    for report in reports {
        output.line(&report.to_string())?;
    }
    Ok(())
}
