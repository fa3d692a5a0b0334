//! JSON bodies, limited before they are decoded.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::error::ApiError;
use crate::config::Put;

const MOST_BODY_BYTES: usize = 1 << 20;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a body that is a `T`; what is wrong in it is named.
pub(super) async fn read<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
) -> Result<T, ApiError> {
    let json = bytes(headers, body).await?;
    let reader = &mut serde_json::Deserializer::from_slice(&json);
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let field = error.path().to_string();
        let message = error.inner().to_string();
        let answer = ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message);
        match field.as_str() {
            "." => answer,
            _ => answer.at_field(field),
        }
    })
}

/// The status of an answer to a `PUT`.
pub(super) fn status_of(outcome: Put) -> StatusCode {
    match outcome {
        Put::Created => StatusCode::CREATED,
        Put::Changed | Put::Unchanged => StatusCode::OK,
    }
}

/// Reads a body that is JSON, whatever it says.
pub(super) async fn bytes(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or(""));
    // A form that any web page can send has another type; a missing one is a terse script's.
    let is_json = content_type.is_none_or(|one| {
        let media_type = one.split(';').next().unwrap_or("").trim();
        media_type.eq_ignore_ascii_case("application/json")
    });
    if !is_json {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "send JSON, with `Content-Type: application/json`",
        ));
    }
    let collected =
        tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MOST_BODY_BYTES).collect());
    let bytes = match collected.await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                format!("a body may have at most {MOST_BODY_BYTES} bytes"),
            ));
        }
        Ok(Err(error)) => {
            return Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "bad_body",
                format!("the body ended early: {error}"),
            ));
        }
        Err(_) => {
            return Err(ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "body_timeout",
                "the body took too long to arrive",
            ));
        }
    };
    serde_json::from_slice::<IgnoredAny>(&bytes).map_err(|error| {
        let message = format!("the body is not JSON: {error}");
        ApiError::new(StatusCode::BAD_REQUEST, "bad_json", message)
    })?;
    Ok(bytes)
}
