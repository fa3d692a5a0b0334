//! One destination's book: counters per guid that any thread adds to without waiting.
//!
//! The map of guids is copied when a guid is new and swapped in; adding loads the present map and
//! does one relaxed atomic add per guid of a frame. `tests/loom.rs` holds it to its word.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::entry::Entry;
use crate::config::Guid;
use crate::forward::sync::{Arc, ArcSwap, AtomicU64, Mutex, Ordering, PoisonError, fence};
use crate::signal::GuidCounts;

/// Guids a book keeps apart. A guid is 63 bytes and its counters 160: about 1 MiB a book.
pub const MAX_GUIDS: usize = 4096;
/// A guid without traffic for so long is booked under the empty guid from then on.
const IDLE: Duration = Duration::from_secs(24 * 3600);

/// What a spool or a queue holds, by its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Holdings {
    pub(crate) spooled: u64,
    pub(crate) bytes: u64,
    pub(crate) in_flight: u64,
}

type Source = Box<dyn Fn() -> Holdings + Send + Sync>;
type Guids = HashMap<Guid, Arc<Cells>>;

#[derive(Debug)]
struct Cells {
    counters: [AtomicU64; Entry::COUNT],
    /// Seconds since the book was opened.
    used: AtomicU64,
}

impl Cells {
    fn new() -> Self {
        Self {
            counters: std::array::from_fn(|_| AtomicU64::new(0)),
            used: AtomicU64::new(0),
        }
    }

    fn add(&self, entry: Entry, records: u64) {
        self.counters[entry.index()].fetch_add(records, Ordering::Relaxed);
    }
}

/// The counters of one destination.
pub(crate) struct Book {
    opened: Instant,
    guids: ArcSwap<Guids>,
    /// Held only to change the map of guids.
    growing: Mutex<Vec<Arc<Cells>>>,
    nobody: Cells,
    resent: AtomicU64,
    holdings: Mutex<Option<Source>>,
    idle: Duration,
}

impl fmt::Debug for Book {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Book")
            .field("guids", &self.guids.load().len())
            .finish_non_exhaustive()
    }
}

impl Default for Book {
    fn default() -> Self {
        Self::with_idle(IDLE)
    }
}

impl Book {
    pub(super) fn with_idle(idle: Duration) -> Self {
        Self {
            opened: Instant::now(),
            guids: ArcSwap::from_pointee(Guids::new()),
            growing: Mutex::new(Vec::new()),
            nobody: Cells::new(),
            resent: AtomicU64::new(0),
            holdings: Mutex::new(None),
            idle,
        }
    }

    /// Books records of one guid.
    pub(crate) fn add_one(&self, entry: Entry, guid: &Guid, records: u64) {
        match self.guids.load().get(guid) {
            Some(cells) => cells.add(entry, records),
            // It was booked as it came in, so it has a place unless the book is full.
            None => self.nobody.add(entry, records),
        }
    }

    /// Books a frame's records.
    pub(crate) fn add(&self, entry: Entry, counts: &GuidCounts) {
        if counts.is_empty() {
            return;
        }
        let now = self.opened.elapsed().as_secs();
        let guids = self.guids.load();
        let mut strangers = false;
        for (guid, records) in counts {
            match guids.get(guid) {
                Some(cells) => book_in(cells, entry, *records, now),
                None => strangers = true,
            }
        }
        if strangers {
            let known = Arc::clone(&guids);
            drop(guids);
            self.add_strangers(entry, counts, &known, now);
        }
    }

    /// Undoes [`Book::add`] for a frame that was refused after all.
    pub(crate) fn take_back(&self, entry: Entry, counts: &GuidCounts) {
        let guids = self.guids.load();
        for (guid, records) in counts {
            let cells = guids.get(guid).map_or(&self.nobody, |cells| &**cells);
            cells.counters[entry.index()].fetch_sub(u64::from(*records), Ordering::Relaxed);
        }
    }

    /// Books records that belong to nobody known.
    pub(crate) fn add_unnamed(&self, entry: Entry, records: u64) {
        self.nobody.add(entry, records);
    }

