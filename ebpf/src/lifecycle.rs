//! Birth, removal and release of cgroups: slots are handed out here, before a process can run in
//! the new cgroup, and the agent is told.
//!
//! The kernel fires these tracepoints under the cgroup lock and with the lock of its path buffer
//! held, so no two of these programs run at the same time, on whatever CPU.

use aya_ebpf::btf_maps::Array;
use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::generated::{bpf_probe_read_kernel_str, bpf_ringbuf_output},
    macros::{btf_map, btf_tracepoint},
    programs::BtfTracePointContext,
};
use core::ptr::{read_volatile, write_volatile};
use guidon_common::{
    EVENT_HEADER_BYTES, EVENT_PATH_BYTES, EventHeader, EventKind, SLOT_INHERITED, SLOT_RELEASED,
    SlotEntry,
};

use crate::{
    globals::{
        BLOCK_HIERARCHY, MEMORY_HIERARCHY, OFF_CGROUP_LEVEL, OFF_CGROUP_PARENT, OFF_CGROUP_ROOT,
        OFF_CSS_CGROUP, OFF_ROOT_HIERARCHY,
    },
    maps::{CONTAINERS, EVENTS, FREE, SLOTS},
    slots::note,
    walk::{id_of_cgroup, load},
};

/// An event being made; too big for the stack, and one is enough, see above.
#[repr(C)]
pub struct Draft {
    header: EventHeader,
    path: [u8; EVENT_PATH_BYTES],
}

#[btf_map]
pub static DRAFT: Array<Draft, 1> = Array::new();

/// A cgroup was made.
#[btf_tracepoint(function = "cgroup_mkdir")]
pub fn cgroup_born(context: BtfTracePointContext) -> i32 {
    let cgroup: *const u8 = context.arg(0);
    // SAFETY: the first argument is a cgroup.
    let mut header = unsafe { describe(cgroup) };
    if header.hierarchy == 0 {
        header.kind = EventKind::BORN;
        let entry = enter(header.id, header.parent);
        header.slot = entry.slot;
        header.flags = entry.flags;
    } else if header.hierarchy == BLOCK_HIERARCHY.load()
        || header.hierarchy == MEMORY_HIERARCHY.load()
    {
        header.kind = EventKind::TWIN;
    } else {
        return 0;
    }
    tell(&header, context.arg(1));
    0
}

/// A cgroup's directory was removed.
#[btf_tracepoint(function = "cgroup_rmdir")]
pub fn cgroup_removed(context: BtfTracePointContext) -> i32 {
    // SAFETY: the first argument is a cgroup.
    unsafe { gone(context.arg(0), EventKind::REMOVED, 0) }
}

/// The last reference to a cgroup went.
#[btf_tracepoint(function = "cgroup_release")]
pub fn cgroup_released(context: BtfTracePointContext) -> i32 {
    // SAFETY: the first argument is a cgroup.
    unsafe { gone(context.arg(0), EventKind::RELEASED, SLOT_RELEASED) }
}

/// # Safety
/// `cgroup` is a typed pointer to a cgroup.
#[inline(always)]
unsafe fn describe(cgroup: *const u8) -> EventHeader {
    // SAFETY: `cgroup.root`.
    let root: *const u8 = unsafe { load(cgroup, &OFF_CGROUP_ROOT) };
    // SAFETY: `cgroup.self.parent`, then `cgroup_subsys_state.cgroup`.
    let parent: *const u8 = unsafe { load(load(cgroup, &OFF_CGROUP_PARENT), &OFF_CSS_CGROUP) };
    EventHeader {
        kind: 0,
        slot: 0,
        // SAFETY: a cgroup.
        id: unsafe { id_of_cgroup(cgroup) },
        // SAFETY: a cgroup.
        parent: unsafe { id_of_cgroup(parent) },
        // SAFETY: `cgroup.level`.
        level: unsafe { load(cgroup, &OFF_CGROUP_LEVEL) },
        // SAFETY: `cgroup_root.hierarchy_id`.
        hierarchy: unsafe { load(root, &OFF_ROOT_HIERARCHY) },
        flags: 0,
        path_bytes: 0,
    }
}

