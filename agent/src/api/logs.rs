//! `/api/v1/logs`: files whose lines are an app's, beside its containers' output.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};

use super::apps::GuidPath;
use super::audit::{Asker, detached};
use super::body;
use super::error::ApiError;
use super::model::{ErrorBody, LogTarget, LogTargetList, LogTargetPut, LogTargetStatus};
use super::routes::Context;

/// The extra log targets of this node.
#[utoipa::path(
    get,
    path = "/api/v1/logs",
    tag = "logs",
    responses((status = 200, body = LogTargetList)),
)]
pub(super) async fn list(State(context): State<Context>) -> Json<LogTargetList> {
    let targets = context.handles.logs.list().await;
    Json(LogTargetList { targets })
}

/// Follows files as the app's. Idempotent; kept over restarts. Files must be below one of
/// `receive.log_files`.
#[utoipa::path(
    put,
    path = "/api/v1/logs/{guid}",
    tag = "logs",
    params(("guid" = String, Path)),
    request_body = LogTarget,
    responses(
        (status = 200, description = "It was there; the same or changed", body = LogTargetPut),
        (status = 201, description = "It is new", body = LogTargetPut),
        (status = 400, description = "No guid, or no JSON", body = ErrorBody),
        (status = 403, description = "A rule of the configuration forbids it", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 415, description = "The body has another type than JSON", body = ErrorBody),
        (status = 422, description = "A field is wrong; it is named", body = ErrorBody),
        (status = 503, description = "It cannot be kept", body = ErrorBody),
    ),
)]
pub(super) async fn put(
    State(context): State<Context>,
    GuidPath(guid): GuidPath,
    asker: Asker,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<LogTargetPut>), ApiError> {
    let request = body::read::<LogTarget>(&headers, body).await;
    detached(async move {
        let logs = &context.handles.logs;
        let done = match request {
            Ok(target) => {
                let put = logs.put(guid.clone(), target.files).await;
                put.map_err(ApiError::from)
            }
            Err(error) => Err(error),
        };
        let word = done.as_ref().map(|(outcome, _)| outcome.as_str());
        asker.audit("log target put", guid.as_str(), word);
        let (outcome, target) = done?;
        Ok((
            body::status_of(outcome),
            Json(LogTargetPut { outcome, target }),
        ))
    })
    .await
}

/// The extra log target of an app, and how far each file is read.
#[utoipa::path(
    get,
    path = "/api/v1/logs/{guid}",
    tag = "logs",
    params(("guid" = String, Path)),
    responses(
        (status = 200, body = LogTargetStatus),
        (status = 400, description = "No guid", body = ErrorBody),
        (status = 404, description = "It has none", body = ErrorBody),
    ),
)]
pub(super) async fn show(
    State(context): State<Context>,
    GuidPath(guid): GuidPath,
) -> Result<Json<LogTargetStatus>, ApiError> {
    Ok(Json(context.handles.logs.get(guid).await?))
}

/// Follows the files no longer.
#[utoipa::path(
    delete,
    path = "/api/v1/logs/{guid}",
    tag = "logs",
    params(("guid" = String, Path)),
    responses(
        (status = 204, description = "It is gone"),
        (status = 400, description = "No guid", body = ErrorBody),
        (status = 404, description = "It has none", body = ErrorBody),
        (status = 503, description = "It cannot be forgotten", body = ErrorBody),
    ),
)]
pub(super) async fn remove(
    State(context): State<Context>,
    GuidPath(guid): GuidPath,
    asker: Asker,
) -> Result<StatusCode, ApiError> {
    detached(async move {
        let done = context.handles.logs.remove(guid.clone()).await;
        let done = done.map_err(ApiError::from);
        asker.audit(
            "log target remove",
            guid.as_str(),
            done.as_ref().map(|()| "removed"),
        );
        done.map(|()| StatusCode::NO_CONTENT)
    })
    .await
}
