//! Takes datagrams of Jaeger clients.
//!
//! A datagram's sender cannot be told to wait. What comes faster than it is taken stays in the
//! socket's buffer; what does not fit there is dropped by the kernel, and counted here like
//! everything else that does not get through. Nothing is queued beyond that: while as many frames
//! as allowed wait for the sink, the socket is not read.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::budget::Hold;
use super::jaeger::thrift;
use super::spans::{self, Gathered};
use super::workbench::Workbench;
use super::{Audience, Protocol, Reason, Receiver, Refusal, Sink};
use crate::forward::Refused;
use crate::signal::Frame;

/// The largest datagram that IP can carry.
const DATAGRAM_MAX: usize = 1 << 16;
/// Datagrams, and bytes of them, that go on as one frame: whatever waits together.
const GATHERED: usize = 64;
const GATHERED_BYTES: usize = 256 << 10;
/// Frames of a listener that wait for the sink at a time.
const UNDER_WAY: usize = 4;
/// Asked of the kernel for each socket: at 1 KiB a datagram, the spans of a second or so.
const SOCKET_BYTES: usize = 4 << 20;
/// How often a frame is offered to a full sink, and the longest wait between.
const OFFERS: usize = 4;
const OFFER_WAIT: Duration = Duration::from_secs(1);
/// How often the kernel is asked what it dropped.
const DROPS_INTERVAL: Duration = Duration::from_secs(2);
/// At most one line in so long says what is wrong with datagrams.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);
/// Rounds of gathering after the stop: what the kernel had taken by then.
const LAST_ROUNDS: usize = 64;
/// How long the last round waits for a sign of more.
const LAST_WAIT: Duration = Duration::from_millis(20);

/// Serves a socket until `stop`; then hands on what the kernel has already, within
/// [`Limits::shutdown_time`](super::Limits::shutdown_time). Does nothing for protocols that do not
/// come in datagrams.
pub async fn serve_datagrams<S: Sink>(
    socket: UdpSocket,
    protocol: Protocol,
    audience: Audience,
    receiver: Arc<Receiver<S>>,
    stop: CancellationToken,
) {
    let (Some(encoding), Ok(local)) = (protocol.datagrams(), socket.local_addr()) else {
        return;
    };
    // Beyond the system's limit only with the right to; without it, as much as is allowed.
    if sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BYTES).is_err() {
        let _ = sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BYTES);
    }
    let mut listener = Listener {
        socket,
        local,
        protocol,
        audience,
        encoding,
        receiver,
        buffer: vec![0; DATAGRAM_MAX],
        complained: None,
    };
    let dropped = DroppedByKernel::new(&listener.socket);
    let (receiver, permits) = (
        Arc::clone(&listener.receiver),
        Arc::new(Semaphore::new(UNDER_WAY)),
    );
    let under_way = TaskTracker::new();
    let receive = async {
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                return;
            };
            if listener.socket.readable().await.is_err() {
                return;
            }
            if let Some(gathered) = listener.gather() {
                let receiver = Arc::clone(&listener.receiver);
                under_way.spawn(async move {
                    hand_on(&receiver, protocol, gathered).await;
                    drop(permit);
                });
            }
        }
    };
    let count = async {
        let mut dropped = dropped;
        loop {
            tokio::time::sleep(DROPS_INTERVAL).await;
            receiver
                .stats
                .refused_many(protocol, Reason::SocketFull, dropped.more());
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = receive => {}
        () = count => {}
    }
    let last = async {
        for _ in 0..LAST_ROUNDS {
            if let Some(gathered) = listener.gather() {
                hand_on(&receiver, protocol, gathered).await;
                continue;
            }
            // The runtime may not have heard yet of what the kernel has.
            let readable = listener.socket.readable();
            if !matches!(tokio::time::timeout(LAST_WAIT, readable).await, Ok(Ok(()))) {
                break;
            }
        }
        under_way.close();
        under_way.wait().await;
    };
    if tokio::time::timeout(receiver.limits.shutdown_time, last)
        .await
        .is_err()
    {
        tracing::warn!(
            listener = protocol.as_str(),
            frames = under_way.len(),
            "datagrams not handed on at shutdown"
        );
    }
}

struct Listener<S> {
    socket: UdpSocket,
    local: SocketAddr,
    protocol: Protocol,
    audience: Audience,
    encoding: thrift::Protocol,
    receiver: Arc<Receiver<S>>,
    buffer: Vec<u8>,
    complained: Option<Instant>,
}

/// What goes on together.
struct Ready {
    frame: Option<Frame>,
    datagrams: u64,
    hold: Hold,
}

