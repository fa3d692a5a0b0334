//! Memory gauges: one run of the cgroup iterator fills mapped records for all cgroups of the
//! memory controller's hierarchy.

use std::{
    fs::File,
    io::{self, Read},
    mem::offset_of,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use guidon_common::{CgroupId, MEMORY_ABSENT, MemoryRecord};

use super::{Lru, Memory, sys};

const WORDS: usize = size_of::<MemoryRecord>() / size_of::<u64>();

/// The multi-generational LRU keeps other lists; the old ones are all empty under it.
const GENERATIONS: &str = "/sys/kernel/mm/lru_gen/enabled";

/// The iterator and its records.
#[derive(Debug)]
pub(super) struct MemoryGauges {
    link: OwnedFd,
    records: sys::Pages,
    page_bytes: u64,
    /// Whether the iterator sums LRU sizes at all.
    lru: bool,
    /// Tells whether the kernel keeps them now; absent on kernels that always do.
    generations: Option<File>,
    /// One run at a time: they all write the same records.
    running: Mutex<()>,
    failing: AtomicBool,
}

impl MemoryGauges {
    /// Prepares iterating over the hierarchy mounted at `root`.
    pub(super) fn new(
        program: &OwnedFd,
        root: &Path,
        map: &OwnedFd,
        entries: u32,
        lru: bool,
    ) -> io::Result<Self> {
        let link = sys::link_cgroup_iterator(program.as_fd(), File::open(root)?.as_fd())?;
        let records =
            sys::Pages::of_map(map.as_fd(), entries as usize * size_of::<MemoryRecord>())?;
        Ok(Self {
            link,
            records,
            page_bytes: rustix::param::page_size() as u64,
            lru,
            generations: File::open(GENERATIONS).ok(),
            running: Mutex::new(()),
            failing: AtomicBool::new(false),
        })
    }

    /// Runs the iterator and appends a gauge for each cgroup but the root. A failure is logged
    /// once until it works again.
    pub(super) fn collect(&self, into: &mut Vec<Memory>) {
        let _one = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match self.run() {
            Ok(()) => {
                self.failing.store(false, Ordering::Relaxed);
                self.append(self.lru && !self.has_generations(), into);
            }
            Err(error) if !self.failing.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%error, "cannot iterate over memory cgroups");
            }
            Err(_) => {}
        }
    }

    fn run(&self) -> io::Result<()> {
        let mut iteration = File::from(sys::iterate(self.link.as_fd())?);
        // The program yields no text, so the first read goes to the end.
        let mut nothing = [0_u8; 64];
        while iteration.read(&mut nothing)? > 0 {}
        Ok(())
    }

    fn has_generations(&self) -> bool {
        let mut text = [0_u8; 16];
        let read = self
            .generations
            .as_ref()
            .and_then(|file| file.read_at(&mut text, 0).ok());
        let digits = read.and_then(|bytes| std::str::from_utf8(text.get(..bytes)?).ok());
        let mask = digits.and_then(|digits| {
            u32::from_str_radix(digits.trim().trim_start_matches("0x"), 16).ok()
        });
        mask.is_some_and(|mask| mask & 1 == 1)
    }

    /// Records follow one another from the root on; one of an older run ends them.
    fn append(&self, lru: bool, into: &mut Vec<Memory>) {
        let word = |record: &[AtomicU64], offset: usize| {
            let word = record.get(offset / size_of::<u64>());
            word.map_or(0, |word| word.load(Ordering::Relaxed))
        };
        let session = |record: &[AtomicU64]| word(record, offset_of!(MemoryRecord, session));
        let mut records = self.records.words().chunks_exact(WORDS);
        // The root has no usage of its own.
        let Some(root) = records.next() else { return };
        for record in records.take_while(|record| session(record) == session(root)) {
            let usage_pages = word(record, offset_of!(MemoryRecord, usage_pages));
            if usage_pages == MEMORY_ABSENT {
                continue;
            }
            let list = |index: usize| {
                let offset = offset_of!(MemoryRecord, lru_pages) + index * size_of::<u64>();
                word(record, offset).wrapping_mul(self.page_bytes)
            };
            into.push(Memory {
                id: CgroupId(word(record, offset_of!(MemoryRecord, id))),
                usage_bytes: usage_pages.wrapping_mul(self.page_bytes),
                lru: lru.then(|| Lru {
                    inactive_anon: list(0),
                    active_anon: list(1),
                    inactive_file: list(2),
                    active_file: list(3),
                    unevictable: list(4),
                }),
            });
        }
    }
}
