//! What is wanted stays true: containers that were removed or renamed by hand, that could not be
//! made when they were asked for, or that an older agent left half way, come back.
//!
//! The directory says at once when a container is gone; a survey of Docker's list, at each
//! (re)connect and now and then, finds what the directory does not show. Either only raises a
//! doubt: the mending itself asks Docker again, in the app's turn. What an app's restart policy is
//! for is left to Docker, which has it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Apps, Inner, Slot};
use crate::config::Guid;
use crate::directory::docker::LABEL_GUID;
use crate::drive::app::Restart;
use crate::drive::docker::{Life, fingerprint_of, spare_name};
use crate::drive::store::Desired;
use crate::drive::{DriveError, policy};

/// Between a change of the directory and the look at it: changes come in bursts.
const SETTLE: Duration = Duration::from_millis(50);

/// Between surveys of Docker's list.
const SURVEY_EVERY: Duration = Duration::from_secs(60);
/// After one that could not judge everything.
const SURVEY_SOON: Duration = Duration::from_secs(2);

/// Longest sleep when nothing is due.
const FAR: Duration = Duration::from_secs(3600);

impl Apps {
    /// Keeps what is wanted true. Runs until dropped; one at a time.
    pub async fn run(&self) {
        let inner = &self.0;
        let mut changes = inner.directory.changes();
        let mut health = inner.health.changes();
        health.mark_changed();
        let mut survey_at = Instant::now() + SURVEY_EVERY;
        let mut told = HashSet::new();
        loop {
            let connected = inner.health.get().connected;
            let next = connected.then(|| inner.next_due()).flatten();
            tokio::select! {
                // The senders live as long as the directory and the health that are held here.
                _ = changes.changed() => {
                    sleep(SETTLE).await;
                    changes.mark_unchanged();
                    inner.compare_with_directory();
                }
                _ = health.changed() => {
                    if health.borrow_and_update().connected {
                        inner.doubt_what_failed();
                        // Before anything is mended: one list clears most doubts.
                        survey_at = inner.survey(&mut told).await;
                    }
                }
                () = sleep_until(survey_at), if connected => {
                    survey_at = inner.survey(&mut told).await;
                }
                () = inner.mend.notified() => {}
                () = sleep_until(next.unwrap_or_else(|| Instant::now() + FAR)) => {}
            }
            if inner.health.get().connected {
                inner.mend_what_is_due();
            }
        }
    }
}

impl Inner {
    /// The earliest look that nobody is taking already.
    fn next_due(&self) -> Option<Instant> {
        let all = self.all().into_iter();
        let idle = all.filter(|(_, slot)| !slot.is_busy());
        idle.filter_map(|(_, slot)| slot.due()).min()
    }

    fn doubt_what_failed(&self) {
        for (_, slot) in self.all() {
            if slot.due().is_some() {
                slot.doubt();
            }
        }
    }

    fn compare_with_directory(&self) {
        if !self.health.get().connected {
            return;
        }
        let slots = self.all();
        let view = self.directory.load();
        for (guid, slot) in slots {
            let wanted = matches!(slot.desired().as_deref(), Some(Desired::Present(_)));
            if !wanted || slot.due().is_some() || slot.is_busy() {
                continue;
            }
            let mut live = view.live_by_guid(guid.as_str());
            if !live.any(|container| container.name == guid.as_str()) {
                slot.doubt();
            }
        }
    }

    /// Compares what is wanted with Docker's list; returns when to do it again. `told`: containers
    /// that were complained about.
    async fn survey(self: &Arc<Self>, told: &mut HashSet<String>) -> Instant {
        let pause = match self.compare_with_list(told).await {
            Ok(true) => SURVEY_EVERY,
            // Somebody was at work on what is half done.
            Ok(false) => SURVEY_SOON,
            Err(error) => {
                tracing::debug!(%error, "survey of the apps failed");
                SURVEY_SOON
            }
        };
        Instant::now() + pause
    }

