//! The state of the connection to the daemon, for those who show it or wait for it.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

/// One state of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Whether the daemon is watched: reached, listed, events followed.
    pub connected: bool,
    /// When this state began.
    pub since: SystemTime,
    /// Why it is, or last was, not connected.
    pub last_error: Option<String>,
}

/// A handle on the watcher's connection. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Health(Arc<watch::Sender<Connection>>);

impl Default for Health {
    /// Not connected yet, no error yet.
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Connection {
            connected: false,
            since: SystemTime::now(),
            last_error: None,
        })))
    }
}

impl Health {
    /// The state right now.
    #[must_use]
    pub fn get(&self) -> Connection {
        self.0.borrow().clone()
    }

    /// Resolves on each change of state.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Connection> {
        self.0.subscribe()
    }

    pub(super) fn connected(&self) {
        self.0.send_modify(|state| {
            state.connected = true;
            state.since = SystemTime::now();
        });
    }

    /// Whether this is news: the first failure ever, or after the connection was good.
    pub(super) fn lost(&self, error: &str) -> bool {
        let mut news = false;
        self.0.send_if_modified(|state| {
            news = state.connected || state.last_error.is_none();
            if news {
                state.since = SystemTime::now();
            }
            state.connected = false;
            let changed = news || state.last_error.as_deref() != Some(error);
            state.last_error = Some(error.to_owned());
            changed
        });
        news
    }
}
