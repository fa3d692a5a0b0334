//! Child processes that end when we do.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

/// A running program. Dropping it stops it: SIGTERM, then SIGKILL.
///
/// It also gets SIGTERM from the kernel when the thread that started it dies, however that comes
/// about (util-linux `setpriv --pdeathsig`), so start it from a thread that lives long enough.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
    grace: Duration,
}

impl Running {
    /// Starts `program` in a process group of its own (so that Ctrl-C reaches us first), its output
    /// going to `log`.
    pub fn start(program: &Path, arguments: &[&str], log: &Path) -> Result<Self> {
        let name = program.file_name().unwrap_or(program.as_os_str());
        let name = name.to_string_lossy().into_owned();
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("open {}", log.display()))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {name} (through setpriv of util-linux)"))?;
        Ok(Self {
            child,
            name,
            grace: Duration::from_secs(20),
        })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends a signal. Nothing happens if the process has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.child.try_wait()?.is_none()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            kill_process(pid, signal).with_context(|| format!("signal {}", self.name))?;
        }
        Ok(())
    }

    /// Waits for the end; `None` when it still runs after `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGTERM, 20 s of grace, then SIGKILL.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        if let Some(status) = self.wait(self.grace)? {
            return Ok(status);
        }
        self.kill()
    }

    /// SIGKILL, no grace.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("could not stop {}: {error:#}", self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::Running;

    #[test]
    fn a_dropped_child_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut child =
            Running::start(Path::new("sleep"), &["60"], &folder.path().join("log")).unwrap();
        assert!(child.wait(Duration::from_millis(50)).unwrap().is_none());
        let proc = format!("/proc/{}", child.pid());
        assert!(Path::new(&proc).exists());
        drop(child);
        assert!(!Path::new(&proc).exists());
    }
}
