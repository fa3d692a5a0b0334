//! What stands in for the rooms: remembers what it was asked, answers what it was told.

mod targets;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::api::model::{
    ClusterRole, ClusterStatus, Readiness, ReloadReport, RoomReadiness, Status,
};
use crate::api::{
    AppsHandle, BusError, BusFrame, BusHandle, BusPage, Handles, MetricsHandle, MetricsPage,
    Position, ReloadError, ReloadHandle, StatusHandle, Unavailable,
};
use crate::config::{ConfigError, Guid, Origin, Problem};
use crate::drive::{App, AppState, AppStatus, DriveError, Outcome};
use crate::signal::series::Format;
use crate::signal::{Frame, Signal};
use targets::Targets;

#[derive(Default)]
pub(super) struct Fakes {
    pub(super) apps: Mutex<BTreeMap<Guid, App>>,
    targets: Targets,
    /// The error that the next apps call answers with.
    pub(super) apps_error: Mutex<Option<DriveError>>,
    /// How long a `put` takes.
    pub(super) put_takes: Mutex<Duration>,
    pub(super) not_ready: AtomicBool,
    pub(super) bad_config: AtomicBool,
    /// The local bus: frame `n` has the cursor `n`.
    pub(super) frames: Mutex<Vec<Frame>>,
    pub(super) frame_came: tokio::sync::Notify,
}

impl Fakes {
    pub(super) fn handles(this: &Arc<Self>) -> Handles {
        Handles {
            apps: this.clone(),
            status: this.clone(),
            metrics: this.clone(),
            logs: this.clone(),
            exporters: Arc::new(this.targets.exporters.clone()),
            stack: this.clone(),
            bus: this.clone(),
            reload: this.clone(),
        }
    }

    fn check(&self) -> Result<(), DriveError> {
        self.apps_error.lock().unwrap().take().map_or(Ok(()), Err)
    }
}

fn view(guid: &Guid, app: &App) -> AppStatus {
    AppStatus {
        guid: guid.clone(),
        state: AppState::Running,
        app: Some(app.clone()),
        containers: Vec::new(),
        cgroups: Vec::new(),
        last_error: None,
        progress: None,
    }
}

impl AppsHandle for Fakes {
    fn put(&self, guid: Guid, app: App) -> BoxFuture<'_, Result<(Outcome, AppStatus), DriveError>> {
        async move {
            self.check()?;
            let takes = *self.put_takes.lock().unwrap();
            tokio::time::sleep(takes).await;
            let seen = view(&guid, &app);
            let outcome = match self.apps.lock().unwrap().insert(guid, app.clone()) {
                None => Outcome::Created,
                Some(before) if before == app => Outcome::Unchanged,
                Some(_) => Outcome::Changed,
            };
            Ok((outcome, seen))
        }
        .boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<AppStatus>, DriveError>> {
        async {
            self.check()?;
            let apps = self.apps.lock().unwrap();
            Ok(apps.iter().map(|(guid, app)| view(guid, app)).collect())
        }
        .boxed()
    }

    fn get(&self, guid: Guid) -> BoxFuture<'_, Result<AppStatus, DriveError>> {
        async move {
            let apps = self.apps.lock().unwrap();
            let app = apps.get(&guid).map(|app| view(&guid, app));
            app.ok_or(DriveError::NotFound(guid))
        }
        .boxed()
    }

    fn remove(&self, guid: Guid) -> BoxFuture<'_, Result<(), DriveError>> {
        async move {
            self.check()?;
            let gone = self.apps.lock().unwrap().remove(&guid);
            gone.map(|_| ()).ok_or(DriveError::NotFound(guid))
        }
        .boxed()
    }
}

impl StatusHandle for Fakes {
    fn status(&self) -> BoxFuture<'_, Status> {
        let status = Status {
            guid: "node-7".into(),
            ..Status::default()
        };
        async { status }.boxed()
    }

    fn cluster(&self) -> ClusterStatus {
        ClusterStatus {
            name: Some("shop".into()),
            role: ClusterRole::Slave,
            members: Vec::new(),
            collector_url: None,
        }
    }

    fn readiness(&self) -> BoxFuture<'_, Readiness> {
        let ready = !self.not_ready.load(Ordering::Relaxed);
        let room = RoomReadiness {
            room: "docker".into(),
            ready,
            reason: (!ready).then(|| "cannot connect".into()),
        };
        let rooms = vec![room];
        async move { Readiness { ready, rooms } }.boxed()
    }
}

impl MetricsHandle for Fakes {
    fn render(&self, page: MetricsPage, _: Format) -> BoxFuture<'_, Result<Bytes, Unavailable>> {
        let text = match page {
            MetricsPage::Agent => Ok("guidon_up 1\n".into()),
            MetricsPage::Containers => Ok("container_tasks_state 1\n".repeat(1000).into()),
            MetricsPage::Node => Err(Unavailable {
                reason: "collect.node is off".into(),
            }),
        };
        async { text }.boxed()
    }
}

impl BusHandle for Fakes {
    fn read(
        &self,
        signal: Signal,
        position: Position,
        max_bytes: usize,
        wait: Duration,
    ) -> BoxFuture<'_, Result<BusPage, BusError>> {
        async move {
            if signal == Signal::Traces {
                return Err(BusError::Elsewhere("traces"));
            }
            let start = match position {
                Position::Oldest => 0,
                Position::Latest => self.frames.lock().unwrap().len(),
                Position::After(cursor) => cursor.parse().map_err(|_| BusError::BadCursor)?,
            };
            if self.frames.lock().unwrap().len() <= start {
                tokio::time::timeout(wait, self.frame_came.notified())
                    .await
                    .ok();
            }
            let mut bytes = 0;
            let mut frames = Vec::new();
            for (index, frame) in self.frames.lock().unwrap().iter().enumerate().skip(start) {
                if bytes >= max_bytes {
                    break;
                }
                bytes += frame.payload.len();
                frames.push(BusFrame {
                    frame: frame.clone(),
                    after: (index + 1).to_string(),
                });
            }
            let next = (start + frames.len()).to_string();
            Ok(BusPage {
                frames,
                next,
                skipped: false,
            })
        }
        .boxed()
    }
}

impl ReloadHandle for Fakes {
    fn reload(&self) -> BoxFuture<'_, Result<ReloadReport, ReloadError>> {
        let outcome = if self.bad_config.load(Ordering::Relaxed) {
            Err(ReloadError::Config(ConfigError::Invalid {
                path: Some("/etc/guidon/guidon.toml".into()),
                problems: vec![Problem {
                    origin: Origin::File { line: 3, column: 1 },
                    key: "api.listens".into(),
                    what: "unknown key".into(),
                    fix: String::new(),
                }],
            }))
        } else {
            Ok(ReloadReport {
                applied: vec!["bus.logs".into()],
                needs_restart: Vec::new(),
            })
        };
        async { outcome }.boxed()
    }
}
