//! Block I/O by the cgroup of the bio, so that buffered writes count to who dirtied the pages and
//! not to the writeback worker.

use aya_ebpf::{
    helpers::generated::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext,
};
use core::ptr::read_volatile;

use crate::{
    globals::{
        BLOCK_V1, OFF_BIO_GROUP, OFF_BLKCG_CGROUP, OFF_GROUP_BLKCG, OFF_REQUEST_BIO,
        OFF_REQUEST_BYTES, OFF_REQUEST_FLAGS, OFF_REQUEST_START,
    },
    maps::BLOCK_SLOTS,
    slots::{add_shared, counters, slot_of},
    walk::{id_of_cgroup, load},
};

const OPERATION_MASK: u32 = 0xff;
const READ: u32 = 0;
const WRITE: u32 = 1;
const ZONE_APPEND: u32 = 7;

/// A request, or a part of one, is done. Flushes and discards carry no data and are not counted.
#[btf_tracepoint(function = "block_rq_complete")]
pub fn block_done(context: BtfTracePointContext) -> i32 {
    let request: *const u8 = context.arg(0);
    let done_bytes: u32 = context.arg(2);
    // SAFETY: `request.cmd_flags`.
    let operation = unsafe { load::<u32>(request, &OFF_REQUEST_FLAGS) } & OPERATION_MASK;
    let writes = operation == WRITE || operation == ZONE_APPEND;
    if done_bytes == 0 || !(writes || operation == READ) {
        return 0;
    }
    // SAFETY: the first argument is a request.
    let slot = unsafe { slot_of_request(request) };
    let Some(record) = counters(slot) else {
        return 0;
    };
    // SAFETY: a map value.
    let group = unsafe { &raw mut (*record).block };
    let (bytes, operations, time) = if writes {
        // SAFETY: a map value.
        unsafe {
            (
                &raw mut (*group).write_bytes,
                &raw mut (*group).write_operations,
                &raw mut (*group).write_ns,
            )
        }
    } else {
        // SAFETY: a map value.
        unsafe {
            (
                &raw mut (*group).read_bytes,
                &raw mut (*group).read_operations,
                &raw mut (*group).read_ns,
            )
        }
    };
    // SAFETY: a map value.
    unsafe { add_shared(bytes, u64::from(done_bytes)) };
    // SAFETY: `request.__data_len`: what is left, this part included.
    let left: u32 = unsafe { load(request, &OFF_REQUEST_BYTES) };
    if done_bytes >= left {
        // SAFETY: a map value.
        unsafe { add_shared(operations, 1) };
        // SAFETY: `request.io_start_time_ns`, 0 when the device keeps no statistics.
        let start: u64 = unsafe { load(request, &OFF_REQUEST_START) };
        if start != 0 {
            // SAFETY: takes no arguments.
            let now = unsafe { bpf_ktime_get_ns() };
            // SAFETY: a map value.
            unsafe { add_shared(time, now.wrapping_sub(start)) };
        }
    }
    0
}

/// # Safety
/// `request` is a typed pointer to a request.
#[inline(always)]
unsafe fn slot_of_request(request: *const u8) -> u32 {
    // SAFETY: `request.bio`; what a null pointer leads to reads as 0.
    let bio: *const u8 = unsafe { load(request, &OFF_REQUEST_BIO) };
    // SAFETY: `bio.bi_blkg`.
    let group: *const u8 = unsafe { load(bio, &OFF_BIO_GROUP) };
    // SAFETY: `blkcg_gq.blkcg`.
    let blkcg: *const u8 = unsafe { load(group, &OFF_GROUP_BLKCG) };
    // SAFETY: `blkcg.css.cgroup`.
    let cgroup: *const u8 = unsafe { load(blkcg, &OFF_BLKCG_CGROUP) };
    // SAFETY: a cgroup of the hierarchy that the blkio or io controller is in.
    let id = unsafe { id_of_cgroup(cgroup) };
    if BLOCK_V1.load() == 0 {
        return slot_of(id);
    }
    match BLOCK_SLOTS.get_ptr(id) {
        // SAFETY: a map value.
        Some(slot) => unsafe { read_volatile(slot) },
        None => 0,
    }
}
