//! One task per component: what is wanted becomes true and stays so, and what cannot be is told
//! with its reason and tried again.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::Wanted;
use super::ask;
use super::backoff::Backoff;
use super::component::{Component, ComponentState, ComponentStatus, Reload, Run};
use super::files::Files;
use super::instance::{Checker, Home, Instance, NotReloaded};

/// How often a running component's files are looked at, and whether it became ready.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Every so many looks one that is ready is asked whether it still is.
const LOOKS_PER_QUESTION: u32 = 5;
/// So many bad answers in a row are one too many.
const PATIENCE: u32 = 3;
/// After so many it hangs, and is started anew: half a minute, or longer where it does not answer
/// at all.
const HANGS: u32 = 6;
/// For left-overs of components that are not wanted any more.
const CLEAR_GRACE: Duration = Duration::from_secs(10);
/// While Docker is away nothing can be cleared there.
const CLEAR_AGAIN: Duration = Duration::from_secs(30);

/// Between two tries to tell a program of its changed files.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// Runs one component.
pub(super) struct Supervisor {
    pub(super) home: Home,
    pub(super) wanted: watch::Receiver<Wanted>,
    pub(super) status: Arc<Mutex<ComponentStatus>>,
    pub(super) stop: CancellationToken,
    pub(super) files: Files,
    pub(super) backoff: Backoff,
}

/// Why a component is no longer watched.
enum Left {
    /// Something else is wanted.
    Changed,
    /// It has to be started anew to take its files.
    Again,
    /// It ended by itself, or hung.
    Ended(String),
    /// The agent stops.
    Stopping,
}

/// How ready it is, between looks.
#[derive(Default)]
struct Readiness {
    was_ready: bool,
    bad_answers: u32,
    looks: u32,
    /// It could not be told of its changed files: not before then again.
    tell_at: Option<Instant>,
}

impl Supervisor {
    /// Runs until told to stop, and then until the component has ended.
    pub(super) async fn run(mut self) {
        while !self.stop.is_cancelled() {
            let wanted = self.wanted.borrow_and_update().clone();
            self.set(|status| status.managed = wanted.managed.as_str().to_owned());
            let pause = match wanted.component {
                None => self.rest().await,
                Some(component) => match self.bring_up_unless_stopped(&component).await {
                    Ok(instance) => match self.watch(component, &instance).await {
                        Left::Changed | Left::Again => Some(Duration::ZERO),
                        Left::Stopping => return,
                        Left::Ended(reason) => {
                            self.set(|status| status.restarts += 1);
                            Some(self.fail(reason))
                        }
                    },
                    Err(reason) => Some(self.fail(reason)),
                },
            };
            tokio::select! {
                () = self.stop.cancelled() => {}
                // The sender lives as long as the stack.
                _ = self.wanted.changed() => self.backoff = Backoff::new(),
                () = tokio::time::sleep(pause.unwrap_or(Duration::MAX)) => {}
            }
        }
    }

    /// It is not wanted: what an earlier agent started is ended. Returns when to try again.
    async fn rest(&mut self) -> Option<Duration> {
        self.enter(ComponentState::Off, None);
        self.set(|status| {
            *status = ComponentStatus {
                name: std::mem::take(&mut status.name),
                managed: std::mem::take(&mut status.managed),
                since: status.since,
                ..ComponentStatus::default()
            };
        });
        match self.home.clear(CLEAR_GRACE).await {
            Ok(()) => None,
            Err(error) => {
                tracing::debug!(
                    component = self.home.name,
                    error,
                    "cannot look for left-overs"
                );
                Some(CLEAR_AGAIN)
            }
        }
    }

    /// Brings it up; where the agent is stopped meanwhile, ends what has come of it.
    async fn bring_up_unless_stopped(&mut self, component: &Component) -> Result<Instance, String> {
        let stop = self.stop.clone();
        match stop.run_until_cancelled(self.bring_up(component)).await {
            Some(outcome) => outcome,
            None => {
                self.home.clear(component.stop_grace).await?;
                Err("the agent stops".to_owned())
            }
        }
    }

