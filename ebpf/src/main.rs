//! guidon's kernel programs: counting by cgroup into mapped pages, and the life of cgroups as
//! events. They hold no policy and no names; which of them run and what the numbers mean is the
//! agent's business.
//!
//! Every program follows kernel pointers with offsets that the agent finds in the kernel's own
//! BTF (see [`globals`]). All of them are BTF tracepoints, cgroup packet filters or iterators: no
//! kprobes. Smallest kernel: 5.11 (task storage), the memory iterator 6.1.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![allow(
    internal_features,
    reason = "core's atomics have no read-modify-write on the BPF target"
)]

mod block;
mod cpu;
mod empty;
mod globals;
mod lifecycle;
mod maps;
mod memory;
mod network;
mod peers;
mod process;
mod run_queue;
mod slots;
mod tcp;
mod walk;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing in the programs can panic; the verifier would refuse this loop if something did.
    loop {}
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 4] = *b"GPL\0";
