//! gRPC's way of answering: the status is in the trailers.

use base64::Engine;
use http::HeaderMap;

use super::answer::{self, PartialSuccess};
use super::transport::{Outcome, come_back, words_of};
use super::url::unescape;
use super::verdict::{self, Verdict};

/// How long an answer may be, before its trailers.
pub(crate) const MAX_ANSWER: usize = 4 << 20;

/// Reads an answer to a unary call.
pub(crate) fn outcome(
    status: u16,
    headers: &HeaderMap,
    message: &[u8],
    trailers: Option<HeaderMap>,
) -> Outcome {
    // An answer without a body has its status in the headers.
    let tail = trailers.as_ref().unwrap_or(headers);
    let text = |name: &str| tail.get(name).and_then(|value| value.to_str().ok());
    let Some(code) = text("grpc-status").and_then(|code| code.parse::<u32>().ok()) else {
        // Not gRPC: a proxy's answer, or one that broke off.
        return Outcome {
            verdict: match status {
                200 => Verdict::Again,
                _ => verdict::otlp_http(status),
            },
            come_back: come_back(headers),
            words: format!("{} without a gRPC status", words_of(status, headers, &[])),
            in_doubt: status == 200,
            partial: PartialSuccess::default(),
        };
    };
    let details = text("grpc-status-details-bin").and_then(|details| {
        // With padding or without: both are allowed.
        let details = details.trim_end_matches('=');
        base64::engine::general_purpose::STANDARD_NO_PAD
            .decode(details)
            .ok()
    });
    let come_back = details.as_deref().and_then(answer::retry_info);
    let said = unescape(text("grpc-message").unwrap_or_default());
    let partial = match (code, message.split_first_chunk::<5>()) {
        // Uncompressed: nothing else was offered.
        (0, Some(([0, ..], response))) => answer::partial_success(response),
        _ => PartialSuccess::default(),
    };
    Outcome {
        verdict: verdict::grpc(code, come_back.is_some()),
        come_back,
        words: format!("grpc {code} {}", String::from_utf8_lossy(&said)),
        in_doubt: false,
        partial,
    }
}
