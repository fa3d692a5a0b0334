//! A component as a process of this host.
//!
//! A process is known by its standard output: the component's log file, which nobody else has.
//! That holds over a kill of the agent and cannot be had by a reused process id, so nothing has to
//! be kept on disk, and there is no moment at which a started process is not known.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, getpgid, kill_process_group, pidfd_open, pidfd_send_signal,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};
use tokio::io::unix::AsyncFd;

use super::component::Program;
use super::log_file::LogFile;
use crate::kernel::register;

/// What every program gets.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A process that runs, or has just ended.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    /// Becomes readable when the process ends. Never another process.
    descriptor: AsyncFd<OwnedFd>,
    /// Absent: an earlier agent started it, so how it ends is not told.
    child: Mutex<Option<Child>>,
}

impl Process {
    /// Starts a program in a process group of its own, without capabilities, its output going to
    /// `log`.
    pub(super) async fn start(program: &Program, home: &Path, log: &LogFile) -> io::Result<Self> {
        let output = log.open()?;
        let mut command = Command::new(&program.path);
        command
            .args(&program.args)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", home)
            .envs(&program.env)
            .current_dir(home)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let child = spawn_without_capabilities(command).await?;
        let pid = Pid::from_child(&child);
        // Where memory runs out it goes before the agent, whose own value it has inherited.
        let _ = fs::write(format!("/proc/{}/oom_score_adj", pid.as_raw_nonzero()), "0");
        match descriptor_of(pid) {
            Ok(descriptor) => Ok(Self {
                pid,
                descriptor,
                child: Mutex::new(Some(child)),
            }),
            Err(error) => {
                // Nothing would tell of its end.
                let mut child = child;
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits for the end; says how it was, as far as that is known.
    pub(super) async fn ended(&self) -> Option<ExitStatus> {
        // An error of the descriptor would be an end, too: there is nothing left to wait for.
        let _ = self.descriptor.readable().await;
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.as_mut().and_then(|child| child.wait().ok())
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(self.descriptor.get_ref(), signal)?)
    }

    /// SIGTERM, and SIGKILL for the whole group after `grace`.
    pub(super) async fn stop(&self, grace: Duration) {
        // It may have ended this moment: then there is nothing to wait for.
        let _ = self.signal(Signal::TERM);
        let ended = tokio::time::timeout(grace, self.descriptor.readable()).await;
        if ended.is_err() {
            tracing::warn!(pid = self.pid(), ?grace, "does not end: killed");
        }
        // The group's number is not given away before its leader is waited for.
        let _ = kill_process_group(self.pid, Signal::KILL);
        self.ended().await;
    }
}

fn descriptor_of(pid: Pid) -> io::Result<AsyncFd<OwnedFd>> {
    register(pidfd_open(pid, PidfdFlags::NONBLOCK)?)
}

/// Capabilities are a thread's own and inherited from it: a thread without any starts the program.
async fn spawn_without_capabilities(mut command: Command) -> io::Result<Child> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("stack-start".to_owned())
        .spawn(move || {
            let none = CapabilitySets {
                effective: CapabilitySet::empty(),
                permitted: CapabilitySet::empty(),
                inheritable: CapabilitySet::empty(),
            };
            // Root would have them back with the program.
            let started = set_no_new_privs(true)
                .and_then(|()| set_capabilities(None, none))
                .map_err(io::Error::from)
                .and_then(|()| command.spawn());
            // Nobody waits any more where the agent is being stopped: then nothing must stay.
            if let Err(Ok(mut child)) = sender.send(started) {
                let _ = child.kill();
                let _ = child.wait();
            }
        })?;
    receiver
        .await
        .unwrap_or_else(|_| Err(io::Error::other("the thread that starts programs failed")))
}

/// Processes that an earlier agent started and that still write to `log`. The one whose command
/// line and environment are as wanted is handed back; all others are ended.
pub(super) async fn adopt(
    program: Option<(&Program, &Path)>,
    log: &LogFile,
    grace: Duration,
) -> io::Result<Option<Process>> {
    let mut adopted: Option<Process> = None;
    for process in left_over(log.path())? {
        let group = getpgid(Some(process.pid)).ok();
        let of_adopted = adopted
            .as_ref()
            .is_some_and(|leader| group == Some(leader.pid));
        if of_adopted {
            continue;
        }
        let leads = group == Some(process.pid);
        let as_wanted = program.is_some_and(|(program, home)| is(process.pid, program, home));
        if adopted.is_none() && leads && as_wanted {
            adopted = Some(process);
        } else {
            tracing::info!(pid = process.pid(), log = %log.path().display(), "left over: ended");
            process.stop(grace).await;
        }
    }
    Ok(adopted)
}

/// In the order of their numbers, leaders of groups first.
fn left_over(log: &Path) -> io::Result<Vec<Process>> {
    let log = log.canonicalize().unwrap_or_else(|_| log.to_owned());
    let mut deleted = log.clone().into_os_string();
    deleted.push(" (deleted)");
    let deleted = PathBuf::from(deleted);
    let own = rustix::process::getpid();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        let Some(pid) = pid.and_then(Pid::from_raw).filter(|pid| *pid != own) else {
            continue;
        };
        // Opened before it is looked at, so that it is this process that was looked at.
        let Ok(descriptor) = pidfd_open(pid, PidfdFlags::NONBLOCK) else {
            continue;
        };
        // Who may not be looked at is no program of ours: those have no capabilities.
        let output = fs::read_link(format!("/proc/{}/fd/1", pid.as_raw_nonzero()));
        if output.is_ok_and(|output| output == log || output == deleted) {
            found.push(Process {
                pid,
                descriptor: register(descriptor)?,
                child: Mutex::default(),
            });
        }
    }
    found.sort_by_key(|process| getpgid(Some(process.pid)).ok() != Some(process.pid));
    Ok(found)
}

