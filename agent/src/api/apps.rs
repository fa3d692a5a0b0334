//! `/api/v1/apps`: make apps exist, show them, make them go.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};

use super::audit::{Asker, detached};
use super::body;
use super::error::ApiError;
use super::model::{AppList, AppPut, ErrorBody};
use super::routes::Context;
use crate::config::Guid;
use crate::drive::{App, AppStatus};

/// The guid in the path.
pub(super) struct GuidPath(pub(super) Guid);

impl<S: Send + Sync> FromRequestParts<S> for GuidPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let invalid = |message: String| {
            ApiError::new(StatusCode::BAD_REQUEST, "invalid_guid", message).at_field("guid")
        };
        let Path(guid): Path<String> = Path::from_request_parts(parts, state)
            .await
            .map_err(|error: PathRejection| invalid(error.body_text()))?;
        let guid = guid.parse::<Guid>();
        guid.map(Self).map_err(|error| invalid(error.to_string()))
    }
}

/// The apps of this node.
#[utoipa::path(
    get,
    path = "/api/v1/apps",
    tag = "apps",
    responses(
        (status = 200, body = AppList),
        (status = 503, description = "The driver is away", body = ErrorBody),
    ),
)]
pub(super) async fn list(State(context): State<Context>) -> Result<Json<AppList>, ApiError> {
    let apps = context.handles.apps.list().await?;
    Ok(Json(AppList { apps }))
}

/// Makes the app be as described. Idempotent.
#[utoipa::path(
    put,
    path = "/api/v1/apps/{guid}",
    tag = "apps",
    params(("guid" = String, Path, description = "RFC 1123 label: container and host name too")),
    request_body = App,
    responses(
        (status = 200, description = "It was there; the same or changed", body = AppPut),
        (status = 201, description = "It is new", body = AppPut),
        (status = 400, description = "No guid, or no JSON", body = ErrorBody),
        (status = 403, description = "A rule of the configuration forbids it", body = ErrorBody),
        (status = 409, description = "Something else has that name", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 415, description = "The body has another type than JSON", body = ErrorBody),
        (status = 422, description = "A field is wrong; it is named", body = ErrorBody),
        (status = 502, description = "The driver failed", body = ErrorBody),
        (status = 503, description = "The driver is away", body = ErrorBody),
    ),
)]
pub(super) async fn make(
    State(context): State<Context>,
    GuidPath(guid): GuidPath,
    asker: Asker,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<AppPut>), ApiError> {
    let request = body::bytes(&headers, body).await;
    let request = request.and_then(|json| App::from_json(&json).map_err(ApiError::from));
    detached(async move {
        let outcome = match request {
            Ok(request) => context.handles.apps.put(guid.clone(), request).await,
            Err(error) => {
                asker.audit("app put", guid.as_str(), Err(&error));
                return Err(error);
            }
        };
        let outcome = outcome.map_err(ApiError::from);
        let word = outcome.as_ref().map(|(outcome, _)| outcome.as_str());
        asker.audit("app put", guid.as_str(), word);
        let (outcome, app) = outcome?;
        Ok((body::status_of(outcome), Json(AppPut { outcome, app })))
    })
    .await
}

/// One app.
#[utoipa::path(
    get,
    path = "/api/v1/apps/{guid}",
    tag = "apps",
    params(("guid" = String, Path)),
    responses(
        (status = 200, body = AppStatus),
        (status = 400, description = "No guid", body = ErrorBody),
        (status = 404, description = "There is no such app", body = ErrorBody),
        (status = 503, description = "The driver is away", body = ErrorBody),
    ),
)]
pub(super) async fn show(
    State(context): State<Context>,
    GuidPath(guid): GuidPath,
) -> Result<Json<AppStatus>, ApiError> {
    Ok(Json(context.handles.apps.get(guid).await?))
}

/// Makes the app go, with its containers.
#[utoipa::path(
    delete,
    path = "/api/v1/apps/{guid}",
    tag = "apps",
    params(("guid" = String, Path)),
    responses(
        (status = 204, description = "It is gone"),
        (status = 400, description = "No guid", body = ErrorBody),
        (status = 404, description = "There is no such app", body = ErrorBody),
        (status = 502, description = "The driver failed", body = ErrorBody),
        (status = 503, description = "The driver is away", body = ErrorBody),
    ),
)]
pub(super) async fn remove(
    State(context): State<Context>,
    GuidPath(guid): GuidPath,
    asker: Asker,
) -> Result<StatusCode, ApiError> {
    detached(async move {
        let outcome = context.handles.apps.remove(guid.clone()).await;
        let outcome = outcome.map_err(ApiError::from);
        asker.audit(
            "app remove",
            guid.as_str(),
            outcome.as_ref().map(|()| "removed"),
        );
        outcome.map(|()| StatusCode::NO_CONTENT)
    })
    .await
}
