#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::stack::component::Text;

/// An agent that takes everything.
pub(super) fn around() -> Around {
    Around {
        host: "node-7".parse().unwrap(),
        instance: "vm".to_owned(),
        api: "http://127.0.0.1:7070".to_owned(),
        api_token: None,
        api_certificate: None,
        remote_write: Some("127.0.0.1:10000".parse().unwrap()),
        otlp_http: Some("127.0.0.1:4318".parse().unwrap()),
        otlp_grpc: Some("127.0.0.1:4317".parse().unwrap()),
        owner: "/var/lib/guidon".to_owned(),
        log_targets: Vec::new(),
        relay_token: Secret::new("relay$token"),
    }
}

/// What is wanted of a component with this configuration.
fn wanted(name: &str, text: &str) -> Component {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guidon.toml");
    std::fs::write(&path, text).unwrap();
    let config = Config::load(Some(&path), &Default::default()).unwrap();
    let all = components(&config, &around(), Path::new("/var/lib/guidon/stack"));
    let found = all.into_iter().find(|(known, _, _)| *known == name);
    found.unwrap().2.unwrap()
}

fn file(component: &Component) -> String {
    match &component.files[0].text {
        Text::Whole(text) => text.clone(),
        Text::Edited(edit) => edit(None).unwrap(),
    }
}

fn spec(component: &Component) -> &ContainerSpec {
    match &component.run {
        Run::Container(spec) => spec,
        other => panic!("{other:?} is no container"),
    }
}

#[test]
fn vector_in_a_container_sees_logs_docker_and_its_own_folder_and_no_more() {
    let text = "[receive]\nlog_files = [\"/var/log\", \"/srv/logs\"]\n\n[stack.vector]\n\
                managed = \"container\"\nimage = \"vector:0.57\"\nargs = [\"--quiet\"]\n";
    let vector = wanted("vector", text);
    let spec = spec(&vector);
    let own = "/var/lib/guidon/stack/vector";
    let mounts: Vec<_> = spec
        .mounts
        .iter()
        .map(|it| (it.source.to_str().unwrap(), it.read_only))
        .collect();
    assert_eq!(
        mounts,
        [
            (own, false),
            ("/var/log", true),
            ("/srv/logs", true),
            ("/var/run/docker.sock", true)
        ]
    );
    assert!(spec.mounts.iter().all(|it| it.source == it.target));
    assert_eq!(
        spec.args,
        ["--config", &format!("{own}/vector.toml"), "--quiet"]
    );
    assert_eq!(vector.reload, Reload::Hangup);
    assert_eq!(vector.files[0].mode, 0o600);
    let text = file(&vector);
    assert!(
        text.contains("data_dir = \"/var/lib/guidon/stack/vector\""),
        "{text}"
    );
    assert!(
        text.contains("Authorization = \"Bearer relay\\u0024token\""),
        "{text}"
    );
}

#[test]
fn without_the_agents_receiver_vector_sends_to_every_bus_that_takes_http() {
    let text = "[receive]\notlp_http = false\n\n[bus]\n\
                logs = [\"http://a/v1/logs\", \"grpc://b:4317\", \"https://c/v1/logs\"]\n\n\
                [stack.vector]\nmanaged = \"external\"\nconfig_file = \"/etc/vector/vector.toml\"\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guidon.toml");
    std::fs::write(&path, text).unwrap();
    let config = Config::load(Some(&path), &Default::default()).unwrap();
    let around = Around {
        otlp_http: None,
        ..around()
    };
    let vector = vector::component(&config, &around, Path::new("/x")).unwrap();
    let read: toml::Table = file(&vector).parse().unwrap();
    let sinks = read["sinks"].as_table().unwrap();
    let uris: Vec<_> = sinks
        .values()
        .map(|sink| sink["uri"].as_str().unwrap())
        .collect();
    assert_eq!(uris, ["http://a/v1/logs", "https://c/v1/logs"]);
    assert!(
        !file(&vector).contains("Bearer"),
        "the token is for the agent alone"
    );
    assert_eq!(read["data_dir"].as_str(), Some("/var/lib/vector"));
    assert_eq!((vector.check, vector.ready_url), (None, None));
}

#[test]
fn jaegers_file_says_where_to_listen_and_where_to_export() {
    let text = "[receive]\njaeger = { grpc = \"0.0.0.0:14250\", http = false }\n\n\
                [stack.jaeger_collector]\nmanaged = \"container\"\nimage = \"jaeger:2.20.0\"\n";
    let collector = wanted("jaeger_collector", text);
    assert_eq!(file(&collector), include_str!("golden/jaeger.yaml"));
    assert_eq!(
        spec(&collector).args,
        ["--config=/var/lib/guidon/stack/jaeger_collector/jaeger.yaml"]
    );
    assert_eq!(collector.reload, Reload::Restart);
    let listens: Vec<_> = collector.listens.iter().map(ToString::to_string).collect();
    assert_eq!(listens, ["0.0.0.0:14250", "127.0.0.1:13133"]);
}

#[test]
fn a_v1_collector_writes_where_it_is_configured_to() {
    let text = |storage: &str| {
        format!(
            "[stack.jaeger_collector]\nmanaged = \"container\"\nimage = \"i\"\nversion = \"v1\"\n\
             storage = {storage:?}\nargs = [\"--kafka.producer.brokers=k:9092\"]\n"
        )
    };
    for (storage, to_agent) in [
        ("grpc", true),
        ("grpc-plugin,kafka", true),
        ("kafka", false),
    ] {
        let collector = wanted("jaeger_collector", &text(storage));
        let spec = spec(&collector);
        assert_eq!(spec.env["SPAN_STORAGE_TYPE"], storage);
        let server = "--grpc-storage.server=127.0.0.1:4317".to_owned();
        assert_eq!(spec.args.contains(&server), to_agent, "{storage}");
        assert_eq!(spec.args.last().unwrap(), "--kafka.producer.brokers=k:9092");
    }
}

#[test]
fn a_jaeger_agent_sends_to_the_collector_that_is_named_else_to_the_usual_address() {
    for (collector, expected) in [
        ("", "127.0.0.1:14250"),
        ("collector = \"a:1,b:2\"\n", "a:1,b:2"),
    ] {
        let text =
            format!("[stack.jaeger_agent]\nmanaged = \"container\"\nimage = \"i\"\n{collector}");
        let agent = wanted("jaeger_agent", &text);
        let args = &spec(&agent).args;
        assert_eq!(args[0], format!("--reporter.grpc.host-port={expected}"));
        assert_eq!(args[1], "--agent.tags=guid=node-7");
    }
}
