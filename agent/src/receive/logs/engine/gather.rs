//! Brings the lines of all containers into common requests, and keeps positions once they are taken.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use super::Shared;
use super::joiner::Position;
use crate::config::Guid;
use crate::forward::{Refused, Stage};
use crate::receive::logs::records::{Resource, push_resource_logs};
use crate::receive::logs::targets::resource_of;
use crate::signal::{Frame, GuidCounts, Kind};

/// How long lines wait for the company of others.
const COMPANY: Duration = Duration::from_millis(200);
/// A request is handed on when it has this many bytes.
const REQUEST_BYTES: usize = 1 << 20;
/// Pause before a refused request is offered again.
const REFUSED_PAUSE: Duration = Duration::from_millis(200);

/// Lines of one container, and how much of its log is done with them.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) container: Arc<str>,
    /// Encoded `ScopeLogs.log_records`.
    pub(super) records: Vec<u8>,
    pub(super) count: u32,
    pub(super) position: Position,
}

/// Runs until every sender of batches is gone and what they sent is taken, or the inlet closes.
pub(super) async fn gather(mut batches: mpsc::Receiver<Batch>, shared: Arc<Shared>) {
    while let Some(first) = batches.recv().await {
        let company = Instant::now() + COMPANY;
        let mut request = Vec::new();
        let mut counts = GuidCounts::new();
        let mut done = Vec::new();
        let mut next = Some(first);
        while let Some(batch) = next {
            add(&batch, &shared, &mut request, &mut counts);
            done.push((batch.container, batch.position));
            next = match request.len() < REQUEST_BYTES {
                true => timeout_at(company, batches.recv()).await.unwrap_or(None),
                false => None,
            };
        }
        let frame = Frame {
            kind: Kind::OtlpLogs,
            raw_len: u32::try_from(request.len()).unwrap_or(u32::MAX),
            payload: Bytes::from(request),
            counts,
        };
        let lines = frame.records();
        if hand_on(frame, &shared).await.is_err() {
            return;
        }
        shared.statistics.lines.fetch_add(lines, Ordering::Relaxed);
        keep(&done, &shared);
    }
}

fn add(batch: &Batch, shared: &Shared, request: &mut Vec<u8>, counts: &mut GuidCounts) {
    let snapshot = shared.directory.load();
    let container = snapshot.container(&batch.container);
    let resource = container.map_or_else(
        || Resource::new([("container.id", &*batch.container)]),
        |container| resource_of(container),
    );
    push_resource_logs(request, &resource, &batch.records);
    let guid: &Guid = container
        .and_then(|container| container.guid.as_ref())
        .unwrap_or(shared.directory.host());
    match counts.iter_mut().find(|(known, _)| known == guid) {
        Some((_, count)) => *count += batch.count,
        None => counts.push((guid.clone(), batch.count)),
    }
}

/// Offers a request until it is taken; meanwhile lines wait in Docker.
async fn hand_on(frame: Frame, shared: &Shared) -> Result<(), Refused> {
    loop {
        match shared.inlet.accept(frame.clone(), Stage::Collected).await {
            Ok(()) => return Ok(()),
            Err(Refused::Closing) => return Err(Refused::Closing),
            Err(error) => shared.statistics.count_refused(&error),
        }
        if shared.stop.is_cancelled() {
            return Err(Refused::Closing);
        }
        sleep(REFUSED_PAUSE).await;
    }
}

fn keep(done: &[(Arc<str>, Position)], shared: &Shared) {
    {
        let mut positions = shared.lock_positions();
        for (container, position) in done {
            positions.set(&**container, *position);
        }
    }
    shared.save();
}
