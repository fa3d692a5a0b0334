//! Real listeners on ports of their own, a sink that remembers, and clients.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Guid;
use crate::forward::Refused;
use crate::receive::{
    Audience, Limits, OtlpMetrics, Peers, Place, Protocol, Receiver, Sender, Sink, serve,
    serve_datagrams,
};
use crate::signal::{Frame, Tag, snappy};

/// Remembers frames, or refuses them.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    frames: Arc<Mutex<Vec<Frame>>>,
    refuse: Arc<Mutex<Option<Refused>>>,
}

impl Memory {
    pub(super) fn refuse(&self, refused: Option<Refused>) {
        *self.refuse.lock().unwrap() = refused;
    }

    pub(super) fn take(&self) -> Vec<Frame> {
        std::mem::take(&mut self.frames.lock().unwrap())
    }

    /// The only frame's payload, uncompressed if it is compressed, and its counts.
    pub(super) fn only(&self) -> (Vec<u8>, Vec<(String, u32)>) {
        let frames = self.take();
        assert_eq!(frames.len(), 1, "one frame");
        let frame = &frames[0];
        let raw = match frame.kind {
            crate::signal::Kind::RemoteWrite => {
                let mut scratch = Vec::new();
                snappy::decode(&frame.payload, 1 << 30, &mut scratch)
                    .unwrap()
                    .to_vec()
            }
            _ => frame.payload.to_vec(),
        };
        assert_eq!(raw.len(), frame.raw_len as usize);
        let counts = frame
            .counts
            .iter()
            .map(|(guid, count)| (guid.to_string(), *count))
            .collect();
        (raw, counts)
    }
}

impl Sink for Memory {
    async fn accept(&self, frame: Frame) -> Result<(), Refused> {
        // What a sink takes for itself, others run.
        tokio::task::yield_now().await;
        if let Some(refused) = self.refuse.lock().unwrap().clone() {
            return Err(refused);
        }
        self.frames.lock().unwrap().push(frame);
        Ok(())
    }
}

/// Everybody is `app-1`, in a container.
struct OneApp;

impl Peers for OneApp {
    fn sender(&self, _peer: SocketAddr, _local: SocketAddr, _udp: bool) -> Sender {
        Sender {
            tag: Tag::new("app-1".parse().unwrap()).with_container(&"c".repeat(64), "web"),
            trusted: false,
            place: Place::Container,
        }
    }

    fn knows(&self, guid: &Guid) -> bool {
        ["app-1", "app-2"].contains(&guid.as_str())
    }
}

/// Listeners of all protocols.
pub(super) struct House {
    pub(super) sink: Memory,
    pub(super) receiver: Arc<Receiver<Memory>>,
    pub(super) addresses: [SocketAddr; Protocol::ALL.len()],
    pub(super) stop: CancellationToken,
    pub(super) tasks: Vec<JoinHandle<()>>,
}

impl House {
    pub(super) async fn new(limits: Limits, otlp_metrics: OtlpMetrics) -> Self {
        Self::with_peers(limits, otlp_metrics, Arc::new(OneApp)).await
    }

    pub(super) async fn with_peers(
        limits: Limits,
        otlp_metrics: OtlpMetrics,
        peers: Arc<dyn Peers>,
    ) -> Self {
        Self::for_audience(limits, otlp_metrics, peers, Audience::Anyone).await
    }

    pub(super) async fn for_audience(
        limits: Limits,
        otlp_metrics: OtlpMetrics,
        peers: Arc<dyn Peers>,
        audience: Audience,
    ) -> Self {
        let sink = Memory::default();
        let receiver = Receiver::new(sink.clone(), peers, otlp_metrics, limits);
        let stop = CancellationToken::new();
        let mut addresses = Vec::new();
        let mut tasks = Vec::new();
        for protocol in Protocol::ALL {
            if protocol.datagrams().is_some() {
                let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                addresses.push(socket.local_addr().unwrap());
                let serving = serve_datagrams(
                    socket,
                    protocol,
                    audience,
                    Arc::clone(&receiver),
                    stop.clone(),
                );
                tasks.push(tokio::spawn(serving));
                continue;
            }
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            let serving = serve(
                listener,
                protocol,
                audience,
                Arc::clone(&receiver),
                stop.clone(),
            );
            tasks.push(tokio::spawn(serving));
        }
        Self {
            sink,
            receiver,
            addresses: addresses.try_into().unwrap(),
            stop,
            tasks,
        }
    }

    pub(super) async fn open() -> Self {
        Self::new(Limits::default(), OtlpMetrics::Forward).await
    }

    pub(super) fn address(&self, protocol: Protocol) -> SocketAddr {
        self.addresses[protocol as usize]
    }

    /// Nothing is held when nobody is served, a moment later at the latest.
    pub(super) async fn is_quiet(&self) {
        for _ in 0..100 {
            if self.receiver.budget().used_bytes() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} bytes are held", self.receiver.budget().used_bytes());
    }

    /// How often a reason was counted, of all listeners.
    pub(super) fn refused(&self, reason: &str) -> u64 {
        let snapshot = self.receiver.stats().snapshot();
        let rows = snapshot.refused.iter();
        rows.filter(|row| row.1 == reason).map(|row| row.2).sum()
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: HeaderMap,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim().to_owned()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Sends a request over a connection of its own.
pub(super) async fn send(
    address: SocketAddr,
    http2: bool,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let mut request = Request::post(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    ask(http2, request.body(Full::new(body.into())).unwrap()).await
}

/// Asks over a connection of its own.
pub(super) async fn get(address: SocketAddr, path: &str) -> Answer {
    let request = Request::get(format!("http://{address}{path}"));
    ask(false, request.body(Full::default()).unwrap()).await
}

async fn ask(http2: bool, request: Request<Full<Bytes>>) -> Answer {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new())
        .http2_only(http2)
        .build_http();
    let response = client.request(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    Answer {
        status: head.status,
        headers: head.headers,
        body: body.to_bytes(),
        trailers,
    }
}

/// Compresses a block.
pub(super) fn block(raw: &[u8]) -> Vec<u8> {
    snappy::Encoder::default().encode(raw).unwrap().to_vec()
}

pub(super) fn gzip(raw: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(raw).unwrap();
    encoder.finish().unwrap()
}
