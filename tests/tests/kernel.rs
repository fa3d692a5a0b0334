//! The kernel room against the kernel it runs on: what the programs count is compared with what
//! the kernel itself says. Needs root and a cgroup2 mount, and nothing else: it also runs in a bare
//! virtual machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that meets the unexpected has failed"
)]

#[path = "kernel/lab.rs"]
mod lab;

#[path = "kernel/block.rs"]
mod block;
#[path = "kernel/cpu.rs"]
mod cpu;
#[path = "kernel/lives.rs"]
mod lives;
#[path = "kernel/loading.rs"]
mod loading;
#[path = "kernel/memory.rs"]
mod memory;
#[path = "kernel/network.rs"]
mod network;
#[path = "kernel/slots.rs"]
mod slots;
#[path = "kernel/tasks.rs"]
mod tasks;
