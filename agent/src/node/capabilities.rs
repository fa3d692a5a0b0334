//! Gives away, for good, every capability that is not needed once the kernel programs run.
//!
//! Capabilities belong to threads: this must happen before the first thread is started, so that
//! all inherit what is left.

use rustix::io;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};

/// What a running agent needs, and why.
///
/// - `DAC_READ_SEARCH`: container logs and `/proc` of other users' processes.
/// - `BPF`: slots of gone cgroups are given back through map updates, which kernels before 6.6 let
///   only a capable process do where unprivileged BPF is off.
const KEPT: CapabilitySet = CapabilitySet::DAC_READ_SEARCH.union(CapabilitySet::BPF);

/// Drops everything else from this thread's effective, permitted, inheritable and bounding sets,
/// and rules out gaining anything back through programs that are started.
pub(super) fn drop_unneeded() -> io::Result<()> {
    let has = capabilities(None)?;
    let keep = has.permitted & KEPT;
    if has.effective.contains(CapabilitySet::SETPCAP) {
        for capability in CapabilitySet::all().iter() {
            if !keep.contains(capability) {
                match remove_capability_from_bounding_set(capability) {
                    // A capability that this kernel does not know.
                    Err(io::Errno::INVAL) | Ok(()) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    set_no_new_privs(true)?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: keep,
            permitted: keep,
            inheritable: CapabilitySet::empty(),
        },
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_is_not_kept() {
        // Capabilities are a thread's own: the test must not disarm its siblings.
        std::thread::spawn(|| {
            drop_unneeded().unwrap();
            let left = capabilities(None).unwrap();
            assert!(KEPT.contains(left.permitted) && KEPT.contains(left.effective));
            assert!(left.inheritable.is_empty());
        })
        .join()
        .unwrap();
    }
}
