//! Container, node and self metrics: counters in, frames out. Knows neither HTTP nor Docker.

pub mod catalogue;
pub mod containers;
mod hierarchy;
mod netdev;
pub mod node;
mod scan;

pub use hierarchy::Hierarchy;
