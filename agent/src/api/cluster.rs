//! `/api/v1/cluster`: the nodes that know one another.

use axum::Json;
use axum::extract::State;

use super::model::ClusterStatus;
use super::routes::Context;

/// The node's place among others: its role, the members, the trace collector they share.
#[utoipa::path(
    get,
    path = "/api/v1/cluster",
    tag = "cluster",
    responses((status = 200, body = ClusterStatus)),
)]
pub(super) async fn show(State(context): State<Context>) -> Json<ClusterStatus> {
    Json(context.handles.status.cluster())
}
