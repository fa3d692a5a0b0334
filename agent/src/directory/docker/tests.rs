#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::HashMap;

use super::*;
use crate::directory::docker::record::{from_event, from_inspect};

#[test]
fn engine_times_become_unix_seconds() {
    for (text, seconds) in [
        ("1970-01-01T00:00:00Z", Some(0.0)),
        ("2000-02-29T12:30:45Z", Some(951_827_445.0)),
        ("2024-03-01T00:00:00.5Z", Some(1_709_251_200.5)),
        ("2026-11-22T18:00:00.25+01:00", Some(1_795_366_800.25)),
        ("2026-11-22T16:00:00-01:00", Some(1_795_366_800.0)),
        ("0001-01-01T00:00:00Z", None),
        ("2024-13-01T00:00:00Z", None),
        ("2024-01-01T00:00:00", None),
        ("", None),
        ("2024-01-01T00:00:00.x Z", None),
        ("äöü4-01-01T00:00:00Z", None),
    ] {
        assert_eq!(unix_seconds(text), seconds, "{text}");
    }
}

#[test]
fn a_guid_label_counts_only_beside_this_agents_owner_label() {
    let owner = Owner("/data/a".to_owned());
    let labels = |owner: &str| {
        HashMap::from([
            (LABEL_GUID.to_owned(), "app-1".to_owned()),
            (LABEL_OWNER.to_owned(), owner.to_owned()),
        ])
    };
    let guid = |labels: &HashMap<String, String>| {
        from_event("x", labels, &owner)
            .guid
            .map(|guid| guid.to_string())
    };
    assert_eq!(guid(&labels("/data/a")).as_deref(), Some("app-1"));
    assert_eq!(guid(&labels("/data/b")), None);
    let mut forged = labels("/data/a");
    forged.insert(LABEL_GUID.to_owned(), "Not A Guid".to_owned());
    assert_eq!(guid(&forged), None);
    forged.remove(LABEL_OWNER);
    assert_eq!(guid(&forged), None);
}

#[test]
fn a_component_is_known_by_this_agents_label_alone() {
    let owner = Owner("/data/a".to_owned());
    for (of, is_component) in [("/data/a", true), ("/data/b", false)] {
        let labels = HashMap::from([(LABEL_STACK.to_owned(), of.to_owned())]);
        let container = from_event("x", &labels, &owner);
        assert_eq!(
            (container.is_component, container.guid),
            (is_component, None)
        );
    }
}

#[test]
fn an_inspection_becomes_a_record() {
    let answer = serde_json::from_str(
        r#"{"Id": "abc", "Name": "/web", "Created": "2024-03-01T00:00:00Z",
            "State": {"Pid": 42, "StartedAt": "2024-03-01T00:00:01.5Z"},
            "LogPath": "/var/lib/docker/containers/abc/abc-json.log",
            "HostConfig": {"LogConfig": {"Type": "json-file", "Config": {}}},
            "Config": {"Image": "web:1"},
            "NetworkSettings": {"Networks": {
                "b": {"IPAddress": "172.18.0.2", "GlobalIPv6Address": "fd00::2"},
                "a": {"IPAddress": "172.17.0.2", "GlobalIPv6Address": ""}}}}"#,
    )
    .unwrap();
    let container = from_inspect(&answer, &Owner(String::new())).unwrap();
    assert_eq!(
        (container.name.as_str(), container.image.as_str()),
        ("web", "web:1")
    );
    assert_eq!((container.pid, container.started_at), (42, 1_709_251_201.5));
    let addresses: [std::net::IpAddr; 3] =
        ["172.17.0.2", "172.18.0.2", "fd00::2"].map(|text| text.parse().unwrap());
    assert_eq!(container.addresses, addresses);
    assert_eq!(container.log.driver, "json-file");
    let path = "/var/lib/docker/containers/abc/abc-json.log";
    assert_eq!(container.log.path, Some(path.into()));
}

#[test]
fn only_the_first_failure_after_good_times_is_news() {
    let health = Health::default();
    assert!(health.lost("refused"));
    assert!(!health.lost("refused"));
    assert!(!health.lost("no such file"));
    assert_eq!(health.get().last_error.as_deref(), Some("no such file"));
    health.connected();
    assert!(health.get().connected);
    assert!(health.lost("refused"));
}
