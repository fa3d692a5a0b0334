//! Keys of the table that tells which cgroup a local socket belongs to.

use core::mem::{align_of, size_of};

/// IP protocol number of TCP.
pub const PROTOCOL_TCP: u8 = 6;
/// IP protocol number of UDP.
pub const PROTOCOL_UDP: u8 = 17;

/// A local socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct PeerKey {
    /// IPv6 address in network byte order; an IPv4 address in its mapped form.
    pub address: [u32; 4],
    /// Port in host byte order.
    pub port: u16,
    /// [`PROTOCOL_TCP`] or [`PROTOCOL_UDP`].
    pub protocol: u8,
    /// Always 0: the kernel compares keys byte by byte.
    pub zero: u8,
}

impl PeerKey {
    /// The third word of a mapped IPv4 address, in network byte order.
    pub const MAPPED: u32 = 0xffff_u32.to_be();
}

const _: () = {
    assert!(size_of::<PeerKey>() == 20 && align_of::<PeerKey>() == 4);
};
