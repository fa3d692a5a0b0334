//! `/openapi.json`: generated from the handlers and the types they speak.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use bytes::Bytes;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, RefOr};
use utoipa::{Modify, OpenApi};

use super::access::OPEN_PATHS;
use super::routes::Context;
use super::{apps, bus, cluster, console, exporters, health, logs, metrics, stack, status};
use crate::config::Guid;
use crate::stack::exporters::NAME_PATTERN;

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
        cluster::show,
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
    modifiers(&Token, &Surroundings, &Names),
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

/// What access and limits answer before a call's own code is asked.
struct Surroundings;

impl Modify for Surroundings {
    fn modify(&self, document: &mut Document) {
        for (path, item) in &mut document.paths.paths {
            let is_open = OPEN_PATHS.contains(&path.as_str());
            for operation in operations(item) {
                if is_open {
                    operation.security = Some(vec![SecurityRequirement::default()]);
                    continue;
                }
                for (status, description) in [
                    ("401", "No token and no client certificate, or a wrong one"),
                    ("403", "A page of another origin asks, or a rule forbids it"),
                    ("429", "Too many requests from one address"),
                ] {
                    let answers = &mut operation.responses.responses;
                    answers.entry(status.to_owned()).or_insert_with(|| {
                        let body = Ref::from_schema_name("ErrorBody");
                        let content = ContentBuilder::new().schema(Some(body)).build();
                        let answer = ResponseBuilder::new()
                            .description(description)
                            .content("application/json", content)
                            .build();
                        RefOr::T(answer)
                    });
                }
            }
        }
    }
}

/// What names in paths look like.
struct Names;

impl Modify for Names {
    fn modify(&self, document: &mut Document) {
        for item in document.paths.paths.values_mut() {
            for operation in operations(item) {
                for parameter in operation.parameters.iter_mut().flatten() {
                    let RefOr::T(parameter) = parameter else {
                        continue;
                    };
                    let pattern = match parameter.name.as_str() {
                        "guid" => Guid::PATTERN,
                        "name" => NAME_PATTERN,
                        _ => continue,
                    };
                    if let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema {
                        schema.pattern = Some(format!("^{pattern}$"));
                    }
                }
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
    ]
    .into_iter()
    .flatten()
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
