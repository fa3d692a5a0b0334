//! Managed components: real Prometheus and node exporter, started, fed, killed and starved.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use guidon_tests::{
    Agent, Image, Program, PrometheusServer, eventually, free_port, system_docker, unique,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::http::Request;

/// A noisy machine starts a Prometheus in some seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ports of one agent with Prometheus and node exporter.
struct Ports {
    write: u16,
    prometheus: u16,
    exporter: u16,
}

impl Ports {
    fn free() -> Self {
        Self {
            write: free_port(),
            prometheus: free_port(),
            exporter: free_port(),
        }
    }

    /// The sections of a configuration, with more keys for Prometheus and node exporter.
    fn sections(&self, prometheus: &str, exporter: &str) -> String {
        let Self {
            write,
            prometheus: port,
            exporter: exporter_port,
        } = self;
        format!(
            "[collect]\ninterval = \"1s\"\n[receive]\nremote_write = \"127.0.0.1:{write}\"\n\
             otlp_http = false\notlp_grpc = false\napps = false\n\
             [stack.prometheus]\nlisten = \"127.0.0.1:{port}\"\nscrape_interval = \"1s\"\n\
             {prometheus}\n\
             [stack.node_exporter]\nlisten = \"127.0.0.1:{exporter_port}\"\n{exporter}\n"
        )
    }

    fn binaries(&self) -> String {
        self.sections("managed = \"binary\"", "managed = \"binary\"")
    }
}

fn component(agent: &Agent, name: &str) -> Value {
    let stack = agent.get_json("/api/v1/stack");
    let components = stack["components"].as_array().unwrap();
    let found = components.iter().find(|one| one["name"] == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {stack}"))
        .clone()
}

/// Waits until a component is as asked for.
fn until(agent: &Agent, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually(PATIENCE, &format!("{name}: {what}"), || {
            last = component(agent, name);
            is_so(&last).then(|| last.clone())
        })
    }));
    found.unwrap_or_else(|_| panic!("{name} is not {what}: {last:#}"))
}

fn until_running(agent: &Agent, name: &str) -> Value {
    until(agent, name, "running", |one| {
        one["state"] == "running" && !one["version"].is_null()
    })
}

fn pid(component: &Value) -> Pid {
    let raw = component["pid"].as_i64().unwrap();
    Pid::from_raw(i32::try_from(raw).unwrap()).unwrap()
}

/// An ended process whose parent has not asked for it has no command line.
fn runs(pid: Pid) -> bool {
    let line = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
    line.is_ok_and(|line| !line.is_empty())
}

/// A small file system that is full when it appears at a folder; gone when dropped.
struct FullDisk {
    own: TempDir,
    folder: PathBuf,
}

impl FullDisk {
    fn appear(folder: &Path) -> Self {
        let own = tempfile::tempdir().unwrap();
        mount(&["-t", "tmpfs", "-o", "size=32m", "tmpfs"], own.path());
        let mut filler = File::create(own.path().join("filler")).unwrap();
        std::io::copy(&mut std::io::repeat(0), &mut filler).unwrap_err();
        mount(&["--bind", own.path().to_str().unwrap()], folder);
        Self {
            own,
            folder: folder.to_owned(),
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.own.path().join("filler")).unwrap();
    }
}

fn mount(arguments: &[&str], at: &Path) {
    let mounted = Command::new("mount").args(arguments).arg(at).status();
    assert!(mounted.unwrap().success());
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        for mounted in [&*self.folder, self.own.path()] {
            let gone = Command::new("umount").arg("-l").arg(mounted).status();
            assert!(gone.is_ok_and(|status| status.success()) || std::thread::panicking());
        }
    }
}

