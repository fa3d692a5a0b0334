//! Listeners for other people's data: remote write, OTLP, Jaeger. Knows nothing of what happens after the
//! inlet.
//!
//! A request's way: `listener` accepts the connection, `body` reads the body against
//! [`Limits`] and the memory `budget`, the handler of the protocol validates and tags it with
//! the guid of whoever [`Peers`] says is at the other end, and hands one frame to the [`Sink`].
//! The answer goes out when the sink has it as durable as configured: a 2xx means kept.
//!
//! Nothing is buffered beyond the request at hand. What does not fit is refused with a status that
//! makes a sender try again later; what is wrong is refused with words that say what and where.

mod activity;
mod body;
pub mod budget;
mod buffers;
mod datagrams;
mod grpc;
pub mod jaeger;
mod jaeger_http;
mod limits;
mod listener;
pub mod logs;
mod otlp;
mod otlp_http;
mod peers;
mod receiver;
mod refusal;
mod remote_write;
mod reply;
mod rpc_status;
mod sink;
mod spans;
mod stats;
mod sync;
mod whole_body;
mod workbench;

pub use datagrams::serve_datagrams;
pub use limits::Limits;
pub use listener::{Audience, serve};
pub use peers::{DirectoryPeers, Peers, Place, Sender};
pub use receiver::{OtlpMetrics, Protocol, Receiver};
pub use refusal::{Reason, Refusal};
pub use sink::Sink;
pub use stats::{Snapshot, Stats};

#[cfg(test)]
mod tests;
