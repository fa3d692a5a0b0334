//! One question for a container's log, over a connection of its own.
//!
//! Asked by hand and not with the Engine's client library: that one knows whole seconds only, and
//! keeps a terminal's text in memory until a newline comes, which may be never. Here the daemon is
//! read only as fast as lines are taken, 64 KiB at a time.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio_util::task::AbortOnDropHandle;

use crate::directory::docker::ASK_TIMEOUT;

/// What is read of the daemon at once.
const READ_BYTES: usize = 64 << 10;

/// Longest error text that is read.
const WORDS_BYTES: usize = 4 << 10;

/// Why there is no log to read.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("no such container")]
    Gone,
    /// The log driver keeps nothing that could be read.
    #[error("{0}")]
    Unreadable(String),
    #[error("docker answers {status}: {words}")]
    Refused { status: StatusCode, words: String },
    #[error("docker cannot be asked: {0}")]
    Connect(#[from] std::io::Error),
    #[error("docker's answer broke off: {0}")]
    Http(#[from] hyper::Error),
    #[error("docker's path cannot be asked for: {0}")]
    Path(#[from] http::Error),
    #[error("no answer within {ASK_TIMEOUT:?}")]
    Silent(#[from] tokio::time::error::Elapsed),
}

/// A log that is being streamed; dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Answer {
    body: Incoming,
    _connection: AbortOnDropHandle<()>,
}

impl Answer {
    /// Asks for both streams of a container since `since_ns` (nanoseconds since the Unix epoch),
    /// with times, followed until the container ends.
    pub(super) async fn ask(
        socket: &Path,
        container: &str,
        since_ns: u64,
    ) -> Result<Self, AskError> {
        let stream = UnixStream::connect(socket).await?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(READ_BYTES)
            .handshake(TokioIo::new(stream))
            .await?;
        let connection = AbortOnDropHandle::new(tokio::spawn(async move {
            // Its end is the end of the body, which says how it came.
            let _ = connection.await;
        }));
        let (seconds, fraction) = (since_ns / 1_000_000_000, since_ns % 1_000_000_000);
        let request = Request::get(format!(
            "/containers/{container}/logs?follow=1&stdout=1&stderr=1&timestamps=1\
             &since={seconds}.{fraction:09}"
        ))
        .header(header::HOST, "docker")
        .body(Empty::<Bytes>::new())?;
        let answer = tokio::time::timeout(ASK_TIMEOUT, sender.send_request(request)).await??;
        let status = answer.status();
        let body = answer.into_body();
        if status.is_success() {
            return Ok(Self {
                body,
                _connection: connection,
            });
        }
        let words = words(body).await;
        Err(match status {
            StatusCode::NOT_FOUND => AskError::Gone,
            StatusCode::NOT_IMPLEMENTED => AskError::Unreadable(words),
            status => AskError::Refused { status, words },
        })
    }

    /// Waits for more bytes, for `wait` at most.
    pub(super) async fn more(&mut self, wait: Duration) -> Result<More, AskError> {
        loop {
            match tokio::time::timeout(wait, self.body.frame()).await {
                Err(_) => return Ok(More::NotYet),
                Ok(None) => return Ok(More::Never),
                Ok(Some(frame)) => {
                    if let Ok(bytes) = frame?.into_data() {
                        return Ok(More::Bytes(bytes));
                    }
                }
            }
        }
    }
}

/// What came of waiting.
#[derive(Debug)]
pub(super) enum More {
    Bytes(Bytes),
    NotYet,
    /// The container has ended, and that was all.
    Never,
}

/// The daemon's words in `{"message": "…"}`, or the text as it is.
async fn words(body: Incoming) -> String {
    #[derive(serde::Deserialize)]
    struct Words {
        message: String,
    }
    let whole = Limited::new(body, WORDS_BYTES).collect();
    let Ok(Ok(text)) = tokio::time::timeout(ASK_TIMEOUT, whole).await else {
        return String::new();
    };
    let text = text.to_bytes();
    match serde_json::from_slice::<Words>(&text) {
        Ok(words) => words.message,
        Err(_) => String::from_utf8_lossy(&text).trim().to_owned(),
    }
}
