//! Slot entries and ring buffer events.

use core::mem::{align_of, size_of};

/// The slot was taken over from the parent, which is a container or below one.
pub const SLOT_INHERITED: u32 = 1;
/// The cgroup was released: nothing can count to it any more.
pub const SLOT_RELEASED: u32 = 2;

/// What the kernel keeps for a cgroup id. A cgroup without an entry counts to slot 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct SlotEntry {
    /// The slot its counters go to.
    pub slot: u32,
    /// [`SLOT_INHERITED`], [`SLOT_RELEASED`].
    pub flags: u32,
}

/// Longest cgroup path in an event; the kernel's tracepoint has no longer ones.
pub const EVENT_PATH_BYTES: usize = 1024;

/// What an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventKind;

impl EventKind {
    /// A cgroup2 directory was made; the path follows the header.
    pub const BORN: u32 = 1;
    /// A cgroup2 directory was removed.
    pub const REMOVED: u32 = 2;
    /// The last reference to a removed cgroup is gone.
    pub const RELEASED: u32 = 3;
    /// A directory of a watched cgroup v1 hierarchy was made; the path follows the header.
    pub const TWIN: u32 = 4;
}

/// The fixed part of an event; `path_bytes` bytes of path follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct EventHeader {
    /// One of [`EventKind`].
    pub kind: u32,
    /// The slot of the cgroup, 0 if it has none.
    pub slot: u32,
    /// Id in its hierarchy.
    pub id: u64,
    /// The parent's id in the same hierarchy.
    pub parent: u64,
    /// Depth below the root.
    pub level: u32,
    /// Hierarchy number; 0 is cgroup2.
    pub hierarchy: u32,
    /// As in [`SlotEntry`].
    pub flags: u32,
    /// Length of the path, without a terminating zero.
    pub path_bytes: u32,
}

/// Size of the fixed part of an event.
pub const EVENT_HEADER_BYTES: usize = size_of::<EventHeader>();

const _: () = {
    assert!(size_of::<SlotEntry>() == 8 && align_of::<SlotEntry>() == 4);
    assert!(EVENT_HEADER_BYTES == 40 && align_of::<EventHeader>() == 8);
    assert!(EVENT_PATH_BYTES.is_power_of_two());
};
