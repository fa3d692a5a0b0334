//! The file as users write it, right and wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// The example of the contract, whole.
const EXAMPLE: &str = r#"
guid = "node-7"                        # host guid
data_dir = "/var/lib/guidon"

[api]
listen = "127.0.0.1:7070"
token_file = "/etc/guidon/token"
tls = { cert = "…", key = "…", client_ca = "…" }

[bus]
metrics = "http://127.0.0.1:8428/api/v1/write"
logs    = "http://127.0.0.1:4320/v1/logs"
traces  = "http://127.0.0.1:4320/v1/traces"

[collect]
interval = "10s"
kernel = true
containers = true
node = true

[receive]
remote_write = "127.0.0.1:10000"
otlp_http = "127.0.0.1:4318"
otlp_grpc = "127.0.0.1:4317"
jaeger = { compact = "127.0.0.1:6831", binary = "127.0.0.1:6832", http = "127.0.0.1:14268" }
logs = true
trusted = ["10.0.0.0/8"]

[spool]
max_bytes = "2GiB"
when_full = "drop-oldest"

[docker]
socket = "/var/run/docker.sock"

[cluster]
etcd = ["http://127.0.0.1:2379"]
name = "default"
role = "auto"

[kubernetes]
enabled = false

[stack.prometheus]
managed = "off"
image = "…"
"#;

fn no_environment() -> Environment {
    Vec::new()
}

fn variables(pairs: &[(&str, &str)]) -> Environment {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// The problems of a text, shown as `guidon check` shows them.
fn problems(text: &str, environment: &Environment) -> String {
    match Config::parse(text, environment) {
        Ok(config) => panic!("no problem in {text:?}: {config:?}"),
        Err(problems) => ConfigError::Invalid {
            path: Some("f".into()),
            problems,
        }
        .to_string(),
    }
}

#[test]
fn the_example_of_the_contract_is_valid_and_names_what_is_not_active_yet() {
    let config = Config::parse(EXAMPLE, &no_environment()).unwrap();
    assert_eq!(config.guid.as_ref().unwrap().as_str(), "node-7");
    assert_eq!(config.bus.metrics, ["http://127.0.0.1:8428/api/v1/write"]);
    assert_eq!(config.collect.interval, Duration::from_secs(10));
    assert_eq!(config.spool.max_bytes, 2 << 30);
    assert_eq!(config.receive.trusted.len(), 1);
    assert_eq!(config.cluster.as_ref().unwrap().etcd.len(), 1);
    assert!(config.api.tls.as_ref().unwrap().client_ca.is_some());
    assert_eq!(config.inactive(), ["cluster"]);
}

#[test]
fn an_empty_file_is_the_defaults() {
    let config = Config::parse("", &no_environment()).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.data_dir, Path::new("/var/lib/guidon"));
    assert_eq!(
        config.receive.remote_write,
        Some("127.0.0.1:10000".parse().unwrap())
    );
    assert!(config.inactive().is_empty());
}

#[test]
fn listeners_and_destinations_are_switched_off_with_false() {
    let text = "receive = { remote_write = false, otlp_http = false, jaeger = false }\n\
                bus.metrics = false";
    let config = Config::parse(text, &no_environment()).unwrap();
    assert_eq!(config.receive.remote_write, None);
    assert_eq!(config.receive.otlp_http, None);
    assert!(config.receive.otlp_grpc.is_some());
    assert_eq!(config.receive.jaeger, Jaeger::default());
    let one = Config::parse("receive.jaeger.grpc = false", &no_environment()).unwrap();
    assert_eq!(one.receive.jaeger.grpc, None);
    assert_eq!(one.receive.jaeger.http, Jaeger::standard().http);
    assert!(config.bus.metrics.is_empty());
}

