//! A component that runs, whichever way.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use super::ask;
use super::component::{Check, Component, Program, Reload, Run, Version};
use super::container::Containers;
use super::files::Judge;
use super::log_file::LogFile;
use super::process::{self, Process};
use super::secrets::Secrets;

/// Longest run of a program that only answers a question.
const QUESTION: Duration = Duration::from_secs(60);

/// Something that runs.
#[derive(Debug)]
pub(super) enum Instance {
    Process(Process),
    /// Its id.
    Container(String),
    External,
}

/// Why a program has not read its files again.
#[derive(Debug)]
pub(super) enum NotReloaded {
    /// It was told and says no, in its words; it goes on with what it had.
    Refused(String),
    /// It could not be told.
    NotReached(String),
}

/// Where a component lives on this host, and what makes it run.
#[derive(Debug, Clone)]
pub(super) struct Home {
    pub(super) name: &'static str,
    pub(super) folder: PathBuf,
    pub(super) log: LogFile,
    pub(super) containers: Arc<Containers>,
    pub(super) secrets: Secrets,
}

impl Home {
    /// What an earlier agent left running, if it is as wanted; whatever else it left is ended.
    pub(super) async fn adopt(&self, component: &Component) -> Result<Option<Instance>, String> {
        let program = match &component.run {
            Run::Process(program) => Some((program, self.folder.as_path())),
            Run::Container(_) | Run::External => None,
        };
        let process = process::adopt(program, &self.log, component.stop_grace).await;
        let process = process.map_err(|error| format!("cannot look for processes: {error}"))?;
        Ok(match &component.run {
            Run::Process(_) => process.map(Instance::Process),
            Run::Container(spec) => {
                let id = self.containers.adopt(self.name, spec).await?;
                id.map(Instance::Container)
            }
            Run::External => Some(Instance::External),
        })
    }

    /// Ends what an earlier agent left running of a component that is not wanted.
    pub(super) async fn clear(&self, grace: Duration) -> Result<(), String> {
        let cleared = process::adopt(None, &self.log, grace).await;
        cleared.map_err(|error| format!("cannot look for processes: {error}"))?;
        self.containers.clear(self.name).await
    }

    pub(super) async fn start(&self, component: &Component) -> Result<Instance, String> {
        for address in &component.listens {
            if let Err(error) = std::net::TcpListener::bind(address) {
                return Err(format!("cannot listen on {address}: {error}"));
            }
        }
        match &component.run {
            Run::Process(program) => Process::start(program, &self.folder, &self.log)
                .await
                .map(Instance::Process)
                .map_err(|error| format!("cannot start {}: {error}", program.path.display())),
            Run::Container(spec) => {
                let started = self.containers.start(self.name, spec, component.stop_grace);
                started.await.map(Instance::Container)
            }
            Run::External => Ok(Instance::External),
        }
    }

    /// Waits for its end, in words.
    pub(super) async fn ended(&self, instance: &Instance) -> String {
        match instance {
            Instance::Process(process) => {
                let status = process.ended().await;
                let end = process::describe(status);
                // What it says before it gives up; one that was killed says nothing.
                let gave_up = status
                    .and_then(|status| status.code())
                    .is_some_and(|code| code != 0);
                match self.log.end().pop().filter(|_| gave_up) {
                    Some(line) => format!("{end}: {line}"),
                    None => end,
                }
            }
            Instance::Container(id) => self.containers.ended(id).await,
            Instance::External => std::future::pending().await,
        }
    }

    pub(super) async fn stop(&self, instance: &Instance, grace: Duration) {
        match instance {
            Instance::Process(process) => process.stop(grace).await,
            Instance::Container(id) => {
                if let Err(error) = self.containers.stop(id).await {
                    tracing::warn!(component = self.name, %error, "container is not stopped");
                }
            }
            Instance::External => {}
        }
    }

    /// Has it read its files again.
    pub(super) async fn reload(
        &self,
        instance: &Instance,
        reload: &Reload,
    ) -> Result<(), NotReloaded> {
        match (reload, instance) {
            (Reload::Post(url), _) => match ask::post(url).await {
                Ok(answer) => answer.map_err(NotReloaded::Refused),
                Err(error) => Err(NotReloaded::NotReached(format!("{url}: {error}"))),
            },
            (Reload::Hangup, Instance::Process(process)) => process
                .signal(Signal::HUP)
                .map_err(|error| NotReloaded::NotReached(error.to_string())),
            (Reload::Hangup, Instance::Container(id)) => {
                let told = self.containers.hang_up(id).await;
                told.map_err(NotReloaded::NotReached)
            }
            (Reload::Command(words), _) => {
                let Some((program, args)) = words.split_first() else {
                    return Ok(());
                };
                let program = Program {
                    path: program.into(),
                    args: args.to_vec(),
                    env: Default::default(),
                };
                let asked = self.ask(&program).await;
                asked.map(drop).map_err(NotReloaded::Refused)
            }
            // Nobody knows whom to tell, or the caller starts it anew.
            (Reload::Hangup, Instance::External) | (Reload::Restart, _) => Ok(()),
        }
    }

