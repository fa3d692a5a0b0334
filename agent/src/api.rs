//! The Manager's HTTP API, health, metrics, console.
//!
//! Owns the wire side: routes, JSON, access, limits, audit, and the description that is generated
//! from them. Knows no room's inside: what it answers comes from [`Handles`], which `node`
//! connects. Runs on the control runtime, so it answers while data is saturated.
//!
//! Everything but `/healthz` and `/readyz` needs the token or a client certificate, if one of them
//! is set up; a listener beyond loopback has at least one. Limits: connections, header size and
//! time, body size and time, TLS handshake time, requests of one address.

mod access;
mod apps;
mod audit;
mod body;
mod bus;
mod cluster;
mod console;
mod describe;
mod error;
mod exporters;
mod handles;
mod health;
mod logs;
mod metrics;
pub mod model;
mod negotiate;
mod rate;
mod routes;
mod server;
mod stack;
mod status;
mod tls;

pub use access::Access;
pub(crate) use handles::blocking;
pub use handles::*;
pub use server::{ServeError, Server};
pub use tls::{TlsError, server_config};

#[cfg(test)]
mod tests;
