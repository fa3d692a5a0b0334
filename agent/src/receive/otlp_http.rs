//! OTLP over HTTP: `POST /v1/{metrics,logs,traces}`, protobuf or JSON, plain or gzip. Answers and
//! errors are of the request's type.

use std::sync::Arc;

use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response};

use super::budget::Hold;
use super::otlp::{self, Partial};
use super::peers::Sender;
use super::reply::{self, Reply};
use super::whole_body::WholeBody;
use super::workbench::Workbench;
use super::{Protocol, Receiver, Refusal, Sink, body, rpc_status};
use crate::signal::{Signal, otlp_json};

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Protobuf,
    Json,
}

impl Format {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        })
    }
}

/// Answers a request.
pub(super) async fn answer<S: Sink>(
    receiver: &Receiver<S>,
    request: Request<WholeBody>,
    sender: &Arc<Sender>,
    hold: Hold,
) -> Response<Reply> {
    let format = format(request.headers());
    let took = take(receiver, format, request, sender, hold).await;
    let answer_format = format.unwrap_or(Format::Protobuf);
    let mut response = match (took, answer_format) {
        (Ok((_, partial)), Format::Protobuf) => Response::new(Reply::new(otlp::response(&partial))),
        (Ok((signal, partial)), Format::Json) => {
            Response::new(Reply::new(otlp::json_response(signal, &partial)))
        }
        (Err(refusal), format) => {
            receiver.stats.refused(Protocol::OtlpHttp, refusal.reason());
            refused(&refusal, format)
        }
    };
    response
        .headers_mut()
        .insert(CONTENT_TYPE, answer_format.content_type());
    response
}

fn refused(refusal: &Refusal, format: Format) -> Response<Reply> {
    let (code, text, wait) = (refusal.code(), refusal.to_string(), refusal.retry_after());
    let body = match format {
        Format::Protobuf => rpc_status::encode(code, &text, wait),
        Format::Json => rpc_status::json(code, &text, wait),
    };
    let mut response = Response::new(Reply::new(body));
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    if *refusal == Refusal::Method {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    if let Some(wait) = wait {
        headers.insert(RETRY_AFTER, reply::whole_seconds(wait));
    }
    response
}

/// The body's format; `None`: neither of the two.
fn format(headers: &HeaderMap) -> Option<Format> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/x-protobuf") {
        Some(Format::Protobuf)
    } else if essence.eq_ignore_ascii_case("application/json") {
        Some(Format::Json)
    } else {
        None
    }
}

/// Whether the body is gzip.
fn gzip(headers: &HeaderMap) -> Result<bool, Refusal> {
    let encoding = match headers.get(CONTENT_ENCODING) {
        None => return Ok(false),
        Some(encoding) => encoding.to_str().unwrap_or("?").trim(),
    };
    if encoding.eq_ignore_ascii_case("gzip") {
        Ok(true)
    } else if encoding.is_empty() || encoding.eq_ignore_ascii_case("identity") {
        Ok(false)
    } else {
        Err(Refusal::ContentEncoding(
            "content encoding must be gzip or identity",
        ))
    }
}

/// Reads, tags and hands on a request.
async fn take<S: Sink>(
    receiver: &Receiver<S>,
    format: Option<Format>,
    request: Request<WholeBody>,
    sender: &Arc<Sender>,
    mut hold: Hold,
) -> Result<(Signal, Partial), Refusal> {
    let signal = match request.uri().path() {
        "/v1/metrics" => Signal::Metrics,
        "/v1/logs" => Signal::Logs,
        "/v1/traces" => Signal::Traces,
        _ => {
            return Err(Refusal::NotFound(
                "/v1/metrics, /v1/logs and /v1/traces take OTLP",
            ));
        }
    };
    if request.method() != Method::POST {
        return Err(Refusal::Method);
    }
    let Some(format) = format else {
        return Err(Refusal::ContentType(
            "content type must be application/x-protobuf or application/json",
        ));
    };
    let gzip = gzip(request.headers())?;
    let body = body::read(
        request.into_body(),
        &receiver.limits,
        &receiver.buffers,
        &mut hold,
    )
    .await?;
    let limit = receiver.limits.decompressed_bytes;
    let work = |bench: &mut Workbench| {
        let mut hold = hold;
        match (gzip, format) {
            (true, Format::Protobuf) => body::gunzip(&body, limit, &mut hold, &mut bench.raw)?,
            (false, Format::Protobuf) => {
                let tagged = otlp::tag(receiver, signal, sender, &body, bench, &mut hold)?;
                return Ok::<_, Refusal>((tagged, hold));
            }
            (true, Format::Json) => {
                body::gunzip(&body, limit, &mut hold, &mut bench.tagged)?;
                hold.grow(bench.tagged.len())?;
                otlp_json::to_protobuf(signal, &bench.tagged, limit, &mut bench.raw)?;
            }
            (false, Format::Json) => {
                hold.grow(body.len())?;
                otlp_json::to_protobuf(signal, &body, limit, &mut bench.raw)?;
            }
        }
        let tagged = bench
            .on_raw(|raw, bench| otlp::tag(receiver, signal, sender, raw, bench, &mut hold))?;
        // The hold lasts until the frame is taken.
        Ok((tagged, hold))
    };
    // Gzip is some five times as long when it is uncompressed, and ten times as slow.
    let cost = if gzip { body.len() * 20 } else { body.len() };
    let ((frame, partial), _hold) = receiver.benches.work(cost, work)?;
    if let Some(frame) = frame {
        receiver.sink.accept(frame).await?;
    }
    Ok((signal, partial))
}
