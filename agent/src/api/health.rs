//! Health: for anybody, without a token; changes nothing and tells no secrets.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::model::Readiness;
use super::routes::Context;

/// Whether the process answers at all.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "agent",
    security(()),
    responses((status = 200, description = "It does", body = String)),
)]
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// Whether the agent does its work, room by room.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "agent",
    security(()),
    responses(
        (status = 200, description = "Ready", body = Readiness),
        (status = 503, description = "Not ready; the rooms say why", body = Readiness),
    ),
)]
pub(super) async fn ready(State(context): State<Context>) -> impl IntoResponse {
    let readiness = context.handles.status.readiness().await;
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness))
}
