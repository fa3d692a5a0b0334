//! Accepts connections and serves HTTP/1.1 and HTTP/2 on them.
//!
//! A connection is closed when it has no request under way and has been without one for too long,
//! whatever bytes it dribbles meanwhile: that covers a head that never ends, in either version,
//! and a protocol that is never chosen. The body's time is limited where it is read.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::activity::{Activity, Idle};
use super::budget::Connected;
use super::peers::{Place, Sender};
use super::refusal::Reason;
use super::reply::Reply;
use super::{Limits, Protocol, Receiver, Sink};

/// How long a sender is taken to be who it was: its container may become known to the directory
/// after it connected.
const SENDER_AGE: Duration = Duration::from_secs(5);
/// Wait after an accept that failed, as it does when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Time in which a sender must have become known, where only known ones are served: the directory
/// learns a container's address just after its start.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);
/// How often it is looked up meanwhile.
const KNOWN_POLL: Duration = Duration::from_millis(20);

/// Who may send to a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Whoever can reach it.
    Anyone,
    /// This node's containers and processes, and trusted senders. For addresses that containers
    /// reach and that a host beside this one might be able to route to.
    Node,
}

impl Audience {
    pub(super) fn admits(self, sender: &Sender) -> bool {
        self == Self::Anyone || sender.trusted || sender.place != Place::Elsewhere
    }
}

/// Serves a listener until `stop`; then lets requests under way end, within
/// [`Limits::shutdown_time`].
pub async fn serve<S: Sink>(
    listener: TcpListener,
    protocol: Protocol,
    audience: Audience,
    receiver: Arc<Receiver<S>>,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    // Connections end when the listener does; this ends those that would not.
    let kill = CancellationToken::new();
    let mut complained = None::<Instant>;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if complained.is_none_or(|at| at.elapsed() > Duration::from_secs(10)) {
                    complained = Some(Instant::now());
                    tracing::warn!(listener = protocol.as_str(), %error, "cannot accept");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match receiver.budget.connect(peer.ip()) {
            Ok(connected) => {
                let connection = connection(
                    stream,
                    peer,
                    (protocol, audience),
                    Arc::clone(&receiver),
                    connected,
                    stop.clone(),
                );
                let kill = kill.clone();
                connections.spawn(async move {
                    let _ = kill.run_until_cancelled(connection).await;
                });
            }
            Err(_) => receiver.stats.refused(protocol, Reason::Overload),
        }
    }
    drop(listener);
    connections.close();
    let ended = tokio::time::timeout(receiver.limits.shutdown_time, connections.wait()).await;
    if ended.is_err() {
        let open = connections.len();
        tracing::warn!(
            listener = protocol.as_str(),
            open,
            "connections cut off at shutdown"
        );
        kill.cancel();
        connections.wait().await;
    }
}

/// What is known of a connection.
struct Connection {
    peer: SocketAddr,
    local: SocketAddr,
    opened: Instant,
    connected: Connected,
    activity: Activity,
    sender: ArcSwapOption<(Instant, Arc<Sender>)>,
}

impl Connection {
    fn sender<S: Sink>(&self, receiver: &Receiver<S>) -> Arc<Sender> {
        if let Some(known) = &*self.sender.load()
            && known.0.elapsed() < SENDER_AGE
        {
            return Arc::clone(&known.1);
        }
        let sender = Arc::new(receiver.peers.0.sender(self.peer, self.local, false));
        self.sender
            .store(Some(Arc::new((Instant::now(), Arc::clone(&sender)))));
        sender
    }

    /// When it will have been idle for too long, should nothing happen; `None`: it is busy.
    fn idle_until(&self, limits: &Limits) -> Option<Instant> {
        Some(match self.activity.idle()? {
            Idle::First => self.opened + limits.header_time,
            Idle::Since(ms) => self.opened + Duration::from_millis(ms) + limits.idle_time,
        })
    }
}

/// A request under way; ends also when its future is dropped.
struct UnderWay(Arc<Connection>);

impl UnderWay {
    fn start(connection: &Arc<Connection>) -> Self {
        connection.activity.begin();
        Self(Arc::clone(connection))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let now = self.0.opened.elapsed().as_millis() as u64;
        self.0.activity.end(now);
    }
}

async fn connection<S: Sink>(
    stream: TcpStream,
    peer: SocketAddr,
    (protocol, audience): (Protocol, Audience),
    receiver: Arc<Receiver<S>>,
    connected: Connected,
    stop: CancellationToken,
) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    if !is_admitted(audience, &receiver, peer, local).await {
        receiver.stats.refused(protocol, Reason::Stranger);
        return;
    }
    // Answers are small and must not wait for one another.
    let _ = stream.set_nodelay(true);
    let limits = receiver.limits;
    let connection = Arc::new(Connection {
        peer,
        local,
        opened: Instant::now(),
        connected,
        activity: Activity::new(),
        sender: ArcSwapOption::empty(),
    });
    let service = service_fn(|request: Request<Incoming>| {
        let (receiver, connection) = (Arc::clone(&receiver), Arc::clone(&connection));
        async move {
            let _under_way = UnderWay::start(&connection);
            let mut sender = connection.sender(&receiver);
            if let Some(token) = bearer(request.headers())
                && let Some(relay) = receiver.peers.0.relay(&sender, token)
            {
                sender = Arc::new(relay);
            }
            let hold = connection.connected.hold();
            let response = receiver.answer(protocol, request, sender, hold).await;
            Ok::<Response<Reply>, Infallible>(response)
        }
    });
    let builder = builder(protocol, &limits);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut stopping = false;
    loop {
        let idle_until = connection.idle_until(&limits);
        let look_again = idle_until.unwrap_or_else(|| Instant::now() + limits.header_time);
        tokio::select! {
            // What a sender does to its connection is its own affair: no log line.
            _ = serving.as_mut() => return,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                serving.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep_until(look_again.into()) => {
                let idle = connection.idle_until(&limits);
                if idle.is_some_and(|until| until <= Instant::now()) {
                    return;
                }
            }
        }
    }
}

/// The token of `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

async fn is_admitted<S: Sink>(
    audience: Audience,
    receiver: &Receiver<S>,
    peer: SocketAddr,
    local: SocketAddr,
) -> bool {
    if audience == Audience::Anyone {
        return true;
    }
    let deadline = Instant::now() + KNOWN_WITHIN;
    loop {
        if audience.admits(&receiver.peers.0.sender(peer, local, false)) {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(KNOWN_POLL).await;
    }
}

fn builder(protocol: Protocol, limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    if protocol.is_grpc() {
        builder = builder.http2_only();
    }
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_time)
        .max_buf_size(limits.header_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_bytes as u32)
        .initial_stream_window_size(512 << 10)
        .initial_connection_window_size(1 << 20);
    builder
}
