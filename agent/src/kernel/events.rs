//! The event stream: ring buffer records in, [`Event`]s out, the book kept on the way.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Instant,
};

use aya::maps::{MapData, RingBuf};
use guidon_common::{CgroupId, EVENT_HEADER_BYTES, EventHeader, EventKind, SLOT_INHERITED};
use tokio::io::unix::AsyncFd;

use super::{Cgroup, Event, Slot, shared::Shared, sys};

/// Records taken in one call, so that a storm of births does not keep the caller from its work.
const BATCH: usize = 4096;

/// The event stream. Cancel-safe.
pub struct Events {
    ring: RingBuf<MapData>,
    /// Registered with the runtime that first waits.
    ready: Option<AsyncFd<OwnedFd>>,
    shared: Arc<Shared>,
    lost: u64,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Events")
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}

impl Events {
    pub(super) fn new(ring: RingBuf<MapData>, shared: Arc<Shared>) -> Self {
        let lost = shared.health().events_lost;
        Self {
            ring,
            ready: None,
            shared,
            lost,
        }
    }

    /// Appends what happened; returns when there is at least one event, or `true` when the ring
    /// buffer overflowed since the last call. The events that were lost are then among those
    /// appended, as far as the cgroup tree still tells; [`super::Kernel::cgroups`] is the truth.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub async fn next(&mut self, into: &mut Vec<Event>) -> bool {
        let before = into.len();
        loop {
            let lost = self.drain(into);
            if lost || into.len() > before {
                return lost;
            }
            let overdue = self.shared.book().next_overdue();
            if let Err(error) = self.wait(overdue).await {
                // Out of descriptors, say. Polling is slower but tells the same.
                tracing::warn!(%error, "cannot wait for kernel events");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
    }

    /// Appends what is already there, without waiting; `true` as for [`Events::next`].
    pub fn drain(&mut self, into: &mut Vec<Event>) -> bool {
        let mut budget = BATCH;
        while budget > 0
            && let Some(record) = self.ring.next()
        {
            budget -= 1;
            if let Some((header, path)) = parse(&record) {
                take(&self.shared, &header, path, into);
            }
        }
        let now = Instant::now();
        let overdue = self.shared.book().overdue(now);
        for id in overdue {
            into.extend(self.shared.release(id));
        }
        // The rest of the ring comes first: it is older than what a walk finds.
        let lost = self.shared.health().events_lost;
        if budget == 0 || lost == self.lost {
            return false;
        }
        self.lost = lost;
        if let Err(error) = self.shared.reconcile(into) {
            tracing::warn!(%error, "cannot make up for lost kernel events");
        }
        true
    }

    async fn wait(&mut self, until: Option<Instant>) -> io::Result<()> {
        let ready = match self.ready.take() {
            Some(ready) => ready,
            None => sys::register(self.ring.as_fd().try_clone_to_owned()?)?,
        };
        let ready = self.ready.insert(ready);
        let readable = async {
            ready.readable().await?.clear_ready();
            Ok(())
        };
        match until {
            None => readable.await,
            Some(until) => {
                let outcome = tokio::time::timeout_at(until.into(), readable).await;
                outcome.unwrap_or(Ok(()))
            }
        }
    }
}

fn take(shared: &Shared, header: &EventHeader, path: &[u8], into: &mut Vec<Event>) {
    let id = CgroupId(header.id);
    match header.kind {
        EventKind::BORN => {
            let cgroup = Cgroup {
                id,
                parent: CgroupId(header.parent),
                path: String::from_utf8_lossy(path).into_owned(),
                slot: Slot(header.slot),
                inherited: header.flags & SLOT_INHERITED != 0,
            };
            if shared.enter(&cgroup) {
                into.push(Event::Born(cgroup));
            }
        }
        EventKind::TWIN => {
            shared.enter_twin(header.hierarchy, id, &String::from_utf8_lossy(path));
        }
        EventKind::REMOVED => {
            let slot = shared.book().remove(id, Instant::now());
            into.extend(slot.map(|slot| Event::Removed { id, slot }));
        }
        EventKind::RELEASED => into.extend(shared.release(id)),
        kind => tracing::debug!(kind, "unknown kernel event"),
    }
}

/// A record's header and path; `None` if it is shorter than it says.
fn parse(record: &[u8]) -> Option<(EventHeader, &[u8])> {
    let (fixed, rest) = record.split_at_checked(EVENT_HEADER_BYTES)?;
    let word = |at: usize| Some(u32::from_ne_bytes(fixed.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_ne_bytes(fixed.get(at..at + 8)?.try_into().ok()?));
    let header = EventHeader {
        kind: word(std::mem::offset_of!(EventHeader, kind))?,
        slot: word(std::mem::offset_of!(EventHeader, slot))?,
        id: long(std::mem::offset_of!(EventHeader, id))?,
        parent: long(std::mem::offset_of!(EventHeader, parent))?,
        level: word(std::mem::offset_of!(EventHeader, level))?,
        hierarchy: word(std::mem::offset_of!(EventHeader, hierarchy))?,
        flags: word(std::mem::offset_of!(EventHeader, flags))?,
        path_bytes: word(std::mem::offset_of!(EventHeader, path_bytes))?,
    };
    let path = rest.get(..header.path_bytes as usize)?;
    Some((header, path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn record(path: &[u8], path_bytes: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [EventKind::BORN, 7] {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        for long in [0x1_0000_0002_u64, 1] {
            bytes.extend_from_slice(&long.to_ne_bytes());
        }
        for word in [2, 0, SLOT_INHERITED, path_bytes] {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        bytes.extend_from_slice(path);
        bytes
    }

    #[test]
    fn records_are_read_and_their_padding_is_left() {
        let bytes = record(b"/docker/x\0\0", 9);
        let (header, path) = parse(&bytes).unwrap();
        assert_eq!(
            (header.kind, header.slot, header.id),
            (EventKind::BORN, 7, 0x1_0000_0002)
        );
        assert_eq!(
            (header.parent, header.level, header.flags),
            (1, 2, SLOT_INHERITED)
        );
        assert_eq!(path, b"/docker/x");
    }

    #[test]
    fn short_records_are_refused() {
        assert!(parse(&record(b"/docker", 8)).is_none());
        assert!(parse(&record(b"", 0)[..EVENT_HEADER_BYTES - 1]).is_none());
        assert!(parse(&record(b"", 0)).is_some());
    }
}
