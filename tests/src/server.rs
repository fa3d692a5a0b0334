//! An HTTP server in this process that answers as told, and misbehaves as told.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// One runtime for all servers of a test program: tests themselves are blocking.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Runtime::new().expect("start the runtime of the test servers"));

/// How a server misbehaves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Fault {
    /// Not at all.
    #[default]
    None,
    /// Answers everything with this status and body, without taking the data.
    Status(u16, &'static str),
    /// Reads the request and never answers.
    Hang,
    /// Answers with bytes that are no HTTP.
    Garbage,
    /// Closes the connection instead of answering.
    Close,
}

/// What came in.
#[derive(Debug)]
pub struct Received {
    /// Path with query.
    pub path: String,
    /// Request headers.
    pub headers: HeaderMap,
    /// The whole body, as sent.
    pub body: Bytes,
}

/// Takes a request and says status and body of the answer.
type Handler = dyn Fn(Received) -> (u16, Vec<u8>) + Send + Sync;

/// A running server on a free loopback port. Dropping it closes the port and every connection.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    fault: Arc<Mutex<Fault>>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Starts a server whose requests go to `handler` unless a fault is set.
    pub fn start(handler: impl Fn(Received) -> (u16, Vec<u8>) + Send + Sync + 'static) -> Self {
        let fault = Arc::new(Mutex::new(Fault::None));
        let listener = RUNTIME
            .block_on(TcpListener::bind(("127.0.0.1", 0)))
            .expect("bind a test server");
        let address = listener.local_addr().expect("its address");
        let accepting = RUNTIME.spawn(accept(listener, Arc::new(handler), Arc::clone(&fault)));
        Self {
            address,
            fault,
            accepting,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Misbehaves from now on ([`Fault::None`]: behaves again). Requests that hang already go on
    /// hanging.
    pub fn set_fault(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, handler: Arc<Handler>, fault: Arc<Mutex<Fault>>) {
    // Owned by this task, so that connections end with it.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let (handler, fault) = (Arc::clone(&handler), Arc::clone(&fault));
        connections.spawn(async move {
            if *fault.lock().unwrap() == Fault::Garbage {
                let _ = stream.write_all(b"\x16\x03\x01 this is no HTTP\n").await;
                return;
            }
            let service = service_fn(move |request| {
                answer(request, Arc::clone(&handler), Arc::clone(&fault))
            });
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            // An error here is the client going away, or the fault asked for.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Why a connection is cut on purpose.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("connection cut on purpose")
    }
}

impl std::error::Error for Cut {}

async fn answer(
    request: http::Request<Incoming>,
    handler: Arc<Handler>,
    fault: Arc<Mutex<Fault>>,
) -> Result<Response<Full<Bytes>>, Cut> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let fault = fault.lock().unwrap().clone();
    let (status, body) = match fault {
        Fault::None => handler(Received {
            path: parts.uri.to_string(),
            headers: parts.headers,
            body,
        }),
        Fault::Status(status, body) => (status, body.into()),
        Fault::Hang => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            return Err(Cut);
        }
        // A connection from before the fault is cut: the next one gets the garbage.
        Fault::Garbage | Fault::Close => return Err(Cut),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status of a test");
    Ok(response)
}
