//! `cargo xtask up`: the agent at work on a demo app, from nothing and back to nothing.

mod demo;

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use xtask::child::Running;
use xtask::dockerd::{Dockerd, tail};
use xtask::http::{Request, Server, send};
use xtask::run::{find_program, run, step};

use crate::{build, setup};
use demo::Demo;

/// The port of the agent's API, if nobody else has it.
const API_PORT: u16 = 7070;

/// Shorter than the agent's default: somebody is watching.
const INTERVAL: &str = "2s";

/// How long the agent may take from its start to its first answer.
const AGENT_START: Duration = Duration::from_secs(30);

/// Sets up, builds, and shows the table; with `once` a single one.
pub(crate) fn up(once: bool) -> Result<()> {
    setup::setup(setup::For::Up)?;
    let agent = build::release()?;
    if rustix::process::geteuid().is_root() {
        return show(&agent, once);
    }
    // The agent loads kernel programs and Docker runs containers: both are root's business. What was
    // built so far stays the user's.
    if find_program("sudo").is_none() {
        bail!("the agent needs root rights and there is no sudo: run `cargo xtask up` as root");
    }
    step("the agent and Docker need root rights: going on under sudo");
    let mut command = Command::new("sudo");
    command.arg("env");
    command.arg(format!("XDG_STATE_HOME={}", state_home()?.display()));
    command.arg(format!(
        "PATH={}",
        std::env::var("PATH").unwrap_or_default()
    ));
    command
        .arg(std::env::current_exe()?)
        .arg("up-as-root")
        .arg(&agent);
    if once {
        command.arg("--once");
    }
    run(&mut command)
}

/// The part of `up` that needs root rights.
pub(crate) fn show(agent_program: &Path, once: bool) -> Result<()> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let folder = state_home()?.join("guidon/up");
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let lock = File::create(folder.join("lock"))?;
    if lock.try_lock().is_err() {
        bail!(
            "another `cargo xtask up` is running (it holds {})",
            folder.join("lock").display()
        );
    }
    // Dropped in the opposite order: app and image, agent, Docker.
    let dockerd = Dockerd::system()?;
    let api = free_api_address()?;
    let mut agent = start_agent(agent_program, &folder, &api, dockerd.socket())?;
    wait_until_healthy(&mut agent, &folder, &api, &interrupted)?;
    let demo = Demo::deploy(&api, dockerd.docker())?;
    while !demo.is_measured()? {
        check_alive(&mut agent, &folder, &interrupted)?;
        std::thread::sleep(Duration::from_millis(200));
    }
    if !once {
        step(&format!(
            "the demo app is {}; API and metrics: http://{api} · Ctrl-C ends it all",
            demo.guid()
        ));
    }
    show_table(agent_program, &api, once, &mut agent, &folder, &interrupted)?;
    if !once {
        step("removing the demo app and its image, stopping the agent");
    }
    drop(demo);
    agent.stop()?;
    Ok(())
}

/// Where this user's programs keep their state.
fn state_home() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("XDG_STATE_HOME") {
        return Ok(folder.into());
    }
    let home = std::env::var_os("HOME").context("neither XDG_STATE_HOME nor HOME is set")?;
    Ok(PathBuf::from(home).join(".local/state"))
}

fn free_api_address() -> Result<String> {
    let usual = TcpListener::bind(("127.0.0.1", API_PORT));
    let listener = usual.or_else(|_| TcpListener::bind(("127.0.0.1", 0)))?;
    Ok(listener.local_addr()?.to_string())
}

fn start_agent(program: &Path, folder: &Path, api: &str, docker: &Path) -> Result<Running> {
    let config = folder.join("guidon.toml");
    // The demo sends nothing to the agent, and the usual ports may be somebody else's.
    let text = format!(
        "data_dir = {data:?}\n\n[api]\nlisten = {api:?}\n\n[collect]\ninterval = {INTERVAL:?}\n\n\
         [receive]\nremote_write = false\notlp_http = false\notlp_grpc = false\njaeger = false\napps = false\n\n\
         [docker]\nsocket = {docker:?}\n",
        data = folder.join("data"),
    );
    std::fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
    let log = log_file(folder);
    if log.exists() {
        std::fs::remove_file(&log)?;
    }
    step(&format!("starting the agent; its log is {}", log.display()));
    Running::start(
        program,
        &["run", "--config", &config.display().to_string()],
        &log,
    )
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("agent.log")
}

fn wait_until_healthy(
    agent: &mut Running,
    folder: &Path,
    api: &str,
    interrupted: &AtomicBool,
) -> Result<()> {
    let deadline = Instant::now() + AGENT_START;
    let server = Server::Tcp(api.to_owned());
    loop {
        check_alive(agent, folder, interrupted)?;
        if send(&server, &Request::new("GET", "/healthz")).is_ok_and(|answer| answer.status == 200)
        {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!(
                "the agent does not answer; the end of its log:\n{}",
                tail(&log_file(folder))
            );
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn check_alive(agent: &mut Running, folder: &Path, interrupted: &AtomicBool) -> Result<()> {
    if interrupted.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    if let Some(status) = agent.ended()? {
        bail!(
            "the agent ended: {status}; the end of its log:\n{}",
            tail(&log_file(folder))
        );
    }
    Ok(())
}

/// Runs `guidon top` until it ends (`once`) or we are interrupted.
fn show_table(
    program: &Path,
    api: &str,
    once: bool,
    agent: &mut Running,
    folder: &Path,
    interrupted: &AtomicBool,
) -> Result<()> {
    let mut command = Command::new(program);
    command
        .args(["top", "--api", &format!("http://{api}")])
        .stdin(Stdio::null());
    if once {
        command.arg("--once");
    }
    let mut table = command.spawn().context("start guidon top")?;
    let result = loop {
        if let Some(status) = table.try_wait()? {
            // Ctrl-C reaches the table as well as us.
            break if status.success() || interrupted.load(Ordering::Relaxed) {
                Ok(())
            } else {
                Err(anyhow::anyhow!("guidon top failed: {status}"))
            };
        }
        match check_alive(agent, folder, interrupted) {
            Ok(()) => std::thread::sleep(Duration::from_millis(50)),
            Err(_) if interrupted.load(Ordering::Relaxed) && !once => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    if table.try_wait()?.is_none() {
        table.kill()?;
        table.wait()?;
    }
    result
}
