//! The types that cross the kernel boundary, and nothing else.
//!
//! Everything here is `repr(C)`, made of integers and arrays of integers only, without implicit
//! padding; sizes and alignments are asserted at compile time because the kernel programs and the
//! agent are built by different compilers.
#![no_std]

mod counters;
mod events;
mod peers;
#[cfg(feature = "user")]
mod user;

pub use counters::{
    BlockCounters, CounterRecord, DELAY_BUCKETS, DelayRecord, HealthRecord, MEMORY_ABSENT, MEMOS,
    MemoryRecord, NetworkCounters, SlotMemo, TaskCounters,
};
pub use events::{
    EVENT_HEADER_BYTES, EVENT_PATH_BYTES, EventHeader, EventKind, SLOT_INHERITED, SLOT_RELEASED,
    SlotEntry,
};
pub use peers::{PROTOCOL_TCP, PROTOCOL_UDP, PeerKey};

/// A cgroup's id: the inode number of its directory in the hierarchy it belongs to.
/// Ids of different hierarchies overlap; unless said otherwise the cgroup2 hierarchy is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct CgroupId(pub u64);
