//! Buffers and splicers that requests use in turn, so that a request allocates no more than the
//! frame it becomes.

use crossbeam::queue::ArrayQueue;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::signal::otlp::OtlpSplicer;
use crate::signal::remote_write::Splicer;
use crate::signal::remote_write_v2::Transcoder;
use crate::signal::snappy;

/// Benches kept at most; requests beyond that many at once make their own.
const KEPT: usize = 8;
/// A bench whose buffers grew beyond this is not kept: one large request must not be paid for
/// forever.
const KEPT_BYTES: usize = 8 << 20;
/// From so many bytes on the work is announced to the runtime, which then moves its other tasks to
/// another thread. At some 1.1 ns a byte (uncompress, splice, compress) this is two milliseconds.
/// Moving is not cheap: at half of that it took a tenth of all CPU time under load, for a request of
/// 2,000 samples is 600 kB.
const BLOCKING_BYTES: usize = 2 << 20;

/// What one request needs while it is worked on.
#[derive(Debug, Default)]
pub(super) struct Workbench {
    /// The request before it was compressed, or in protobuf where it came in something else.
    pub(super) raw: Vec<u8>,
    pub(super) tagged: Vec<u8>,
    /// Remote write made of OTLP.
    pub(super) converted: Vec<u8>,
    pub(super) splicer: Splicer,
    pub(super) transcoder: Transcoder,
    pub(super) otlp: OtlpSplicer,
    pub(super) encoder: snappy::Encoder,
}

impl Workbench {
    /// Bytes of its buffers.
    fn held_bytes(&self) -> usize {
        self.raw.capacity()
            + self.tagged.capacity()
            + self.converted.capacity()
            + self.encoder.scratch_bytes()
    }

    /// Works on what is in `raw`.
    pub(super) fn on_raw<T>(&mut self, work: impl FnOnce(&[u8], &mut Self) -> T) -> T {
        let raw = std::mem::take(&mut self.raw);
        let done = work(&raw, self);
        self.raw = raw;
        done
    }
}

/// Workbenches that are not in use.
#[derive(Debug)]
pub(super) struct Workbenches {
    free: ArrayQueue<Box<Workbench>>,
}

impl Workbenches {
    pub(super) fn new() -> Self {
        Self {
            free: ArrayQueue::new(KEPT),
        }
    }

    /// Does work on `bytes` bytes with a bench of its own, without holding up other tasks.
    pub(super) fn work<T>(&self, bytes: usize, work: impl FnOnce(&mut Workbench) -> T) -> T {
        let mut bench = self.free.pop().unwrap_or_default();
        let multi = || Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
        let done = if bytes >= BLOCKING_BYTES && multi() {
            tokio::task::block_in_place(|| work(&mut bench))
        } else {
            work(&mut bench)
        };
        if bench.held_bytes() <= KEPT_BYTES {
            // Where there are enough already, it goes.
            let _ = self.free.push(bench);
        }
        done
    }
}
