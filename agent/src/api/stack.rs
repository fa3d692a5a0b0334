//! `/api/v1/stack`: managed components.

use axum::Json;
use axum::extract::State;

use super::model::ComponentList;
use super::routes::Context;

/// The managed components of this node: how they are, and the end of what they print.
#[utoipa::path(
    get,
    path = "/api/v1/stack",
    tag = "stack",
    responses((status = 200, body = ComponentList)),
)]
pub(super) async fn list(State(context): State<Context>) -> Json<ComponentList> {
    let components = context.handles.stack.list().await;
    Json(ComponentList { components })
}
