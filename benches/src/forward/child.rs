//! Processes that the bench starts, and what they cost.
//!
//! Owns: starting, readiness, CPU time and memory from `/proc`, and the end of each process. Must
//! not know: what a process does. A child gets SIGKILL from the kernel when the bench's main thread
//! ends (`setpriv --pdeathsig`), so nothing outlives an interrupted bench. CPU time is user + system
//! time of all threads, alive and gone, in steps of 10 ms; on Linux their sum comes from the
//! scheduler's own run time, not from sampling ticks.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child as Process, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::{http1, interrupt};

/// A running child process; dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: Process,
    log: PathBuf,
}

impl Child {
    /// Starts `program` with `arguments`; what it prints to standard error (and to standard output,
    /// unless `talk`) goes to `<directory>/<name>.log`.
    ///
    /// # Errors
    /// The log cannot be made or the program cannot be started.
    pub fn start(
        name: &str,
        program: &Path,
        arguments: &[String],
        directory: &Path,
        talk: bool,
    ) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let errors = File::create(&log).with_context(|| format!("{}", log.display()))?;
        let (input, output) = if talk {
            (Stdio::piped(), Stdio::piped())
        } else {
            (Stdio::null(), Stdio::from(errors.try_clone()?))
        };
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            .current_dir(directory)
            .stdin(input)
            .stdout(output)
            .stderr(errors)
            .spawn()
            .context("setpriv (package util-linux) cannot be started")?;
        Ok(Self {
            name: name.to_owned(),
            process,
            log,
        })
    }

    /// The pipes of a child started with `talk`; `None` the second time.
    pub fn pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        Some((self.process.stdin.take()?, self.process.stdout.take()?))
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// User and system CPU seconds since its start.
    ///
    /// # Errors
    /// The process is gone.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))
            .with_context(|| format!("{} is gone", self.name))?;
        // The second field is the command in parentheses and may hold anything; utime and stime are
        // the 12th and 13th after it.
        let after = stat.rsplit_once(')').context("stat")?.1;
        let mut fields = after.split_ascii_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        let user = ticks().context("utime")?;
        let system = ticks().context("stime")?;
        Ok((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// A line of `/proc/<pid>/status` that is a size, in bytes: `VmRSS`, `VmHWM`, `RssAnon` …
    ///
    /// # Errors
    /// The process is gone or the kernel does not know the line.
    pub fn memory(&self, line: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))
            .with_context(|| format!("{} is gone", self.name))?;
        let kilobytes = status
            .lines()
            .find_map(|text| text.strip_prefix(line)?.strip_prefix(':'))
            .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok())
            .with_context(|| format!("{line} of {}", self.name))?;
        Ok(kilobytes * 1024)
    }

    /// Waits until `address` takes connections and, with a `path`, answers it with a 2xx.
    ///
    /// # Errors
    /// The process ended, or `within` passed; both with the end of its log.
    pub fn wait_ready(
        &mut self,
        address: SocketAddr,
        path: Option<&str>,
        within: Duration,
    ) -> Result<()> {
        let start = Instant::now();
        let timeout = Duration::from_secs(1);
        loop {
            let answer = match path {
                None => TcpStream::connect_timeout(&address, timeout)
                    .map(drop)
                    .map_err(Into::into),
                Some(path) => match http1::get(address, path, timeout) {
                    Ok(response) if response.is_success() => Ok(()),
                    Ok(response) => Err(anyhow!("{path} answers {}", response.status)),
                    Err(error) => Err(error),
                },
            };
            let Err(error) = answer else { return Ok(()) };
            if let Some(status) = self.process.try_wait()? {
                bail!("{} ended with {status}\n{}", self.name, self.log_tail());
            }
            if start.elapsed() > within {
                bail!(
                    "{} was not ready at {address} within {within:?}: {error:#}\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            interrupt::sleep(Duration::from_millis(50))?;
        }
    }

    /// SIGTERM, then SIGKILL after `grace`. Whether it ended by itself.
    ///
    /// # Errors
    /// The process cannot be signalled or waited for.
    pub fn stop(&mut self, grace: Duration) -> Result<bool> {
        if let Some(pid) = Pid::from_raw(self.id().cast_signed()) {
            kill_process(pid, Signal::TERM)?;
        }
        let start = Instant::now();
        while start.elapsed() < grace {
            if self.process.try_wait()?.is_some() {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.process.kill()?;
        self.process.wait()?;
        Ok(false)
    }

    /// The last lines of what it printed.
    pub fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        let start = lines.len().saturating_sub(15);
        format!(
            "last words of {}:\n{}",
            self.name,
            lines[start..].join("\n")
        )
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail only if the process has been waited for already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
