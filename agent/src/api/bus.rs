//! `/api/v1/bus/{signal}`: the local bus, page by page.

mod decode;

use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::ApiError;
use super::handles::{BusPage, Position};
use super::model::{BusPageView, ErrorBody};
use super::negotiate;
use super::routes::Context;
use crate::signal::Signal;

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";
const DEFAULT_PAGE_BYTES: usize = 1 << 20;
const MOST_PAGE_BYTES: usize = 16 << 20;
const MOST_WAIT: Duration = Duration::from_secs(60);

/// What to read.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BusQuery {
    /// `next` of the page before; absent or `oldest`: from the oldest frame that is kept;
    /// `latest`: only what comes from now on.
    cursor: Option<String>,
    /// Seconds to wait for the first frame; at most 60.
    wait: Option<f64>,
    /// A page ends with the frame that reaches this many bytes; at most 16 MiB.
    max_bytes: Option<usize>,
}

/// Reads the local bus. As JSON, frames are decoded; as protobuf, the answer is one remote-write
/// 1.0 `WriteRequest` (not compressed) or one OTLP export request: header `x-guidon-kind` says
/// which, `x-guidon-next` is the cursor of the next page, `x-guidon-skipped: true` says that
/// frames were dropped before they were read.
#[utoipa::path(
    get,
    path = "/api/v1/bus/{signal}",
    tag = "bus",
    params(("signal" = String, Path, description = "metrics, logs or traces"), BusQuery),
    responses(
        (status = 200, content(
            (BusPageView = "application/json"),
            (Vec<u8> = "application/x-protobuf"),
        )),
        (status = 400, description = "A parameter is wrong; it is named", body = ErrorBody),
        (status = 404, description = "No such signal, or it goes to a bus of its own", body = ErrorBody),
        (status = 406, description = "Neither JSON nor protobuf", body = ErrorBody),
        (status = 503, description = "The spool cannot be read", body = ErrorBody),
    ),
)]
pub(super) async fn read(
    State(context): State<Context>,
    Path(signal): Path<String>,
    query: Result<Query<BusQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let signal = [Signal::Metrics, Signal::Logs, Signal::Traces]
        .into_iter()
        .find(|one| one.as_str() == signal)
        .ok_or_else(|| {
            ApiError::new(
                StatusCode::NOT_FOUND,
                "not_found",
                "the bus has metrics, logs and traces",
            )
        })?;
    let invalid =
        |message: String| ApiError::new(StatusCode::BAD_REQUEST, "invalid_query", message);
    let Query(query) = query.map_err(|error| invalid(error.body_text()))?;
    let wait = query.wait.unwrap_or(0.0);
    let wait = Duration::try_from_secs_f64(wait)
        .map_err(|_| invalid("wait: not a number of seconds".into()).at_field("wait"))?
        .min(MOST_WAIT);
    let page_bytes = query.max_bytes.unwrap_or(DEFAULT_PAGE_BYTES);
    let page_bytes = page_bytes.clamp(1, MOST_PAGE_BYTES);
    let position = match query.cursor {
        None => Position::Oldest,
        Some(cursor) => match cursor.as_str() {
            "" | "oldest" => Position::Oldest,
            "latest" => Position::Latest,
            _ => Position::After(cursor),
        },
    };
    let format = negotiate::media_type(&headers, &[JSON, PROTOBUF]).ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_ACCEPTABLE,
            "not_acceptable",
            format!("the bus speaks {JSON} and {PROTOBUF}"),
        )
    })?;
    let bus = &context.handles.bus;
    let page = tokio::select! {
        page = bus.read(signal, position, page_bytes, wait) => page?,
        () = context.shutdown.cancelled() => {
            return Err(ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "shutting_down",
                "the agent is shutting down",
            ));
        }
    };
    // Decoding a page is long work for the thread that answers health.
    let render = move || {
        if format == 0 {
            as_json(page)
        } else {
            as_protobuf(page)
        }
    };
    tokio::task::spawn_blocking(render)
        .await
        .unwrap_or_else(|_| Err(ApiError::lost()))
}

fn as_json(page: BusPage) -> Result<Response, ApiError> {
    let view = BusPageView {
        next: page.next,
        skipped: page.skipped,
        frames: page
            .frames
            .iter()
            .map(|entry| decode::view(&entry.frame))
            .collect(),
    };
    let body = serde_json::to_vec(&view).map_err(|_| ApiError::lost())?;
    Ok(([(header::CONTENT_TYPE, JSON)], body).into_response())
}

/// One request of the frames that have the first one's kind; the others are for the next page.
fn as_protobuf(page: BusPage) -> Result<Response, ApiError> {
    let kind = page.frames.first().map(|entry| entry.frame.kind);
    let mut next = page.next;
    let mut body = Vec::new();
    let ends = page.frames.len();
    for (index, entry) in page.frames.into_iter().enumerate() {
        if Some(entry.frame.kind) != kind {
            break;
        }
        decode::append_raw(&entry.frame, &mut body).map_err(|message| {
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "damaged_frame", message)
        })?;
        if index + 1 < ends {
            next = entry.after;
        }
    }
    let next = HeaderValue::try_from(next).map_err(|_| ApiError::lost())?;
    let mut response = ([(header::CONTENT_TYPE, PROTOBUF)], body).into_response();
    let headers = response.headers_mut();
    headers.insert("x-guidon-next", next);
    let skipped = if page.skipped { "true" } else { "false" };
    headers.insert("x-guidon-skipped", HeaderValue::from_static(skipped));
    if let Some(kind) = kind {
        let name = HeaderValue::from_static(decode::kind_name(kind));
        headers.insert("x-guidon-kind", name);
    }
    Ok(response)
}
