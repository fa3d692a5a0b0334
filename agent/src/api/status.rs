//! The state of the agent, and its reload.

use axum::Json;
use axum::extract::State;

use super::audit::{Asker, detached};
use super::error::ApiError;
use super::model::{ErrorBody, ReloadReport, Status};
use super::routes::Context;

/// The state of the agent: pipeline, ledger, kernel programs, and a row per guid.
#[utoipa::path(
    get,
    path = "/api/v1/status",
    tag = "agent",
    responses((status = 200, body = Status)),
)]
pub(super) async fn show(State(context): State<Context>) -> Json<Status> {
    Json(context.handles.status.status().await)
}

/// Reads the configuration file again and applies what changed.
#[utoipa::path(
    post,
    path = "/api/v1/reload",
    tag = "agent",
    responses(
        (status = 200, body = ReloadReport),
        (status = 422, description = "The file has problems; nothing changed", body = ErrorBody),
        (status = 503, description = "A change could not be applied", body = ErrorBody),
    ),
)]
pub(super) async fn reload(
    State(context): State<Context>,
    asker: Asker,
) -> Result<Json<ReloadReport>, ApiError> {
    detached(async move {
        let outcome = context.handles.reload.reload().await;
        let outcome = outcome.map_err(ApiError::from);
        asker.audit("reload", "", outcome.as_ref().map(|_| "ok"));
        outcome.map(Json)
    })
    .await
}
