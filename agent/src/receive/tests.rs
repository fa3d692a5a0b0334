#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod grpc;
mod hostile;
mod http;
mod jaeger;
mod support;
