//! What the hand-made concurrent structures of this room are built from. `tests/loom.rs` compiles
//! those structures once more with loom's counterparts in this place.

pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
