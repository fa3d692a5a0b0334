//! The listener: connections in, requests to the router; everything from outside has a limit.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::access::Access;
use super::handles::Handles;
use super::routes;
use super::tls::{self, TlsError};
use crate::config::{Api, Secret, TokenError};

/// Connections at a time; more wait to be accepted.
const MOST_CONNECTIONS: usize = 256;
/// From the connection to its first whole request header, and between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/1 header block.
const MOST_HEADER_BYTES: usize = 16 << 10;
/// HTTP/2.
const MOST_STREAMS: u32 = 64;
/// How long requests under way may take to end at shutdown.
const GRACE: Duration = Duration::from_secs(5);

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// It proved itself with a certificate of `api.tls.client_ca`.
    pub(super) has_certificate: bool,
}

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("api.token_file: {0}")]
    Token(#[from] TokenError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("api.listen: cannot listen on {address}: {source}")]
    Bind {
        address: SocketAddr,
        source: io::Error,
    },
    /// Beyond loopback without a lock on the door.
    #[error(
        "api.listen: {0} can be reached from other hosts without a token; set api.token_file or api.tls.client_ca"
    )]
    Open(SocketAddr),
}

/// The bound API, not serving yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    access: Arc<Access>,
    pub(super) header_timeout: Duration,
}

impl Server {
    /// Reads token and certificates and binds the port.
    pub async fn bind(config: &Api) -> Result<Self, ServeError> {
        let token = match &config.token_file {
            Some(path) => Some(Secret::read_token(path)?),
            None => None,
        };
        let tls = match &config.tls {
            Some(files) => Some(tls::server_config(files)?),
            None => None,
        };
        let takes_certificates = config
            .tls
            .as_ref()
            .is_some_and(|tls| tls.client_ca.is_some());
        let is_loopback = config.listen.ip().is_loopback();
        if !is_loopback && token.is_none() && !takes_certificates {
            return Err(ServeError::Open(config.listen));
        }
        let bind_error = |source| ServeError::Bind {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(bind_error)?;
        let address = listener.local_addr().map_err(bind_error)?;
        Ok(Self {
            listener,
            address,
            tls,
            access: Arc::new(Access::new(token, takes_certificates, is_loopback)),
            header_timeout: HEADER_TIMEOUT,
        })
    }

    /// Where it listens; says which port, if any free one was asked for.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// The lock on the door, to change the token on reload.
    #[must_use]
    pub fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access)
    }

    /// Serves until `shutdown`, then lets requests under way end within their grace.
    pub async fn run(self, handles: Handles, shutdown: CancellationToken) {
        let router = routes::router(handles, self.access, shutdown.clone());
        let acceptor = self.tls.map(TlsAcceptor::from);
        let header_timeout = self.header_timeout;
        let permits = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let connections = TaskTracker::new();
        loop {
            let accepted = async {
                let permit = Arc::clone(&permits).acquire_owned().await;
                (permit, self.listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                accepted = accepted => accepted,
                () = shutdown.cancelled() => break,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, say: accepting again at once would only spin.
                    tracing::warn!(%error, "cannot accept an API connection");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let router = router.clone();
            let acceptor = acceptor.clone();
            let shutdown = shutdown.clone();
            connections.spawn(async move {
                let requests = Requests {
                    router,
                    header_timeout,
                    shutdown,
                };
                connection(stream, address, acceptor, requests).await;
                drop(permit);
            });
        }
        connections.close();
        if timeout(GRACE, connections.wait()).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "API connections cut at shutdown"
            );
        }
    }
}

/// What a connection does with its requests.
struct Requests {
    router: Router,
    header_timeout: Duration,
    shutdown: CancellationToken,
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    requests: Requests,
) {
    // Answers are written whole: waiting for more to send would only delay them.
    stream.set_nodelay(true).ok();
    match acceptor {
        None => {
            let peer = Peer {
                address,
                has_certificate: false,
            };
            serve(stream, peer, requests).await;
        }
        Some(acceptor) => match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let peer = Peer {
                    address,
                    has_certificate: stream.get_ref().1.peer_certificates().is_some(),
                };
                serve(stream, peer, requests).await;
            }
            Ok(Err(error)) => tracing::debug!(%address, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
        },
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    peer: Peer,
    requests: Requests,
) {
    let service = requests
        .router
        .map_request(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request
        });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(requests.header_timeout)
        .max_buf_size(MOST_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(MOST_HEADER_BYTES as u32)
        .keep_alive_interval(HEADER_TIMEOUT);
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = requests.shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(address = %peer.address, %error, "API connection failed");
    }
}
