//! `/openapi.json`: generated from the handlers and the types they speak.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use bytes::Bytes;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::routes::Context;
use super::{apps, bus, console, exporters, health, logs, metrics, stack, status};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "guidon Manager API",
        description = "Runs apps under their guid on this node and tells how they and the agent are. \
            Errors have one shape: `{\"error\": {\"code\", \"message\", \"field\"?}}`.",
    ),
    paths(
        console::page,
        health::live,
        health::ready,
        metrics::agent,
        metrics::containers,
        metrics::node,
        document,
        status::show,
        status::reload,
        apps::list,
        apps::make,
        apps::show,
        apps::remove,
        logs::list,
        logs::put,
        logs::show,
        logs::remove,
        exporters::list,
        exporters::put,
        exporters::show,
        exporters::remove,
        exporters::targets,
        stack::list,
        bus::read,
    ),
    modifiers(&Token),
)]
struct Description;

/// Every call may need the token.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut Document) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("token", scheme);
        let none: [&str; 0] = [];
        document.security = Some(vec![SecurityRequirement::new("token", none)]);
    }
}

/// The description as it is sent.
pub(super) fn json() -> Bytes {
    let document = Description::openapi();
    serde_json::to_vec(&document).unwrap_or_default().into()
}

/// This description.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "agent",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json")),
)]
pub(super) async fn document(State(context): State<Context>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "application/json")],
        context.description,
    )
}
