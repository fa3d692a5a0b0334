//! What the hand-made concurrent structures of this room are built from. `tests/loom.rs` compiles
//! those structures once more with loom's counterparts in this place.

pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
pub(super) use std::sync::{Arc, Mutex, PoisonError};

pub(super) use arc_swap::ArcSwap;
pub(super) use crossbeam::queue::ArrayQueue;
pub(super) use tokio::sync::Notify;
