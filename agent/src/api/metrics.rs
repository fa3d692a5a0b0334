//! Prometheus pages: the agent's own series, the containers' and the node's.

use std::io::Write;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::error::ApiError;
use super::handles::MetricsPage;
use super::model::ErrorBody;
use super::negotiate;
use super::routes::Context;
use crate::signal::series::Format;

/// Below, compressing costs more than it saves.
const LEAST_GZIP_BYTES: usize = 1 << 10;

/// The agent's own series.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "metrics",
    responses(
        (status = 200, description = "Text format 0.0.4, or OpenMetrics 1.0 where it is asked for", body = String, content_type = "text/plain"),
        (status = 406, description = "The caller takes neither", body = ErrorBody),
        (status = 503, description = "Not there yet", body = ErrorBody),
    ),
)]
pub(super) async fn agent(
    State(context): State<Context>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    page(&context, &headers, MetricsPage::Agent).await
}

/// The containers' series, under cAdvisor's names.
#[utoipa::path(
    get,
    path = "/metrics/containers",
    tag = "metrics",
    responses(
        (status = 200, description = "Text format 0.0.4, or OpenMetrics 1.0 where it is asked for", body = String, content_type = "text/plain"),
        (status = 406, description = "The caller takes neither", body = ErrorBody),
        (status = 503, description = "Switched off, or not there yet", body = ErrorBody),
    ),
)]
pub(super) async fn containers(
    State(context): State<Context>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    page(&context, &headers, MetricsPage::Containers).await
}

/// The node's series, under node exporter's names.
#[utoipa::path(
    get,
    path = "/metrics/node",
    tag = "metrics",
    responses(
        (status = 200, description = "Text format 0.0.4, or OpenMetrics 1.0 where it is asked for", body = String, content_type = "text/plain"),
        (status = 406, description = "The caller takes neither", body = ErrorBody),
        (status = 503, description = "Switched off, or not there yet", body = ErrorBody),
    ),
)]
pub(super) async fn node(
    State(context): State<Context>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    page(&context, &headers, MetricsPage::Node).await
}

async fn page(
    context: &Context,
    headers: &HeaderMap,
    page: MetricsPage,
) -> Result<Response, ApiError> {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let format = Format::from_accept(accept);
    if format == Format::Prometheus && negotiate::media_type(headers, &["text/plain"]).is_none() {
        return Err(ApiError::new(
            StatusCode::NOT_ACCEPTABLE,
            "not_acceptable",
            "this page is text/plain; version=0.0.4 or application/openmetrics-text; version=1.0.0",
        ));
    }
    let text = context.handles.metrics.render(page, format).await?;
    let content_type = (header::CONTENT_TYPE, format.content_type());
    let vary = (header::VARY, "accept, accept-encoding");
    if text.len() < LEAST_GZIP_BYTES || !negotiate::takes_gzip(headers) {
        return Ok(([content_type, vary], text).into_response());
    }
    // A page of a large node takes tens of milliseconds: not on the thread that answers health.
    let compressed = tokio::task::spawn_blocking(move || gzip(&text))
        .await
        .ok()
        .and_then(Result::ok)
        .ok_or_else(ApiError::lost)?;
    let gzip = (header::CONTENT_ENCODING, "gzip");
    Ok(([content_type, vary, gzip], compressed).into_response())
}

fn gzip(text: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text)?;
    Ok(encoder.finish()?.into())
}
