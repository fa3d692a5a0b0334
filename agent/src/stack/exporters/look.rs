//! One look at an exporter: does it answer as Prometheus would ask it?

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::net::TcpStream;

use super::{Exporter, ExporterHealth, ExporterState, Scheme};
use crate::stack::ask::{self, TIMEOUT};

/// Looks. Behind TLS only whether somebody listens: whom Prometheus trusts is its own affair.
pub(super) async fn at(exporter: &Exporter) -> ExporterHealth {
    let asked = async {
        match exporter.scheme {
            Scheme::Http => {
                ask::look(&format!("http://{}{}", exporter.address, exporter.path)).await
            }
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
