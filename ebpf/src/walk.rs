//! Following kernel pointers with offsets known at load time.
//!
//! On a BTF tracepoint's argument the verifier keeps the type through "pointer plus known
//! constant", so these are plain loads (a fault reads as 0), several times cheaper than
//! `bpf_probe_read_kernel`.

use aya_ebpf::Global;
use core::{ffi::c_void, ptr::read_volatile};

use crate::globals::{
    OFF_CGROUP_NODE, OFF_CSS_SET_CGROUP, OFF_NODE_ID, OFF_SOCK_CGROUP, OFF_TASK_CGROUPS,
};

/// The value at `base + offset`.
///
/// # Safety
/// `base` is a typed kernel pointer and `offset` that of a member of type `T`.
#[inline(always)]
pub unsafe fn load<T>(base: *const u8, offset: &Global<u32>) -> T {
    // SAFETY: by contract of this function; volatile so that loads are not merged into other ones
    // that the verifier knows no type for.
    unsafe { read_volatile(base.add(offset.load() as usize).cast::<T>()) }
}

/// The id of a cgroup.
///
/// # Safety
/// `cgroup` is a typed pointer to a cgroup.
#[inline(always)]
pub unsafe fn id_of_cgroup(cgroup: *const u8) -> u64 {
    // SAFETY: `cgroup.kn`.
    let node: *const u8 = unsafe { load(cgroup, &OFF_CGROUP_NODE) };
    // SAFETY: `kernfs_node.id`.
    unsafe { load(node, &OFF_NODE_ID) }
}

/// The cgroup2 id of a task.
///
/// # Safety
/// `task` is a typed pointer to a task.
#[inline(always)]
pub unsafe fn id_of_task(task: *const u8) -> u64 {
    // SAFETY: `task_struct.cgroups`.
    let set: *const u8 = unsafe { load(task, &OFF_TASK_CGROUPS) };
    // SAFETY: `css_set.dfl_cgrp`.
    let cgroup = unsafe { load(set, &OFF_CSS_SET_CGROUP) };
    // SAFETY: a cgroup.
    unsafe { id_of_cgroup(cgroup) }
}

/// The cgroup2 id of a full socket.
///
/// # Safety
/// `socket` is a typed pointer to a full socket.
#[inline(always)]
pub unsafe fn id_of_socket(socket: *const u8) -> u64 {
    // SAFETY: `sock.sk_cgrp_data.cgroup`.
    let cgroup = unsafe { load(socket, &OFF_SOCK_CGROUP) };
    // SAFETY: a cgroup.
    unsafe { id_of_cgroup(cgroup) }
}

/// The `index`th pointer of an iterator's context: 0 is the iteration, 1 the item, null at the end.
#[inline(always)]
pub fn iterator_argument(context: *mut c_void, index: usize) -> *const u8 {
    let words: *const *const u8 = context.cast_const().cast();
    // SAFETY: an iterator's context is two pointers, see `struct bpf_iter__cgroup`.
    unsafe { read_volatile(words.add(index)) }
}
