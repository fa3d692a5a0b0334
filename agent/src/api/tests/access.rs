//! Who may ask what.

use std::io::Write;
use std::sync::{Arc, Mutex};

use http::{Method, StatusCode};

use super::{Running, start, start_with};
use crate::api::{ServeError, Server};
use crate::config::{Api, Secret};

const TOKEN: &str = "t0p-secret-t0ken";

async fn start_with_token() -> Running {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, format!("{TOKEN}\n")).unwrap();
    start_with(Api {
        token_file: Some(path),
        ..Api::default()
    })
    .await
}

/// Every route with a concrete path.
fn routes() -> Vec<(Method, String)> {
    let table = crate::api::routes::table();
    let concrete = |path: &str| path.replace("{guid}", "shop").replace("{signal}", "logs");
    table
        .into_iter()
        .map(|(method, path, _)| (method, concrete(path)))
        .collect()
}

#[tokio::test]
async fn everything_but_health_needs_the_token() {
    let api = start_with_token().await;
    let mut paths = routes();
    paths.push((Method::GET, "/nowhere".into()));
    for (method, path) in paths {
        let answer = api.call(method, &path, &[], "").await;
        if ["/healthz", "/readyz"].contains(&path.as_str()) {
            assert_eq!(answer.status, StatusCode::OK, "{path}");
        } else {
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(answer.error_code(), "unauthorized", "{path}");
            assert_eq!(answer.headers.get_all("www-authenticate").iter().count(), 2);
        }
    }
}

#[tokio::test]
async fn only_the_right_token_opens() {
    let api = start_with_token().await;
    // "user:t0p-secret-t0ken", as a browser sends it.
    let basic = "Basic dXNlcjp0MHAtc2VjcmV0LXQwa2Vu";
    for (value, status) in [
        (&format!("Bearer {TOKEN}")[..], 200),
        (&format!("bearer   {TOKEN}"), 200),
        (basic, 200),
        ("Bearer", 401),
        ("Bearer ", 401),
        ("Bearer t0p-secret-t0keN", 401),
        (&format!("Bearer {TOKEN}x"), 401),
        (&format!("Token {TOKEN}"), 401),
        (TOKEN, 401),
        ("Basic !!!", 401),
        ("Basic dXNlcg==", 401),
    ] {
        let headers = [("authorization", value)];
        let answer = api.call(Method::GET, "/api/v1/status", &headers, "").await;
        assert_eq!(answer.status, status, "{value}");
    }
}

#[tokio::test]
async fn the_token_changes_while_serving() {
    let api = start_with_token().await;
    api.access.set_token(Some(Secret::new("new")));
    for (token, status) in [("new", 200), (TOKEN, 401)] {
        let value = format!("Bearer {token}");
        let headers = [("authorization", value.as_str())];
        let answer = api.call(Method::GET, "/api/v1/status", &headers, "").await;
        assert_eq!(answer.status, status);
    }
}

#[tokio::test]
async fn beyond_loopback_there_is_no_api_without_a_lock() {
    let config = Api {
        listen: "0.0.0.0:0".parse().unwrap(),
        ..Api::default()
    };
    let refused = Server::bind(&config).await;
    assert!(matches!(refused, Err(ServeError::Open(_))), "{refused:?}");

    // Nor if the token goes away later.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, TOKEN).unwrap();
    let api = start_with(Api {
        token_file: Some(path),
        ..config
    })
    .await;
    api.access.set_token(None);
    assert_eq!(
        api.get("/api/v1/status").await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(api.get("/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn without_a_token_a_browser_on_this_host_cannot_be_used_by_others() {
    let api = start().await;
    let port = api.address.port();
    for (host, status) in [
        (format!("127.0.0.1:{port}"), 200),
        (format!("localhost:{port}"), 200),
        (format!("[::1]:{port}"), 200),
        // A name that an attacker made resolve to 127.0.0.1.
        (format!("rebind.example:{port}"), 403),
        ("localhost.example".into(), 403),
    ] {
        let headers = [("host", host.as_str())];
        let answer = api.call(Method::GET, "/api/v1/status", &headers, "").await;
        assert_eq!(answer.status, status, "{host}");
    }
    let own = format!("http://127.0.0.1:{port}");
    for (origin, status) in [
        (own.as_str(), 200),
        ("http://evil.example", 403),
        ("null", 403),
    ] {
        let headers = [("origin", origin)];
        let answer = api.call(Method::POST, "/api/v1/reload", &headers, "").await;
        assert_eq!(answer.status, status, "{origin}");
    }
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn every_change_leaves_an_audit_line_without_the_token() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let api = start_with_token().await;
    let bearer = format!("Bearer {TOKEN}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("x-request-id", "manager-42"),
    ];
    for (method, path, body) in [
        (Method::PUT, "/api/v1/apps/shop", r#"{"image": "x"}"#),
        (Method::PUT, "/api/v1/apps/shop", "{"),
        (Method::DELETE, "/api/v1/apps/nothing", ""),
        (Method::POST, "/api/v1/reload", ""),
        (Method::GET, "/api/v1/apps", ""),
    ] {
        let answer = api.call(method, path, &headers, body).await;
        assert_eq!(answer.header("x-request-id"), "manager-42");
    }
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains(TOKEN), "{text}");
    let lines: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|line| line["target"] == "audit")
        .map(|line| {
            let fields = &line["fields"];
            assert_eq!(fields["by"], "token");
            assert_eq!(fields["request_id"], "manager-42");
            assert!(fields["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
            ["action", "subject", "outcome"].map(|key| fields[key].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(
        lines,
        [
            ["app put", "shop", "created"],
            ["app put", "shop", "bad_json"],
            ["app remove", "nothing", "not_found"],
            ["reload", "", "ok"],
        ]
    );
}
