//! The daemon's event stream, boiled down to what the directory must know.
//!
//! The stream is read by a task of its own, because the daemon drops events for a client that is
//! slow to read them, and kept in a bounded queue. When that overflows the session ends, and the
//! next one begins with the list.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use bollard::Docker;
use bollard::models::{EventMessage, EventMessageTypeEnum};
use bollard::query_parameters::EventsOptions;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::SessionError;

/// Events that may wait. Some 500 bytes each.
const QUEUE: usize = 16 * 1024;

/// How far back the daemon replays when the stream opens: covers the time until it is open.
const REPLAY: Duration = Duration::from_secs(2);

/// What happened to a container.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    /// `attributes` are `name`, `image` and the labels.
    Created {
        id: String,
        attributes: HashMap<String, String>,
    },
    /// Something that only an inspection tells.
    Look {
        id: String,
    },
    Stopped {
        id: String,
    },
    Gone {
        id: String,
    },
}

/// The stream, followed.
pub(super) struct Changes {
    queue: mpsc::Receiver<Result<Change, SessionError>>,
    _reader: AbortOnDropHandle<()>,
}

impl Changes {
    pub(super) fn follow(docker: &Docker) -> Self {
        let since = SystemTime::now() - REPLAY;
        let since = since
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let types = ["container", "network"].map(str::to_owned).to_vec();
        let options = EventsOptions {
            since: Some(since.to_string()),
            filters: Some(HashMap::from([("type".to_owned(), types)])),
            ..Default::default()
        };
        let mut stream = Box::pin(docker.events(Some(options)));
        let (into, queue) = mpsc::channel(QUEUE);
        let reader = tokio::spawn(async move {
            while let Some(event) = stream.next().await {
                let change = match event {
                    Ok(event) => match change_of(event) {
                        Some(change) => Ok(change),
                        None => continue,
                    },
                    // An event of a kind the client library does not know is not the end.
                    Err(bollard::errors::Error::JsonDataError { .. }) => continue,
                    Err(error) => Err(error.into()),
                };
                let ends = change.is_err();
                // Full: the task ends, and the other side finds the queue closed.
                if into.try_send(change).is_err() || ends {
                    return;
                }
            }
            // Full: the session ends all the same.
            let _ = into.try_send(Err(SessionError::StreamEnded));
        });
        Self {
            queue,
            _reader: AbortOnDropHandle::new(reader),
        }
    }

    /// Appends what happened, at least one change. Cancel-safe.
    pub(super) async fn next(&mut self, into: &mut Vec<Change>) -> Result<(), SessionError> {
        let first = self.queue.recv().await;
        into.push(first.unwrap_or(Err(SessionError::Overrun))?);
        while let Ok(change) = self.queue.try_recv() {
            into.push(change?);
        }
        Ok(())
    }
}

fn change_of(event: EventMessage) -> Option<Change> {
    let actor = event.actor?;
    let mut attributes = actor.attributes.unwrap_or_default();
    let action = event.action?;
    match event.typ? {
        EventMessageTypeEnum::CONTAINER => {
            let id = actor.id?;
            match action.as_str() {
                "create" => Some(Change::Created { id, attributes }),
                "start" | "rename" | "update" => Some(Change::Look { id }),
                "die" => Some(Change::Stopped { id }),
                "destroy" => Some(Change::Gone { id }),
                _ => None,
            }
        }
        EventMessageTypeEnum::NETWORK => match action.as_str() {
            "connect" | "disconnect" => {
                attributes.remove("container").map(|id| Change::Look { id })
            }
            _ => None,
        },
        _ => None,
    }
}
