//! The apps of this node: what is wanted, kept on disk and made true.
//!
//! Owns a slot per guid: whoever changes an app has the slot's turn, so changes of one app follow
//! one another and different apps go side by side. A change runs in a task of its own: a caller
//! that goes away does not leave it half done.
//!
//! A new app is created, stored, announced to the directory, and only then started: it has no
//! first sample without a guid, and no running container is without a description. A changed one is
//! created beside the old one under a spare name; the old one goes when nothing can fail any more
//! but the start.

mod mend;
mod slot;
mod status;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, watch};

use super::app::{App, Restart};
use super::docker::{Created, Engine, Found, Life, spare_name};
use super::store::{Desired, Store};
use super::{DriveError, Environments, policy};
use crate::config::{self, Guid};
use crate::directory::docker::{Health, Owner};
use crate::directory::{Container, Directory};
use slot::Slot;

pub use status::{AppState, AppStatus, ContainerStatus};

/// Containers created, started or stopped at a time. More do not come up sooner: the daemon
/// takes locks of its own, and its cgroup and network work fills the processors.
const AT_ONCE: usize = 8;

/// What the apps of a node need to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[docker]`.
    pub docker: config::Docker,
    /// The agent's data directory; descriptions are kept in `apps` below it.
    pub data_dir: PathBuf,
    /// What apps find in their environment. A change reaches an app when its container is made
    /// anew.
    pub environments: watch::Receiver<Environments>,
}

/// What a [`Apps::put`] did: of an existing app, `Changed` means that another container runs now, or
/// that a missing one was made again.
pub use crate::config::Put as Outcome;

/// A handle on the node's apps. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Apps(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    engine: Engine,
    store: Store,
    directory: Arc<Directory>,
    health: Health,
    runtime: Handle,
    slots: Mutex<HashMap<Guid, Arc<Slot>>>,
    at_once: Semaphore,
    /// Something waits to be mended.
    mend: Notify,
}

impl Apps {
    /// Reads what is stored. Nothing is done about it before [`Apps::run`].
    ///
    /// `health` is the watcher's: apps are mended while it is connected. `runtime` is where
    /// changes run.
    pub fn open(
        settings: Settings,
        directory: Arc<Directory>,
        health: Health,
        runtime: Handle,
    ) -> Result<Self, DriveError> {
        let (store, stored) = Store::open(&settings.data_dir)?;
        let slots = stored
            .into_iter()
            .map(|(guid, desired)| (guid, Arc::new(Slot::stored(desired))))
            .collect();
        let engine = Engine::new(
            settings.docker,
            Owner::of_data_dir(&settings.data_dir),
            settings.environments,
        );
        Ok(Self(Arc::new(Inner {
            engine,
            store,
            directory,
            health,
            runtime,
            slots: Mutex::new(slots),
            at_once: Semaphore::new(AT_ONCE),
            mend: Notify::new(),
        })))
    }

    /// Makes the app be as described. Errors that [`DriveError::may_pass`] leave the description
    /// stored: it is tried again without being asked. All others leave everything as it was.
    pub async fn put(&self, guid: Guid, app: App) -> Result<Outcome, DriveError> {
        app.validate()?;
        policy::check(&self.0.engine.allow, &app)?;
        self.detached(|inner| async move {
            let slot = inner.slot(&guid);
            let turn = slot.turn.lock().await;
            let outcome = inner.make(&guid, &slot, &app).await;
            let outcome = match outcome {
                Err(error) if error.may_pass() => {
                    inner
                        .save(&guid, &slot, Desired::Present(Box::new(app)))
                        .await?;
                    slot.failed(&error);
                    inner.mend.notify_one();
                    Err(error)
                }
                Err(error) => Err(error),
                Ok(outcome) => {
                    slot.succeeded();
                    Ok(outcome)
                }
            };
            slot.progress(None);
            drop(turn);
            inner.tidy(&guid, slot);
            outcome
        })
        .await
    }

