#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn exporter(value: serde_json::Value) -> Exporter {
    serde_json::from_value(value).unwrap()
}

fn open(folder: &Path) -> Exporters {
    Exporters::open(folder, "node-1".parse().unwrap()).unwrap()
}

#[test]
fn the_document_has_guid_job_and_path_of_each() {
    let folder = tempfile::tempdir().unwrap();
    let exporters = open(folder.path());
    exporters
        .put("node", exporter(json!({"address": "127.0.0.1:9100"})))
        .unwrap();
    let app = json!({"address": "[::1]:80", "path": "/m", "scheme": "https",
        "labels": {"guid": "app-1", "job": "mine", "team": "a"}});
    exporters.put("app.1", exporter(app)).unwrap();
    // As after a restart.
    let document = serde_json::to_value(open(folder.path()).targets()).unwrap();
    assert_eq!(
        document,
        json!([
            {"targets": ["[::1]:80"], "labels": {"guid": "app-1", "job": "mine", "team": "a",
                "__metrics_path__": "/m", "__scheme__": "https"}},
            {"targets": ["127.0.0.1:9100"], "labels": {"guid": "node-1", "job": "node",
                "__metrics_path__": "/metrics"}},
        ])
    );
    exporters.remove("node").unwrap();
    assert_eq!(open(folder.path()).list().len(), 1);
    assert!(matches!(
        exporters.remove("node"),
        Err(ExporterError::NotFound(_))
    ));
}

#[test]
fn what_prometheus_would_not_take_is_refused_with_the_field() {
    for (value, field) in [
        (json!({"address": "127.0.0.1"}), "address"),
        (json!({"address": "http://a:80"}), "address"),
        (json!({"address": "a:0"}), "address"),
        (json!({"address": "a b:80"}), "address"),
        (json!({"address": "[::x]:80"}), "address"),
        (json!({"address": "a:80", "path": "metrics"}), "path"),
        (json!({"address": "a:80", "path": "/m?x=1"}), "path"),
        (
            json!({"address": "a:80", "labels": {"1a": ""}}),
            "labels.1a",
        ),
        (
            json!({"address": "a:80", "labels": {"__address__": "b"}}),
            "labels.__address__",
        ),
        (
            json!({"address": "a:80", "labels": {"guid": "No Guid"}}),
            "labels.guid",
        ),
    ] {
        match exporter(value.clone()).validate() {
            Err(ExporterError::Invalid { field: found, .. }) => assert_eq!(found, field),
            other => panic!("{value}: {other:?}"),
        }
    }
    for name in ["", ".hidden", "../x", "a/b", "ä", &"x".repeat(64)] {
        assert!(!is_name(name), "{name}");
    }
}

#[tokio::test]
async fn health_is_what_the_exporter_answers() {
    let folder = tempfile::tempdir().unwrap();
    let exporters = open(folder.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            let length = stream.read(&mut head).await.unwrap();
            let good = head[..length].starts_with(b"GET /metrics ");
            let status = if good { "200 OK" } else { "404 Not Found" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let put = |name, value| exporters.put(name, exporter(value)).unwrap();
    put("good", json!({"address": address}));
    put("wrong", json!({"address": address, "path": "/else"}));
    put("away", json!({"address": "127.0.0.1:1"}));
    assert_eq!(
        exporters.get("good").unwrap().health,
        ExporterHealth::default()
    );
    let running = exporters.clone();
    let run = tokio::spawn(async move { running.run().await });
    let health = async |name| loop {
        let health = exporters.get(name).unwrap().health;
        if health.state != ExporterState::Unknown {
            return health;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(health("good").await.state, ExporterState::Up);
    let wrong = health("wrong").await;
    assert_eq!(wrong.error.as_deref(), Some("answered 404 Not Found"));
    let away = health("away").await;
    assert!(away.error.unwrap().contains("refused"));
    // A change is looked at at once.
    put("wrong", json!({"address": address}));
    assert_eq!(health("wrong").await.state, ExporterState::Up);
    run.abort();
}
