//! Vector under management, with a stand-in that takes its command lines, reads its file as TOML and
//! does with containers and files what the file says.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use guidon_tests::agent::guidon;
use guidon_tests::{
    Agent, Container, Image, OtlpSink, eventually, free_port, system_docker, unique,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as AnyValue};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

fn stand_in() -> PathBuf {
    guidon_tests::python::scripts().join("vector.py")
}

/// An agent that manages Vector, and takes its logs.
struct Managed {
    agent: Agent,
    sink: OtlpSink,
    files: tempfile::TempDir,
}

impl Managed {
    fn start() -> Self {
        let (sink, files) = (OtlpSink::start(), tempfile::tempdir().unwrap());
        let sections = format!(
            "[receive]\nremote_write = false\notlp_grpc = false\njaeger = false\napps = false\n\
             otlp_http = \"127.0.0.1:{}\"\nlog_files = [{:?}]\n\n[bus]\nlogs = {:?}\n\n\
             [stack.vector]\nmanaged = \"binary\"\npath = {:?}\napi = \"127.0.0.1:{}\"\n",
            free_port(),
            files.path(),
            sink.url("logs"),
            stand_in(),
            free_port(),
        );
        let agent = Agent::start_with("guid = \"the-host\"", &sections);
        Self { agent, sink, files }
    }

    fn home(&self) -> PathBuf {
        self.agent.data_dir().join("stack/vector")
    }

    fn file(&self) -> String {
        std::fs::read_to_string(self.home().join("vector.toml")).unwrap_or_default()
    }

    fn status(&self) -> Value {
        component(&self.agent, "vector")
    }

    /// Waits for a state, and returns the process id.
    fn runs(&self) -> u64 {
        eventually(PATIENCE, "vector runs", || {
            let status = self.status();
            (status["state"] == "running").then(|| status["pid"].as_u64().unwrap())
        })
    }

    /// What the stand-in wrote, a line each.
    fn noted(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.home().join(name)).unwrap_or_default();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn hangups(&self) -> usize {
        let calls = self.noted("calls");
        calls.iter().filter(|it| **it == json!(["SIGHUP"])).count()
    }

    /// The patterns that the running program has read, without the one that is always there.
    fn patterns(&self) -> Vec<String> {
        let read = self.noted("read");
        let include = read.last().unwrap()["sources"]["guidon_files"]["include"].clone();
        let include: Vec<String> = serde_json::from_value(include).unwrap();
        include[1..].to_vec()
    }

    fn target(&self, guid: &str, file: &str) -> String {
        let pattern = self.files.path().join(file).display().to_string();
        let path = format!("/api/v1/logs/{guid}");
        let (status, answer) = self.agent.put(&path, &json!({"files": [pattern]}));
        assert_eq!(status, 201, "{answer}");
        pattern
    }

    /// Attributes of the resource, and severity, of the line that arrived at the bus.
    fn arrived(&self, line: &str) -> (BTreeMap<String, String>, String) {
        eventually(PATIENCE, &format!("{line:?} at the bus"), || {
            let exports = self.sink.exports();
            let entries = exports.logs.iter().flat_map(|it| &it.resource_logs);
            entries.into_iter().find_map(|entry| {
                let mut records = entry.scope_logs.iter().flat_map(|it| &it.log_records);
                let record = records.find(|record| {
                    let body = record.body.as_ref().and_then(|body| body.value.as_ref());
                    matches!(body, Some(AnyValue::StringValue(text)) if text == line)
                })?;
                let attributes = &entry.resource.as_ref().unwrap().attributes;
                Some((
                    attributes.iter().map(pair).collect(),
                    record.severity_text.clone(),
                ))
            })
        })
    }
}

/// A component's status.
fn component(agent: &Agent, name: &str) -> Value {
    let stack = agent.get_json("/api/v1/stack");
    let mut all = stack["components"].as_array().unwrap().iter();
    all.find(|it| it["name"] == name).unwrap().clone()
}