    /// Stops the app within its grace, removes its container and forgets it.
    pub async fn delete(&self, guid: &Guid) -> Result<(), DriveError> {
        let guid = guid.clone();
        self.detached(|inner| async move {
            let slot = inner.slot(&guid);
            let turn = slot.turn.lock().await;
            let outcome = inner.unmake(&guid, &slot).await;
            if let Err(error) = &outcome
                && error.may_pass()
                && slot.desired().is_some()
            {
                slot.failed(error);
                inner.mend.notify_one();
            }
            drop(turn);
            inner.tidy(&guid, slot);
            outcome
        })
        .await
    }

    async fn detached<F, T>(&self, work: impl FnOnce(Arc<Inner>) -> F) -> Result<T, DriveError>
    where
        F: Future<Output = Result<T, DriveError>> + Send + 'static,
        T: Send + 'static,
    {
        let work = work(Arc::clone(&self.0));
        match self.0.runtime.spawn(work).await {
            Ok(outcome) => outcome,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(DriveError::Stopping),
            },
        }
    }
}

impl Inner {
    /// The slot of a guid, made if it is not there.
    fn slot(&self, guid: &Guid) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(guid.clone()).or_default())
    }

    fn all(&self) -> Vec<(Guid, Arc<Slot>)> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = |(guid, slot): (&Guid, &Arc<Slot>)| (guid.clone(), Arc::clone(slot));
        slots.iter().map(pair).collect()
    }

    /// Drops a slot that holds nothing, if nobody waits for its turn: handles are only cloned
    /// under the lock that is held here.
    fn tidy(&self, guid: &Guid, slot: Arc<Slot>) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::strong_count(&slot) == 2 && slot.desired().is_none() {
            slots.remove(guid);
        }
    }

    /// Ids that the directory knows for a guid: also of a container that was renamed by hand.
    fn known_ids(&self, guid: &Guid) -> Vec<String> {
        let view = self.directory.load();
        let ids = view.live_by_guid(guid.as_str());
        ids.map(|container| container.id.clone()).collect()
    }

    /// Makes the app be as described. Needs the slot's turn.
    async fn make(
        self: &Arc<Self>,
        guid: &Guid,
        slot: &Slot,
        app: &App,
    ) -> Result<Outcome, DriveError> {
        let fresh = slot.desired().is_none();
        let old = self.engine.find(guid, &self.known_ids(guid)).await?;
        let old = match old {
            Some(found) if !found.ours => return Err(conflict(guid, &found)),
            Some(found) if found.app.as_deref() == Some(&app.fingerprint()) => {
                match self.keep(guid, slot, app, &found).await? {
                    Some(outcome) => return Ok(outcome),
                    None => Some(found),
                }
            }
            found => found,
        };
        let progress = |line| slot.progress(Some(line));
        let image_env = self
            .engine
            .ensure_image(&app.image, app.pull, progress)
            .await?;

        // Never closed, so this cannot fail; if it did, going on would be right.
        let _permit = self.at_once.acquire().await;
        let replaces = old.is_some();
        let id = self.create(guid, app, &image_env, replaces).await?;
        if let Err(error) = self
            .save(guid, slot, Desired::Present(Box::new(app.clone())))
            .await
        {
            self.engine.remove(&id).await?;
            return Err(error);
        }
        self.directory.put(announced(&id, guid, app));
        if let Some(old) = &old {
            self.engine.retire(old).await?;
            self.directory.remove(&old.id);
            self.engine.rename(&id, guid).await?;
        }
        self.engine.start(&id).await?;
        Ok(if fresh && !replaces {
            Outcome::Created
        } else {
            Outcome::Changed
        })
    }

    /// What is left to do about a container of the right description; absent: it must be made
    /// anew.
    async fn keep(
        self: &Arc<Self>,
        guid: &Guid,
        slot: &Slot,
        app: &App,
        found: &Found,
    ) -> Result<Option<Outcome>, DriveError> {
        if found.life == Life::Created {
            // Never ran: whatever was wrong with it, nothing is lost.
            return Ok(None);
        }
        let mut outcome = Outcome::Unchanged;
        if found.name != guid.as_str() {
            self.engine.rename(&found.id, guid).await?;
            outcome = Outcome::Changed;
        }
        self.save(guid, slot, Desired::Present(Box::new(app.clone())))
            .await?;
        if found.life == Life::Broken && app.restart != Restart::No {
            self.engine.start(&found.id).await?;
            outcome = Outcome::Changed;
        }
        Ok(Some(outcome))
    }

    /// Creates under the guid, or under the spare name while the predecessor has the guid.
    async fn create(
        &self,
        guid: &Guid,
        app: &App,
        image_env: &[String],
        replaces: bool,
    ) -> Result<String, DriveError> {
        let name = if replaces {
            spare_name(guid)
        } else {
            guid.to_string()
        };
        if let Created::Id(id) = self.engine.create(&name, guid, app, image_env).await? {
            return Ok(id);
        }
        // Left by a crash between two steps; or somebody else's, since it was looked for.
        if let Some(other) = self.engine.inspect(&name).await? {
            if !other.ours {
                return Err(conflict(guid, &other));
            }
            self.engine.remove(&other.id).await?;
            self.directory.remove(&other.id);
        }
        match self.engine.create(&name, guid, app, image_env).await? {
            Created::Id(id) => Ok(id),
            Created::NameTaken(refused) => Err(refused),
        }
    }

    /// Makes the app go. Needs the slot's turn.
    async fn unmake(self: &Arc<Self>, guid: &Guid, slot: &Slot) -> Result<(), DriveError> {
        let wanted = slot.desired().is_some();
        if wanted {
            // Before the first step: a crash must not bring it back.
            self.save(guid, slot, Desired::Absent).await?;
        }
        let mut found = false;
        let _permit = self.at_once.acquire().await;
        if let Some(spare) = self.engine.inspect(&spare_name(guid)).await?
            && spare.ours
        {
            self.engine.retire(&spare).await?;
            self.directory.remove(&spare.id);
        }
        if let Some(container) = self.engine.find(guid, &self.known_ids(guid)).await?
            && container.ours
        {
            found = true;
            self.engine.retire(&container).await?;
            self.directory.remove(&container.id);
        }
        if wanted {
            let (inner, guid) = (Arc::clone(self), guid.clone());
            blocking(move || inner.store.forget(&guid)).await?;
            slot.forget();
        }
        if wanted || found {
            Ok(())
        } else {
            Err(DriveError::NotFound(guid.clone()))
        }
    }

    /// Keeps what is wanted, on disk first.
    async fn save(
        self: &Arc<Self>,
        guid: &Guid,
        slot: &Slot,
        desired: Desired,
    ) -> Result<(), DriveError> {
        if slot.desired().as_deref() == Some(&desired) {
            return Ok(());
        }
        let (inner, guid) = (Arc::clone(self), guid.clone());
        let desired = Arc::new(desired);
        let kept = Arc::clone(&desired);
        blocking(move || inner.store.save(&guid, &kept)).await?;
        slot.want(desired);
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DriveError> + Send + 'static,
) -> Result<T, DriveError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(DriveError::Stopping),
        },
    }
}

fn conflict(guid: &Guid, other: &Found) -> DriveError {
    DriveError::Conflict {
        guid: guid.clone(),
        container: other.id.chars().take(12).collect(),
        image: other.image.clone(),
    }
}

/// What is known of a container before it starts.
fn announced(id: &str, guid: &Guid, app: &App) -> Container {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Container {
        id: id.to_owned(),
        name: guid.to_string(),
        image: app.image.clone(),
        guid: Some(guid.clone()),
        created_at: now.unwrap_or_default().as_secs_f64(),
        ..Container::default()
    }
}