fn reload(agent: &Agent) -> Value {
    let answer = agent.send(&Request::new("POST", "/api/v1/reload"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json().unwrap()
}

/// Processes whose command line names this folder.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines
        .filter(|line| line.contains(folder) && line.contains("--config.file="))
        .collect()
}

#[test]
fn what_prometheus_scrapes_reaches_the_bus_under_the_guid_of_each_exporter() {
    let bus = PrometheusServer::victoria_metrics();
    let ports = Ports::free();
    let host = unique("host");
    let sections = format!("{}[bus]\nmetrics = {:?}", ports.binaries(), bus.write_url());
    let mut agent = Agent::start_with(&format!("guid = {host:?}"), &sections);
    let address = bus.program().address();
    let body = json!({"address": address, "labels": {"guid": "app-1"}});
    assert_eq!(agent.put("/api/v1/exporters/shop", &body).0, 201);

    let node = format!("node_load1{{guid={host:?},job=\"node\"}}");
    bus.wait_for(&node, PATIENCE);
    bus.wait_for("vm_app_version{guid=\"app-1\",job=\"shop\"}", PATIENCE);
    bus.wait_for(&format!("up{{guid={host:?},job=\"node\"}} == 1"), PATIENCE);
    // The host's metrics come from one of the two alone.
    let both = bus.query("node_load1");
    assert_eq!(both.len(), 1, "{both:?}");
    let page = agent.get("/metrics/node");
    assert!(page.text().contains("node_load1{"), "{}", page.text());

    let prometheus = until_running(&agent, "prometheus");
    assert!(prometheus["version"].as_str().unwrap().starts_with("2."));
    let exporter = until_running(&agent, "node_exporter");
    assert!(!prometheus["log"].as_array().unwrap().is_empty());
    let metrics = agent.get("/metrics").text();
    let running = "guidon_stack_state{component=\"prometheus\",state=\"running\"} 1";
    assert!(metrics.contains(running), "{metrics}");
    let token = std::fs::read_to_string(agent.data_dir().join("stack/relay-token")).unwrap();
    assert!(!agent.get_json("/api/v1/stack").to_string().contains(&token));

    agent.stop();
    assert!(!runs(pid(&prometheus)) && !runs(pid(&exporter)));
}

#[test]
fn a_killed_component_comes_back_and_a_killed_agent_finds_its_own() {
    let ports = Ports::free();
    let mut agent = Agent::start_with("", &ports.binaries());
    let first = until_running(&agent, "prometheus");
    let exporter = until_running(&agent, "node_exporter");
    kill_process(pid(&first), Signal::KILL).unwrap();
    let second = until(&agent, "prometheus", "back", |one| {
        one["state"] == "running" && one["restarts"] == 1
    });
    assert_ne!(second["pid"], first["pid"]);
    let last_error = second["last_error"].as_str().unwrap();
    assert!(last_error.contains("signal 9"), "{last_error}");
    assert_eq!(component(&agent, "node_exporter")["pid"], exporter["pid"]);

    agent.kill();
    assert!(runs(pid(&second)));
    agent.start();
    let adopted = until_running(&agent, "prometheus");
    assert_eq!(adopted["pid"], second["pid"]);
    assert_eq!(processes_of(&agent.data_dir()).len(), 1);

    // With another command line it is not the wanted one any more.
    agent.kill();
    let config = std::fs::read_to_string(agent.config_path()).unwrap();
    let changed = config.replace("scrape_interval", "retention = \"3h\"\nscrape_interval");
    std::fs::write(agent.config_path(), changed).unwrap();
    agent.start();
    let third = until_running(&agent, "prometheus");
    assert_ne!(third["pid"], second["pid"]);
    assert_eq!(processes_of(&agent.data_dir()).len(), 1);
    assert_eq!(component(&agent, "node_exporter")["pid"], exporter["pid"]);
    agent.stop();
    assert!(processes_of(&agent.data_dir()).is_empty());
    assert!(!runs(pid(&exporter)));
}

#[test]
fn a_component_that_hangs_is_started_anew() {
    let ports = Ports::free();
    let agent = Agent::start_with("", &ports.sections("", "managed = \"binary\""));
    let first = until_running(&agent, "node_exporter");
    kill_process(pid(&first), Signal::STOP).unwrap();
    // Half a minute of no answers, each waited for, and the grace that it lets pass.
    let second = eventually(3 * PATIENCE, "a new node_exporter", || {
        let one = component(&agent, "node_exporter");
        (one["state"] == "running" && one["restarts"] == 1).then_some(one)
    });
    assert_ne!(second["pid"], first["pid"]);
    let last_error = second["last_error"].as_str().unwrap();
    assert!(last_error.contains("hangs"), "{last_error}");
    assert!(!runs(pid(&first)));
}

#[test]
fn what_is_in_the_way_is_told_and_heals_when_it_is_gone() {
    let ports = Ports::free();
    let taken = TcpListener::bind(("127.0.0.1", ports.exporter)).unwrap();
    let missing = "managed = \"binary\"\npath = \"/nowhere/prometheus\"";
    let mut agent = Agent::start_with("", &ports.sections(missing, "managed = \"binary\""));
    let told = |agent: &Agent, name: &str, words: &str| {
        until(agent, name, words, |one| {
            let reason = one["reason"].as_str().unwrap_or_default();
            one["state"] == "backoff" && reason.contains(words)
        })
    };
    told(&agent, "node_exporter", "in use");
    told(&agent, "prometheus", "/nowhere/prometheus: No such file");
    drop(taken);
    until_running(&agent, "node_exporter");

    let disk = FullDisk::appear(&agent.data_dir().join("stack/prometheus"));
    let config = std::fs::read_to_string(agent.config_path()).unwrap();
    let mended = config.replace("path = \"/nowhere/prometheus\"", "");
    std::fs::write(agent.config_path(), mended).unwrap();
    let report = reload(&agent);
    assert_eq!(report["applied"], json!(["stack.prometheus"]));
    told(&agent, "prometheus", "No space left on device");
    until_running(&agent, "node_exporter");
    disk.make_room();
    until_running(&agent, "prometheus");
    agent.stop();
}

#[test]
fn a_reload_touches_only_what_changed_and_a_hand_edit_is_put_back() {
    let ports = Ports::free();
    let agent = Agent::start_with("", &ports.binaries());
    let prometheus = until_running(&agent, "prometheus");
    let exporter = until_running(&agent, "node_exporter");
    let file = prometheus["config_file"].as_str().unwrap().to_owned();
    let interval = |seconds: u32| {
        let text = std::fs::read_to_string(&file).unwrap();
        text.contains(&format!("scrape_interval: {seconds}000ms"))
            .then_some(())
    };
    let config = std::fs::read_to_string(agent.config_path()).unwrap();
    let changed = config.replace("scrape_interval = \"1s\"", "scrape_interval = \"2s\"");
    std::fs::write(agent.config_path(), changed).unwrap();
    assert_eq!(reload(&agent)["applied"], json!(["stack.prometheus"]));
    let reloads = until(&agent, "prometheus", "reloaded", |one| {
        one["reloads"].as_u64() > prometheus["reloads"].as_u64()
    });
    interval(2).expect("the file has the new interval");
    let in_force = eventually(PATIENCE, "Prometheus uses it", || {
        let server = xtask::http::Server::Tcp(format!("127.0.0.1:{}", ports.prometheus));
        let request = Request::new("GET", "/api/v1/status/config");
        let answer = xtask::http::send(&server, &request).ok()?.json().ok()?;
        let yaml = answer["data"]["yaml"].as_str()?.to_owned();
        yaml.contains("scrape_interval: 2s").then_some(yaml)
    });
    assert!(in_force.contains("credentials_file"), "{in_force}");
    assert_eq!(reloads["pid"], prometheus["pid"]);

    std::fs::write(&file, "no: [configuration").unwrap();
    let healed = until(&agent, "prometheus", "put back", |one| {
        let error = one["last_error"].as_str().unwrap_or_default();
        error.contains("put back")
    });
    eventually(PATIENCE, "the file is as it was", || interval(2));
    assert_eq!(healed["pid"], prometheus["pid"]);
    assert_eq!(component(&agent, "node_exporter")["pid"], exporter["pid"]);

    let config = std::fs::read_to_string(agent.config_path()).unwrap();
    let (head, _) = config.split_once("[stack.node_exporter]").unwrap();
    std::fs::write(agent.config_path(), head).unwrap();
    assert_eq!(reload(&agent)["applied"], json!(["stack.node_exporter"]));
    until(&agent, "node_exporter", "off", |one| one["state"] == "off");
    assert!(!runs(pid(&exporter)));
    assert_eq!(component(&agent, "prometheus")["pid"], prometheus["pid"]);
}

#[test]
fn as_containers_they_are_no_apps_and_survive_the_agent_but_not_its_stop() {
    let docker = system_docker();
    let bus = PrometheusServer::victoria_metrics();
    let images = ["prometheus", "prometheus-node-exporter"];
    let images = images.map(|program| Image::of_program(&docker, program));
    let ports = Ports::free();
    let [prometheus, exporter] = [0, 1].map(|index| {
        format!(
            "managed = \"container\"\nimage = {:?}",
            images[index].name()
        )
    });
    let host = unique("host");
    let sections = format!(
        "{}[bus]\nmetrics = {:?}",
        ports.sections(&prometheus, &exporter),
        bus.write_url()
    );
    let mut agent = Agent::start_with(&format!("guid = {host:?}"), &sections);
    let first = until_running(&agent, "prometheus");
    bus.wait_for(
        &format!("node_load1{{guid={host:?},job=\"node\"}}"),
        PATIENCE,
    );
    let apps = agent.get_json("/api/v1/apps");
    assert_eq!(apps["apps"], json!([]));

    agent.kill();
    agent.start();
    let adopted = until_running(&agent, "prometheus");
    assert_eq!(adopted["container"], first["container"]);
    let path = format!("/containers/{}/kill", first["container"].as_str().unwrap());
    docker
        .call("POST", &path, &Value::Null)
        .unwrap()
        .success()
        .unwrap();
    let second = until(&agent, "prometheus", "back", |one| {
        one["state"] == "running" && one["restarts"] == 1
    });
    assert_ne!(second["container"], first["container"]);
    agent.stop();
    for container in [&first, &second] {
        let id = container["container"].as_str().unwrap();
        let answer = docker.call("GET", &format!("/containers/{id}/json"), &Value::Null);
        assert_eq!(answer.unwrap().status, 404);
    }
}

#[test]
fn an_external_prometheus_is_configured_and_otherwise_left_alone() {
    let bus = PrometheusServer::victoria_metrics();
    let theirs = Program::start("prometheus", "/-/ready", |folder, address| {
        let config = folder.join("prometheus.yml");
        std::fs::write(&config, "global: {}\n").unwrap();
        vec![
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", folder.join("data").display()),
            format!("--web.listen-address={address}"),
            "--web.enable-lifecycle".to_owned(),
        ]
    });
    let config_file = theirs.folder().join("prometheus.yml");
    let mut ports = Ports::free();
    ports.prometheus = theirs
        .address()
        .rsplit_once(':')
        .unwrap()
        .1
        .parse()
        .unwrap();
    let prometheus = format!("managed = \"external\"\nconfig_file = {config_file:?}");
    let sections = format!(
        "{}[bus]\nmetrics = {:?}",
        ports.sections(&prometheus, ""),
        bus.write_url()
    );
    let mut agent = Agent::start_with("", &sections);
    let body = json!({"address": theirs.address(), "labels": {"guid": "app-1"}});
    assert_eq!(agent.put("/api/v1/exporters/shop", &body).0, 201);
    bus.wait_for(
        "prometheus_build_info{guid=\"app-1\",job=\"shop\"}",
        PATIENCE,
    );
    let told = until(&agent, "prometheus", "told", |one| {
        one["reloads"].as_u64() > Some(0)
    });
    assert_eq!(told["state"], "external");
    agent.stop();
    assert!(
        theirs
            .get("/-/ready")
            .is_some_and(|answer| answer.status == 200)
    );
}

#[test]
fn behind_a_token_prometheus_still_finds_its_targets() {
    let bus = PrometheusServer::victoria_metrics();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "t0ken").unwrap();
    let host = unique("host");
    let sections = format!(
        "token_file = {token:?}\n{}[bus]\nmetrics = {:?}",
        Ports::free().binaries(),
        bus.write_url()
    );
    let listen = format!("127.0.0.1:{}", free_port());
    let agent = Agent::start_on(&listen, &format!("guid = {host:?}"), &sections);
    bus.wait_for(
        &format!("node_load1{{guid={host:?},job=\"node\"}}"),
        PATIENCE,
    );
    assert_eq!(agent.get("/api/v1/stack").status, 401);
}