#[test]
fn a_destination_is_one_url_or_several() {
    let text = "[bus]\nmetrics = [\"http://a/w\", \"https://b:8443/w\"]\nlogs = \"grpc://c:4317\"";
    let bus = Config::parse(text, &no_environment()).unwrap().bus;
    assert_eq!(bus.metrics, ["http://a/w", "https://b:8443/w"]);
    assert_eq!(bus.logs, ["grpc://c:4317"]);
}

#[test]
fn every_mistake_is_named_with_its_line_and_what_to_do() {
    for (text, expected) in [
        (
            "guid = \"Node_7\"",
            "f:1:8: guid: \"Node_7\" is not a guid; use 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends",
        ),
        (
            "guid = 7",
            "f:1:8: guid: a number where a string belongs; write a string in quotes",
        ),
        (
            "\n[api]\nlisten = \"localhost:7070\"",
            "f:3:10: api.listen: \"localhost:7070\" is not an address with a port; names are not resolved here; write \"127.0.0.1:7070\"",
        ),
        (
            "[api]\nlisten = \":7070\"",
            "f:2:10: api.listen: \":7070\" is not an address with a port; write \"0.0.0.0:7070\" to listen on every address",
        ),
        (
            "[api]\nlisten = \"0.0.0.0:7070\"",
            "f:2:10: api.listen: 0.0.0.0:7070 can be reached from other hosts without a token; set api.token_file or api.tls.client_ca, or listen on 127.0.0.1",
        ),
        (
            "[api]\ntls = { cert = \"c.pem\" }",
            "f:2:7: api.tls.key: missing; name the PEM file of the certificate's private key",
        ),
        (
            "[bus]\nmetrics = [\n  \"http://a\",\n  \"ftp://b\",\n]",
            "f:4:3: bus.metrics: \"ftp://b\" has a scheme that does not fit; write a URL that starts with http:// or https://",
        ),
        (
            "[bus]\nmetrics = \"grpc://a:4317\"",
            "f:2:11: bus.metrics: \"grpc://a:4317\" has a scheme that does not fit; write a URL that starts with http:// or https://",
        ),
        (
            "[bus]\nlogs = [\"http://a\", \"http://a\"]",
            "f:2:21: bus.logs: the same value twice; remove one of them",
        ),
        (
            "[bus]\nlogs = \"http://me:hunter2@a/\"",
            "f:2:8: bus.logs: a URL must not carry credentials; remove the part before '@'",
        ),
        (
            "[bus]\nlogs = \"grpc://a:4317/path\"",
            "f:2:8: bus.logs: \"grpc://a:4317/path\" has a path, and gRPC fixes its own; write \"grpc://a:4317\"",
        ),
        (
            "[bus]\nlogs = \"http://a:99999/\"",
            "f:2:8: bus.logs: \"http://a:99999/\" has no valid port; use a port from 1 to 65535",
        ),
        (
            "[bus]\ntraces = \"not a url\"",
            "f:2:10: bus.traces: \"not a url\" is not a URL; write a URL that starts with http:// or https:// or grpc:// or grpcs://",
        ),
        (
            "[bus]\nmetrics = \"http://localhost:10000/write\"",
            "f:2:11: bus.metrics: \"http://localhost:10000/write\" is the agent's own receive.remote_write: data would go in circles; name the receiver that the data is for",
        ),
        (
            "[collect]\ninterval = 10",
            "f:2:12: collect.interval: a number where a string belongs; write a number with a unit (ms, s, m, h, d) like \"10s\"",
        ),
        (
            "[collect]\ninterval = \"10\"",
            "f:2:12: collect.interval: \"10\" is not a duration; write a number with a unit (ms, s, m, h, d) like \"10s\"",
        ),
        (
            "[collect]\ninterval = \"1ms\"",
            "f:2:12: collect.interval: \"1ms\" is out of bounds; use 100ms to 3600s",
        ),
        (
            "[collect]\nkernel = \"yes\"",
            "f:2:10: collect.kernel: a string where true or false belongs; write true or false without quotes",
        ),
        (
            "[collect]\nslots = 0",
            "f:2:9: collect.slots: 0 is out of bounds; use a whole number from 1 to 65536",
        ),
        (
            "[receive]\nremote_write = true",
            "f:2:16: receive.remote_write: true does not say where to listen; write an address with a port, or remove the key for the default",
        ),
        (
            "[receive]\nremote_write = \"127.0.0.1:7070\"",
            "f:2:16: receive.remote_write: 127.0.0.1:7070 is taken by api.listen (127.0.0.1:7070); use another port for one of them",
        ),
        (
            "[api]\nlisten = \"127.0.0.1:4318\"",
            "f:2:10: api.listen: 127.0.0.1:4318 is taken by receive.otlp_http (127.0.0.1:4318); use another port for one of them",
        ),
        (
            "[api]\nlisten = \"[::1]:1\"\n[receive]\notlp_http = \"0.0.0.0:1\"\notlp_grpc = \"[::]:1\"",
            "f:5:13: receive.otlp_grpc: [::]:1 is taken by api.listen ([::1]:1); use another port for one of them\n\
             f:5:13: receive.otlp_grpc: [::]:1 is taken by receive.otlp_http (0.0.0.0:1); use another port for one of them",
        ),
        (
            "[receive]\ntrusted = [\"10.0.0.0/8\", \"10.1.2.3/16\", \"x\"]",
            "f:2:26: receive.trusted: \"10.1.2.3/16\" is not an address range: the address has bits beyond its prefix; did you mean \"10.1.0.0/16\"?\n\
             f:2:41: receive.trusted: \"x\" is not an address range: \"x\" is not an IP address; write an address range like \"10.0.0.0/8\"",
        ),
        (
            "[spool]\nmax_bytes = \"2G\"",
            "f:2:13: spool.max_bytes: \"2G\" is not a size; write a whole number with a unit like \"2GiB\" or \"512MiB\"",
        ),
        (
            "[spool]\nmax_bytes = 1000",
            "f:2:13: spool.max_bytes: 1000 is too small; use at least \"16MiB\"",
        ),
        (
            "[spool]\nwhen_full = \"drop\"",
            "f:2:13: spool.when_full: \"drop\" is not known here; use one of \"drop-oldest\", \"refuse\"",
        ),
        (
            "[cluster]\nname = \"x\"",
            "f:1:1: cluster.etcd: missing; name the client URLs of the etcd members",
        ),
        (
            "docker = \"/var/run/docker.sock\"",
            "f:1:10: docker: a string where a section belongs; write [docker] and its keys below it",
        ),
        (
            "[api]\nlisten = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"",
            "f:3:1: not TOML: duplicate key",
        ),
        ("[api", "f:1:5: not TOML: unclosed table, expected `]`"),
    ] {
        assert_eq!(problems(text, &no_environment()), expected, "{text}");
    }
}

