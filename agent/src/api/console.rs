//! `/`: a page that shows what the API knows. It needs nothing from elsewhere.

use axum::http::header;
use axum::response::{Html, IntoResponse};

const PAGE: &str = include_str!("console.html");
/// The page's own script and style run, nothing else; it asks nobody but this agent.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The console: a table of guids that refreshes itself.
#[utoipa::path(
    get,
    path = "/",
    tag = "agent",
    responses((status = 200, description = "HTML", body = String, content_type = "text/html")),
)]
pub(super) async fn page() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, Html(PAGE))
}
