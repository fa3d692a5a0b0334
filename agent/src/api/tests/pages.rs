//! Health, status, metrics, console, description; the shape of what goes wrong.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::atomic::Ordering;

use http::{Method, StatusCode};

use super::start;

#[tokio::test]
async fn health_and_readiness_say_how_the_rooms_are() {
    let api = start().await;
    assert_eq!(api.get("/healthz").await.text(), "ok\n");
    let ready = api.get("/readyz").await;
    assert_eq!(
        (ready.status, &ready.json()["ready"]),
        (StatusCode::OK, &true.into())
    );

    api.fakes.not_ready.store(true, Ordering::Relaxed);
    let not_ready = api.get("/readyz").await;
    assert_eq!(not_ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(not_ready.json()["rooms"][0]["reason"], "cannot connect");
    assert_eq!(api.get("/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_status_is_the_agents_own() {
    let status = start().await.get("/api/v1/status").await.json();
    assert_eq!(status["guid"], "node-7");
    for key in [
        "version",
        "uptime_seconds",
        "collect",
        "kernel",
        "forward",
        "docker",
        "guids",
    ] {
        assert!(status.get(key).is_some(), "{key}");
    }
}

#[tokio::test]
async fn the_cluster_is_the_nodes_own_view() {
    let cluster = start().await.get("/api/v1/cluster").await.json();
    let expected = serde_json::json!({"name": "shop", "role": "slave", "members": []});
    assert_eq!(cluster, expected);
}

#[tokio::test]
async fn metrics_are_text_and_compressed_where_it_pays() {
    let api = start().await;
    let plain = api.get("/metrics").await;
    assert_eq!(plain.text(), "guidon_up 1\n");
    assert_eq!(
        plain.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    // What Prometheus sends.
    let headers = [
        (
            "accept",
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        ),
        ("accept-encoding", "gzip"),
    ];
    let packed = api
        .call(Method::GET, "/metrics/containers", &headers, "")
        .await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed.body[..])
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text.lines().count(), 1000);
    assert!(packed.body.len() < text.len() / 10);

    let headers = [("accept", "application/json")];
    let refused = api.call(Method::GET, "/metrics", &headers, "").await;
    assert_eq!(refused.status, StatusCode::NOT_ACCEPTABLE);
    assert_eq!(refused.error_code(), "not_acceptable");

    let off = api.get("/metrics/node").await;
    assert_eq!(off.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(off.text().contains("collect.node is off"));
}

#[tokio::test]
async fn a_reload_says_what_it_did_or_which_lines_are_wrong() {
    let api = start().await;
    let done = api.call(Method::POST, "/api/v1/reload", &[], "").await;
    assert_eq!(done.json()["applied"][0], "bus.logs");
    api.fakes.bad_config.store(true, Ordering::Relaxed);
    let refused = api.call(Method::POST, "/api/v1/reload", &[], "").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.error_code(), "invalid_config");
    assert!(refused.text().contains("guidon.toml:3:1: api.listens"));
}

#[tokio::test]
async fn the_console_needs_nothing_from_elsewhere() {
    let page = start().await.get("/").await;
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(
        page.header("content-security-policy")
            .contains("default-src 'none'")
    );
    let text = page.text();
    assert!(
        !text.contains("http://") && !text.contains("https://"),
        "external address"
    );
    assert!(text.contains("/api/v1/status"));
    assert!(!text.contains("innerHTML"), "names come from outside");
}

#[tokio::test]
async fn every_route_is_described_and_nothing_else() {
    let document = start().await.get("/openapi.json").await.json();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            described.insert((method.to_uppercase(), path.clone()));
            let summary = operation["summary"].as_str().unwrap_or("");
            assert!(!summary.is_empty(), "{method} {path} is not explained");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')));
        }
    }
    let routes: BTreeSet<_> = crate::api::routes::table()
        .into_iter()
        .map(|(method, path, _)| (method.to_string(), path.to_owned()))
        .collect();
    assert_eq!(described, routes);

    // Every reference leads somewhere.
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(
            document["components"]["schemas"].get(name).is_some(),
            "{name}"
        );
    }
    assert_eq!(
        document["components"]["securitySchemes"]["token"]["scheme"],
        "bearer"
    );
}

#[tokio::test]
async fn what_is_not_there_has_the_shape_of_every_error() {
    let api = start().await;
    let nowhere = api.get("/nowhere").await;
    assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
    assert_eq!(nowhere.error_code(), "not_found");

    let method = api.call(Method::POST, "/api/v1/apps/shop", &[], "").await;
    assert_eq!(method.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(method.error_code(), "method_not_allowed");
    let mut allowed: Vec<_> = method.header("allow").split(',').map(str::trim).collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["DELETE", "GET", "HEAD", "PUT"]);
}

#[tokio::test]
async fn requests_get_an_id_that_is_their_own_where_it_is_sane() {
    let api = start().await;
    let own = api.get("/healthz").await.header("x-request-id").to_owned();
    let next = api.get("/healthz").await.header("x-request-id").to_owned();
    assert!(!own.is_empty() && own != next);
    for (given, kept) in [
        ("abc-1", true),
        ("with space", false),
        (&"x".repeat(65), false),
    ] {
        let headers = [("x-request-id", given)];
        let answer = api.call(Method::GET, "/healthz", &headers, "").await;
        assert_eq!(answer.header("x-request-id") == given, kept, "{given}");
    }
}
