//! Marker traits for the agent's side.

use crate::{PeerKey, SlotEntry};

// SAFETY: both are `repr(C)` integers without padding: every bit pattern is valid and no byte is
// uninitialised.
unsafe impl aya::Pod for SlotEntry {}
// SAFETY: as above.
unsafe impl aya::Pod for PeerKey {}
