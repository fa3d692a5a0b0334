//! Short questions over plain HTTP to programs on this host.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// Longest wait for an answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// A reload may build everything anew before it answers.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);
/// More of an answer is not read.
const MOST_BYTES: usize = 4 << 20;
/// More of a refusal is not shown.
const MOST_WORDS: usize = 2000;

/// Asks for nothing but the status; 2xx or an error in words.
pub(super) async fn look(url: &str) -> Result<(), String> {
    let response = within(TIMEOUT, send(Method::GET, url)).await?;
    refuse(response.status())
}

/// The body of a good answer.
pub(super) async fn get(url: &str) -> Result<Bytes, String> {
    let asked = async {
        let response = send(Method::GET, url).await?;
        refuse(response.status())?;
        body(response).await
    };
    within(TIMEOUT, asked).await
}

/// The outer error: there was no answer. Another answer than 2xx is the inner one, in its words.
pub(super) async fn post(url: &str) -> Result<Result<(), String>, String> {
    let asked = async {
        let response = send(Method::POST, url).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(Ok(()));
        }
        let words = body(response).await.unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        let words: String = words.trim().chars().take(MOST_WORDS).collect();
        Ok(Err(match words.is_empty() {
            true => format!("answered {status}"),
            false => words,
        }))
    };
    within(RELOAD_TIMEOUT, asked).await
}

async fn within<T>(
    timeout: Duration,
    asked: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    match tokio::time::timeout(timeout, asked).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no answer within {timeout:?}")),
    }
}

fn refuse(status: StatusCode) -> Result<(), String> {
    match status.is_success() {
        true => Ok(()),
        false => Err(format!("answered {status}")),
    }
}

async fn send(method: Method, url: &str) -> Result<http::Response<hyper::body::Incoming>, String> {
    // A connection of its own: nothing is kept open for so few questions.
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let request = Request::builder()
        .method(method)
        .uri(url)
        .header(ACCEPT, "text/plain;version=0.0.4, */*;q=0.1")
        .header(USER_AGENT, concat!("guidon/", env!("CARGO_PKG_VERSION")))
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    client.request(request).await.map_err(|error| {
        let mut last: &dyn std::error::Error = &error;
        while let Some(source) = last.source() {
            last = source;
        }
        last.to_string()
    })
}

async fn body(response: http::Response<hyper::body::Incoming>) -> Result<Bytes, String> {
    let limited = Limited::new(response.into_body(), MOST_BYTES);
    let body = limited.collect().await.map_err(|error| error.to_string())?;
    Ok(body.to_bytes())
}
