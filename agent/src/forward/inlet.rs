//! Where frames enter. Knows lanes, nothing behind them.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::destination::Route;
use super::lane::Entrance;
use super::ledger::{Entry, Stage};
use crate::signal::Frame;

/// Why a frame was not taken. The caller still owns the data and tells its sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A queue or the spool is full; worth trying again after this long.
    #[error("{what} is full")]
    Full {
        /// What is full.
        what: String,
        /// When room is likely.
        retry_after: Duration,
    },
    /// The spool cannot be written.
    #[error("spool {destination}: {error}")]
    Spool {
        /// The destination's URL without credentials, or `local`.
        destination: String,
        /// What the system said, with the path.
        error: String,
    },
    /// The agent is shutting down.
    #[error("shutting down")]
    Closing,
}

/// Which lanes a frame enters, by its kind. Swapped as a whole on reload.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    pub(crate) metrics: Vec<Arc<Entrance>>,
    pub(crate) otlp_metrics: Vec<Arc<Entrance>>,
    pub(crate) logs: Vec<Arc<Entrance>>,
    pub(crate) traces: Vec<Arc<Entrance>>,
    /// The agent goes down.
    pub(crate) closed: bool,
}

impl Routes {
    pub(crate) fn of(&mut self, route: Route) -> &mut Vec<Arc<Entrance>> {
        match route {
            Route::Metrics => &mut self.metrics,
            Route::OtlpMetrics => &mut self.otlp_metrics,
            Route::Logs => &mut self.logs,
            Route::Traces => &mut self.traces,
        }
    }

    fn for_frame(&self, frame: &Frame) -> &[Arc<Entrance>] {
        match Route::of(frame.kind) {
            Route::Metrics => &self.metrics,
            Route::OtlpMetrics => &self.otlp_metrics,
            Route::Logs => &self.logs,
            Route::Traces => &self.traces,
        }
    }
}

/// The routes of the moment, and the news of others.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    routes: ArcSwap<Routes>,
    changed: Notify,
}

impl Switch {
    pub(crate) fn set(&self, routes: Routes) {
        self.routes.store(Arc::new(routes));
        self.changed.notify_waiters();
    }

    /// Other routes than these, if they come within the time.
    async fn others(&self, than: &Arc<Routes>, wait: Duration) -> Option<Arc<Routes>> {
        let other = || {
            let routes = self.routes.load_full();
            (!Arc::ptr_eq(&routes, than)).then_some(routes)
        };
        let changed = self.changed.notified();
        if let Some(routes) = other() {
            return Some(routes);
        }
        // Times out as if nothing had changed.
        let _ = tokio::time::timeout(wait, changed).await;
        other()
    }
}

/// Where frames enter. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Inlet {
    pub(crate) switch: Arc<Switch>,
}

impl Inlet {
    /// Takes a frame; returns when every destination of its kind has it as durable as the
    /// configuration promises. Books it as `received` or `collected` only when taken.
    ///
    /// With several destinations nothing is written before each of them has room. Should one fail
    /// after that, the error is returned and the others keep their copy: a sender that tries again
    /// makes duplicates there, never a loss.
    ///
    /// A frame that comes while a reload replaces its lane waits for the new one.
    pub async fn accept(&self, frame: Frame, stage: Stage) -> Result<(), Refused> {
        /// A reload takes a lane away for about so long at most (`running::RELOAD_GRACE`).
        const RELOAD: Duration = Duration::from_secs(6);
        if frame.payload.is_empty() {
            return Ok(());
        }
        let entry = Entry::entering(stage);
        let mut routes = self.switch.routes.load_full();
        loop {
            let refused = match routes.for_frame(&frame) {
                _ if routes.closed => return Err(Refused::Closing),
                [] => {
                    return Err(Refused::Spool {
                        destination: Route::of(frame.kind).as_str().to_owned(),
                        error: "no destination takes it".to_owned(),
                    });
                }
                [only] => match only.reserve(&frame).await {
                    Ok(ticket) => {
                        return match ticket.enter(frame, entry)? {
                            Some(answer) => answer.await.unwrap_or(Err(Refused::Closing)),
                            None => Ok(()),
                        };
                    }
                    Err(refused) => refused,
                },
                many => match accept_by_all(many, &frame, entry).await {
                    Ok(()) => return Ok(()),
                    Err(refused) => refused,
                },
            };
            match refused {
                Refused::Closing => match self.switch.others(&routes, RELOAD).await {
                    Some(others) => routes = others,
                    None => return Err(Refused::Closing),
                },
                Refused::Full { .. } | Refused::Spool { .. } => return Err(refused),
            }
        }
    }
}

async fn accept_by_all(
    entrances: &[Arc<Entrance>],
    frame: &Frame,
    entry: Entry,
) -> Result<(), Refused> {
    let mut tickets = Vec::with_capacity(entrances.len());
    for entrance in entrances {
        tickets.push(entrance.reserve(frame).await?);
    }
    let mut answers = Vec::with_capacity(entrances.len());
    for ticket in tickets {
        answers.push(ticket.enter(frame.clone(), entry)?);
    }
    let mut result = Ok(());
    for answer in answers.into_iter().flatten() {
        result = result.and(answer.await.unwrap_or(Err(Refused::Closing)));
    }
    result
}