#[test]
fn unknown_keys_are_errors_that_guess_what_was_meant() {
    for (text, expected) in [
        (
            "[api]\nlisten_address = \"127.0.0.1:7070\"",
            "f:2:1: api.listen_address: unknown key; known here: listen, token_file, tls",
        ),
        (
            "[api]\n  token-file = \"x\"",
            "f:2:3: api.token-file: unknown key; did you mean api.token_file?",
        ),
        (
            "[colect]\ninterval = \"10s\"",
            "f:1:2: colect: unknown key; did you mean collect?",
        ),
        (
            "interval = \"10s\"",
            "f:1:1: interval: unknown key; did you mean collect.interval?",
        ),
        (
            "[stack.vektor]\nmanaged = \"off\"",
            "f:1:8: stack.vektor: unknown key; did you mean stack.vector?",
        ),
    ] {
        assert_eq!(problems(text, &no_environment()), expected, "{text}");
    }
}

#[test]
fn what_a_component_needs_is_asked_for_by_key() {
    for (text, expected) in [
        (
            "stack.prometheus.managed = \"container\"",
            "f:1:28: stack.prometheus.managed: a container without an image; name the image",
        ),
        (
            "stack.vector.managed = \"external\"",
            "f:1:24: stack.vector.managed: nothing says which file the program reads; name the \
             configuration file to write as config_file",
        ),
        (
            "stack.node_exporter = { managed = \"binary\", path = \"bin/x\" }",
            "f:1:52: stack.node_exporter.path: bin/x is no absolute path; write the whole path, \
             from / on",
        ),
        (
            "stack.prometheus = { managed = \"binary\", config_file = \"/x\" }",
            "f:1:56: stack.prometheus.config_file: only an external component has a file of its own \
             place; remove it, the file is kept in the data directory",
        ),
        (
            "receive.remote_write = false\nstack.prometheus.managed = \"binary\"",
            "f:2:28: stack.prometheus.managed: what it scrapes has nowhere to go: \
             receive.remote_write is switched off; let the agent listen for remote write",
        ),
        (
            "stack.prometheus = { managed = \"binary\", listen = \"127.0.0.1:10000\" }",
            "f:1:51: stack.prometheus.listen: 127.0.0.1:10000 is taken by receive.remote_write \
             (127.0.0.1:10000); use another port for one of them",
        ),
        (
            "stack.prometheus.retention = \"1h\"",
            "f:1:30: stack.prometheus.retention: \"1h\" is out of bounds; use 7200s to 315360000s",
        ),
        (
            "stack.vector.reload_url = \"https://a/\"",
            "f:1:27: stack.vector.reload_url: \"https://a/\" has a scheme that does not fit; write a \
             URL that starts with http://",
        ),
    ] {
        assert_eq!(problems(text, &no_environment()), expected, "{text}");
    }
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_file() {
    let text = "guid = \"-\"\n[api]\nlisten = \n[collect]\ninterval = \"0s\"\nnodes = true\n";
    let environment = variables(&[("GUIDON__DOCKER__SOCKET", "")]);
    let shown = problems(text, &environment);
    let places: Vec<&str> = shown
        .lines()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "f:1:8",
            "f:3:10",
            "f:5:12",
            "f:6:1",
            "$GUIDON__DOCKER__SOCKET"
        ],
        "{shown}"
    );
}

