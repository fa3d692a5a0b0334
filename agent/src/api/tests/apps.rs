//! Apps: outcomes, errors, changes that outlive their caller.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use super::{Answer, Running, start};
use crate::drive::DriveError;

const JSON: (&str, &str) = ("content-type", "application/json");

async fn put(api: &Running, guid: &str, body: &str) -> Answer {
    let path = format!("/api/v1/apps/{guid}");
    api.call(Method::PUT, &path, &[JSON], body.to_owned()).await
}

#[tokio::test]
async fn an_app_is_made_changed_shown_listed_and_removed() {
    let api = start().await;
    let first = put(&api, "shop-1", r#"{"image": "busybox"}"#).await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(first.json()["outcome"], "created");

    let same = put(
        &api,
        "shop-1",
        r#"{"driver": "docker", "image": "busybox"}"#,
    )
    .await;
    assert_eq!(same.status, StatusCode::OK);
    assert_eq!(same.json()["outcome"], "unchanged");

    let other = r#"{"image": "busybox", "command": ["sleep"], "args": ["9"], "env": {"A": "b"},
        "restart": "on-failure", "ports": [{"container": 80}], "limits": {"cpus": 0.5},
        "mounts": ["data:/data"]}"#;
    let changed = put(&api, "shop-1", other).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_eq!(changed.json()["outcome"], "changed");

    let shown = api.get("/api/v1/apps/shop-1").await;
    assert_eq!(shown.status, StatusCode::OK);
    assert_eq!(shown.json()["app"]["env"], json!({"A": "b"}));
    assert_eq!(shown.json()["app"]["ports"][0]["container"], 80);
    let listed = api.get("/api/v1/apps").await.json();
    assert_eq!(listed["apps"][0]["guid"], "shop-1");

    let removed = api
        .call(Method::DELETE, "/api/v1/apps/shop-1", &[], "")
        .await;
    assert_eq!(
        (removed.status, removed.text()),
        (StatusCode::NO_CONTENT, "")
    );
    let again = api
        .call(Method::DELETE, "/api/v1/apps/shop-1", &[], "")
        .await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    assert_eq!(again.error_code(), "not_found");
}

#[tokio::test]
async fn a_wrong_body_is_refused_with_the_field_that_is_wrong() {
    let api = start().await;
    for (body, status, code, field) in [
        ("{", 400, "bad_json", None),
        ("{} {}", 400, "bad_json", None),
        ("[", 400, "bad_json", None),
        ("", 400, "bad_json", None),
        ("7", 422, "invalid", Some("body")),
        ("{}", 422, "invalid", Some("image")),
        (
            r#"{"image": "x", "imagee": "x"}"#,
            422,
            "invalid",
            Some("imagee"),
        ),
        (r#"{"image": 7}"#, 422, "invalid", Some("image")),
        (
            r#"{"image": "x", "env": {"A": {}}}"#,
            422,
            "invalid",
            Some("env.A"),
        ),
        (
            r#"{"image": "x", "args": ["a", 2]}"#,
            422,
            "invalid",
            Some("args[1]"),
        ),
        (r#"{"driver": "podman"}"#, 422, "invalid", Some("driver")),
        (
            r#"{"driver": "helm"}"#,
            422,
            "driver_not_available",
            Some("driver"),
        ),
        (
            r#"{"image": "x", "limits": {"cpu": 1}}"#,
            422,
            "invalid",
            Some("limits.cpu"),
        ),
    ] {
        let answer = put(&api, "shop", body).await;
        assert_eq!(answer.status, status, "{body}");
        assert_eq!(answer.error_code(), code, "{body}");
        let error = &answer.json()["error"];
        assert_eq!(error["field"].as_str(), field, "{body} {error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(field.unwrap_or("")), "{message}");
    }
    assert!(api.fakes.apps.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_path_that_is_no_guid_is_refused_by_every_call() {
    let api = start().await;
    for path in ["Shop", "a_b", "-a", "%ff", "a%2Fb"] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let path = format!("/api/v1/apps/{path}");
            let answer = api.call(method, &path, &[JSON], "{}").await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
            assert_eq!(answer.error_code(), "invalid_guid", "{path}");
        }
    }
}

#[tokio::test]
async fn what_the_driver_says_becomes_a_status_and_a_reason() {
    let api = start().await;
    let text = || "because".to_owned();
    let guid = || "shop".parse::<crate::config::Guid>().unwrap();
    for (error, status, code, field) in [
        (
            DriveError::invalid("image", text()),
            422,
            "invalid",
            Some("image"),
        ),
        (
            DriveError::Forbidden {
                rule: "host_mounts",
                field: "mounts[0]".into(),
                message: text(),
            },
            403,
            "forbidden",
            Some("mounts[0]"),
        ),
        (
            DriveError::Conflict {
                guid: guid(),
                container: "because".into(),
                image: text(),
            },
            409,
            "conflict",
            None,
        ),
        (
            DriveError::Unavailable { reason: text() },
            503,
            "docker_unavailable",
            None,
        ),
        (
            DriveError::Image {
                image: "x".into(),
                reason: text(),
            },
            422,
            "image_not_available",
            Some("image"),
        ),
        (
            DriveError::Refused {
                action: "start",
                field: Some("user"),
                reason: text(),
            },
            502,
            "docker_refused",
            Some("user"),
        ),
    ] {
        *api.fakes.apps_error.lock().unwrap() = Some(error);
        let answer = put(&api, "shop", r#"{"image": "x"}"#).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.error_code(), code);
        assert!(answer.text().contains("because"), "{answer:?}");
        assert_eq!(answer.headers.contains_key("retry-after"), status == 503);
        assert_eq!(answer.json()["error"]["field"].as_str(), field);
    }
}

#[tokio::test]
async fn a_change_runs_to_its_end_though_the_caller_hangs_up() {
    let api = start().await;
    *api.fakes.put_takes.lock().unwrap() = Duration::from_secs(1);
    let hang_up = tokio::time::timeout(
        Duration::from_millis(500),
        put(&api, "shop", r#"{"image": "x"}"#),
    );
    assert!(hang_up.await.is_err());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(api.fakes.apps.lock().unwrap().len(), 1);
}
