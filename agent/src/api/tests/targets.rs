//! Exporters, the `http_sd` document, log targets.

use axum::http::Method;
use serde_json::json;

use super::start;

#[tokio::test]
async fn exporters_are_put_shown_served_to_prometheus_and_removed() {
    let api = start().await;
    let put = async |body: &str| {
        let path = "/api/v1/exporters/node";
        api.call(Method::PUT, path, &[], body.to_owned()).await
    };
    let new = put(r#"{"address": "127.0.0.1:9100", "labels": {"guid": "app-1"}}"#).await;
    assert_eq!(new.status, 201, "{new:?}");
    assert_eq!(new.json()["outcome"], "created");
    assert_eq!(new.json()["exporter"]["health"]["state"], "unknown");
    let same = put(r#"{"address": "127.0.0.1:9100", "labels": {"guid": "app-1"}}"#).await;
    assert_eq!(
        (same.status.as_u16(), &same.json()["outcome"]),
        (200, &json!("unchanged"))
    );

    let document = api.get("/api/v1/targets").await;
    assert_eq!(document.header("content-type"), "application/json");
    let labels = json!({"guid": "app-1", "job": "node", "__metrics_path__": "/metrics"});
    assert_eq!(
        document.json(),
        json!([{"targets": ["127.0.0.1:9100"], "labels": labels}])
    );
    for (body, status, field) in [
        (r#"{"address": 7}"#, 422, "address"),
        (r#"{"address": "a:1", "labels": {"a": 1}}"#, 422, "labels.a"),
        (r#"{"address": "a"}"#, 422, "address"),
    ] {
        let answer = put(body).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.json()["error"]["field"], field, "{answer:?}");
    }
    let name = api.call(
        Method::PUT,
        "/api/v1/exporters/.x",
        &[],
        r#"{"address": "a:1"}"#,
    );
    assert_eq!(name.await.status, 422);
    assert_eq!(put("{").await.status, 400);

    let all = api.get("/api/v1/exporters").await.json();
    assert_eq!(all["exporters"][0]["name"], "node");
    for (method, status) in [
        (Method::GET, 200),
        (Method::DELETE, 204),
        (Method::DELETE, 404),
        (Method::GET, 404),
    ] {
        let answer = api.call(method, "/api/v1/exporters/node", &[], "").await;
        assert_eq!(answer.status, status);
    }
    assert_eq!(api.get("/api/v1/targets").await.text(), "[]");
}

#[tokio::test]
async fn log_targets_are_put_shown_and_removed_and_what_is_forbidden_is_named() {
    let api = start().await;
    let put = async |body: &str| {
        let path = "/api/v1/logs/app-1";
        api.call(Method::PUT, path, &[], body.to_owned()).await
    };
    let new = put(r#"{"files": ["/var/log/a.log"]}"#).await;
    assert_eq!(new.status, 201, "{new:?}");
    assert_eq!(new.json()["target"]["guid"], "app-1");
    for (body, status, code) in [
        (r#"{"files": ["/etc/shadow"]}"#, 403, "forbidden"),
        (r#"{"files": ["a.log"]}"#, 422, "invalid"),
        (r#"{"files": []}"#, 422, "invalid"),
        (r#"{"file": []}"#, 422, "invalid"),
    ] {
        let answer = put(body).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.error_code(), code);
    }
    let forbidden = put(r#"{"files": ["/etc/shadow"]}"#).await;
    assert!(
        forbidden.text().contains("receive.log_files"),
        "{forbidden:?}"
    );
    let all = api.get("/api/v1/logs").await.json();
    assert_eq!(all["targets"][0]["files"], json!(["/var/log/a.log"]));
    for (method, status) in [
        (Method::GET, 200),
        (Method::DELETE, 204),
        (Method::DELETE, 404),
        (Method::GET, 404),
    ] {
        let answer = api.call(method, "/api/v1/logs/app-1", &[], "").await;
        assert_eq!(answer.status, status);
    }
}
