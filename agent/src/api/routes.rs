//! The table of routes, what surrounds each of them, and their description.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::access::{self, Access};
use super::error::ApiError;
use super::handles::Handles;
use super::rate::{self, Rate};
use super::{
    apps, bus, cluster, console, describe, exporters, health, logs, metrics, stack, status,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const EXPORTER: &str = "/api/v1/exporters/{name}";

/// What handlers need.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) handles: Handles,
    pub(super) description: Bytes,
    pub(super) shutdown: CancellationToken,
}

/// Names a request in logs and answers.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) Arc<str>);

/// Method, path, handler: a test holds this against the description.
pub(super) fn table() -> Vec<(Method, &'static str, MethodRouter<Context>)> {
    vec![
        (Method::GET, "/", get(console::page)),
        (Method::GET, "/healthz", get(health::live)),
        (Method::GET, "/readyz", get(health::ready)),
        (Method::GET, "/metrics", get(metrics::agent)),
        (Method::GET, "/metrics/containers", get(metrics::containers)),
        (Method::GET, "/metrics/node", get(metrics::node)),
        (Method::GET, "/openapi.json", get(describe::document)),
        (Method::GET, "/api/v1/status", get(status::show)),
        (Method::GET, "/api/v1/cluster", get(cluster::show)),
        (Method::POST, "/api/v1/reload", post(status::reload)),
        (Method::GET, "/api/v1/apps", get(apps::list)),
        (Method::PUT, "/api/v1/apps/{guid}", put(apps::make)),
        (Method::GET, "/api/v1/apps/{guid}", get(apps::show)),
        (Method::DELETE, "/api/v1/apps/{guid}", delete(apps::remove)),
        (Method::GET, "/api/v1/logs", get(logs::list)),
        (Method::PUT, "/api/v1/logs/{guid}", put(logs::put)),
        (Method::GET, "/api/v1/logs/{guid}", get(logs::show)),
        (Method::DELETE, "/api/v1/logs/{guid}", delete(logs::remove)),
        (Method::GET, "/api/v1/exporters", get(exporters::list)),
        (Method::PUT, EXPORTER, put(exporters::put)),
        (Method::GET, EXPORTER, get(exporters::show)),
        (Method::DELETE, EXPORTER, delete(exporters::remove)),
        (Method::GET, "/api/v1/targets", get(exporters::targets)),
        (Method::GET, "/api/v1/stack", get(stack::list)),
        (Method::GET, "/api/v1/bus/{signal}", get(bus::read)),
    ]
}

/// The whole API.
pub(super) fn router(handles: Handles, access: Arc<Access>, shutdown: CancellationToken) -> Router {
    let context = Context {
        handles,
        description: describe::json(),
        shutdown,
    };
    let router = table()
        .into_iter()
        .fold(Router::new(), |router, (_, path, handler)| {
            router.route(path, handler)
        });
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(context)
        .layer(middleware::from_fn_with_state(access, access::check))
        .layer(middleware::from_fn_with_state(
            Arc::new(Rate::default()),
            rate::limit,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::new(RequestIds::default()),
            identify,
        ))
}

async fn not_found(request: Request) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "not_found",
        format!(
            "there is no {}; /openapi.json lists what there is",
            request.uri().path()
        ),
    )
}

async fn method_not_allowed(request: Request) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{} is not for {}", request.method(), request.uri().path()),
    )
}

/// Numbers the requests of this process.
#[derive(Debug)]
struct RequestIds {
    process: u32,
    next: AtomicU64,
}

impl Default for RequestIds {
    fn default() -> Self {
        Self {
            process: rand::random(),
            next: AtomicU64::new(1),
        }
    }
}

/// Gives each request an id, the caller's own where it is a sane one, and says it in the answer.
async fn identify(
    State(ids): State<Arc<RequestIds>>,
    mut request: Request,
    next: Next,
) -> Response {
    let own = request.headers().get(REQUEST_ID);
    let own = own.and_then(|value| value.to_str().ok()).filter(|id| {
        (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
    });
    let id: Arc<str> = match own {
        Some(own) => own.into(),
        None => {
            let number = ids.next.fetch_add(1, Ordering::Relaxed);
            format!("{:08x}-{number:x}", ids.process).into()
        }
    };
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    let mut response = next.run(request).await.into_response();
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}