#[test]
fn a_rule_between_keys_keeps_silent_where_one_of_them_is_broken() {
    let text = "[api]\nlisten = \"0.0.0.0:7070\"\ntoken_file = 7";
    let shown = problems(text, &no_environment());
    assert_eq!(shown.lines().count(), 1, "{shown}");
    assert!(shown.contains("api.token_file"));
}

#[test]
fn variables_override_the_file_and_need_no_quotes() {
    let text = "guid = \"a\"\n[receive]\nremote_write = \"127.0.0.1:1\"\njaeger = false";
    let environment = variables(&[
        ("GUIDON__GUID", "7"),
        ("GUIDON__COLLECT__INTERVAL", "30s"),
        ("GUIDON__COLLECT__KERNEL", "false"),
        ("GUIDON__RECEIVE__REMOTE_WRITE", "false"),
        ("GUIDON__RECEIVE__OTLP_HTTP", "\"127.0.0.1:2\""),
        ("GUIDON__RECEIVE__JAEGER__HTTP", "127.0.0.1:3"),
        ("GUIDON__BUS__LOGS", "[\"http://a\", \"http://b\"]"),
        ("GUIDON__SPOOL__MAX_BYTES", "1073741824"),
        ("GUIDON_LOG", "debug"),
        ("OTHER", "x"),
    ]);
    let config = Config::parse(text, &environment).unwrap();
    assert_eq!(config.guid.unwrap().as_str(), "7");
    assert_eq!(config.collect.interval, Duration::from_secs(30));
    assert!(!config.collect.kernel);
    assert_eq!(config.receive.remote_write, None);
    assert_eq!(config.receive.otlp_http, "127.0.0.1:2".parse().ok());
    assert_eq!(config.receive.jaeger.http, "127.0.0.1:3".parse().ok());
    assert_eq!(config.bus.logs.len(), 2);
    assert_eq!(config.spool.max_bytes, 1 << 30);
}

