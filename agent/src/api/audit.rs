//! Changes run to their end and leave a line in the log.

use std::convert::Infallible;
use std::future::Future;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::access::Caller;
use super::error::ApiError;
use super::routes::RequestId;
use super::server::Peer;

/// Who asked for a change.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    peer: Option<Peer>,
    caller: Option<Caller>,
    request: Option<RequestId>,
}

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self {
            peer: parts.extensions.get().copied(),
            caller: parts.extensions.get().copied(),
            request: parts.extensions.get().cloned(),
        })
    }
}

impl Asker {
    /// Logs who changed what, and what came of it.
    pub(super) fn audit(&self, action: &str, subject: &str, outcome: Result<&str, &ApiError>) {
        let peer = self.peer.map(|peer| peer.address.to_string());
        let peer = peer.as_deref().unwrap_or("");
        let by = self.caller.map_or("", Caller::as_str);
        let request_id = self.request.as_ref().map_or("", |id| &*id.0);
        match outcome {
            Ok(outcome) => {
                tracing::info!(target: "audit", action, subject, outcome, peer, by, request_id);
            }
            Err(error) => {
                let outcome = error.code;
                let error = &error.message;
                tracing::warn!(
                    target: "audit", action, subject, outcome, %error, peer, by, request_id
                );
            }
        }
    }
}

/// Runs a change to its end, also if the caller hangs up in the middle of it.
pub(super) async fn detached<T: Send + 'static>(
    change: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::spawn(change)
        .await
        .unwrap_or_else(|_| Err(ApiError::lost()))
}