/// Whether the process was started as `program`.
fn is(pid: Pid, program: &Program, home: &Path) -> bool {
    let read = |file: &str| fs::read(format!("/proc/{}/{file}", pid.as_raw_nonzero()));
    let mut command_line = vec![program.path.clone().into_os_string()];
    command_line.extend(program.args.iter().map(OsString::from));
    let mut environment: Vec<OsString> = [("PATH", OsString::from(PATH)), ("HOME", home.into())]
        .into_iter()
        .chain(
            program
                .env
                .iter()
                .map(|(name, value)| (&**name, value.into())),
        )
        .map(|(name, value)| {
            let mut pair = OsString::from(name);
            pair.push("=");
            pair.push(value);
            pair
        })
        .collect();
    environment.sort();
    let words = |bytes: Vec<u8>| -> Vec<Vec<u8>> {
        let text = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
        text.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
    };
    let same = |words: Vec<Vec<u8>>, wanted: &[OsString]| {
        words.len() == wanted.len()
            && words
                .iter()
                .zip(wanted)
                .all(|(one, other)| one == other.as_bytes())
    };
    read("cmdline").is_ok_and(|found| same(words(found), &command_line))
        && read("environ").is_ok_and(|found| {
            let mut found = words(found);
            found.sort();
            same(found, &environment)
        })
}

/// How a program ended, in words.
pub(super) fn describe(status: Option<ExitStatus>) -> String {
    match status {
        None => "it ended".to_owned(),
        Some(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("it ended with code {code}"),
            (None, Some(signal)) => format!("it was ended by signal {signal}"),
            (None, None) => format!("it ended: {status}"),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    fn shell(script: &str) -> Program {
        Program {
            path: "/bin/sh".into(),
            args: vec!["-c".to_owned(), script.to_owned()],
            env: [("GREETING".to_owned(), "hello".to_owned())].into(),
        }
    }

    #[tokio::test]
    async fn a_program_gets_its_environment_alone_and_tells_how_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::new(folder.path().join("log"));
        let program = shell("env | sort; grep CapEff /proc/self/status; exit 3");
        let process = Process::start(&program, folder.path(), &log).await.unwrap();
        assert_eq!(describe(process.ended().await), "it ended with code 3");
        let lines = log.end();
        let names: Vec<&str> = lines
            .iter()
            .filter_map(|line| Some(line.split_once('=')?.0))
            .collect();
        assert_eq!(names, ["GREETING", "HOME", "PATH", "PWD"], "{lines:?}");
        assert_eq!(lines.last().unwrap(), "CapEff:\t0000000000000000");
    }

    #[tokio::test]
    async fn a_left_over_is_adopted_if_it_is_as_wanted_and_ended_if_not() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::new(folder.path().join("log"));
        let home = folder.path();
        let wanted = shell("sleep 60 & wait");
        let process = Process::start(&wanted, home, &log).await.unwrap();
        let other = Process::start(&shell("exec sleep 61"), home, &log)
            .await
            .unwrap();
        // Until they have become what they were started as.
        let adopted = loop {
            if let Some(adopted) = adopt(Some((&wanted, home)), &log, GRACE).await.unwrap() {
                break adopted;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(adopted.pid(), process.pid());
        assert_eq!(describe(other.ended().await), "it was ended by signal 15");
        assert!(
            tokio::time::timeout(Duration::from_millis(50), adopted.ended())
                .await
                .is_err()
        );
        assert!(adopt(None, &log, GRACE).await.unwrap().is_none());
        assert_eq!(describe(process.ended().await), "it was ended by signal 15");
    }

    #[tokio::test]
    async fn who_does_not_end_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::new(folder.path().join("log"));
        let program = shell("trap '' TERM; sleep 60 & echo ready; while :; do sleep 1; done");
        let process = Process::start(&program, folder.path(), &log).await.unwrap();
        while log.end().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        process.stop(Duration::from_millis(50)).await;
        let gone = async {
            while !left_over(log.path()).unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(GRACE, gone).await.unwrap();
    }
}
