//! What chores and whole-system tests share: a plain HTTP client, Docker over its socket, the
//! busybox image, and child processes that end when we do.
//!
//! No async runtime and few dependencies: every chore waits for this crate to build first.

#![deny(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "chores talk to a person at a terminal"
)]

pub mod child;
pub mod docker;
pub mod dockerd;
pub mod hands;
pub mod http;
pub mod image;
pub mod qemu;
pub mod run;
