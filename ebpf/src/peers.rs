//! Which cgroup a local UDP socket belongs to, learnt from what it sends to the agent.
//!
//! Only datagram sockets teach: a raw socket may write any source address it likes. Packets with
//! IP options or IPv6 extension headers are passed over.

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::generated::{bpf_jiffies64, bpf_sk_fullsock},
    programs::SkBuffContext,
};
use core::ptr::{read_unaligned, read_volatile, write_volatile};
use guidon_common::{PROTOCOL_UDP, PeerKey};

use crate::maps::{LOOPBACK_PEERS, PEER_MEMOS, PEERS, PeerMemo, UDP_PORTS};

const IPV4: u32 = 0x0800_u16.to_be() as u32;
const IPV6: u32 = 0x86dd_u16.to_be() as u32;
const IPV4_HEADER_BYTES: usize = 20;
const IPV6_HEADER_BYTES: usize = 40;
/// Source and destination port, the beginning of the UDP header.
const PORTS_BYTES: usize = 4;
/// Version 4, five words of header.
const IPV4_PLAIN: u8 = 0x45;
const SOCK_DGRAM: u32 = 2;
const LOOPBACK4: u32 = 0x7f00_0001_u32.to_be();
const LOOPBACK6: [u32; 4] = [0, 0, 0, 1_u32.to_be()];
/// A memo holds for about a second (HZ = 250), so that an entry that the LRU dropped comes back.
const MEMO_JIFFIES_LOG2: u32 = 8;

/// Remembers the sender of an outgoing UDP packet, if it goes where the agent listens.
#[inline(always)]
pub fn remember_sender(context: &SkBuffContext, id: u64) {
    let buffer = context.skb.skb;
    let Some(address) = udp_source(buffer) else {
        return;
    };
    // SAFETY: the program's context.
    let socket = unsafe { read_volatile(&raw const (*buffer).__bindgen_anon_2.sk) };
    if socket.is_null() {
        return;
    }
    // SAFETY: a socket that is not null.
    let socket = unsafe { bpf_sk_fullsock(socket) };
    if socket.is_null() {
        return;
    }
    // SAFETY: a full socket.
    let kind = unsafe { read_volatile(&raw const (*socket).type_) };
    // SAFETY: a full socket.
    let port = unsafe { read_volatile(&raw const (*socket).src_port) };
    if kind != SOCK_DGRAM {
        return;
    }
    let loopback4 = address == [0, 0, PeerKey::MAPPED, LOOPBACK4];
    if loopback4 || address == LOOPBACK6 {
        // Every network namespace has these addresses, so the last sender is all one can know.
        let half = if loopback4 { 0 } else { 1 << 16 };
        if let Some(last) = LOOPBACK_PEERS.get_ptr_mut(half | (port & 0xffff)) {
            // SAFETY: a map value; storing only what is new keeps the cache line shared.
            if unsafe { read_volatile(last) } != id {
                // SAFETY: a map value.
                unsafe { write_volatile(last, id) };
            }
        }
        return;
    }
    let key = PeerKey {
        address,
        port: port as u16,
        protocol: PROTOCOL_UDP,
        zero: 0,
    };
    remember_once(&key, id);
}

/// Enters the sender unless this CPU did so a moment ago.
#[inline(always)]
fn remember_once(key: &PeerKey, id: u64) {
    let Some(memo) = PEER_MEMOS.get_ptr_mut(u32::from(key.port & 0xff)) else {
        return;
    };
    // SAFETY: takes no arguments.
    let epoch = unsafe { bpf_jiffies64() } >> MEMO_JIFFIES_LOG2;
    // SAFETY: a map value.
    let known = unsafe { &*memo };
    if known.id == id && known.epoch == epoch && known.key == *key {
        return;
    }
    let _ = PEERS.insert(key, id, 0);
    // SAFETY: a map value. A softirq that interrupts this leaves a memo that fits nobody at
    // worst, and then the entry is made once more.
    unsafe {
        *memo = PeerMemo {
            id,
            epoch,
            key: *key,
            spare: 0,
        }
    };
}

/// Whether the agent listens to the UDP port that these ports lead to.
///
/// # Safety
/// The ports at `ports` are within the packet.
#[inline(always)]
unsafe fn is_heeded(ports: *const u8) -> bool {
    // SAFETY: by contract of this function.
    let port = u16::from_be(unsafe { read_unaligned(ports.add(2).cast::<u16>()) });
    match UDP_PORTS.get_ptr(u32::from(port >> 5)) {
        Some(bits) => {
            // SAFETY: a map value.
            let bits = unsafe { read_volatile(bits) };
            bits >> (port & 31) & 1 != 0
        }
        None => false,
    }
}

/// The source address of a UDP packet to a port that the agent listens to.
#[inline(always)]
fn udp_source(buffer: *const __sk_buff) -> Option<[u32; 4]> {
    // SAFETY: the program's context.
    let protocol = unsafe { read_volatile(&raw const (*buffer).protocol) };
    // SAFETY: the program's context; the verifier makes pointers of these two.
    let start = unsafe { read_volatile(&raw const (*buffer).data) } as usize;
    // SAFETY: as above.
    let end = unsafe { read_volatile(&raw const (*buffer).data_end) } as usize;
    if protocol == IPV4 {
        if start + IPV4_HEADER_BYTES + PORTS_BYTES > end {
            return None;
        }
        let header = start as *const u8;
        // SAFETY: within the header.
        if unsafe { *header } != IPV4_PLAIN || unsafe { *header.add(9) } != PROTOCOL_UDP {
            return None;
        }
        // SAFETY: the ports were checked to be there, and follow a header without options.
        if !unsafe { is_heeded(header.add(IPV4_HEADER_BYTES)) } {
            return None;
        }
        // SAFETY: within the header.
        let address = unsafe { read_unaligned(header.add(12).cast::<u32>()) };
        return Some([0, 0, PeerKey::MAPPED, address]);
    }
    if protocol != IPV6 || start + IPV6_HEADER_BYTES + PORTS_BYTES > end {
        return None;
    }
    let header = start as *const u8;
    // SAFETY: within the header.
    if unsafe { *header.add(6) } != PROTOCOL_UDP {
        return None;
    }
    // SAFETY: the ports were checked to be there, and follow a header without extensions.
    if !unsafe { is_heeded(header.add(IPV6_HEADER_BYTES)) } {
        return None;
    }
    // SAFETY: within the header.
    Some(unsafe { read_unaligned(header.add(8).cast::<[u32; 4]>()) })
}
