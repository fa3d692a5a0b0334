//! Errors in the one shape of the contract.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::handles::{BusError, LogTargetError, ReloadError, Unavailable};
use super::model::{ErrorBody, ErrorDetail};
use crate::drive::DriveError;
use crate::receive::logs::InvalidTarget;
use crate::stack::ExporterError;

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

impl From<DriveError> for ApiError {
    fn from(error: DriveError) -> Self {
        let status = match &error {
            DriveError::Invalid { .. } | DriveError::NoDriver(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            DriveError::Forbidden { .. } => StatusCode::FORBIDDEN,
            DriveError::Conflict { .. } => StatusCode::CONFLICT,
            DriveError::NotFound(_) => StatusCode::NOT_FOUND,
            // The image may come: until then it is the description that cannot be followed.
            DriveError::Image { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            DriveError::Refused { .. } => StatusCode::BAD_GATEWAY,
            DriveError::Unavailable { .. } | DriveError::Storage { .. } | DriveError::Stopping => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        let answer = Self::new(status, error.code(), error.to_string());
        match error.field() {
            Some(field) => answer.at_field(field),
            None => answer,
        }
    }
}

impl From<ExporterError> for ApiError {
    fn from(error: ExporterError) -> Self {
        let message = error.to_string();
        match error {
            ExporterError::Invalid { field, .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message).at_field(field)
            }
            ExporterError::TooMany => Self::new(StatusCode::CONFLICT, "too_many", message),
            ExporterError::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "not_found", message),
            ExporterError::Storage(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "storage", message)
            }
        }
    }
}

impl From<LogTargetError> for ApiError {
    fn from(error: LogTargetError) -> Self {
        let message = error.to_string();
        match error {
            LogTargetError::Invalid(InvalidTarget::Forbidden { .. }) => {
                Self::new(StatusCode::FORBIDDEN, "forbidden", message).at_field("files")
            }
            LogTargetError::Invalid(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message).at_field("files")
            }
            LogTargetError::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "not_found", message),
            LogTargetError::Storage(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "storage", message)
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
