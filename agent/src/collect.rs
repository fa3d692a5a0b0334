//! Container, node and self metrics: counters in, frames out. Knows neither HTTP nor Docker.
//!
//! [`Collector`] is what the agent runs; [`containers`], [`node`] and [`own`] are its three kinds of
//! series, [`catalogue`] names and describes them all.

pub mod catalogue;
mod collector;
pub mod containers;
mod hierarchy;
mod netdev;
pub mod node;
pub mod own;
mod rows;
mod scan;

pub use collector::{Collector, MAX_HELD_BYTES, Off, Options, Overview, Page};
pub use rows::Row;