#[test]
fn a_bad_variable_is_reported_by_its_name() {
    for (name, value, expected) in [
        (
            "GUIDON__API__LISTEN",
            "nowhere",
            "$GUIDON__API__LISTEN: api.listen: \"nowhere\" is not an address with a port; write an IP address and a port like \"127.0.0.1:7070\"",
        ),
        (
            "GUIDON__API__LISTENS",
            "127.0.0.1:1",
            "$GUIDON__API__LISTENS: api.listens: unknown key; did you mean api.listen?",
        ),
        (
            "GUIDON__",
            "x",
            "$GUIDON__: names no key; write it like GUIDON__API__LISTEN",
        ),
        (
            "GUIDON__RECEIVE__TRUSTED",
            "[\"x\"",
            "$GUIDON__RECEIVE__TRUSTED: receive.trusted: a string where an array belongs; write [\"…\", \"…\"]",
        ),
        (
            "GUIDON__API",
            "x",
            "$GUIDON__API: api: a string where a section belongs; write [api] and its keys below it",
        ),
    ] {
        assert_eq!(problems("", &variables(&[(name, value)])), expected);
    }
}

#[test]
fn a_file_that_is_named_must_be_there_and_so_must_the_files_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guidon.toml");
    let error = Config::load(Some(&path), &no_environment()).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }), "{error}");

    let text = "[api]\ntoken_file = \"/nowhere/token\"\ntls = { cert = \"/nowhere/c\", key = \"/nowhere/k\" }";
    std::fs::write(&path, text).unwrap();
    let error = Config::load(Some(&path), &no_environment()).unwrap_err();
    let lines: Vec<_> = error.problems().iter().map(Problem::line).collect();
    assert_eq!(lines, [Some(2), Some(3), Some(3)], "{error}");

    let token = folder.path().join("token");
    std::fs::write(&token, "t0ken\n").unwrap();
    std::fs::write(&path, format!("[api]\ntoken_file = {token:?}")).unwrap();
    let config = Config::load(Some(&path), &no_environment()).unwrap();
    assert_eq!(config.api.token_file, Some(token));
}

#[test]
fn a_difference_names_what_changed_and_what_needs_a_restart() {
    let old = Config::default();
    assert_eq!(Config::difference(&old, &old), []);
    let text = "[collect]\ninterval = \"5s\"\nslots = 7\n[bus]\nlogs = \"http://a\"\n\
                [api]\nlisten = \"127.0.0.1:1\"";
    let new = Config::parse(text, &no_environment()).unwrap();
    let changes: Vec<_> = Config::difference(&old, &new)
        .into_iter()
        .map(|change| (change.key, change.effect))
        .collect();
    assert_eq!(
        changes,
        [
            ("api.listen", Effect::Restart),
            ("bus.logs", Effect::Live),
            ("collect.interval", Effect::Live),
            ("collect.slots", Effect::Restart),
        ]
    );
}

