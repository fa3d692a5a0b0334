//! The relay: a server that keeps a copy of each body in a file and sends it on, unread and unchanged.
//!
//! What it costs is what HTTP, loopback and the page cache cost: nothing that does more can cost less.
//! Owns: its listener, one file per connection and a pooled client. Must not know: what a body is.
//! Limits: bodies of 64 MiB, files of [`FILE_BYTES`] that are then begun anew, as a log's segments
//! would be removed.

use std::convert::Infallible;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};

const LIMIT: usize = 64 << 20;
/// As large as the agent's segments.
const FILE_BYTES: usize = 16 << 20;

/// What all connections share.
struct Relay {
    client: Client<HttpConnector, Full<Bytes>>,
    sink: SocketAddr,
}

/// A file and the bytes in it.
struct Copies(File, usize);

/// Serves at `listen` until the process ends: what comes is written below `directory` and sent to
/// `sink`, and answered as the sink answers.
///
/// # Errors
/// The address cannot be bound or a file cannot be made.
pub async fn serve(listen: SocketAddr, sink: SocketAddr, directory: &Path) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("relay cannot listen on {listen}"))?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let relay = Arc::new(Relay {
        client: Client::builder(TokioExecutor::new()).build(connector),
        sink,
    });
    for number in 0_u64.. {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let file = File::create(directory.join(format!("{number}.copies")))?;
        let copies = Arc::new(Mutex::new(Copies(file, 0)));
        let relay = Arc::clone(&relay);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let (relay, copies) = (Arc::clone(&relay), Arc::clone(&copies));
                async move { Ok::<_, Infallible>(answer(&relay, &copies, request).await) }
            });
            // A sender that goes away in the middle of a request is its own business.
            let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
    Ok(())
}

async fn answer(
    relay: &Relay,
    copies: &Mutex<Copies>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let status = if request.method() == Method::GET {
        StatusCode::OK
    } else {
        let passed = pass_on(relay, copies, request).await;
        passed.unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
    };
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

async fn pass_on(
    relay: &Relay,
    copies: &Mutex<Copies>,
    request: Request<Incoming>,
) -> Result<StatusCode> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, LIMIT)
        .collect()
        .await
        .map_err(|error| anyhow::anyhow!("body: {error}"))?
        .to_bytes();
    copies
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .keep(&body)?;
    let mut request = Request::post(
        Uri::builder()
            .scheme("http")
            .authority(relay.sink.to_string())
            .path_and_query(head.uri.path())
            .build()?,
    )
    .body(Full::new(body))?;
    for name in [CONTENT_TYPE, CONTENT_ENCODING] {
        if let Some(value) = head.headers.get(&name) {
            request.headers_mut().insert(name, value.clone());
        }
    }
    let response = relay.client.request(request).await?;
    let status = response.status();
    response.into_body().collect().await?;
    Ok(status)
}

impl Copies {
    fn keep(&mut self, body: &[u8]) -> std::io::Result<()> {
        let Self(file, bytes) = self;
        if *bytes > FILE_BYTES {
            file.set_len(0)?;
            std::io::Seek::rewind(file)?;
            *bytes = 0;
        }
        *bytes += body.len();
        file.write_all(body)
    }
}
