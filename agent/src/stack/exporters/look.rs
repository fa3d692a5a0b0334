//! One look at an exporter: does it answer as Prometheus would ask it?

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{ACCEPT, USER_AGENT};
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpStream;

use super::{Exporter, ExporterHealth, ExporterState, Scheme};

/// Longest wait for the head of an answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Looks. Behind TLS only whether somebody listens: whom Prometheus trusts is its own affair.
pub(super) async fn at(exporter: &Exporter) -> ExporterHealth {
    let asked = async {
        match exporter.scheme {
            Scheme::Http => ask(exporter).await,
            Scheme::Https => TcpStream::connect(&exporter.address)
                .await
                .map(drop)
                .map_err(|error| error.to_string()),
        }
    };
    let outcome = match tokio::time::timeout(TIMEOUT, asked).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no answer within {TIMEOUT:?}")),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    ExporterHealth {
        state: match outcome {
            Ok(()) => ExporterState::Up,
            Err(_) => ExporterState::Down,
        },
        error: outcome.err(),
        checked_at: now.ok().map(|since| since.as_secs()),
    }
}

async fn ask(exporter: &Exporter) -> Result<(), String> {
    // A connection of its own: nothing is kept open for so few questions.
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let request = http::Request::get(format!("http://{}{}", exporter.address, exporter.path))
        .header(ACCEPT, "text/plain;version=0.0.4")
        .header(USER_AGENT, concat!("guidon/", env!("CARGO_PKG_VERSION")))
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let response = client.request(request).await.map_err(|error| {
        let mut last: &dyn std::error::Error = &error;
        while let Some(source) = last.source() {
            last = source;
        }
        last.to_string()
    })?;
    let status = response.status();
    match status.is_success() {
        true => Ok(()),
        false => Err(format!("answered {status}")),
    }
}
