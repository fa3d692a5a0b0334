//! From cgroup ids to counter records.

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use core::{
    intrinsics::{AtomicOrdering::Relaxed, atomic_xadd},
    ptr::{read_volatile, write_volatile},
};
use guidon_common::{CounterRecord, DelayRecord, HealthRecord};

use crate::{
    globals::CPUS,
    maps::{COUNTERS, DELAYS, HEALTH, SLOTS},
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

#[inline(always)]
fn position(slot: u32) -> u32 {
    // SAFETY: takes no arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    slot.wrapping_mul(CPUS.load()).wrapping_add(cpu)
}

/// This CPU's counters of a slot.
#[inline(always)]
pub fn counters(slot: u32) -> Option<*mut CounterRecord> {
    COUNTERS.get_ptr_mut(position(slot))
}

/// This CPU's run-queue delays of a slot.
#[inline(always)]
pub fn delays(slot: u32) -> Option<*mut DelayRecord> {
    DELAYS.get_ptr_mut(position(slot))
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
