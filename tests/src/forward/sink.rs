//! A receiver that keeps what it gets, and misbehaves as told.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::frames;

/// What to do with a request.
#[derive(Debug, Clone)]
pub enum Deed {
    /// Keep it and say 204.
    Take,
    /// Keep it and answer with this body and 200.
    TakeSaying(Vec<u8>),
    /// Keep it and answer 204 with these headers.
    TakeWith(Vec<(&'static str, String)>),
    /// Answer like a gRPC server: status, message, response. Status 0 keeps it.
    Grpc(u32, &'static str, Vec<u8>),
    /// Answer with a status, headers and text.
    Say(u16, Vec<(&'static str, String)>, String),
    /// Never answer.
    Hang,
    /// Close the connection without an answer, having kept it or not.
    Break {
        /// Whether it was kept.
        kept: bool,
    },
}

type Answer = BoxBody<Bytes, Infallible>;
type Judge = Box<dyn FnMut(&Seen) -> Deed + Send>;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The path.
    pub path: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The body as sent.
    pub body: Bytes,
    /// The samples, for remote write.
    pub samples: Vec<(String, i64)>,
}

/// What was kept.
#[derive(Debug, Default)]
pub struct Kept {
    /// For each series the times of its samples, in order of arrival.
    pub series: HashMap<String, Vec<i64>>,
    /// Samples in all.
    pub samples: u64,
    /// Requests that were kept.
    pub requests: Vec<Seen>,
    /// Requests in all.
    pub asked: u64,
    /// Keep requests too, not only samples.
    pub keep_requests: bool,
}

struct Shared {
    kept: Mutex<Kept>,
    judge: Mutex<Judge>,
}

/// A running sink. Ends when dropped.
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
    open: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Sink {
    /// Listens on a free port and takes everything.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Likewise, on this address.
    pub async fn start_at(address: SocketAddr) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            kept: Mutex::default(),
            judge: Mutex::new(Box::new(|_| Deed::Take)),
        });
        let mut sink = Self {
            address,
            shared,
            open: None,
        };
        sink.open().await?;
        Ok(sink)
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Decides about requests from now on.
    pub fn judge(&self, judge: impl FnMut(&Seen) -> Deed + Send + 'static) {
        *self
            .shared
            .judge
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Box::new(judge);
    }

    /// Looks at what was kept.
    pub fn kept<T>(&self, look: impl FnOnce(&mut Kept) -> T) -> T {
        look(
            &mut self
                .shared
                .kept
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Waits until so many samples were kept.
    pub async fn wait_for_samples(&self, samples: u64, within: Duration) -> anyhow::Result<()> {
        self.wait_until(within, |kept| kept.samples >= samples)
            .await
    }

    /// Waits until what was kept satisfies.
    pub async fn wait_until(
        &self,
        within: Duration,
        mut satisfied: impl FnMut(&mut Kept) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + within;
        while !self.kept(&mut satisfied) {
            if tokio::time::Instant::now() > deadline {
                let (samples, requests) = self.kept(|kept| (kept.samples, kept.requests.len()));
                anyhow::bail!("not within {within:?}: {samples} samples, {requests} requests");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Stops listening and breaks all connections.
    pub async fn close(&mut self) {
        if let Some((token, task)) = self.open.take() {
            token.cancel();
            let _ = task.await;
        }
    }

    /// Listens again, on the same address.
    pub async fn open(&mut self) -> anyhow::Result<()> {
        let listener = listen(self.address).await?;
        self.address = listener.local_addr()?;
        let token = CancellationToken::new();
        let task = tokio::spawn(serve(listener, Arc::clone(&self.shared), token.clone()));
        self.open = Some((token, task));
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some((token, _)) = self.open.take() {
            token.cancel();
        }
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let mut last = None;
    for _ in 0..50 {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(last.context("no attempt")?.into())
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, token: CancellationToken) {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
            () = token.cancelled() => return,
        };
        let shared = Arc::clone(&shared);
        let token = token.clone();
        tokio::spawn(async move {
            let cut = CancellationToken::new();
            let service = hyper::service::service_fn(|request| {
                answer(request, Arc::clone(&shared), cut.clone())
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ = connection => {}
                () = cut.cancelled() => {}
                () = token.cancelled() => {}
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    cut: CancellationToken,
) -> Result<Response<Answer>, Infallible> {
    let (head, body) = request.into_parts();
    let mut response = Response::new(Full::default().boxed());
    let Ok(body) = body.collect().await else {
        return Ok(response);
    };
    let body = body.to_bytes();
    let snappy = head
        .headers
        .get("content-encoding")
        .is_some_and(|coding| coding == "snappy");
    let samples = match frames::samples(&body) {
        Ok(samples) if snappy => samples,
        Err(error) if snappy => {
            *response.status_mut() = StatusCode::BAD_REQUEST;
            *response.body_mut() = full(error.to_string());
            return Ok(response);
        }
        Ok(_) | Err(_) => Vec::new(),
    };
    let seen = Seen {
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body,
        samples,
    };
    let deed = (shared.judge.lock().unwrap_or_else(PoisonError::into_inner))(&seen);
    let keeps = matches!(
        deed,
        Deed::Take
            | Deed::TakeSaying(_)
            | Deed::TakeWith(_)
            | Deed::Grpc(0, ..)
            | Deed::Break { kept: true }
    );
    keep(&shared, seen, keeps);
    match deed {
        Deed::Take => *response.status_mut() = StatusCode::NO_CONTENT,
        Deed::TakeSaying(body) => *response.body_mut() = full(body),
        Deed::TakeWith(headers) => {
            *response.status_mut() = StatusCode::NO_CONTENT;
            set_headers(response.headers_mut(), headers);
        }
        Deed::Grpc(status, message, body) => grpc(&mut response, status, message, &body),
        Deed::Say(status, headers, text) => {
            *response.status_mut() =
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            set_headers(response.headers_mut(), headers);
            *response.body_mut() = full(text);
        }
        Deed::Hang => std::future::pending().await,
        Deed::Break { .. } => {
            cut.cancel();
            std::future::pending().await
        }
    }
    Ok(response)
}

fn full(body: impl Into<Bytes>) -> Answer {
    Full::new(body.into()).boxed()
}

fn set_headers(map: &mut HeaderMap, headers: Vec<(&'static str, String)>) {
    for (name, value) in headers {
        map.insert(name, value.parse().expect("a header"));
    }
}

/// A unary gRPC answer: an error in the headers, a success with its status in the trailers.
fn grpc(response: &mut Response<Answer>, status: u32, message: &'static str, body: &[u8]) {
    let mut tail = HeaderMap::new();
    set_headers(
        &mut tail,
        vec![
            ("grpc-status", status.to_string()),
            ("grpc-message", message.to_owned()),
        ],
    );
    set_headers(
        response.headers_mut(),
        vec![("content-type", "application/grpc".to_owned())],
    );
    if status != 0 {
        response.headers_mut().extend(tail);
        return;
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&(body.len() as u32).to_be_bytes());
    framed.extend_from_slice(body);
    *response.body_mut() = Full::new(Bytes::from(framed))
        .with_trailers(std::future::ready(Some(Ok(tail))))
        .boxed();
}

fn keep(shared: &Shared, seen: Seen, keeps: bool) {
    let mut kept = shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.asked += 1;
    if !keeps {
        return;
    }
    kept.samples += seen.samples.len() as u64;
    for (series, time) in &seen.samples {
        kept.series.entry(series.clone()).or_default().push(*time);
    }
    if kept.keep_requests {
        kept.requests.push(seen);
    }
}
