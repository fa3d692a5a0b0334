//! What many apps on one host cost: `cargo xtask bench apps`.
//!
//! Over the Manager API it makes all apps, changes one, and deletes all, some at a time; for each
//! step it takes the time per app and the agent's CPU time. Fails if the change touched any other
//! container. Needs root and Docker; removes what it made.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints a report"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use guidon_benches::forward::child::Child;
use guidon_benches::forward::{guidon_program, interrupt, machine};
use serde_json::{Value, json};
use xtask::docker::Docker;
use xtask::hands::side_by_side;
use xtask::http::{Request, Server, send};
use xtask::image::import_busybox;

const MIB: f64 = 1024.0 * 1024.0;

/// Longest answer to one call: Docker may be busy with the others.
const PATIENCE: Duration = Duration::from_secs(120);

/// Makes, changes and deletes many apps.
#[derive(Debug, Parser)]
#[command(name = "apps")]
struct Options {
    /// Apps.
    #[arg(long, default_value_t = 200)]
    apps: usize,
    /// The agent's binary; by default that of GUIDON_BIN, else target/release/guidon.
    #[arg(long)]
    guidon: Option<PathBuf>,
    /// Port of the agent's API on 127.0.0.1.
    #[arg(long, default_value_t = 27_300)]
    port: u16,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    interrupt::listen()?;
    let program = guidon_program(options.guidon.as_deref())?;
    let docker = Docker::system();
    ensure!(
        docker.answers(),
        "Docker does not answer: `cargo xtask setup test`"
    );
    let folder = tempfile::tempdir()?;
    let api = SocketAddr::from(([127, 0, 0, 1], options.port));
    let config = folder.path().join("guidon.toml");
    std::fs::write(&config, configuration(folder.path(), api))?;
    let arguments = ["run", "--config", &config.display().to_string()].map(str::to_owned);
    let mut agent = Child::start("guidon", &program, &arguments, folder.path(), false)?;
    agent.wait_ready(api, Some("/readyz"), Duration::from_secs(30))?;

    let apps = Apps::new(docker, api, options.apps)?;
    let steps = run(&agent, &apps).with_context(|| agent.log_tail());
    let peak = agent.memory("VmHWM")?;
    // It would make again what is removed by hand.
    agent.stop(Duration::from_secs(10))?;
    apps.clear()?;
    report(&options, &steps?, peak);
    Ok(ExitCode::SUCCESS)
}

fn configuration(folder: &Path, api: SocketAddr) -> String {
    format!(
        r#"guid = "bench-node"
data_dir = "{data}"

[api]
listen = "{api}"

[receive]
remote_write = false
otlp_http = false
otlp_grpc = false
jaeger = false
apps = false
"#,
        data = folder.join("data").display(),
    )
}

/// What one step took.
struct Step {
    name: &'static str,
    apps: usize,
    seconds: f64,
    agent_cpu_seconds: f64,
}

fn run(agent: &Child, apps: &Apps) -> Result<Vec<Step>> {
    let step = |name, count: usize, act: &dyn Fn() -> Result<()>| -> Result<Step> {
        eprintln!("{name}: {count}");
        let cpu_before = agent.cpu_seconds()?;
        let start = Instant::now();
        act()?;
        Ok(Step {
            name,
            apps: count,
            seconds: start.elapsed().as_secs_f64(),
            agent_cpu_seconds: agent.cpu_seconds()? - cpu_before,
        })
    };
    let count = apps.guids.len();
    let mut steps = vec![step("create", count, &|| {
        side_by_side(count, |number| {
            apps.put(number, &apps.description("1"), 201)
        })
    })?];
    let before = apps.containers()?;
    let changed = count / 2;
    steps.push(step("change", 1, &|| {
        apps.put(changed, &apps.description("2"), 200)
    })?);
    let mut after = apps.containers()?;
    let own = &apps.guids[changed];
    ensure!(after.get(own) != before.get(own), "{own} was not replaced");
    after.insert(own.clone(), before[own].clone());
    ensure!(after == before, "the change of one app touched others");
    steps.push(step("put again as it is", count - 1, &|| {
        side_by_side(count, |number| match number == changed {
            true => Ok(()),
            false => apps.put(number, &apps.description("1"), 200),
        })
    })?);
    ensure!(
        apps.containers()?
            .iter()
            .filter(|(guid, _)| *guid != own)
            .all(|(guid, id)| before[guid] == *id),
        "apps that were put again as they were are others now"
    );
    steps.push(step("delete", count, &|| {
        side_by_side(count, |number| apps.delete(number))
    })?);
    ensure!(apps.containers()?.is_empty(), "apps are left");
    Ok(steps)
}