fn pair(attribute: &KeyValue) -> (String, String) {
    let value = attribute.value.as_ref().and_then(|it| it.value.as_ref());
    match value {
        Some(AnyValue::StringValue(text)) => (attribute.key.clone(), text.clone()),
        other => panic!("{other:?} is no text"),
    }
}

#[test]
fn lines_of_apps_of_files_and_of_other_containers_arrive_under_their_guids() {
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let managed = Managed::start();
    managed.runs();
    let status = managed.status();
    assert_eq!(status["version"], "0.57.0", "{status}");
    let said = |what: &str| format!("echo {what}; echo bad-{what} >&2; sleep 600");
    let (app, line) = (unique("app"), unique("line"));
    let (code, answer) = managed
        .agent
        .put(&format!("/api/v1/apps/{app}"), &image.app(&said(&line)));
    assert_eq!(code, 201, "{answer}");
    let (mut attributes, severity) = managed.arrived(&line);
    let id = docker.inspect(&app).unwrap()["Id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(severity, "INFO");
    assert_eq!(managed.arrived(&format!("bad-{line}")).1, "ERROR");
    // As the agent's own tailer gives them.
    let image_name = image.name().to_owned();
    for (key, value) in [
        ("guid", &app),
        ("service.instance.id", &app),
        ("container.name", &app),
        ("container.id", &id),
        ("container.image.name", &image_name),
        ("image", &image_name),
    ] {
        assert_eq!(attributes.remove(key).as_ref(), Some(value), "{key}");
    }
    assert!(attributes.is_empty(), "{attributes:?}");

    let (other, line) = (unique("foreign"), unique("line"));
    let _container = Container::run(&docker, &image, &other, &said(&line));
    let (attributes, _) = managed.arrived(&line);
    assert_eq!(attributes["guid"], "the-host", "nobody's are the host's");
    assert_eq!(attributes["container.name"], other);
    // No app, no container changes the file.
    assert_eq!(managed.hangups(), 0);

    managed.target("files-1", "$a [b]/*.log");
    managed.target("files-2", "two.log");
    std::fs::create_dir(managed.files.path().join("$a b")).unwrap();
    for (file, line, guid) in [
        ("$a b/x.log", "of-1", "files-1"),
        ("two.log", "of-2", "files-2"),
    ] {
        let path = managed.files.path().join(file);
        std::fs::write(&path, format!("{line}\n")).unwrap();
        let (attributes, _) = managed.arrived(line);
        assert_eq!(attributes["guid"], guid);
        assert_eq!(attributes["log.file.path"], path.display().to_string());
    }
}

#[test]
fn a_target_that_comes_and_goes_is_a_hangup_each_and_changes_nothing_else() {
    let managed = Managed::start();
    let pid = managed.runs();
    let before = managed.file();
    let first = managed.target("app-1", "one.log");
    eventually(PATIENCE, "the target", || {
        (managed.patterns() == [first.as_str()]).then_some(())
    });
    let with_first = managed.file();
    let second = managed.target("app-2", "*/two?.log");
    eventually(PATIENCE, "the second target", || {
        (managed.patterns() == [first.as_str(), second.as_str()]).then_some(())
    });
    // Each is one line among the patterns and one in the program.
    let with_second = managed.file();
    let added: Vec<_> = with_second
        .lines()
        .filter(|line| !with_first.contains(line))
        .collect();
    assert_eq!(added.len(), 2, "{added:?}");
    assert_eq!(managed.hangups(), 2);
    for guid in ["app-2", "app-1"] {
        assert_eq!(managed.agent.delete(&format!("/api/v1/logs/{guid}")).0, 204);
    }
    eventually(PATIENCE, "no target", || {
        managed.patterns().is_empty().then_some(())
    });
    assert_eq!(managed.file(), before);
    assert_eq!(managed.runs(), pid, "never started anew");
    let calls = managed.noted("calls");
    let starts = calls.iter().filter(|it| it[0] == "--config").count();
    assert_eq!(starts, 1, "{calls:?}");
    assert_eq!(managed.status()["restarts"], 0);
    assert!(managed.status()["reloads"].as_u64().unwrap() >= 3);
}

#[test]
fn what_the_validator_refuses_stays_out_and_its_words_are_shown_until_it_is_healed() {
    let managed = Managed::start();
    let pid = managed.runs();
    let before = managed.file();
    let refusal = managed.home().join("refuse");
    std::fs::write(&refusal, "x the words of the validator").unwrap();
    let pattern = managed.target("app-1", "one.log");
    eventually(PATIENCE, "the refusal is shown", || {
        let status = managed.status();
        status
            .to_string()
            .contains("the words of the validator")
            .then_some(())
    });
    assert_eq!(managed.file(), before);
    assert_eq!(managed.runs(), pid);
    assert_eq!(managed.hangups(), 0);
    std::fs::remove_file(refusal).unwrap();
    // Another change is tried at once.
    let other = managed.target("app-2", "two.log");
    eventually(PATIENCE, "both targets", || {
        (managed.patterns() == [pattern.as_str(), other.as_str()]).then_some(())
    });
    assert_eq!(managed.runs(), pid);
}

#[test]
fn somebodys_parts_stay_and_what_breaks_guidons_is_put_back() {
    let managed = Managed::start();
    let pid = managed.runs();
    let path = managed.home().join("vector.toml");
    let mine = "# mine\n[sources.mine]\ntype = \"stdin\" # as it is\n\n";
    let by_hand = managed
        .file()
        .replacen("\n# Kept", &format!("\n{mine}# Kept"), 1);
    std::fs::write(&path, &by_hand).unwrap();
    eventually(PATIENCE, "somebody's part is read", || {
        let read = managed.noted("read");
        (read.last()?["sources"]["mine"]["type"] == "stdin").then_some(())
    });
    assert_eq!(managed.file(), by_hand);
    // A key of guidon's, and then no TOML at all.
    for broken in [
        by_hand.replace("type = \"docker_logs\"", "type = \"file\""),
        "{".to_owned(),
    ] {
        std::fs::write(&path, broken).unwrap();
        eventually(PATIENCE, "put back", || {
            (managed.file() == by_hand).then_some(())
        });
    }
    managed.target("app-1", "one.log");
    eventually(PATIENCE, "the target", || {
        (managed.patterns().len() == 1).then_some(())
    });
    assert!(managed.file().contains(mine));
    assert_eq!(managed.runs(), pid);
}

#[test]
fn an_external_vectors_file_is_edited_and_its_owners_command_tells_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vector.toml");
    let theirs = "# theirs\ndata_dir = \"/tmp\"\n\n[sources.theirs]\ntype = \"stdin\"\n";
    std::fs::write(&file, theirs).unwrap();
    let told = folder.path().join("told");
    let sections = |file: &Path| {
        format!(
            "[receive]\nremote_write = false\notlp_grpc = false\njaeger = false\napps = false\n\
             otlp_http = \"127.0.0.1:{}\"\n\n[stack.vector]\nmanaged = \"external\"\n\
             config_file = {file:?}\nreload_command = [\"/bin/cp\", {file:?}, {told:?}]\n",
            free_port(),
        )
    };
    let agent = Agent::start_with("", &sections(&file));
    eventually(PATIENCE, "it is told", || told.exists().then_some(()));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with(theirs), "{text}");
    assert!(text.contains("[sources.guidon_containers]"));
    assert_eq!(component(&agent, "vector")["state"], "external");
}

#[test]
fn a_check_names_what_does_not_go_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guidon.toml");
    let text = "[receive]\notlp_http = false\n\n[stack.vector]\nmanaged = \"binary\"\n";
    std::fs::write(&path, text).unwrap();
    let (code, _, problems) = guidon(&["check", "--config", path.to_str().unwrap()]);
    assert_eq!(code, 1, "{problems}");
    assert!(
        problems.contains("receive.otlp_http is switched off"),
        "{problems}"
    );
}