/// Gives a new cgroup its slot: the parent's below a container, else a free one.
#[inline(always)]
fn enter(id: u64, parent: u64) -> SlotEntry {
    let mut entry = SlotEntry { slot: 0, flags: 0 };
    if let Some(above) = SLOTS.get_ptr(parent) {
        // SAFETY: a map value.
        let above_flags = unsafe { read_volatile(&raw const (*above).flags) };
        if above_flags & SLOT_INHERITED != 0 || CONTAINERS.get_ptr(parent).is_some() {
            // SAFETY: a map value.
            entry.slot = unsafe { read_volatile(&raw const (*above).slot) };
            entry.flags = SLOT_INHERITED;
        }
    }
    if entry.flags == 0 {
        match FREE.pop() {
            Ok(Some(slot)) => entry.slot = slot,
            _ => {
                note(|health| unsafe { &raw mut (*health).slot_misses }, 1);
                return entry;
            }
        }
        note(|health| unsafe { &raw mut (*health).slots_taken }, 1);
    }
    if SLOTS.insert(id, entry, BPF_NOEXIST.into()).is_err() {
        if entry.flags == 0 {
            let _ = FREE.push(entry.slot, 0);
            note(|health| unsafe { &raw mut (*health).slots_returned }, 1);
        }
        note(|health| unsafe { &raw mut (*health).slot_misses }, 1);
        return SlotEntry { slot: 0, flags: 0 };
    }
    entry
}

/// # Safety
/// `cgroup` is a typed pointer to a cgroup.
#[inline(always)]
unsafe fn gone(cgroup: *const u8, kind: u32, flag: u32) -> i32 {
    // SAFETY: by contract of this function.
    let mut header = unsafe { describe(cgroup) };
    if header.hierarchy != 0 {
        return 0;
    }
    header.kind = kind;
    if let Some(entry) = SLOTS.get_ptr_mut(header.id) {
        // SAFETY: a map value.
        header.slot = unsafe { read_volatile(&raw const (*entry).slot) };
        // SAFETY: a map value; programs of this kind do not run at the same time.
        header.flags = unsafe { read_volatile(&raw const (*entry).flags) } | flag;
        // SAFETY: as above. It outlives a lost event.
        unsafe { write_volatile(&raw mut (*entry).flags, header.flags) };
    }
    tell(&header, core::ptr::null());
    0
}

/// Sends an event, with a path if there is one.
#[inline(always)]
fn tell(header: &EventHeader, path: *const u8) {
    let Some(draft) = DRAFT.get_ptr_mut(0) else {
        return;
    };
    let mut path_bytes = 0;
    if !path.is_null() {
        // SAFETY: a map value.
        let to = unsafe { (&raw mut (*draft).path).cast::<u8>() };
        // SAFETY: the helper checks the address and writes no more than the size given.
        let read =
            unsafe { bpf_probe_read_kernel_str(to.cast(), EVENT_PATH_BYTES as u32, path.cast()) };
        if read > 0 {
            // Without the terminating zero; the mask is what the verifier takes for a bound.
            path_bytes = (read as u64 - 1) & (EVENT_PATH_BYTES as u64 - 1);
        }
    }
    // SAFETY: a map value.
    unsafe { write_volatile(&raw mut (*draft).header, *header) };
    // SAFETY: a map value.
    unsafe { write_volatile(&raw mut (*draft).header.path_bytes, path_bytes as u32) };
    // SAFETY: the draft is longer than the header and the longest path.
    let sent = unsafe {
        bpf_ringbuf_output(
            (&raw const EVENTS).cast_mut().cast(),
            draft.cast(),
            EVENT_HEADER_BYTES as u64 + path_bytes,
            0,
        )
    };
    if sent != 0 {
        note(|health| unsafe { &raw mut (*health).events_lost }, 1);
    }
}