/// The apps, and the image they run.
struct Apps {
    docker: Docker,
    api: Server,
    image: String,
    guids: Vec<String>,
}

impl Apps {
    fn new(docker: Docker, api: SocketAddr, count: usize) -> Result<Self> {
        let image = format!("guidon-bench-apps-{}", std::process::id());
        import_busybox(&docker, &image)?;
        let guids = (0..count)
            .map(|number| format!("{image}-{number}"))
            .collect();
        Ok(Self {
            docker,
            api: Server::Tcp(api.to_string()),
            image,
            guids,
        })
    }

    fn description(&self, version: &str) -> Value {
        json!({"driver": "docker", "image": self.image, "command": ["sleep", "86400"],
            "env": {"VERSION": version}, "stop": {"grace": "1s"}})
    }

    fn put(&self, number: usize, app: &Value, expected: u16) -> Result<()> {
        let path = format!("/api/v1/apps/{}", self.guids[number]);
        let text = app.to_string();
        let mut request = Request::new("PUT", &path);
        request.headers = &[("Content-Type", "application/json")];
        request.body = text.as_bytes();
        self.expect(request, expected)
    }

    fn delete(&self, number: usize) -> Result<()> {
        let path = format!("/api/v1/apps/{}", self.guids[number]);
        self.expect(Request::new("DELETE", &path), 204)
    }

    fn expect(&self, mut request: Request<'_>, expected: u16) -> Result<()> {
        interrupt::check()?;
        request.timeout = PATIENCE;
        let answer = send(&self.api, &request)?;
        if answer.status != expected {
            bail!("{} {}: {}", request.method, request.path, answer.text());
        }
        Ok(())
    }

    /// Container ids by guid, as Docker says.
    fn containers(&self) -> Result<BTreeMap<String, Value>> {
        let mut found = BTreeMap::new();
        let names = self.docker.names()?;
        for guid in self.guids.iter().filter(|guid| names.contains(guid)) {
            found.insert(guid.clone(), self.docker.inspect(guid)?["Id"].clone());
        }
        Ok(found)
    }

    fn clear(&self) -> Result<()> {
        let names = self.docker.names()?;
        let left: Vec<&String> = self.guids.iter().filter(|it| names.contains(it)).collect();
        side_by_side(left.len(), |number| self.docker.remove(left[number]))?;
        self.docker.remove_image(&self.image)
    }
}

fn report(options: &Options, steps: &[Step], peak: u64) {
    for (name, value) in machine::describe() {
        println!("- {name}: {value}");
    }
    println!("- {} apps, four calls at a time\n", options.apps);
    println!("| | apps | seconds | ms per app | agent's CPU ms per app |\n|---|---|---|---|---|");
    for step in steps {
        let per_app = |seconds: f64| seconds * 1000.0 / step.apps as f64;
        println!(
            "| {} | {} | {:.1} | {:.0} | {:.1} |",
            step.name,
            step.apps,
            step.seconds,
            per_app(step.seconds),
            per_app(step.agent_cpu_seconds)
        );
    }
    println!(
        "\nThe agent's highest resident size: {:.1} MiB.",
        peak as f64 / MIB
    );
}
