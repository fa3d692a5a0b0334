//! The listeners of `[receive]`, started and replaced as the configuration says.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::NodeError;
use crate::config;
use crate::directory::Directory;
use crate::forward::Inlet;
use crate::kernel::Kernel;
use crate::receive::{DirectoryPeers, Limits, OtlpMetrics, Protocol, Receiver, Stats, serve};

/// What the listeners need of other rooms.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    pub(super) directory: Arc<Directory>,
    pub(super) kernel: Option<Arc<Kernel>>,
    pub(super) inlet: Inlet,
    pub(super) data: Handle,
}

/// Running listeners.
#[derive(Debug)]
pub(super) struct Listeners {
    receiver: Arc<Receiver<Inlet>>,
    stop: CancellationToken,
    tasks: TaskTracker,
    addresses: Vec<(Protocol, SocketAddr)>,
}

impl Listeners {
    /// Binds everything that is switched on; nothing runs if one cannot be bound.
    pub(super) fn start(
        config: &config::Receive,
        takes_otlp_metrics: bool,
        around: &Surroundings,
    ) -> Result<Self, NodeError> {
        let wanted = [
            (
                "receive.remote_write",
                Protocol::RemoteWrite,
                config.remote_write,
            ),
            ("receive.otlp_http", Protocol::OtlpHttp, config.otlp_http),
            ("receive.otlp_grpc", Protocol::OtlpGrpc, config.otlp_grpc),
        ];
        let mut bound = Vec::new();
        for (key, protocol, address) in wanted {
            let Some(address) = address else { continue };
            let fail = |source| NodeError::Listen {
                key,
                address,
                source,
            };
            let listener = std::net::TcpListener::bind(address).map_err(fail)?;
            listener.set_nonblocking(true).map_err(fail)?;
            bound.push((protocol, listener.local_addr().map_err(fail)?, listener));
        }
        let peers = DirectoryPeers::new(
            Arc::clone(&around.directory),
            around.kernel.clone(),
            config.trusted.clone(),
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
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut addresses = Vec::new();
        for (protocol, address, listener) in bound {
            let (receiver, stop) = (Arc::clone(&receiver), stop.clone());
            addresses.push((protocol, address));
            tasks.spawn_on(
                async move {
                    // Registered here, so that it belongs to the data runtime's reactor.
                    match TcpListener::from_std(listener) {
                        Ok(listener) => serve(listener, protocol, receiver, stop).await,
                        Err(error) => {
                            tracing::error!(listener = protocol.as_str(), %error, "cannot listen");
                        }
                    }
                },
                &around.data,
            );
        }
        Ok(Self {
            receiver,
            stop,
            tasks,
            addresses,
        })
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
