//! How much a sender may ask for.

use std::time::Duration;

use crate::signal::SeriesLimits;

/// Limits of all listeners together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body as it comes in.
    pub body_bytes: usize,
    /// Bytes of a request after decompression. vmagent sends 8 MiB at most by default; OTLP
    /// recommends up to 64 MiB, which no exporter's batch comes near.
    pub decompressed_bytes: usize,
    /// Bytes of a datagram: what Jaeger's own agent takes, and its clients keep to.
    pub datagram_bytes: usize,
    /// Bytes of a Jaeger batch over HTTP or gRPC: what Jaeger's own collector takes.
    pub jaeger_bytes: usize,
    /// Bytes held for all requests that are being served. A node agent shares its node.
    pub memory_bytes: usize,
    /// Of these, for one sender's address.
    pub sender_memory_bytes: usize,
    /// Connections of all listeners together.
    pub connections: usize,
    /// Of these, from one address.
    pub sender_connections: usize,
    /// Requests at a time on one HTTP/2 connection.
    pub streams: u32,
    /// Bytes of a request's head, and the read buffer of an HTTP/1.1 connection.
    pub header_bytes: usize,
    /// Time from connecting to the first request's head.
    pub header_time: Duration,
    /// Time to send a request's body.
    pub body_time: Duration,
    /// Time between requests after which a connection is closed. Go's clients keep them 90 s.
    pub idle_time: Duration,
    /// Time given to requests that are being served when the listener is told to stop.
    pub shutdown_time: Duration,
    /// Series, labels and their lengths.
    pub series: SeriesLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 16 << 20,
            decompressed_bytes: 32 << 20,
            datagram_bytes: 65_000,
            jaeger_bytes: 4 << 20,
            memory_bytes: 192 << 20,
            sender_memory_bytes: 128 << 20,
            connections: 1024,
            sender_connections: 256,
            streams: 64,
            header_bytes: 64 << 10,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(120),
            shutdown_time: Duration::from_secs(5),
            series: SeriesLimits {
                expanded_bytes: 32 << 20,
                ..SeriesLimits::default()
            },
        }
    }
}
