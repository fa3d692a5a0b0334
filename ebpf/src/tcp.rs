//! TCP: connections, failures, retransmits, and which cgroup a local socket belongs to. These run
//! in softirq as often as not, so the cgroup is always the socket's, never the current task's.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use guidon_common::{NetworkCounters, PROTOCOL_TCP, PeerKey};

use crate::{
    globals::{
        IPV6, NETWORK_NAMESPACE, OFF_NET_INUM, OFF_SOCK_ADDRESS4, OFF_SOCK_ADDRESS6,
        OFF_SOCK_FAMILY, OFF_SOCK_NET, OFF_SOCK_PORT, OFF_SOCK_PROTOCOL,
    },
    maps::PEERS,
    slots::{add_shared, counters, slot_of},
    walk::{id_of_socket, load},
};

const ESTABLISHED: u32 = 1;
const SYN_SENT: u32 = 2;
const SYN_RECEIVED: u32 = 3;
const CLOSE: u32 = 7;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const LOOPBACK6: [u32; 4] = [0, 0, 0, 1_u32.to_be()];

#[inline(always)]
fn count(id: u64, counter: impl FnOnce(*mut NetworkCounters) -> *mut u64) {
    if let Some(record) = counters(slot_of(id)) {
        // SAFETY: a map value.
        let group = unsafe { &raw mut (*record).network };
        // SAFETY: a map value.
        unsafe { add_shared(counter(group), 1) };
    }
}

/// A buffer is sent again.
#[btf_tracepoint(function = "tcp_retransmit_skb")]
pub fn tcp_retransmit(context: BtfTracePointContext) -> i32 {
    // SAFETY: the first argument is a full socket.
    let id = unsafe { id_of_socket(context.arg(0)) };
    // SAFETY: the pointer is valid for the map value.
    count(id, |group| unsafe { &raw mut (*group).tcp_retransmits });
    0
}

/// A socket changes its state.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn tcp_state(context: BtfTracePointContext) -> i32 {
    let socket: *const u8 = context.arg(0);
    let old: u32 = context.arg(1);
    let new: u32 = context.arg(2);
    // SAFETY: `sock.sk_protocol`.
    if unsafe { load::<u16>(socket, &OFF_SOCK_PROTOCOL) } != u16::from(PROTOCOL_TCP) {
        return 0;
    }
    if new == ESTABLISHED {
        // SAFETY: a full socket.
        let id = unsafe { id_of_socket(socket) };
        if old == SYN_SENT {
            // SAFETY: the pointer is valid for the map value.
            count(id, |group| unsafe { &raw mut (*group).tcp_connects });
        } else {
            // SAFETY: as above.
            count(id, |group| unsafe { &raw mut (*group).tcp_accepts });
        }
        // SAFETY: a full socket.
        unsafe { remember(socket, id) };
    } else if new == CLOSE && (old == SYN_SENT || old == SYN_RECEIVED) {
        // SAFETY: a full socket.
        let id = unsafe { id_of_socket(socket) };
        // SAFETY: as above.
        count(id, |group| unsafe { &raw mut (*group).tcp_failures });
    }
    0
}

/// Enters a connected socket's local address. Loopback addresses exist in every network
/// namespace, so only those of the agent's own count: nobody else's can be a peer of it.
///
/// # Safety
/// `socket` is a typed pointer to a full socket.
#[inline(always)]
unsafe fn remember(socket: *const u8, id: u64) {
    // SAFETY: `sock.__sk_common.skc_family`.
    let family: u16 = unsafe { load(socket, &OFF_SOCK_FAMILY) };
    let address: [u32; 4] = if family == AF_INET {
        // SAFETY: `sock.__sk_common.skc_rcv_saddr`.
        [0, 0, PeerKey::MAPPED, unsafe {
            load(socket, &OFF_SOCK_ADDRESS4)
        }]
    } else if family == AF_INET6 && IPV6.load() != 0 {
        // SAFETY: `sock.__sk_common.skc_v6_rcv_saddr`, read by words as the verifier wants it.
        let words = unsafe { socket.add(OFF_SOCK_ADDRESS6.load() as usize).cast::<u32>() };
        let word = |index: usize| {
            // SAFETY: within the address.
            unsafe { core::ptr::read_volatile(words.add(index)) }
        };
        [word(0), word(1), word(2), word(3)]
    } else {
        return;
    };
    let loopback4 = address[2] == PeerKey::MAPPED
        && address[1] == 0
        && address[0] == 0
        && address[3].to_ne_bytes()[0] == 127;
    if loopback4 || address == LOOPBACK6 {
        // SAFETY: `sock.__sk_common.skc_net.net`.
        let namespace: *const u8 = unsafe { load(socket, &OFF_SOCK_NET) };
        // SAFETY: `net.ns.inum`.
        if unsafe { load::<u32>(namespace, &OFF_NET_INUM) } != NETWORK_NAMESPACE.load() {
            return;
        }
    }
    // SAFETY: `sock.__sk_common.skc_num`, in host byte order.
    let port: u16 = unsafe { load(socket, &OFF_SOCK_PORT) };
    let key = PeerKey {
        address,
        port,
        protocol: PROTOCOL_TCP,
        zero: 0,
    };
    let _ = PEERS.insert(key, id, 0);
}
