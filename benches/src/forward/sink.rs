//! The counting sink: a remote-write 1.0 and OTLP/HTTP receiver that keeps nothing.
//!
//! Owns: its listener (HTTP/1.1 and HTTP/2), decompression and the counts, which `GET /counts`
//! returns as JSON. Must not know: who sends. Limits: bodies and unpacked requests of 64 MiB.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::{Deserialize, Serialize};

use super::http1;
use super::walk::{Tally, otlp_request, workload_of};

const LIMIT: usize = 64 << 20;

/// What a sink has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Float samples of the generator's series, or spans, or log records.
    pub records: u64,
    /// Samples older than one of the same series that came before.
    pub reordered: u64,
    /// Samples with the timestamp of the newest of their series.
    pub duplicates: u64,
    /// Series (each time they come) or resources without the right guid.
    pub untagged: u64,
    /// Samples of series that the generator did not make.
    pub foreign: u64,
    /// Native histogram samples.
    pub histograms: u64,
    /// Exemplars.
    pub exemplars: u64,
    /// Metadata entries.
    pub metadata: u64,
    /// Requests that could not be read; answered with 400.
    pub malformed: u64,
    /// Requests read.
    pub requests: u64,
    /// Bytes of their bodies as they came.
    pub wire_bytes: u64,
}

/// Asks a running sink for its counts.
///
/// # Errors
/// The sink is away or answers something else.
pub fn counts(sink: SocketAddr) -> Result<Counts> {
    let response = http1::get(sink, "/counts", Duration::from_secs(5))?;
    serde_json::from_slice(&response.body).context("counts of the sink")
}

/// Serves at `listen` until the process ends, for series numbered below `series`.
///
/// # Errors
/// The address cannot be bound.
pub async fn serve(listen: SocketAddr, series: usize) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("sink cannot listen on {listen}"))?;
    let tally = Arc::new(Tally::new(series));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: connections that end free them.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        stream.set_nodelay(true)?;
        let tally = Arc::clone(&tally);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let tally = Arc::clone(&tally);
                async move { Ok::<_, Infallible>(answer(request, &tally).await) }
            });
            // A sender that goes away in the middle of a request is its own business.
            let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>, tally: &Tally) -> Response<Full<Bytes>> {
    let taken = if request.method() == Method::GET {
        serde_json::to_vec(&tally.snapshot())
            .map(|json| (StatusCode::OK, json))
            .map_err(Into::into)
    } else {
        take(request, tally)
            .await
            .map(|()| (StatusCode::OK, vec![]))
    };
    let (status, body) = taken.unwrap_or_else(|error| {
        tally.malformed();
        (StatusCode::BAD_REQUEST, format!("{error:#}").into_bytes())
    });
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        http::HeaderValue::from_static("application/x-protobuf"),
    );
    response
}

async fn take(request: Request<Incoming>, tally: &Tally) -> Result<()> {
    let (head, body) = request.into_parts();
    let workload = workload_of(head.uri.path()).context("no such path")?;
    let encoding = head
        .headers
        .get(CONTENT_ENCODING)
        .map(|value| value.as_bytes().to_vec());
    let body = Limited::new(body, LIMIT)
        .collect()
        .await
        .map_err(|error| anyhow::anyhow!("body: {error}"))?
        .to_bytes();
    let mut counts = Counts {
        wire_bytes: body.len() as u64,
        ..Counts::default()
    };
    match encoding.as_deref() {
        Some(b"snappy") => unpack_snappy(&body, |raw| tally.write_request(raw, &mut counts))?,
        Some(b"gzip") if workload.is_otlp() => {
            let mut raw = Vec::new();
            flate2::read::GzDecoder::new(&body[..])
                .take(LIMIT as u64)
                .read_to_end(&mut raw)?;
            otlp_request(&raw, &mut counts)?;
        }
        None | Some(b"identity") if workload.is_otlp() => otlp_request(&body, &mut counts)?,
        _ => bail!("content encoding does not fit the path"),
    }
    tally.add(&counts);
    Ok(())
}

/// Unpacks into a buffer that each thread keeps, so that the sink's cost is the walk, not the pages.
fn unpack_snappy(block: &[u8], walk: impl FnOnce(&[u8]) -> Result<()>) -> Result<()> {
    thread_local! {
        static RAW: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    let length = snap::raw::decompress_len(block)?;
    if length > LIMIT {
        bail!("unpacked length {length} over {LIMIT}");
    }
    RAW.with_borrow_mut(|raw| {
        if raw.len() < length {
            raw.resize(length, 0);
        }
        let length = snap::raw::Decoder::new().decompress(block, raw)?;
        walk(&raw[..length])
    })
}
