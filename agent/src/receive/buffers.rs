//! Large buffers that are used again: bodies, and payloads once their frame has had its verdict.
//!
//! A fresh buffer of some hundred kilobytes is fresh pages, which the kernel clears one by one: for
//! an uncompressed request of OTLP that takes longer than writing to it.

use std::sync::Arc;

use bytes::Bytes;
use crossbeam::queue::ArrayQueue;

/// Buffers kept at most. With [`LARGEST_BYTES`] this bounds what is held for nothing.
const KEPT: usize = 8;
/// Below this the allocator's own lists do as well.
const SMALLEST_BYTES: usize = 64 << 10;
/// A larger buffer is not kept: one large request must not be paid for forever.
const LARGEST_BYTES: usize = 1 << 20;
/// Capacities are rounded up to this, so that requests of about one size can use one another's.
const STEP_BYTES: usize = 64 << 10;

/// Buffers that are not in use. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Buffers {
    free: Arc<ArrayQueue<Vec<u8>>>,
}

/// A buffer in use, which goes back when the last that reads it is done.
struct Lent {
    bytes: Vec<u8>,
    home: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        // Where there are enough already, it goes.
        let _ = self.home.free.push(bytes);
    }
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self {
            free: Arc::new(ArrayQueue::new(KEPT)),
        }
    }

    /// An empty buffer with room for so many bytes. No more than twice as large: what holds few
    /// bytes for long must not hold many pages.
    pub(super) fn take(&self, bytes: usize) -> Vec<u8> {
        if !(SMALLEST_BYTES..=LARGEST_BYTES).contains(&bytes) {
            return Vec::with_capacity(bytes);
        }
        match self.free.pop() {
            Some(kept) if (bytes..=2 * bytes).contains(&kept.capacity()) => kept,
            // One that does not fit goes, so that those that are kept fit the present requests.
            _ => Vec::with_capacity(bytes.next_multiple_of(STEP_BYTES)),
        }
    }

    /// Hands a buffer out for reading.
    pub(super) fn share(&self, bytes: Vec<u8>) -> Bytes {
        if !(SMALLEST_BYTES..=LARGEST_BYTES).contains(&bytes.capacity()) {
            return Bytes::from(bytes);
        }
        Bytes::from_owner(Lent {
            bytes,
            home: self.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Buffers, KEPT, LARGEST_BYTES, SMALLEST_BYTES};

    #[test]
    fn a_buffer_is_used_again_when_its_last_reader_is_done() {
        let buffers = Buffers::new();
        let mut first = buffers.take(100_000);
        first.extend_from_slice(&[7; 100_000]);
        let place = first.as_ptr();
        let shared = buffers.share(first);
        let reader = shared.slice(10..20);
        drop(shared);
        assert!(buffers.free.is_empty());
        assert_eq!(&reader[..], &[7; 10]);
        drop(reader);
        let second = buffers.take(99_000);
        assert!(second.is_empty());
        assert_eq!(second.as_ptr(), place);
    }

    #[test]
    fn few_bytes_do_not_get_a_large_buffer_and_no_more_are_kept_than_allowed() {
        let buffers = Buffers::new();
        drop(buffers.share(Vec::with_capacity(500_000)));
        assert!(buffers.take(100_000).capacity() <= 200_000);
        for capacity in [SMALLEST_BYTES / 2, 2 * LARGEST_BYTES] {
            drop(buffers.share(Vec::with_capacity(capacity)));
            assert!(buffers.free.is_empty(), "{capacity}");
        }
        for _ in 0..2 * KEPT {
            let _ = buffers.free.push(Vec::with_capacity(LARGEST_BYTES));
        }
        assert_eq!(buffers.free.len(), KEPT);
    }
}