    /// Files first, then what an earlier agent left running, else a start.
    async fn bring_up(&mut self, component: &Component) -> Result<Instance, String> {
        let config_file = component.files.first();
        let config_file = config_file.map(|file| file.path.display().to_string());
        self.set(|status| status.config_file = config_file);
        let folder = self.home.folder.clone();
        super::make_folder(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let left_over = self.home.adopt(component).await?;
        if let Changed::Refused(words) = self.sync(component).await? {
            if component.files.iter().any(|file| !file.path.exists()) {
                return Err(words);
            }
            self.note(words);
        }
        let instance = match left_over {
            Some(instance) => {
                // Nobody knows what it has read.
                self.files.forget_loaded();
                instance
            }
            None => self.home.start(component).await?,
        };
        self.backoff.started();
        let (pid, container) = match &instance {
            Instance::Process(process) => (Some(process.pid()), None),
            Instance::Container(id) => (None, Some(id.clone())),
            Instance::External => (None, None),
        };
        tracing::info!(component = self.home.name, pid, container, "component runs");
        self.set(|status| {
            status.pid = pid;
            status.container = container;
            status.version = None;
        });
        self.enter(running(component, false), None);
        Ok(instance)
    }

    /// Watches until it ends, or has to; in all cases but its own end it is stopped.
    async fn watch(&mut self, mut component: Component, instance: &Instance) -> Left {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut readiness = Readiness::default();
        let stop = self.stop.clone();
        let home = self.home.clone();
        let mut ended = pin!(home.ended(instance));
        let left = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break Left::Stopping,
                reason = &mut ended => return Left::Ended(reason),
                _ = self.wanted.changed() => {
                    let wanted = self.wanted.borrow_and_update().clone();
                    match wanted.component {
                        Some(new) if new.run == component.run && new.listens == component.listens => {
                            component = new;
                        }
                        _ => break Left::Changed,
                    }
                }
                _ = ticks.tick() => {
                    let look = self.look(&component, instance, &mut readiness);
                    match stop.run_until_cancelled(look).await {
                        Some(None) => {}
                        Some(Some(left)) => break left,
                        None => break Left::Stopping,
                    }
                }
            }
        };
        home.stop(instance, component.stop_grace).await;
        if matches!((&left, &component.run), (Left::Stopping, Run::Container(_))) {
            // It may have been asked something this moment, by a container beside it.
            let _ = home.clear(component.stop_grace).await;
        }
        self.set(|status| {
            status.pid = None;
            status.container = None;
        });
        left
    }

    /// Readiness, log and files; says why it has to be started anew, if so.
    async fn look(
        &mut self,
        component: &Component,
        instance: &Instance,
        readiness: &mut Readiness,
    ) -> Option<Left> {
        if let Err(error) = self.home.log.rotate() {
            self.note(format!("{}: {error}", self.home.log.path().display()));
        }
        let health = self.ask(component, readiness).await;
        if matches!(health, Some(Ok(()))) && !readiness.was_ready {
            readiness.was_ready = true;
            if let Err(error) = self.files.commit().await {
                self.note(error);
            }
            let version = self.home.version(component).await;
            self.set(|status| status.version = version);
        }
        let trouble = match self.update(component, instance, readiness).await {
            Ok(false) => None,
            Ok(true) => return Some(Left::Again),
            Err(trouble) => Some(trouble),
        };
        if let Some(trouble) = &trouble {
            self.note(trouble.clone());
        }
        match health {
            Some(Ok(())) => self.enter(running(component, true), trouble),
            Some(Err(error)) if !readiness.was_ready => {
                self.enter(running(component, false), Some(trouble.unwrap_or(error)));
            }
            Some(Err(error)) if readiness.bad_answers >= PATIENCE => {
                self.note(error.clone());
                let state = match component.run {
                    Run::External => ComponentState::External,
                    _ if readiness.bad_answers >= HANGS => {
                        return Some(Left::Ended(format!("hangs: {error}")));
                    }
                    _ => ComponentState::Unhealthy,
                };
                self.enter(state, Some(error));
            }
            _ => {}
        }
        None
    }

    /// Whether it does its work; absent: it was not asked this time.
    async fn ask(
        &self,
        component: &Component,
        readiness: &mut Readiness,
    ) -> Option<Result<(), String>> {
        readiness.looks += 1;
        if readiness.was_ready && !readiness.looks.is_multiple_of(LOOKS_PER_QUESTION) {
            return None;
        }
        let answer = match &component.ready_url {
            Some(url) => ask::look(url)
                .await
                .map_err(|error| format!("{url}: {error}")),
            None => Ok(()),
        };
        readiness.bad_answers = match answer {
            Ok(()) => 0,
            Err(_) => readiness.bad_answers + 1,
        };
        Some(answer)
    }

    /// Makes the files be as wanted.
    async fn sync(&mut self, component: &Component) -> Result<Changed, String> {
        let checker = Checker {
            home: &self.home,
            component,
        };
        let synced = self.files.sync(&component.files, &checker).await?;
        let words = synced.notes.join("; ");
        Ok(match (synced.refused, synced.changed) {
            (true, _) => Changed::Refused(words),
            (false, changed) => {
                if !words.is_empty() {
                    self.note(words);
                }
                match changed {
                    true => Changed::Yes,
                    false => Changed::No,
                }
            }
        })
    }

    /// Makes the files be as wanted and has it read them; what it refuses is rolled back. True: it
    /// has to be started anew.
    async fn update(
        &mut self,
        component: &Component,
        instance: &Instance,
        readiness: &mut Readiness,
    ) -> Result<bool, String> {
        if readiness.tell_at.is_some_and(|at| at > Instant::now()) {
            return Ok(false);
        }
        match self.sync(component).await? {
            Changed::No => return Ok(false),
            Changed::Refused(words) => return Err(words),
            Changed::Yes => {}
        }
        let is_external = matches!(instance, Instance::External);
        // One that is not ready yet does not listen, either.
        if component.reload == Reload::Restart || (!readiness.was_ready && !is_external) {
            return Ok(!is_external);
        }
        match self.home.reload(instance, &component.reload).await {
            Ok(()) => {
                readiness.tell_at = None;
                self.set(|status| status.reloads += 1);
                tracing::info!(component = self.home.name, "component reloaded");
                self.files.commit().await?;
                Ok(false)
            }
            Err(NotReloaded::NotReached(error)) => {
                readiness.tell_at = Some(Instant::now() + TELL_AGAIN);
                self.files.forget_loaded();
                Err(format!("cannot be told of its changed files: {error}"))
            }
            Err(NotReloaded::Refused(words)) => {
                self.files.roll_back(&component.files, &words).await?;
                Err(format!("refused its changed files: {words}"))
            }
        }
    }

    /// It does not run; returns the pause before the next try.
    fn fail(&mut self, reason: String) -> Duration {
        let reason = self.home.secrets.mask(reason);
        let pause = self.backoff.pause();
        self.set(|status| {
            status.pid = None;
            status.container = None;
        });
        tracing::warn!(
            component = self.home.name,
            reason,
            ?pause,
            "component is down"
        );
        self.set(|status| status.last_error = Some(reason.clone()));
        self.enter(ComponentState::Backoff, Some(reason));
        pause
    }

    fn enter(&self, state: ComponentState, reason: Option<String>) {
        let reason = reason.map(|reason| self.home.secrets.mask(reason));
        self.set(|status| {
            if status.state != state {
                status.state = state;
                status.since = now();
            }
            status.reason = reason;
        });
    }

    /// Something went wrong.
    fn note(&self, error: String) {
        let error = self.home.secrets.mask(error);
        self.set(|status| {
            if status.last_error.as_ref() != Some(&error) {
                tracing::warn!(component = self.home.name, error, "component");
                status.last_error = Some(error);
            }
        });
    }

    fn set(&self, change: impl FnOnce(&mut ComponentStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What became of the files.
enum Changed {
    No,
    Yes,
    /// In whose words.
    Refused(String),
}

fn running(component: &Component, is_ready: bool) -> ComponentState {
    match (&component.run, is_ready) {
        (Run::External, _) => ComponentState::External,
        (_, true) => ComponentState::Running,
        (_, false) => ComponentState::Starting,
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
