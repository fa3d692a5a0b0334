//! What the tests of the forwarder share: frames that can be told apart, and a receiver that keeps
//! what it gets and misbehaves as told.

pub mod frames;
pub mod sink;