    /// Runs a program to its end: what it printed. Another exit code than 0 is an error.
    async fn ask(&self, program: &Program) -> Result<Vec<String>, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", program.path.display());
        let log = LogFile::new(self.folder.join("asked"));
        crate::config::atomic::discard(log.path()).map_err(failed)?;
        let process = Process::start(program, &self.folder, &log)
            .await
            .map_err(failed)?;
        // Also where nobody waits for the answer any more.
        let _end = EndOnDrop(&process);
        let ended = tokio::time::timeout(QUESTION, process.ended()).await;
        let status = ended.map_err(|_| {
            let program = program.path.display();
            format!("{program} does not end within {QUESTION:?}")
        })?;
        answer(
            status.is_some_and(|status| status.success()),
            log.end(),
            || process::describe(status),
        )
    }

    /// Runs the component's own program, or another one, with other arguments.
    async fn ask_with(
        &self,
        component: &Component,
        other: Option<&Path>,
        args: Vec<String>,
    ) -> Result<Vec<String>, String> {
        match &component.run {
            Run::Process(program) => {
                let program = Program {
                    path: other.unwrap_or(&program.path).to_owned(),
                    args,
                    env: program.env.clone(),
                };
                self.ask(&program).await
            }
            Run::Container(spec) => {
                let mut spec = spec.clone();
                spec.args = args;
                if let Some(other) = other {
                    spec.command = vec![other.to_string_lossy().into_owned()];
                }
                let (code, printed) = self.containers.ask(self.name, &spec).await?;
                answer(code == 0, printed, || format!("it ended with code {code}"))
            }
            // There is no program of ours to ask.
            Run::External => match other {
                Some(other) => {
                    let program = Program {
                        path: other.to_owned(),
                        args,
                        env: Default::default(),
                    };
                    self.ask(&program).await
                }
                None => Ok(Vec::new()),
            },
        }
    }

    /// The version that runs, as far as it tells.
    pub(super) async fn version(&self, component: &Component) -> Option<String> {
        match &component.version {
            Version::Json(url, pointer) => {
                let body = ask::get(url).await.ok()?;
                let document: serde_json::Value = serde_json::from_slice(&body).ok()?;
                Some(document.pointer(pointer)?.as_str()?.to_owned())
            }
            Version::Metric(url, name) => {
                let body = ask::get(url).await.ok()?;
                version_label(&String::from_utf8_lossy(&body), name)
            }
            Version::Printed(args) => {
                let args = args.iter().map(|&word| word.to_owned()).collect();
                let printed = self.ask_with(component, None, args).await.ok()?;
                printed_version(&printed)
            }
            Version::Unknown => None,
        }
    }
}

/// Ends a process that only answers a question.
struct EndOnDrop<'p>(&'p Process);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        // It has ended already, or this ends it.
        let _ = self.0.signal(Signal::KILL);
    }
}

fn answer(
    is_good: bool,
    printed: Vec<String>,
    end: impl FnOnce() -> String,
) -> Result<Vec<String>, String> {
    match (is_good, printed.is_empty()) {
        (true, _) => Ok(printed),
        (false, true) => Err(end()),
        (false, false) => Err(printed.join("\n")),
    }
}

/// The label `version` of the first sample of a metric in the text format.
fn version_label(text: &str, name: &str) -> Option<String> {
    let sample = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('{'))?;
    let first = sample.strip_prefix("version=\"");
    // With the comma: not the end of another label's name, such as `goversion`.
    let rest = first.or_else(|| Some(sample.split_once(",version=\"")?.1))?;
    Some(rest.split('"').next()?.to_owned())
}

/// The first word that looks like a version.
fn printed_version(lines: &[String]) -> Option<String> {
    let words = lines.iter().flat_map(|line| line.split([' ', ',', '\t']));
    words
        .map(|word| word.strip_prefix('v').unwrap_or(word))
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.'))
        .map(str::to_owned)
}

/// Has the component's check judge a file.
pub(super) struct Checker<'c> {
    pub(super) home: &'c Home,
    pub(super) component: &'c Component,
}

impl Judge for Checker<'_> {
    async fn judge(&self, candidate: &Path) -> Result<(), String> {
        let Some(Check { program, args }) = &self.component.check else {
            return Ok(());
        };
        let mut args = args.clone();
        args.push(candidate.to_string_lossy().into_owned());
        let asked = self.home.ask_with(self.component, program.as_deref(), args);
        asked.await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_an_info_metric_or_from_what_a_program_prints() {
        let text = "# TYPE node_exporter_build_info gauge\n\
                    node_exporter_build_info{branch=\"\",goversion=\"go1.19\",version=\"1.5.0\"} 1\n";
        let found = version_label(text, "node_exporter_build_info");
        assert_eq!(found.as_deref(), Some("1.5.0"));
        assert_eq!(version_label(text, "other"), None);
        for (line, version) in [
            (
                "vector 0.57.0 (x86_64-unknown-linux-gnu 1234)",
                Some("0.57.0"),
            ),
            (
                "node_exporter, version 1.5.0+ds (branch: debian/sid)",
                Some("1.5.0+ds"),
            ),
            (
                "application version: git-commit=abc, git-version=v1.35.0",
                None,
            ),
            ("none", None),
        ] {
            assert_eq!(
                printed_version(&[line.to_owned()]).as_deref(),
                version,
                "{line}"
            );
        }
    }
}