impl<S: Sink> Listener<S> {
    /// Reads and tags what has arrived; `None`: nothing has.
    fn gather(&mut self) -> Option<Ready> {
        let receiver = Arc::clone(&self.receiver);
        receiver.benches.work(0, |bench| {
            let mut hold = receiver.budget.hold();
            let mut gathered = Gathered::default();
            let (mut read, mut taken, mut bytes) = (0, 0, 0);
            while read < GATHERED && bytes < GATHERED_BYTES {
                let (length, peer) = match self.socket.try_recv_from(&mut self.buffer) {
                    Ok(received) => received,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // An error of an earlier answer, as ICMP brings it: nobody's datagram.
                    Err(_) => continue,
                };
                read += 1;
                bytes += length;
                match self.take(length, peer, bench, &mut hold) {
                    Ok(Some(frame)) => {
                        taken += 1;
                        gathered.add(frame);
                    }
                    Ok(None) => {}
                    Err(refusal) => self.refuse(peer, &refusal),
                }
            }
            receiver.stats.datagrams(self.protocol, read as u64);
            (read > 0).then(|| Ready {
                frame: gathered.into_frame(),
                datagrams: taken,
                hold,
            })
        })
    }

    fn take(
        &self,
        length: usize,
        peer: SocketAddr,
        bench: &mut Workbench,
        hold: &mut Hold,
    ) -> Result<Option<Frame>, Refusal> {
        let receiver = &*self.receiver;
        let limit = receiver.limits.datagram_bytes;
        if length > limit {
            return Err(Refusal::TooLarge {
                what: "datagram",
                limit,
            });
        }
        let datagram = self.buffer.get(..length).unwrap_or_default();
        let sender = receiver.peers.0.sender(peer, self.local, true);
        if !self.audience.admits(&sender) {
            return Err(Refusal::Stranger);
        }
        spans::of_datagram(receiver, self.encoding, datagram, &sender, bench, hold)
    }

    fn refuse(&mut self, peer: SocketAddr, refusal: &Refusal) {
        self.receiver.stats.refused(self.protocol, refusal.reason());
        if self
            .complained
            .is_none_or(|at| at.elapsed() > COMPLAINT_INTERVAL)
        {
            self.complained = Some(Instant::now());
            tracing::warn!(
                listener = self.protocol.as_str(),
                %peer,
                error = %refusal,
                "datagram refused"
            );
        }
    }
}

/// Offers a frame to the sink until it is taken, or for too long.
async fn hand_on<S: Sink>(receiver: &Receiver<S>, protocol: Protocol, ready: Ready) {
    let Some(frame) = ready.frame else { return };
    for offer in 1..=OFFERS {
        let refused = match receiver.sink.accept(frame.clone()).await {
            Ok(()) => break,
            Err(refused) => refused,
        };
        match &refused {
            Refused::Full { retry_after, .. } if offer < OFFERS => {
                tokio::time::sleep((*retry_after).min(OFFER_WAIT)).await;
            }
            _ => {
                let reason = Refusal::Sink(refused).reason();
                receiver
                    .stats
                    .refused_many(protocol, reason, ready.datagrams);
                break;
            }
        }
    }
    drop(ready.hold);
}

/// What the kernel dropped of a socket's datagrams, by its row in `/proc/net/udp`.
struct DroppedByKernel {
    inode: Option<String>,
    table: &'static str,
    seen: u64,
}

impl DroppedByKernel {
    fn new(socket: &UdpSocket) -> Self {
        let is_v6 = socket.local_addr().is_ok_and(|address| address.is_ipv6());
        Self {
            inode: rustix::fs::fstat(socket.as_fd())
                .ok()
                .map(|status| status.st_ino.to_string()),
            table: match is_v6 {
                true => "/proc/self/net/udp6",
                false => "/proc/self/net/udp",
            },
            seen: 0,
        }
    }

    /// How many since the last call.
    fn more(&mut self) -> u64 {
        let dropped = self.inode.as_ref().and_then(|inode| {
            let table = std::fs::read_to_string(self.table).ok()?;
            dropped(&table, inode)
        });
        let dropped = dropped.unwrap_or(self.seen);
        let more = dropped.saturating_sub(self.seen);
        self.seen = dropped;
        more
    }
}

/// The last column of the socket's row.
fn dropped(table: &str, inode: &str) -> Option<u64> {
    const INODE: usize = 9;
    let row = table
        .lines()
        .find(|row| row.split_whitespace().nth(INODE) == Some(inode))?;
    row.split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::dropped;

    #[test]
    fn drops_are_in_the_last_column_of_the_sockets_row() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
                      104: 0100007F:1AAF 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 104 2 0000000000000000 3\n\
                      105: 0100007F:1AB0 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 17\n";
        assert_eq!(dropped(table, "4711"), Some(17));
        assert_eq!(dropped(table, "0"), None);
    }
}
