//! guidon: a privileged node agent that runs a platform's apps under their guid and ships every
//! metric, log line and span about them to a bus, tagged with that guid.
//!
//! The rooms, from the ground up. A room may use what stands above it in this list, never what
//! stands below; `cargo xtask tidy` proves it.

#![deny(unsafe_code)]

pub mod api;
pub mod cli;
pub mod collect;
pub mod config;
pub mod directory;
pub mod drive;
pub mod forward;
pub mod kernel;
pub mod node;
pub mod receive;
pub mod signal;
pub mod stack;