    /// Whether every container could be judged.
    async fn compare_with_list(
        self: &Arc<Self>,
        told: &mut HashSet<String>,
    ) -> Result<bool, DriveError> {
        let mut complete = true;
        let listed = self.engine.list().await?;
        let slots: HashMap<_, _> = self.all().into_iter().collect();
        let mut present = HashSet::new();
        for summary in &listed {
            let labels = summary.labels.as_ref();
            let guid = labels.and_then(|labels| labels.get(LABEL_GUID)?.parse::<Guid>().ok());
            let (Some(guid), Some(id)) = (guid, &summary.id) else {
                continue;
            };
            let slot = slots.get(&guid);
            let spare = has_name(summary, &spare_name(&guid));
            let unstarted = summary.state == Some(ContainerSummaryStateEnum::CREATED);
            if slot.is_some_and(|slot| slot.is_busy()) {
                complete &= !spare && !unstarted;
                present.insert(guid);
                continue;
            }
            let desired = slot.and_then(|slot| slot.desired());
            match (slot, desired.as_deref()) {
                (_, Some(Desired::Present(_))) if spare => self.engine.remove(id).await?,
                (Some(slot), Some(Desired::Present(app))) => {
                    let right = has_name(summary, guid.as_str())
                        && fingerprint_of(summary) == Some(&app.fingerprint())
                        && !unstarted
                        && !self.is_broken(summary, app.restart).await?;
                    if !right {
                        slot.doubt();
                    } else if slot.last_error().is_none() {
                        slot.succeeded();
                    }
                    present.insert(guid);
                }
                (Some(slot), Some(Desired::Absent)) => slot.doubt(),
                // Created, and the agent died before it was stored: it was never promised.
                (_, None) if unstarted => {
                    self.engine.remove(id).await?;
                }
                (_, None) => {
                    if told.insert(id.clone()) {
                        tracing::warn!(%guid, id, "container's description is not stored; it is left alone");
                    }
                }
                (None, Some(_)) => {}
            }
        }
        for (guid, slot) in &slots {
            if !present.contains(guid) && slot.desired().is_some() && !slot.is_busy() {
                slot.doubt();
            }
        }
        Ok(complete)
    }

    /// Whether Docker could not start it when its restart policy asked for that.
    async fn is_broken(
        &self,
        summary: &ContainerSummary,
        restart: Restart,
    ) -> Result<bool, DriveError> {
        let ended = summary.state == Some(ContainerSummaryStateEnum::EXITED);
        let (true, Some(id)) = (ended && restart != Restart::No, &summary.id) else {
            return Ok(false);
        };
        let found = self.engine.inspect(id).await?;
        Ok(found.is_some_and(|found| found.life == Life::Broken))
    }

    fn mend_what_is_due(self: &Arc<Self>) {
        let now = Instant::now();
        for (guid, slot) in self.all() {
            if slot.due().is_some_and(|due| due <= now) && !slot.is_busy() {
                let inner = Arc::clone(self);
                self.runtime
                    .spawn(async move { inner.mend(guid, slot).await });
            }
        }
    }

    async fn mend(self: Arc<Self>, guid: Guid, slot: Arc<Slot>) {
        let turn = slot.turn.lock().await;
        // Somebody else may have had the turn first.
        if slot.due().is_some_and(|due| due <= Instant::now()) {
            let outcome = match slot.desired().as_deref() {
                // The grants may have changed since it was asked for.
                Some(Desired::Present(app)) => match policy::check(&self.engine.allow, app) {
                    Ok(()) => self.make(&guid, &slot, app).await.map(Some),
                    Err(error) => Err(error),
                },
                Some(Desired::Absent) => self.unmake(&guid, &slot).await.map(|()| None),
                None => Ok(None),
            };
            slot.progress(None);
            match outcome {
                Ok(outcome) => {
                    slot.succeeded();
                    if let Some(super::Outcome::Changed) = outcome {
                        tracing::info!(%guid, "app is as it should be again");
                    }
                }
                Err(error) => {
                    if slot.failed(&error) {
                        tracing::warn!(%guid, %error, "app is not as it should be; will try again");
                    }
                }
            }
        }
        drop(turn);
        self.mend.notify_one();
        self.tidy(&guid, slot);
    }
}

fn has_name(summary: &ContainerSummary, name: &str) -> bool {
    let names = summary.names.as_deref().unwrap_or_default();
    let own = |listed: &String| listed.strip_prefix('/') == Some(name);
    names.iter().any(own)
}
