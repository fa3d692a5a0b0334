//! Who may ask what: token, client certificate, and which host a browser thinks it talks to.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header, uri::Authority};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::error::ApiError;
use super::server::Peer;
use crate::config::Secret;

/// Paths that anybody may ask. They change nothing and tell no secrets.
pub(super) const OPEN_PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// Whether anybody may ask this.
pub(super) fn is_open(request: &Request) -> bool {
    OPEN_PATHS.contains(&request.uri().path())
}

/// The lock on the door. The token can be changed while it is in use.
#[derive(Debug)]
pub struct Access {
    token: ArcSwapOption<Secret>,
    takes_certificates: bool,
    is_loopback: bool,
}

/// What opened the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// The door has no lock: loopback only.
    Local,
    Token,
    Certificate,
}

impl Caller {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Token => "token",
            Self::Certificate => "certificate",
        }
    }
}

impl Access {
    /// A token or a verified client certificate is enough where both are set up. With neither,
    /// everybody on this host may ask a listener on loopback, and nobody any other listener.
    #[must_use]
    pub fn new(token: Option<Secret>, takes_certificates: bool, is_loopback: bool) -> Self {
        Self {
            token: ArcSwapOption::new(token.map(Arc::new)),
            takes_certificates,
            is_loopback,
        }
    }

    /// Replaces the token; requests that are under way keep what they were granted.
    pub fn set_token(&self, token: Option<Secret>) {
        self.token.store(token.map(Arc::new));
    }

    fn caller(&self, request: &Request, peer: Peer) -> Result<Caller, ApiError> {
        if self.takes_certificates && peer.has_certificate {
            return Ok(Caller::Certificate);
        }
        let shown = presented(request.headers());
        match &*self.token.load() {
            None if self.is_loopback && !self.takes_certificates => local(request),
            Some(token) if shown.is_some_and(|shown| token.equals(&shown)) => Ok(Caller::Token),
            Some(_) => Err(ApiError::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "this needs the API token, as `Authorization: Bearer <token>`",
            )),
            None => Err(ApiError::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "this needs a client certificate",
            )),
        }
    }
}

/// Lets a request pass, or says why not.
pub(super) async fn check(
    State(access): State<Arc<Access>>,
    mut request: Request,
    next: Next,
) -> Response {
    if is_cross_origin_change(&request) {
        return ApiError::new(
            StatusCode::FORBIDDEN,
            "cross_origin",
            "a page of another origin may not change anything here",
        )
        .into_response();
    }
    if !is_open(&request) {
        let peer = request.extensions().get::<Peer>().copied();
        let outcome = peer
            .ok_or_else(ApiError::lost)
            .and_then(|peer| access.caller(&request, peer));
        match outcome {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
            }
            Err(error) => return error.into_response(),
        }
    }
    next.run(request).await
}

/// Without a lock, the connection itself is the proof: it comes from this host. A browser on this
/// host makes such connections for any page whose name resolves to loopback, so a name other than
/// `localhost` is refused.
fn local(request: &Request) -> Result<Caller, ApiError> {
    let Some(host) = host(request) else {
        return Ok(Caller::Local);
    };
    let authority = host.parse::<Authority>().ok();
    let name = authority.as_ref().map_or("", Authority::host);
    let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    if is_address || name.eq_ignore_ascii_case("localhost") {
        Ok(Caller::Local)
    } else {
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "foreign_host",
            "without a token, ask for localhost or an IP address (header Host)",
        ))
    }
}

/// The token that a request shows.
fn presented(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let space = value.iter().position(|&byte| byte == b' ')?;
    let (scheme, rest) = value.split_at(space);
    let credentials = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        Some(credentials.to_vec())
    } else if scheme.eq_ignore_ascii_case(b"basic") {
        let pair = STANDARD.decode(credentials).ok()?;
        let colon = pair.iter().position(|&byte| byte == b':')?;
        Some(pair[colon + 1..].to_vec())
    } else {
        None
    }
}

/// A browser names the page that makes it send a change. Only this console's own may.
fn is_cross_origin_change(request: &Request) -> bool {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return false;
    }
    let Some(origin) = request.headers().get(header::ORIGIN) else {
        return false;
    };
    let origin = origin.to_str().ok().and_then(|one| one.split_once("://"));
    origin.is_none_or(|(_, authority)| Some(authority) != host(request))
}

/// The host that the request is for: `:authority` in HTTP/2, `Host` in HTTP/1.1. A `Host` that is
/// no text counts as an empty name.
fn host(request: &Request) -> Option<&str> {
    let header = request.headers().get(header::HOST);
    let authority = request.uri().authority().map(Authority::as_str);
    authority.or_else(|| header.map(|value| value.to_str().unwrap_or("")))
}
