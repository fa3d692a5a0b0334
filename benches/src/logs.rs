//! Log shippers side by side: files of Docker's json-file driver → shipper → sink on loopback.
//!
//! Owns: the files, a stand-in of the Engine API that tells whose they are, the shippers' command
//! lines and the trial. Must not know: how any shipper works inside.

pub mod containers;
pub mod engine;
pub mod line_sink;
pub mod shippers;
pub mod trial;
