//! Packets, TCP, and who is at the other end.

use std::{
    net::{TcpListener, UdpSocket},
    time::Duration,
};

use super::lab::{Group, alone};

const IP_AND_UDP: u64 = 20 + 8;

#[test]
fn datagrams_are_counted_one_by_one_with_their_headers() {
    let mut alone = alone();
    let lab = alone.lab();
    let group = Group::new("udp");
    group.run("udp 5000 100");
    let slot = lab.born(&group).slot;
    let counted = lab.settled(slot);
    assert_eq!(counted.transmit_packets, 5000);
    assert_eq!(counted.receive_packets, 5000);
    assert_eq!(counted.transmit_bytes, 5000 * (100 + IP_AND_UDP));
    assert_eq!(counted.receive_bytes, 5000 * (100 + IP_AND_UDP));
}

#[test]
fn streams_are_counted_with_their_connections() {
    const BYTES: u64 = 50_000_000;
    let mut alone = alone();
    let lab = alone.lab();
    let group = Group::new("tcp");
    group.run(&format!("tcp {BYTES}"));
    let slot = lab.born(&group).slot;
    let counted = lab.settled(slot);
    assert_eq!(
        (
            counted.tcp_connects,
            counted.tcp_accepts,
            counted.tcp_failures
        ),
        (1, 1, 0)
    );
    for (what, bytes, packets) in [
        ("sent", counted.transmit_bytes, counted.transmit_packets),
        ("received", counted.receive_bytes, counted.receive_packets),
    ] {
        // Headers and acknowledgements come on top; segments are some 32 kB on loopback.
        assert!(
            (BYTES..BYTES + BYTES / 50).contains(&bytes),
            "{what} {bytes}"
        );
        assert!(
            (BYTES / 65_536..BYTES / 1_000).contains(&packets),
            "{what} {packets}"
        );
    }
    // Both ends are here: what is sent is received, but for packets of sockets half made or gone.
    let difference = counted.transmit_packets.abs_diff(counted.receive_packets);
    assert!(difference <= 4, "{difference} packets went one way only");
}

#[test]
fn a_refused_connection_is_a_failure() {
    let mut alone = alone();
    let lab = alone.lab();
    let group = Group::new("refused");
    group.run("refused");
    let slot = lab.born(&group).slot;
    let counted = lab.settled(slot);
    assert_eq!((counted.tcp_connects, counted.tcp_failures), (0, 1));
}

#[test]
fn the_cgroup_at_the_other_end_of_a_connection_is_known_at_once() {
    let mut alone = alone();
    let lab = alone.lab();
    let listeners = ["127.0.0.1:0", "127.0.0.2:0", "[::1]:0"];
    for address in listeners {
        let group = Group::new("peer");
        let listener = TcpListener::bind(address).unwrap();
        let mut worker = group.start(&format!(
            "tell-tcp {address} {}",
            listener.local_addr().unwrap()
        ));
        let (_stream, peer) = listener.accept().unwrap();
        assert_eq!(lab.kernel.peer(peer, false), Some(group.id), "{peer}");
        assert_eq!(lab.kernel.peer(peer, true), None, "{peer} as udp");
        worker.go();
        worker.finish();
    }
}

#[test]
fn the_cgroup_that_sent_a_datagram_is_known_at_once() {
    let mut alone = alone();
    let lab = alone.lab();
    // The plain loopback addresses are remembered by port, others in full.
    for address in [
        "127.0.0.1:0",
        "127.0.0.2:0",
        "[::1]:0",
        "[::ffff:127.0.0.3]:0",
    ] {
        let group = Group::new("peer");
        let receiver = UdpSocket::bind(address).unwrap();
        receiver
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let to = receiver.local_addr().unwrap();
        lab.kernel.heed_datagrams_to(to.port()).unwrap();
        let mut worker = group.start(&format!("tell-udp {address} {to}"));
        let (_, peer) = receiver.recv_from(&mut [0; 16]).unwrap();
        assert_eq!(lab.kernel.peer(peer, true), Some(group.id), "{peer}");
        assert_eq!(lab.kernel.peer(peer, false), None, "{peer} as tcp");
        worker.go();
        worker.finish();
    }
}

#[test]
fn a_port_that_is_used_again_is_its_new_users() {
    let mut alone = alone();
    let lab = alone.lab();
    for host in ["127.0.0.1", "127.0.0.2"] {
        let receiver = UdpSocket::bind((host, 0)).unwrap();
        receiver
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let to = receiver.local_addr().unwrap();
        lab.kernel.heed_datagrams_to(to.port()).unwrap();
        let from = {
            let probe = UdpSocket::bind((host, 0)).unwrap();
            probe.local_addr().unwrap()
        };
        for _ in 0..3 {
            let group = Group::new("port");
            let mut worker = group.start(&format!("tell-udp {from} {to}"));
            let (_, peer) = receiver.recv_from(&mut [0; 16]).unwrap();
            assert_eq!(peer, from);
            assert_eq!(lab.kernel.peer(peer, true), Some(group.id));
            worker.go();
            worker.finish();
        }
    }
}
