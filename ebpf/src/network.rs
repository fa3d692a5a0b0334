//! Bytes and packets of a cgroup's sockets, at the root of the cgroup2 hierarchy: all cgroups and
//! all network namespaces. Lengths are from the IP header on. Packets without a full socket
//! (forwarded ones, some resets) pass no program and are not counted.

use aya_ebpf::{
    helpers::generated::bpf_skb_cgroup_id, macros::cgroup_skb, programs::SkBuffContext,
};
use core::ptr::read_volatile;

use crate::{
    peers::remember_sender,
    slots::{add, add_shared, counters_on, hot_slot_of, this_cpu},
};

/// Always let the packet pass.
const PASS: i32 = 1;

/// Length, and number of packets on the wire: a buffer can be many segments.
#[inline(always)]
fn size_of_packet(context: &SkBuffContext) -> (u64, u64) {
    let buffer = context.skb.skb;
    // SAFETY: the program's context.
    let bytes = unsafe { read_volatile(&raw const (*buffer).len) };
    // SAFETY: the program's context.
    let segments = unsafe { read_volatile(&raw const (*buffer).gso_segs) };
    (u64::from(bytes), u64::from(segments.max(1)))
}

/// Received packets. Runs in softirq only, so nothing on this CPU interrupts it.
#[cgroup_skb]
pub fn packet_in(context: SkBuffContext) -> i32 {
    // SAFETY: the program's context; on ingress its socket is the receiver's.
    let id = unsafe { bpf_skb_cgroup_id(context.skb.skb) };
    let (bytes, packets) = size_of_packet(&context);
    let cpu = this_cpu();
    if let Some(record) = counters_on(cpu, hot_slot_of(cpu, id)) {
        // SAFETY: a map value.
        unsafe { add(&raw mut (*record).network.receive_bytes, bytes) };
        // SAFETY: a map value.
        unsafe { add(&raw mut (*record).network.receive_packets, packets) };
    }
    PASS
}

/// Sent packets. Runs in process context too, where a softirq that sends may interrupt it.
#[cgroup_skb]
pub fn packet_out(context: SkBuffContext) -> i32 {
    // SAFETY: the program's context.
    let id = unsafe { bpf_skb_cgroup_id(context.skb.skb) };
    let (bytes, packets) = size_of_packet(&context);
    let cpu = this_cpu();
    if let Some(record) = counters_on(cpu, hot_slot_of(cpu, id)) {
        // SAFETY: a map value.
        unsafe { add_shared(&raw mut (*record).network.transmit_bytes, bytes) };
        // SAFETY: a map value.
        unsafe { add_shared(&raw mut (*record).network.transmit_packets, packets) };
    }
    remember_sender(&context, id);
    PASS
}
