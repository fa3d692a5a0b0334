//! The command line, as a person and a script meet it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::Path;

use guidon_tests::agent::guidon;
use guidon_tests::{Agent, Container, Image, system_docker, unique};

fn check(config: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("guidon.toml");
    std::fs::write(&file, config).unwrap();
    let (code, stdout, stderr) = guidon(&["check", "--config", file.to_str().unwrap()]);
    (code, stdout + &stderr)
}

#[test]
fn check_reports_all_problems_at_once_with_their_lines() {
    let (code, said) = check(
        "guid = \"Not A Guid\"\n\
         unknown = 1\n\
         [collect]\n\
         interval = \"soon\"\n\
         [bus]\n\
         metrics = \"ftp://somewhere\"\n",
    );
    assert_eq!(code, 1, "{said}");
    for (line, word) in [(1, "guid"), (2, "unknown"), (4, "interval"), (6, "metrics")] {
        assert!(
            said.lines()
                .any(|text| text.contains(&format!(":{line}:")) && text.contains(word)),
            "line {line} ({word}) is missing:\n{said}"
        );
    }
}

#[test]
fn check_is_content_with_an_empty_file_and_with_the_example() {
    assert_eq!(check("").0, 0);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/guidon.example.toml");
    let (code, stdout, stderr) = guidon(&["check", "--config", example.to_str().unwrap()]);
    assert_eq!(code, 0, "{stdout}{stderr}");
}

#[test]
fn the_examples_commented_keys_are_valid_too() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/guidon.example.toml");
    let text = std::fs::read_to_string(example).unwrap();
    // Keys and sections that are off stand behind `#` without a space; prose behind `# `.
    let enabled: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if !key.starts_with([' ', '#']) && !key.is_empty() => key,
            _ => line,
        })
        .map(|line| format!("{line}\n"))
        .collect();
    assert_ne!(enabled, text);
    let (_, said) = check(&enabled);
    // The token and the certificates it names are not on this machine; nothing else is wrong.
    let problems = said.lines().filter(|line| line.contains("guidon.toml:"));
    let others: Vec<&str> = problems
        .filter(|line| !line.contains("cannot read /etc/guidon/"))
        .filter(|line| !line.ends_with(": no problems"))
        .collect();
    assert_eq!(others, Vec::<&str>::new());
}

#[test]
fn a_missing_file_is_named() {
    let (code, _, stderr) = guidon(&["run", "--config", "/nonexistent/guidon.toml"]);
    assert_ne!(code, 0);
    assert!(stderr.contains("/nonexistent/guidon.toml"), "{stderr}");
}

#[test]
fn doctor_says_what_will_work_and_why_not() {
    let (_, stdout, stderr) = guidon(&["doctor"]);
    let said = (stdout + &stderr).to_lowercase();
    for topic in [
        "kernel",
        "btf",
        "capabilit",
        "cgroup",
        "docker",
        "disk",
        "clock",
    ] {
        assert!(said.contains(topic), "nothing about {topic}:\n{said}");
    }
}

#[test]
fn apps_and_tables_are_at_hand_on_the_command_line() {
    let agent = Agent::alone();
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let guid = unique("cli");
    let _app = Container::claim(&docker, &guid);
    assert_eq!(
        agent
            .put(&format!("/api/v1/apps/{guid}"), &image.app("sleep 600"))
            .0,
        201
    );
    let api = format!("http://{}", agent.api());
    let run = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["--api", &api]);
        let (code, stdout, stderr) = guidon(&all);
        assert_eq!(code, 0, "guidon {}: {stderr}", all.join(" "));
        stdout
    };
    assert!(run(&["app", "ls"]).contains(&guid));
    assert!(run(&["app", "show", &guid]).contains(image.name()));
    let status = run(&["status"]);
    assert!(
        status.contains("docker") || status.contains("Docker"),
        "{status}"
    );
    let table = run(&["top", "--once"]);
    let row = table.lines().find(|line| line.contains(&guid));
    let row = row.unwrap_or_else(|| panic!("no row of {guid}:\n{table}"));
    assert!(row.split_whitespace().count() >= 5, "{row}");
    run(&["app", "rm", &guid]);
    assert!(!docker.names().unwrap().contains(&guid));
    let (code, _, stderr) = guidon(&["app", "rm", &guid, "--api", &api]);
    assert_ne!(code, 0);
    assert!(stderr.contains(&guid), "{stderr}");
}

#[test]
fn commands_that_need_an_agent_say_so_when_there_is_none() {
    for verb in ["status", "top"] {
        let (code, _, stderr) = guidon(&[verb, "--api", "http://127.0.0.1:9"]);
        assert_ne!(code, 0, "{verb}");
        assert!(stderr.contains("127.0.0.1:9"), "{verb}: {stderr}");
    }
}
