//! `POST /write` and `/api/v1/write`: remote write 1.0 and 2.0 by content type.
//!
//! Back-pressure is answered with 503: the specification says a sender must retry a 5xx, while it
//! may drop what got a 429, and Prometheus does by default.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use super::budget::Hold;
use super::peers::Sender;
use super::reply::{self, Reply};
use super::whole_body::WholeBody;
use super::{Protocol, Receiver, Refusal, Sink, body};
use crate::signal::{Apps, Frame, Kind, Signal, Spliced, snappy};

/// Which message a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// Answers a request.
pub(super) async fn answer<S: Sink>(
    receiver: &Receiver<S>,
    request: Request<WholeBody>,
    sender: &Arc<Sender>,
    hold: Hold,
) -> Response<Reply> {
    let version = version(request.headers());
    let took = match &version {
        Ok(version) => take(receiver, *version, request, sender, hold).await,
        Err(refusal) => Err(refusal.clone()),
    };
    let mut response = match &took {
        Ok(_) => {
            let mut response = Response::new(Reply::default());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        Err(refusal) => {
            receiver
                .stats
                .refused(Protocol::RemoteWrite, refusal.reason());
            refused(refusal)
        }
    };
    // Without these headers a 2.0 sender takes the answer for one from a 1.0 receiver.
    if version == Ok(Version::Two) {
        let written = took.unwrap_or_default();
        for (name, count) in [
            ("x-prometheus-remote-write-samples-written", written.samples),
            (
                "x-prometheus-remote-write-histograms-written",
                written.histograms,
            ),
            (
                "x-prometheus-remote-write-exemplars-written",
                written.exemplars,
            ),
        ] {
            response.headers_mut().insert(name, count.into());
        }
    }
    response
}

fn refused(refusal: &Refusal) -> Response<Reply> {
    let mut response = Response::new(Reply::new(format!("{refusal}\n")));
    *response.status_mut() = match refusal.status() {
        StatusCode::TOO_MANY_REQUESTS => StatusCode::SERVICE_UNAVAILABLE,
        status => status,
    };
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    if *refusal == Refusal::Method {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    if let Some(wait) = refusal.retry_after() {
        headers.insert(RETRY_AFTER, reply::whole_seconds(wait));
    }
    response
}

/// Which message the headers announce. Type and encoding that are not given are taken to be
/// right, as Prometheus does.
fn version(headers: &HeaderMap) -> Result<Version, Refusal> {
    let text = |name| {
        headers
            .get(name)
            .map(|value: &HeaderValue| value.to_str().unwrap_or("?").trim())
    };
    if let Some(encoding) = text(CONTENT_ENCODING)
        && !encoding.eq_ignore_ascii_case("snappy")
    {
        return Err(Refusal::ContentEncoding("content encoding must be snappy"));
    }
    let Some(content_type) = text(CONTENT_TYPE) else {
        return Ok(Version::One);
    };
    let mut parts = content_type.split(';').map(str::trim);
    if !parts
        .next()
        .unwrap_or_default()
        .eq_ignore_ascii_case("application/x-protobuf")
    {
        return Err(Refusal::ContentType(
            "content type must be application/x-protobuf",
        ));
    }
    let proto = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        (name.trim().eq_ignore_ascii_case("proto")).then_some(value.trim().trim_matches('"'))
    });
    match proto {
        None | Some("prometheus.WriteRequest") => Ok(Version::One),
        Some("io.prometheus.write.v2.Request") => Ok(Version::Two),
        Some(_) => Err(Refusal::ContentType(
            "proto must be prometheus.WriteRequest or io.prometheus.write.v2.Request",
        )),
    }
}

/// Reads, tags and hands on a request.
async fn take<S: Sink>(
    receiver: &Receiver<S>,
    version: Version,
    request: Request<WholeBody>,
    sender: &Arc<Sender>,
    mut hold: Hold,
) -> Result<Spliced, Refusal> {
    if !matches!(request.uri().path(), "/write" | "/api/v1/write") {
        return Err(Refusal::NotFound(
            "/write and /api/v1/write take remote write",
        ));
    }
    if request.method() != Method::POST {
        return Err(Refusal::Method);
    }
    let block = body::read(
        request.into_body(),
        &receiver.limits,
        &receiver.buffers,
        &mut hold,
    )
    .await?;
    let (raw_len, _) = snappy::declared_len(&block)?;
    let (frame, spliced) = receiver
        .benches
        .work(raw_len, |bench| -> Result<_, Refusal> {
            let limit = receiver.limits.decompressed_bytes;
            if raw_len <= limit {
                // Uncompressed, spliced and compressed again.
                hold.grow(raw_len * 3)?;
            }
            let raw = snappy::decode(&block, limit, &mut bench.raw)?;
            let app = |host_name: &str| receiver.peers.0.app(host_name);
            let (policy, limits) = (sender.policy(Apps(&app)), &receiver.limits.series);
            let out = &mut bench.tagged;
            let spliced = match version {
                Version::One => bench.splicer.splice(raw, policy, limits, out)?,
                Version::Two => bench.transcoder.transcode(raw, policy, limits, out)?,
            };
            // References may have made more of it than was held for.
            hold.grow((2 * out.len()).saturating_sub(2 * raw_len))?;
            Ok((frame(&mut bench.encoder, out, &spliced)?, spliced))
        })?;
    receiver.stats.forged(Signal::Metrics, spliced.forged);
    if let Some(frame) = frame {
        receiver.sink.accept(frame).await?;
    }
    Ok(spliced)
}

/// A frame of an uncompressed, tagged request; `None`: there is nothing in it.
pub(super) fn frame(
    encoder: &mut snappy::Encoder,
    tagged: &[u8],
    spliced: &Spliced,
) -> Result<Option<Frame>, Refusal> {
    if spliced.series == 0 && spliced.metadata == 0 {
        return Ok(None);
    }
    let payload = Bytes::copy_from_slice(encoder.encode(tagged)?);
    Ok(Some(Frame {
        kind: Kind::RemoteWrite,
        payload,
        raw_len: tagged.len() as u32,
        counts: spliced.counts.clone(),
    }))
}
