//! `/api/v1/exporters` and `/api/v1/targets`: what a Prometheus shall scrape.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};

use super::audit::{Asker, detached};
use super::body;
use super::error::ApiError;
use super::model::{ErrorBody, ExporterList, ExporterPut};
use super::routes::Context;
use crate::stack::{Exporter, ExporterStatus, TargetGroup};

/// The exporters of this node.
#[utoipa::path(
    get,
    path = "/api/v1/exporters",
    tag = "exporters",
    responses((status = 200, body = ExporterList)),
)]
pub(super) async fn list(State(context): State<Context>) -> Json<ExporterList> {
    let exporters = context.handles.exporters.list();
    Json(ExporterList { exporters })
}

/// Registers an exporter. Idempotent; kept over restarts.
#[utoipa::path(
    put,
    path = "/api/v1/exporters/{name}",
    tag = "exporters",
    params(("name" = String, Path, description = "1 to 63 letters, digits, `-`, `_` and `.`")),
    request_body = Exporter,
    responses(
        (status = 200, description = "It was there; the same or changed", body = ExporterPut),
        (status = 201, description = "It is new", body = ExporterPut),
        (status = 400, description = "No JSON", body = ErrorBody),
        (status = 409, description = "There are too many", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 415, description = "The body has another type than JSON", body = ErrorBody),
        (status = 422, description = "A field is wrong; it is named", body = ErrorBody),
        (status = 503, description = "It cannot be kept", body = ErrorBody),
    ),
)]
pub(super) async fn put(
    State(context): State<Context>,
    Path(name): Path<String>,
    asker: Asker,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<ExporterPut>), ApiError> {
    let request = body::read::<Exporter>(&headers, body).await;
    detached(async move {
        let exporters = &context.handles.exporters;
        let done = match request {
            Ok(exporter) => match exporters.put(name.clone(), exporter).await {
                Ok(outcome) => exporters.get(&name).map(|status| (outcome, status)),
                Err(error) => Err(error),
            }
            .map_err(ApiError::from),
            Err(error) => Err(error),
        };
        let word = done.as_ref().map(|(outcome, _)| outcome.as_str());
        asker.audit("exporter put", &name, word);
        let (outcome, exporter) = done?;
        Ok((
            body::status_of(outcome),
            Json(ExporterPut { outcome, exporter }),
        ))
    })
    .await
}

/// One exporter.
#[utoipa::path(
    get,
    path = "/api/v1/exporters/{name}",
    tag = "exporters",
    params(("name" = String, Path)),
    responses(
        (status = 200, body = ExporterStatus),
        (status = 404, description = "There is no such exporter", body = ErrorBody),
        (status = 422, description = "No exporter can have this name", body = ErrorBody),
    ),
)]
pub(super) async fn show(
    State(context): State<Context>,
    Path(name): Path<String>,
) -> Result<Json<ExporterStatus>, ApiError> {
    Ok(Json(context.handles.exporters.get(&name)?))
}

/// Forgets an exporter.
#[utoipa::path(
    delete,
    path = "/api/v1/exporters/{name}",
    tag = "exporters",
    params(("name" = String, Path)),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "There is no such exporter", body = ErrorBody),
        (status = 422, description = "No exporter can have this name", body = ErrorBody),
        (status = 503, description = "It cannot be forgotten", body = ErrorBody),
    ),
)]
pub(super) async fn remove(
    State(context): State<Context>,
    Path(name): Path<String>,
    asker: Asker,
) -> Result<StatusCode, ApiError> {
    detached(async move {
        let done = context.handles.exporters.remove(name.clone()).await;
        let done = done.map_err(ApiError::from);
        asker.audit("exporter remove", &name, done.as_ref().map(|()| "removed"));
        done.map(|()| StatusCode::NO_CONTENT)
    })
    .await
}

/// What a Prometheus shall scrape: its `http_sd` document.
#[utoipa::path(
    get,
    path = "/api/v1/targets",
    tag = "exporters",
    responses((status = 200, body = Vec<TargetGroup>)),
)]
pub(super) async fn targets(State(context): State<Context>) -> Json<Vec<TargetGroup>> {
    Json(context.handles.exporters.targets())
}
