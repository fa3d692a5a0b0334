//! The types that cross the kernel boundary, and nothing else.
#![no_std]

/// A cgroup's id: the inode number of its directory in the hierarchy it belongs to.
/// Ids of different hierarchies overlap; unless said otherwise the cgroup2 hierarchy is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct CgroupId(pub u64);
