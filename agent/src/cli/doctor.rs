//! `guidon doctor`: what will work on this machine, what will not, and what to do about it.
//!
//! Looks, and changes nothing. Only what keeps the agent from running fails; everything else is
//! lost quality and a warning.

mod kernel;
mod machine;
mod network;

use serde::Serialize;

use super::args::DoctorArgs;
use super::output::{Output, plain};
use super::{CommandError, Verdict};
use crate::config::{self, Config};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    /// The agent runs, and something is lost.
    Warn,
    /// The agent does not run.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    level: Level,
    topic: &'static str,
    /// What was found.
    found: String,
    /// What follows from it, and what to do; empty where all is well.
    advice: String,
}

impl Finding {
    fn ok(topic: &'static str, found: impl Into<String>) -> Self {
        Self::new(Level::Ok, topic, found, "")
    }

    fn warn(topic: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(Level::Warn, topic, found, advice)
    }

    fn fail(topic: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(Level::Fail, topic, found, advice)
    }

    fn new(
        level: Level,
        topic: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            level,
            topic,
            found: found.into(),
            advice: advice.into(),
        }
    }
}

pub(super) fn run(args: &DoctorArgs, output: &mut Output) -> Result<Verdict, CommandError> {
    let mut findings = Vec::new();
    // With a broken configuration, the defaults still tell about the machine.
    let config = match Config::load(args.config.as_deref(), &config::environment()) {
        Ok(config) => {
            findings.push(Finding::ok("config", "valid"));
            config
        }
        Err(error) => {
            let advice = "the agent refuses to start; `guidon check` looks at the file alone";
            findings.push(Finding::fail("config", error.to_string(), advice));
            Config::default()
        }
    };
    findings.extend(kernel::look());
    findings.extend(machine::look(&config));
    findings.extend(network::look(&config));

    if args.json {
        output.json(&findings)?;
    } else {
        for finding in &findings {
            output.text(&show(finding))?;
        }
    }
    if findings.iter().any(|finding| finding.level == Level::Fail) {
        Ok(Verdict::Bad)
    } else {
        Ok(Verdict::Good)
    }
}

/// `ok    kernel        6.12.1`, with the advice on a line of its own.
fn show(finding: &Finding) -> String {
    let level = match finding.level {
        Level::Ok => "ok",
        Level::Warn => "warn",
        Level::Fail => "FAIL",
    };
    // The problems of a file come a line each.
    let indent = format!("\n{:20}", "");
    let found: Vec<String> = finding.found.lines().map(plain).collect();
    let mut text = format!("{level:<5} {:<13} {}", finding.topic, found.join(&indent));
    if !finding.advice.is_empty() {
        text.push_str(&indent);
        text.push_str(&plain(&finding.advice));
    }
    text.push('\n');
    text
}
