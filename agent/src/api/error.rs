//! Errors in the one shape of the contract.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::handles::{AppsError, BusError, ReloadError, Unavailable};
use super::model::{ErrorBody, ErrorDetail};

/// An answer that says why not.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) field: Option<String>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            field: None,
        }
    }

    pub(super) fn at_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The task that did the work is gone.
    pub(super) fn lost() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the agent failed at this request; its log says why",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            error: ErrorDetail {
                code: self.code.to_owned(),
                message: self.message,
                field: self.field,
            },
        };
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            // Basic, with the token as the password, lets a browser open the console.
            for scheme in ["Bearer realm=\"guidon\"", "Basic realm=\"guidon\""] {
                let challenge = HeaderValue::from_static(scheme);
                response
                    .headers_mut()
                    .append(header::WWW_AUTHENTICATE, challenge);
            }
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let seconds = HeaderValue::from_static("5");
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

impl From<AppsError> for ApiError {
    fn from(error: AppsError) -> Self {
        let message = error.to_string();
        match error {
            AppsError::Invalid { field, .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message).at_field(field)
            }
            AppsError::Forbidden { .. } => Self::new(StatusCode::FORBIDDEN, "forbidden", message),
            AppsError::Conflict { .. } => Self::new(StatusCode::CONFLICT, "conflict", message),
            AppsError::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, "not_found", message),
            AppsError::Unavailable { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
            }
            AppsError::Failed { .. } => {
                Self::new(StatusCode::BAD_GATEWAY, "driver_failed", message)
            }
        }
    }
}

impl From<Unavailable> for ApiError {
    fn from(error: Unavailable) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.reason)
    }
}

impl From<BusError> for ApiError {
    fn from(error: BusError) -> Self {
        let message = error.to_string();
        match error {
            BusError::Elsewhere(_) => Self::new(StatusCode::NOT_FOUND, "not_local", message),
            BusError::BadCursor => {
                Self::new(StatusCode::BAD_REQUEST, "bad_cursor", message).at_field("cursor")
            }
            BusError::Unavailable(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
            }
        }
    }
}

impl From<ReloadError> for ApiError {
    fn from(error: ReloadError) -> Self {
        let message = error.to_string();
        match error {
            ReloadError::Config(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_config", message)
            }
            ReloadError::Apply { key, .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_applied", message).at_field(key)
            }
        }
    }
}
