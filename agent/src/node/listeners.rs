//! The listeners of `[receive]`, started and replaced as the configuration says. Those of Jaeger's
//! that a managed component has are left to it.
//!
//! What listens on loopback can also be had at the gateway of Docker's bridge, where this node's
//! containers reach it; see `gateway`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::NodeError;
use crate::config::{self, Config, Jaeger, Secret};
use crate::directory::Directory;
use crate::drive::{Environment, Environments, JaegerAgent};
use crate::forward::Inlet;
use crate::kernel::Kernel;
use crate::receive::{
    Audience, DirectoryPeers, Limits, OtlpMetrics, Protocol, Receiver, Stats, serve,
    serve_datagrams,
};
use crate::stack::reached_at;

/// What the listeners need of other rooms.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    pub(super) directory: Arc<Directory>,
    pub(super) kernel: Option<Arc<Kernel>>,
    pub(super) inlet: Inlet,
    pub(super) data: Handle,
    /// By which the node's own relays are known.
    pub(super) relay_token: Secret,
}

/// Running listeners.
#[derive(Debug)]
pub(super) struct Listeners {
    receiver: Arc<Receiver<Inlet>>,
    data: Handle,
    stop: CancellationToken,
    tasks: TaskTracker,
    addresses: Vec<(Protocol, SocketAddr)>,
    /// Where components of the stack listen in their stead.
    left: Vec<(Protocol, SocketAddr)>,
    /// Beside the configured ones: those for containers.
    gateway: Mutex<Option<Gateway>>,
}

/// Listeners at one address that containers reach.
#[derive(Debug)]
struct Gateway {
    address: IpAddr,
    stop: CancellationToken,
    listening: Vec<(Protocol, SocketAddr)>,
}

/// A socket before it is served: it is registered with the runtime that serves it.
enum Bound {
    Tcp(std::net::TcpListener),
    Udp(std::net::UdpSocket),
}

impl Bound {
    fn new(protocol: Protocol, address: SocketAddr) -> io::Result<(Self, SocketAddr)> {
        if protocol.datagrams().is_some() {
            let socket = std::net::UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            let address = socket.local_addr()?;
            Ok((Self::Udp(socket), address))
        } else {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok((Self::Tcp(listener), address))
        }
    }
}

/// Has the kernel remember who sends datagrams there (and to that port of the gateway's address).
fn heed(kernel: Option<&Kernel>, address: SocketAddr) {
    if let Some(kernel) = kernel
        && let Err(error) = kernel.heed_datagrams_to(address.port())
    {
        tracing::warn!(%address, %error, "senders of datagrams are known by their address alone");
    }
}

/// A listener that is switched on.
struct Wanted {
    key: &'static str,
    protocol: Protocol,
    address: SocketAddr,
    /// Nobody asked for it by this address: where the port is somebody else's (an old Jaeger agent
    /// keeps its own), the rest works without.
    is_default: bool,
}

fn wanted(config: &config::Receive) -> Vec<Wanted> {
    use Protocol::{
        JaegerBinary, JaegerCompact, JaegerGrpc, JaegerHttp, JaegerSampling, OtlpGrpc, OtlpHttp,
        RemoteWrite,
    };
    let (jaeger, standard) = (&config.jaeger, Jaeger::standard());
    [
        (
            "receive.remote_write",
            RemoteWrite,
            config.remote_write,
            None,
        ),
        ("receive.otlp_http", OtlpHttp, config.otlp_http, None),
        ("receive.otlp_grpc", OtlpGrpc, config.otlp_grpc, None),
        (
            "receive.jaeger.compact",
            JaegerCompact,
            jaeger.compact,
            standard.compact,
        ),
        (
            "receive.jaeger.binary",
            JaegerBinary,
            jaeger.binary,
            standard.binary,
        ),
        (
            "receive.jaeger.http",
            JaegerHttp,
            jaeger.http,
            standard.http,
        ),
        (
            "receive.jaeger.grpc",
            JaegerGrpc,
            jaeger.grpc,
            standard.grpc,
        ),
        (
            "receive.jaeger.sampling",
            JaegerSampling,
            jaeger.sampling,
            standard.sampling,
        ),
    ]
    .into_iter()
    .filter_map(|(key, protocol, address, standard)| {
        Some(Wanted {
            key,
            protocol,
            address: address?,
            is_default: address == standard,
        })
    })
    .collect()
}

/// Whether a component of the stack listens for this, not the agent.
pub(super) fn is_left(protocol: Protocol, stack: &config::Stack) -> bool {
    let (to_agent, to_collector) = stack.takes_jaeger();
    match protocol {
        Protocol::JaegerCompact | Protocol::JaegerBinary => to_agent,
        Protocol::JaegerHttp | Protocol::JaegerGrpc => to_collector,
        _ => false,
    }
}

