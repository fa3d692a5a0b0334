//! OTLP over gRPC: the three unary `Export` calls; the one of Jaeger's collector; and, beside OTLP,
//! the one that a Jaeger v1 collector writes spans to its remote storage with
//! (`internal/storage/v1/grpc/proto/storage.proto` of jaegertracing/jaeger). Such a collector cannot
//! export in any other way; what it asks a storage beside that it does without.
//!
//! The message stays bytes, and it is uncompressed against the same memory budget and off the same
//! path as HTTP's, which a generated server's decoder leaves no room for: it inflates a message
//! before anybody can look at it. What is left of gRPC for a unary call is a five-byte frame and
//! trailers; statuses are tonic's.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use tonic::{Code, Status};

use super::budget::Hold;
use super::otlp::{self, Partial};
use super::peers::Sender;
use super::reply::Reply;
use super::workbench::Workbench;
use super::{Protocol, Receiver, Refusal, Sink, body, rpc_status, spans};
use crate::signal::Signal;

/// Flag and length in front of a message.
const PREFIX_BYTES: usize = 5;

/// Answers a call.
pub(super) async fn answer<S: Sink>(
    receiver: &Receiver<S>,
    protocol: Protocol,
    request: Request<Incoming>,
    sender: &Arc<Sender>,
    hold: Hold,
) -> Response<Reply> {
    match take(receiver, protocol, request, sender, hold).await {
        Ok(partial) => {
            receiver.stats.answered_grpc(protocol, Code::Ok);
            succeeded(&partial)
        }
        Err(refusal) => {
            receiver.stats.answered_grpc(protocol, refusal.code());
            receiver.stats.refused(protocol, refusal.reason());
            refused(&refusal)
        }
    }
}

fn empty() -> Response<Reply> {
    let mut response = Response::new(Reply::default());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(
        "grpc-accept-encoding",
        HeaderValue::from_static("gzip,identity"),
    );
    response
}

fn succeeded(partial: &Partial) -> Response<Reply> {
    let message = otlp::response(partial);
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    frame.extend_from_slice(&[0]);
    frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frame.extend_from_slice(&message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let mut response = empty();
    *response.body_mut() = Reply::new(frame.freeze()).with_trailers(trailers);
    response
}

fn refused(refusal: &Refusal) -> Response<Reply> {
    let (code, text, wait) = (refusal.code(), refusal.to_string(), refusal.retry_after());
    let status = match wait {
        Some(_) => {
            let details = Bytes::from(rpc_status::encode(code, &text, wait));
            Status::with_details(code, text, details)
        }
        None => Status::new(code, text),
    };
    let mut response = empty();
    if status.add_header(response.headers_mut()).is_err() {
        // Only metadata of the status could be no header, and it has none.
        let internal = HeaderValue::from(Code::Internal as i32);
        response.headers_mut().insert("grpc-status", internal);
    }
    response
}

/// What can be called.
#[derive(Debug, Clone, Copy)]
enum Call {
    Export(Signal),
    PostSpans,
    WriteSpan,
}

fn call(protocol: Protocol, path: &str) -> Result<Call, Refusal> {
    if protocol == Protocol::JaegerGrpc {
        return match path {
            "/jaeger.api_v2.CollectorService/PostSpans" => Ok(Call::PostSpans),
            _ => Err(Refusal::NotFound(
                "jaeger.api_v2.CollectorService is here, with the method PostSpans",
            )),
        };
    }
    match path {
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => {
            Ok(Call::Export(Signal::Metrics))
        }
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => {
            Ok(Call::Export(Signal::Logs))
        }
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => {
            Ok(Call::Export(Signal::Traces))
        }
        "/jaeger.storage.v1.SpanWriterPlugin/WriteSpan" => Ok(Call::WriteSpan),
        _ => Err(Refusal::NotFound(
            "OTLP's metrics, logs and trace services are here, with the method Export, and \
             jaeger.storage.v1.SpanWriterPlugin, with WriteSpan",
        )),
    }
}

/// Reads, tags and hands on a call.
async fn take<S: Sink>(
    receiver: &Receiver<S>,
    protocol: Protocol,
    request: Request<Incoming>,
    sender: &Arc<Sender>,
    mut hold: Hold,
) -> Result<Partial, Refusal> {
    let call = call(protocol, request.uri().path())?;
    if request.method() != Method::POST {
        return Err(Refusal::Method);
    }
    let gzip = check_headers(request.headers())?;
    let mut limits = receiver.limits;
    if !matches!(call, Call::Export(_)) {
        limits.body_bytes = limits.jaeger_bytes;
        limits.decompressed_bytes = limits.jaeger_bytes;
    }
    let framed = body::read(request.into_body(), &limits, &receiver.buffers, &mut hold).await?;
    let (compressed, message) = unframe(&framed)?;
    if compressed && !gzip {
        return Err(Refusal::GrpcFrame(
            "message is compressed, but grpc-encoding names no compression",
        ));
    }
    let limit = limits.decompressed_bytes;
    let cost = message.len() * if compressed { 20 } else { 1 };
    let tag = |raw: &[u8], bench: &mut Workbench, hold: &mut Hold| {
        let frame = match call {
            Call::Export(signal) => return otlp::tag(receiver, signal, sender, raw, bench, hold),
            Call::PostSpans => spans::of_post(receiver, sender, raw, bench, hold)?,
            Call::WriteSpan => spans::of_write(receiver, sender, raw, bench, hold)?,
        };
        Ok((frame, Partial::default()))
    };
    let work = |bench: &mut Workbench| {
        let mut hold = hold;
        let tagged = if compressed {
            body::gunzip(message, limit, &mut hold, &mut bench.raw)?;
            bench.on_raw(|raw, bench| tag(raw, bench, &mut hold))?
        } else {
            tag(message, bench, &mut hold)?
        };
        // The hold lasts until the frame is taken.
        Ok::<_, Refusal>((tagged, hold))
    };
    let ((frame, partial), _hold) = receiver.benches.work(cost, work)?;
    if let Some(frame) = frame {
        receiver.sink.accept(frame).await?;
    }
    Ok(partial)
}

/// Validates type and encoding; returns whether messages may be gzip.
fn check_headers(headers: &HeaderMap) -> Result<bool, Refusal> {
    let text = |name: &str| headers.get(name).map(|it| it.to_str().unwrap_or("?"));
    match text("content-type") {
        Some("application/grpc" | "application/grpc+proto") => {}
        _ => {
            return Err(Refusal::ContentType(
                "content type must be application/grpc or application/grpc+proto",
            ));
        }
    }
    match text("grpc-encoding") {
        None | Some("identity") => Ok(false),
        Some("gzip") => Ok(true),
        Some(_) => Err(Refusal::ContentEncoding(
            "grpc-encoding must be gzip or identity",
        )),
    }
}

/// The one message of a unary call, and whether it is compressed.
fn unframe(framed: &[u8]) -> Result<(bool, &[u8]), Refusal> {
    let Some((prefix, message)) = framed.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(Refusal::GrpcFrame("there is none"));
    };
    let [flag, length @ ..] = *prefix;
    let length = u32::from_be_bytes(length) as usize;
    match (flag, message.len().cmp(&length)) {
        (0 | 1, std::cmp::Ordering::Equal) => Ok((flag == 1, message)),
        (0 | 1, std::cmp::Ordering::Less) => Err(Refusal::GrpcFrame("ends early")),
        (0 | 1, std::cmp::Ordering::Greater) => {
            Err(Refusal::GrpcFrame("is followed by another one"))
        }
        _ => Err(Refusal::GrpcFrame("flag is neither 0 nor 1")),
    }
}
