//! From cgroup ids to counter records.

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use core::{
    intrinsics::{AtomicOrdering::Relaxed, atomic_xadd},
    ptr::{read_volatile, write_volatile},
};
use guidon_common::{CounterRecord, DelayRecord, HealthRecord, MEMOS};

use crate::{
    globals::CPUS,
    maps::{COUNTERS, DELAYS, EPOCH, HEALTH, SLOT_MEMOS, SLOTS},
};

/// The slot of a cgroup2 id; 0 if it has none.
#[inline(always)]
pub fn slot_of(id: u64) -> u32 {
    match SLOTS.get_ptr(id) {
        // SAFETY: a map value; it is written before it is entered and its slot never changes.
        Some(entry) => unsafe { read_volatile(&raw const (*entry).slot) },
        None => 0,
    }
}

/// The number of the CPU that this runs on.
#[inline(always)]
pub fn this_cpu() -> u32 {
    // SAFETY: takes no arguments.
    unsafe { bpf_get_smp_processor_id() }
}

/// [`slot_of`] for programs that run very often: most look-ups end at a memo of this CPU, which
/// costs a quarter.
#[inline(always)]
pub fn hot_slot_of(cpu: u32, id: u64) -> u32 {
    // Before the table is looked into: what is found there is of this epoch or a later one.
    let epoch = match EPOCH.get_ptr(0) {
        // SAFETY: a map value; the agent raises it meanwhile.
        Some(epoch) => u64::from(unsafe { read_volatile(epoch) }),
        None => return slot_of(id),
    };
    let index = cpu.wrapping_mul(MEMOS).wrapping_add(id as u32 % MEMOS);
    let Some(memo) = SLOT_MEMOS.get_ptr_mut(index) else {
        return slot_of(id);
    };
    // SAFETY: a map value; a program that interrupts this one may write it between two loads.
    let slot = unsafe { read_volatile(&raw const (*memo).slot) };
    // SAFETY: as above.
    let check = unsafe { read_volatile(&raw const (*memo).check) };
    // SAFETY: as above.
    let known = unsafe { read_volatile(&raw const (*memo).id) };
    if known == id && check == id ^ slot && slot >> 32 == epoch {
        return slot as u32;
    }
    let found = slot_of(id);
    let slot = epoch << 32 | u64::from(found);
    // SAFETY: a map value; see `SlotMemo` for who interrupts this.
    unsafe { write_volatile(&raw mut (*memo).id, id) };
    // SAFETY: as above.
    unsafe { write_volatile(&raw mut (*memo).slot, slot) };
    // SAFETY: as above.
    unsafe { write_volatile(&raw mut (*memo).check, id ^ slot) };
    found
}

/// This CPU's counters of a slot.
#[inline(always)]
pub fn counters(slot: u32) -> Option<*mut CounterRecord> {
    counters_on(this_cpu(), slot)
}

/// [`counters`], for who knows the CPU already.
#[inline(always)]
pub fn counters_on(cpu: u32, slot: u32) -> Option<*mut CounterRecord> {
    COUNTERS.get_ptr_mut(slot.wrapping_mul(CPUS.load()).wrapping_add(cpu))
}

/// This CPU's run-queue delays of a slot.
#[inline(always)]
pub fn delays_on(cpu: u32, slot: u32) -> Option<*mut DelayRecord> {
    DELAYS.get_ptr_mut(slot.wrapping_mul(CPUS.load()).wrapping_add(cpu))
}

/// Adds to a counter that only this CPU writes and nothing on it interrupts.
///
/// # Safety
/// `counter` points into a map value.
#[inline(always)]
pub unsafe fn add(counter: *mut u64, amount: u64) {
    // SAFETY: by contract of this function.
    let value = unsafe { read_volatile(counter) };
    // SAFETY: as above; readers map the page, so the store must be one whole store.
    unsafe { write_volatile(counter, value.wrapping_add(amount)) };
}

/// Adds to a counter that another context of this CPU or another CPU may write meanwhile.
///
/// # Safety
/// `counter` points into a map value.
#[inline(always)]
pub unsafe fn add_shared(counter: *mut u64, amount: u64) {
    // SAFETY: by contract of this function.
    unsafe { atomic_xadd::<u64, u64, { Relaxed }>(counter, amount) };
}

/// Adds to a counter of losses.
#[inline(always)]
pub fn note(counter: impl FnOnce(*mut HealthRecord) -> *mut u64, amount: u64) {
    if let Some(health) = HEALTH.get_ptr_mut(0) {
        // SAFETY: a map value.
        unsafe { add_shared(counter(health), amount) };
    }
}