    /// Books the guids of a frame that `seen`, the map at the time, did not have.
    fn add_strangers(&self, entry: Entry, counts: &GuidCounts, seen: &Guids, now: u64) {
        let mut retired = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let present = self.guids.load_full();
        let mut next = Guids::clone(&present);
        if next.len() + counts.len() > MAX_GUIDS {
            self.retire(&mut next, &mut retired, now);
        }
        for (guid, records) in counts.iter().filter(|(guid, _)| !seen.contains_key(guid)) {
            let full = next.len() >= MAX_GUIDS;
            match next.get(guid) {
                Some(cells) => book_in(cells, entry, *records, now),
                None if full => self.nobody.add(entry, u64::from(*records)),
                None => {
                    let cells = Arc::new(Cells::new());
                    book_in(&cells, entry, *records, now);
                    next.insert(guid.clone(), cells);
                }
            }
        }
        self.guids.store(Arc::new(next));
    }

    /// Takes idle guids out of the map. Their counters move to the empty guid once nobody can hold
    /// the old map any more; until then they are shown under it.
    fn retire(&self, guids: &mut Guids, retired: &mut Vec<Arc<Cells>>, now: u64) {
        let idle = self.idle.as_secs();
        guids.retain(|_, cells| {
            let keep = now.saturating_sub(cells.used.load(Ordering::Relaxed)) < idle;
            if !keep {
                retired.push(Arc::clone(cells));
            }
            keep
        });
    }

    fn fold_retired(&self, retired: &mut Vec<Arc<Cells>>) {
        retired.retain(|cells| {
            let last = Arc::strong_count(cells) == 1;
            // Pairs with the release by whoever let go of the last map with these cells: all that
            // was ever added to them is here now.
            fence(Ordering::Acquire);
            for entry in Entry::all() {
                let records = cells.counters[entry.index()].swap(0, Ordering::AcqRel);
                self.nobody.add(entry, records);
            }
            !last
        });
    }

    /// Retires guids that have been idle, then shows every counter that is not zero.
    pub(super) fn visit(&self, seen: &mut dyn FnMut(&str, Entry, u64)) {
        let now = self.opened.elapsed().as_secs();
        {
            let mut retired = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
            let present = self.guids.load_full();
            let idle = self.idle.as_secs();
            let old =
                |cells: &Arc<Cells>| now.saturating_sub(cells.used.load(Ordering::Relaxed)) >= idle;
            if present.values().any(old) {
                let mut next = Guids::clone(&present);
                self.retire(&mut next, &mut retired, now);
                self.guids.store(Arc::new(next));
            }
            drop(present);
            self.fold_retired(&mut retired);
        }
        let mut show = |guid: &str, cells: &Cells| {
            for entry in Entry::all() {
                let records = cells.counters[entry.index()].load(Ordering::Relaxed);
                if records > 0 {
                    seen(guid, entry, records);
                }
            }
        };
        show("", &self.nobody);
        for (guid, cells) in self.guids.load().iter() {
            show(guid.as_str(), cells);
        }
    }

    /// Received + collected - sent - dropped: what the holdings should be.
    pub(crate) fn balance(&self) -> u64 {
        let (mut entered, mut left) = (0_u64, 0_u64);
        self.visit(&mut |_, entry, records| match entry {
            Entry::Received | Entry::Recovered | Entry::Collected => entered += records,
            Entry::Sent | Entry::Dropped(_) => left += records,
        });
        entered.saturating_sub(left)
    }

    /// Counts records that go to the network another time.
    pub(crate) fn add_resent(&self, records: u64) {
        self.resent.fetch_add(records, Ordering::Relaxed);
    }

    pub(crate) fn resent(&self) -> u64 {
        self.resent.load(Ordering::Relaxed)
    }

    /// Who tells what is held.
    pub(crate) fn held_by(&self, source: impl Fn() -> Holdings + Send + Sync + 'static) {
        *self.holdings.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(source));
    }

    pub(crate) fn holdings(&self) -> Holdings {
        self.holdings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map_or_else(Holdings::default, |source| source())
    }
}

fn book_in(cells: &Cells, entry: Entry, records: u32, now: u64) {
    cells.add(entry, u64::from(records));
    cells.used.store(now, Ordering::Relaxed);
}
