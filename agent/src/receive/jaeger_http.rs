//! Jaeger over HTTP: batches for the collector (`POST /api/traces`), and the answer to clients that
//! ask what share of their traces they shall keep.
//!
//! The answer is always "all": clients of OTLP send all by default, too, and who wants less says so
//! to the client (`JAEGER_SAMPLER_TYPE`).

use std::sync::Arc;

use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use super::budget::Hold;
use super::peers::Sender;
use super::reply::{self, Reply};
use super::whole_body::WholeBody;
use super::{Limits, Protocol, Receiver, Refusal, Sink, body, spans};

/// Keep everything.
const SAMPLING: &str =
    r#"{"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":1.0}}"#;
/// The same as `/` of Jaeger's agent has it, for clients of the time when enums were numbers.
const SAMPLING_BY_NUMBER: &str =
    r#"{"strategyType":0,"probabilisticSampling":{"samplingRate":1.0}}"#;
/// No baggage is restricted.
const BAGGAGE: &str = "[]";

/// Answers a request to the collector.
pub(super) async fn answer<S: Sink>(
    receiver: &Receiver<S>,
    request: Request<WholeBody>,
    sender: &Arc<Sender>,
    hold: Hold,
) -> Response<Reply> {
    if request.uri().path() == "/api/sampling" {
        return told(receiver, Protocol::JaegerHttp, &request, SAMPLING);
    }
    match take(receiver, request, sender, hold).await {
        Ok(()) => with_status(StatusCode::ACCEPTED, Reply::default()),
        Err(refusal) => refused(receiver, Protocol::JaegerHttp, &refusal, "POST"),
    }
}

/// Answers a request to the agent.
pub(super) fn sampling<S: Sink>(
    receiver: &Receiver<S>,
    request: &Request<WholeBody>,
) -> Response<Reply> {
    let document = match request.uri().path() {
        "/sampling" => SAMPLING,
        "/" => SAMPLING_BY_NUMBER,
        "/baggageRestrictions" => BAGGAGE,
        _ => {
            let refusal = Refusal::NotFound("/sampling and /baggageRestrictions are here");
            return refused(receiver, Protocol::JaegerSampling, &refusal, "GET");
        }
    };
    told(receiver, Protocol::JaegerSampling, request, document)
}

/// A document for the service that the request names.
fn told<S: Sink>(
    receiver: &Receiver<S>,
    protocol: Protocol,
    request: &Request<WholeBody>,
    document: &'static str,
) -> Response<Reply> {
    if request.method() != Method::GET {
        return refused(receiver, protocol, &Refusal::OnlyGet, "GET");
    }
    let query = request.uri().query().unwrap_or_default();
    let services = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut services = services.filter(|(name, _)| *name == "service");
    if !matches!((services.next(), services.next()), (Some((_, service)), None) if !service.is_empty())
    {
        let refusal = Refusal::Query("the parameter service must be there once");
        return refused(receiver, protocol, &refusal, "GET");
    }
    let mut response = with_status(StatusCode::OK, Reply::new(document));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn with_status(status: StatusCode, body: Reply) -> Response<Reply> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

fn refused<S: Sink>(
    receiver: &Receiver<S>,
    protocol: Protocol,
    refusal: &Refusal,
    allowed: &'static str,
) -> Response<Reply> {
    receiver.stats.refused(protocol, refusal.reason());
    let mut response = with_status(refusal.status(), Reply::new(format!("{refusal}\n")));
    let headers = response.headers_mut();
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(CONTENT_TYPE, text);
    if refusal.status() == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static(allowed));
    }
    if let Some(wait) = refusal.retry_after() {
        headers.insert(RETRY_AFTER, reply::whole_seconds(wait));
    }
    response
}

/// Reads, tags and hands on a batch.
async fn take<S: Sink>(
    receiver: &Receiver<S>,
    request: Request<WholeBody>,
    sender: &Arc<Sender>,
    mut hold: Hold,
) -> Result<(), Refusal> {
    if request.uri().path() != "/api/traces" {
        return Err(Refusal::NotFound("/api/traces takes Thrift batches"));
    }
    if request.method() != Method::POST {
        return Err(Refusal::Method);
    }
    check_headers(request.headers())?;
    let limits = Limits {
        body_bytes: receiver.limits.jaeger_bytes,
        ..receiver.limits
    };
    let body = body::read(request.into_body(), &limits, &receiver.buffers, &mut hold).await?;
    let (frame, _hold) = receiver.benches.work(body.len() * 4, |bench| {
        let mut hold = hold;
        let frame = spans::of_body(receiver, &body, sender, bench, &mut hold)?;
        // The hold lasts until the frame is taken.
        Ok::<_, Refusal>((frame, hold))
    })?;
    if let Some(frame) = frame {
        receiver.sink.accept(frame).await?;
    }
    Ok(())
}

fn check_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let essence = text(CONTENT_TYPE).and_then(|value| value.split(';').next());
    let is_thrift = |essence: &str| {
        [
            "application/x-thrift",
            "application/vnd.apache.thrift.binary",
        ]
        .iter()
        .any(|known| essence.trim().eq_ignore_ascii_case(known))
    };
    if !essence.is_some_and(is_thrift) {
        return Err(Refusal::ContentType(
            "content type must be application/x-thrift or application/vnd.apache.thrift.binary",
        ));
    }
    match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(()),
        Some(_) => Err(Refusal::ContentEncoding(
            "content encoding must be identity",
        )),
    }
}