#[test]
fn a_difference_notices_every_key() {
    // One valid value for each key that is not the default.
    let changed = r#"
        guid = "a"
        data_dir = "/d"
        api = { listen = "127.0.0.1:1", token_file = "t", tls = { cert = "c", key = "k", client_ca = "a" } }
        bus = { metrics = "http://a", logs = "http://a", traces = "http://a", otlp_metrics = "http://a" }
        [collect]
        interval = "1s"
        kernel = false
        containers = false
        node = false
        run_queue = false
        program_statistics = true
        slots = 9
        [receive]
        remote_write = "127.0.0.1:6"
        otlp_http = false
        otlp_grpc = false
        jaeger = { compact = "127.0.0.1:1", binary = "127.0.0.1:2", http = "127.0.0.1:3", grpc = "127.0.0.1:4", sampling = "127.0.0.1:5" }
        apps = false
        logs = false
        log_files = ["/l"]
        trusted = ["::/0"]
        [spool]
        max_bytes = "1GiB"
        when_full = "refuse"
        durability = "memory"
        fsync_interval = "1s"
        [docker]
        socket = "/s"
        credentials_file = "/c"
        allow = { privileged = true, host_mounts = ["/m"], host_namespaces = ["pid"], capabilities = ["NET_ADMIN"], devices = ["/d"], secret_files = ["/f"], images = ["i"] }
        [cluster]
        etcd = ["http://a"]
        name = "n"
        role = "slave"
        [kubernetes]
        enabled = true
        [stack]
        prometheus = { managed = "binary", image = "i", path = "/p" }
        node_exporter = { managed = "binary", image = "i", path = "/p" }
        vector = { image = "i", path = "/p", api = "127.0.0.1:7" }
        jaeger_collector = { managed = "binary", image = "i", path = "/p", version = "v1", storage = "kafka" }
        jaeger_agent = { managed = "binary", image = "i", path = "/p" }
    "#;
    let new = Config::parse(changed, &no_environment()).unwrap();
    let changes = Config::difference(&Config::default(), &new);
    for key in Config::keys() {
        let is_covered = changes.iter().any(|change| {
            let below = |inner: &str, outer: &str| {
                inner == outer || inner.starts_with(&format!("{outer}."))
            };
            below(&key, change.key) || below(change.key, &key)
        });
        assert!(is_covered, "{key} is in no difference");
    }

    // What a reload puts in force differs from the old in what is live, from the new in the rest.
    let in_force = Config::in_force(&Config::default(), &new);
    let put = Config::difference(&Config::default(), &in_force);
    let left = Config::difference(&in_force, &new);
    assert!(put.iter().all(|change| change.effect == Effect::Live));
    assert!(left.iter().all(|change| change.effect == Effect::Restart));
    assert_eq!(put.len() + left.len(), changes.len());
}

#[test]
fn the_allow_list_is_read_and_a_misspelt_grant_is_a_problem() {
    let read = |text: &str| Config::parse(text, &no_environment());
    let text = r#"
        [docker.allow]
        host_mounts = ["/srv/data"]
        host_namespaces = ["pid", "network"]
        capabilities = ["NET_ADMIN"]
    "#;
    let allow = read(text).unwrap().docker.allow;
    assert_eq!(allow.host_mounts, [std::path::PathBuf::from("/srv/data")]);
    assert_eq!(allow.host_namespaces, ["pid", "network"]);
    assert!(!allow.privileged && allow.images.is_empty());
    for bad in ["priviledged = true", r#"host_namespaces = ["uts"]"#] {
        assert_eq!(
            read(&format!("[docker.allow]\n{bad}")).unwrap_err().len(),
            1
        );
    }
}

proptest! {
    #[test]
    fn property_test_no_text_panics(text in ".{0,200}", value in ".{0,40}") {
        let environment = variables(&[("GUIDON__API__LISTEN", &value), (&format!("GUIDON__{value}"), "x")]);
        let _ = Config::parse(&text, &environment);
    }

    #[test]
    fn property_test_no_damage_to_a_valid_file_panics(
        cut in 0..EXAMPLE.len(),
        length in 0..40_usize,
        filler in "[\\[\\]{}=\".,#\n a-z0-9é]{0,8}",
    ) {
        let mut text = EXAMPLE.to_owned();
        let start = text.floor_char_boundary(cut);
        let end = text.floor_char_boundary((start + length).min(text.len()));
        text.replace_range(start..end, &filler);
        if let Err(problems) = Config::parse(&text, &no_environment()) {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!(problem.line().is_none_or(|line| line <= text.lines().count() + 1));
            }
        }
    }
}