impl Listeners {
    /// Binds everything that is switched on; nothing runs if one that was asked for cannot be
    /// bound.
    pub(super) fn start(
        config: &Config,
        takes_otlp_metrics: bool,
        around: &Surroundings,
    ) -> Result<Self, NodeError> {
        let (stack, config) = (&config.stack, &config.receive);
        let (mut bound, mut left) = (Vec::new(), Vec::new());
        for wanted in wanted(config) {
            let (key, address) = (wanted.key, wanted.address);
            if is_left(wanted.protocol, stack) {
                if wanted.protocol.datagrams().is_some() {
                    heed(around.kernel.as_deref(), address);
                }
                left.push((wanted.protocol, address));
                continue;
            }
            match Bound::new(wanted.protocol, address) {
                Ok((socket, address)) => {
                    if wanted.protocol.datagrams().is_some() {
                        heed(around.kernel.as_deref(), address);
                    }
                    bound.push((wanted.protocol, address, socket));
                }
                Err(error) if wanted.is_default && error.kind() == io::ErrorKind::AddrInUse => {
                    tracing::warn!(key, %address, "not listened to: somebody else has the port");
                }
                Err(source) => {
                    return Err(NodeError::Listen {
                        key,
                        address,
                        source,
                    });
                }
            }
        }
        let peers = DirectoryPeers::new(
            Arc::clone(&around.directory),
            around.kernel.clone(),
            config.trusted.clone(),
            around.relay_token.clone(),
        );
        let otlp_metrics = if takes_otlp_metrics {
            OtlpMetrics::Forward
        } else {
            OtlpMetrics::Convert
        };
        let receiver = Receiver::new(
            around.inlet.clone(),
            Arc::new(peers),
            otlp_metrics,
            Limits::default(),
        );
        let mut listeners = Self {
            receiver,
            data: around.data.clone(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            addresses: Vec::new(),
            left,
            gateway: Mutex::default(),
        };
        for (protocol, address, socket) in bound {
            listeners.addresses.push((protocol, address));
            listeners.serve(socket, protocol, Audience::Anyone, listeners.stop.clone());
        }
        Ok(listeners)
    }

    fn serve(&self, socket: Bound, protocol: Protocol, who: Audience, stop: CancellationToken) {
        let receiver = Arc::clone(&self.receiver);
        let serving = async move {
            // Registered here, so that it belongs to the data runtime's reactor.
            let registered = match socket {
                Bound::Tcp(listener) => match TcpListener::from_std(listener) {
                    Ok(listener) => {
                        serve(listener, protocol, who, receiver, stop).await;
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                Bound::Udp(socket) => match UdpSocket::from_std(socket) {
                    Ok(socket) => {
                        serve_datagrams(socket, protocol, who, receiver, stop).await;
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = registered {
                tracing::error!(listener = protocol.as_str(), %error, "cannot listen");
            }
        };
        self.tasks.spawn_on(serving, &self.data);
    }

    /// Listens at this address, too, for containers, with what listens on loopback (also what a
    /// component has there: containers do not reach that); `None`: not any more. Returns the first error; what could be bound is served, and the rest is tried
    /// again with the next call.
    pub(super) fn serve_containers(&self, address: Option<IpAddr>) -> io::Result<()> {
        let mut current = self.gateway.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().map(|gateway| gateway.address) != address
            && let Some(old) = current.take()
        {
            old.stop.cancel();
        }
        let Some(address) = address.filter(|_| !self.stop.is_cancelled()) else {
            return Ok(());
        };
        let gateway = current.get_or_insert_with(|| Gateway {
            address,
            stop: self.stop.child_token(),
            listening: Vec::new(),
        });
        let mut outcome = Ok(());
        for &(protocol, own) in self.all() {
            let is_there = gateway
                .listening
                .iter()
                .any(|(known, _)| *known == protocol);
            if !own.ip().is_loopback() || is_there {
                continue;
            }
            match Bound::new(protocol, SocketAddr::new(address, own.port())) {
                Ok((socket, address)) => {
                    gateway.listening.push((protocol, address));
                    self.serve(socket, protocol, Audience::Node, gateway.stop.clone());
                }
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    /// What apps are told: where each listener is reached from a container and from the host.
    pub(super) fn environments(&self) -> Environments {
        let gateway = self.gateway.lock().unwrap_or_else(PoisonError::into_inner);
        let own = |protocol| {
            let found = self.all().find(|(known, _)| *known == protocol);
            found.map(|&(_, address)| address)
        };
        let from_bridge = |protocol| {
            let own = own(protocol)?;
            let gateway = gateway.as_ref();
            match own.ip() {
                ip if ip.is_loopback() => gateway?
                    .listening
                    .iter()
                    .find_map(|&(known, address)| (known == protocol).then_some(address)),
                ip if ip.is_unspecified() => {
                    gateway.map(|gateway| SocketAddr::new(gateway.address, own.port()))
                }
                _ => Some(own),
            }
        };
        let from_host = |protocol| self.reached(protocol);
        Environments {
            settled: true,
            bridge: environment(&from_bridge),
            host: environment(&from_host),
        }
    }

    /// The agent's own and those of components.
    fn all(&self) -> impl Iterator<Item = &(Protocol, SocketAddr)> {
        self.addresses.iter().chain(&self.left)
    }

    /// Where this host reaches a listener.
    pub(super) fn reached(&self, protocol: Protocol) -> Option<SocketAddr> {
        let found = self.all().find(|(known, _)| *known == protocol);
        found.map(|&(_, address)| reached_at(address))
    }

    pub(super) fn stats(&self) -> &Arc<Stats> {
        self.receiver.stats()
    }

    /// Where they listen; says which port, if any free one was asked for.
    pub(super) fn addresses(&self) -> &[(Protocol, SocketAddr)] {
        &self.addresses
    }

    /// Takes no new connection and waits for requests under way.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn environment(at: &dyn Fn(Protocol) -> Option<SocketAddr>) -> Environment {
    Environment {
        otlp_http: at(Protocol::OtlpHttp).map(|address| format!("http://{address}")),
        jaeger_agent: at(Protocol::JaegerCompact).map(|address| JaegerAgent {
            host: address.ip().to_string(),
            port: address.port(),
        }),
        jaeger_sampling: at(Protocol::JaegerSampling)
            .map(|address| format!("http://{address}/sampling")),
    }
}
