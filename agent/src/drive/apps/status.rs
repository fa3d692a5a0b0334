//! What an app looks like right now, for those who ask.

use std::collections::HashMap;

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary, ContainerSummaryStateEnum,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Apps, Slot};
use crate::config::Guid;
use crate::directory::Snapshot;
use crate::directory::docker::{LABEL_GUID, unix_seconds};
use crate::drive::DriveError;
use crate::drive::app::App;
use crate::drive::docker::{Found, Life};
use crate::drive::store::Desired;

/// An app as it is wanted and as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AppStatus {
    /// Its guid.
    #[schema(value_type = String)]
    pub guid: Guid,
    /// Its state.
    pub state: AppState,
    /// The description as it was asked for; absent while it is being removed.
    pub app: Option<App>,
    /// Its containers.
    pub containers: Vec<ContainerStatus>,
    /// Paths of its cgroups, below the hierarchy's root.
    pub cgroups: Vec<String>,
    /// Why it is not as it should be, if it is not.
    pub last_error: Option<String>,
    /// What is being done for it this moment, e.g. how far a pull is.
    pub progress: Option<String>,
}

/// What an app is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AppState {
    /// On its way.
    Creating,
    /// Running.
    Running,
    /// Frozen by somebody.
    Paused,
    /// Between two runs, by its restart policy.
    Restarting,
    /// Ended, and its restart policy leaves it at that.
    Exited,
    /// Its container is not there, and is about to be made again.
    Missing,
    /// It could not be made or started; see `last_error`.
    Failed,
    /// On its way out.
    Removing,
    /// Docker is away.
    Unknown,
}

/// A container of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ContainerStatus {
    /// 64 hex digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Docker's word for its state.
    pub state: String,
    /// Docker's word on its health, if it has a health check.
    pub health: Option<String>,
    /// Unix time of its latest start, in seconds.
    pub started_at: Option<f64>,
    /// How its latest run ended; absent while it runs.
    pub exit_code: Option<i64>,
    /// Addresses on its networks.
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<std::net::IpAddr>,
}

impl Apps {
    /// One app. While Docker is away its state is unknown, which is no error.
    pub async fn get(&self, guid: &Guid) -> Result<AppStatus, DriveError> {
        let slot = self.slots().remove(guid);
        let slot = slot.ok_or_else(|| DriveError::NotFound(guid.clone()))?;
        let ids = self.0.known_ids(guid);
        let seen = match self.0.engine.find(guid, &ids).await {
            Ok(found) => Seen::Known(found.filter(|found| found.ours).map(inspected)),
            Err(error) => Seen::Away(error.to_string()),
        };
        let view = self.0.directory.load();
        status(guid, &slot, seen, &view, &cgroups(&view))
            .ok_or_else(|| DriveError::NotFound(guid.clone()))
    }

    /// Every app, by guid. Costs one request to Docker.
    pub async fn list(&self) -> Vec<AppStatus> {
        let slots = self.slots();
        let view = std::sync::Arc::clone(&self.0.directory.load());
        let cgroups = cgroups(&view);
        let mut listed = match self.0.engine.list().await {
            Ok(listed) => Ok(by_guid(listed, &view)),
            Err(error) => Err(error.to_string()),
        };
        let mut apps: Vec<_> = slots
            .iter()
            .filter_map(|(guid, slot)| {
                let seen = match &mut listed {
                    Ok(listed) => Seen::Known(listed.remove(guid.as_str())),
                    Err(error) => Seen::Away(error.clone()),
                };
                status(guid, slot, seen, &view, &cgroups)
            })
            .collect();
        apps.sort_by(|left, right| left.guid.cmp(&right.guid));
        apps
    }

    fn slots(&self) -> HashMap<Guid, std::sync::Arc<Slot>> {
        self.0.all().into_iter().collect()
    }
}

enum Seen {
    Known(Option<(AppState, ContainerStatus)>),
    /// Docker cannot be asked.
    Away(String),
}

type Cgroups<'a> = HashMap<&'a str, Vec<&'a str>>;

/// Absent: no app is wanted under this guid.
fn status(
    guid: &Guid,
    slot: &Slot,
    seen: Seen,
    view: &Snapshot,
    cgroups: &Cgroups<'_>,
) -> Option<AppStatus> {
    let desired = slot.desired()?;
    let mut last_error = slot.last_error();
    let (mut state, containers) = match seen {
        Seen::Known(Some((state, container))) => (state, vec![container]),
        Seen::Known(None) if slot.is_busy() => (AppState::Creating, vec![]),
        Seen::Known(None) if last_error.is_some() => (AppState::Failed, vec![]),
        Seen::Known(None) => (AppState::Missing, vec![]),
        Seen::Away(error) => {
            last_error = Some(error);
            (AppState::Unknown, remembered(guid, view))
        }
    };
    let app = match &*desired {
        Desired::Present(app) => Some(App::clone(app)),
        Desired::Absent => {
            state = AppState::Removing;
            None
        }
    };
    if state == AppState::Failed && slot.is_busy() {
        state = AppState::Creating;
    }
    let of_app = containers.iter().flat_map(|container| {
        let known = cgroups.get(container.id.as_str());
        let known = known.into_iter().flatten().copied().map(str::to_owned);
        let mut paths: Vec<_> = known.collect();
        if paths.is_empty() {
            paths.extend(cgroup_of_process(view, &container.id));
        }
        paths.sort_unstable();
        paths
    });
    Some(AppStatus {
        guid: guid.clone(),
        state,
        app,
        cgroups: of_app.collect(),
        containers,
        last_error,
        progress: slot.current_progress(),
    })
}

fn cgroups(view: &Snapshot) -> Cgroups<'_> {
    let mut of_container = Cgroups::new();
    for (_, path, container) in view.cgroups() {
        of_container.entry(container).or_default().push(path);
    }
    of_container
}

/// Without kernel events: what the process itself says, on the cgroup2 hierarchy if it is there.
fn cgroup_of_process(view: &Snapshot, id: &str) -> Option<String> {
    let pid = view.container(id)?.pid;
    if pid == 0 {
        return None;
    }
    let lines = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = |line: &str| line.splitn(3, ':').nth(2).map(str::to_owned);
    let unified = lines.lines().find(|line| line.starts_with("0::"));
    path(unified.or_else(|| lines.lines().next())?)
}

/// What the directory still knows, with Docker away.
fn remembered(guid: &Guid, view: &Snapshot) -> Vec<ContainerStatus> {
    let live = view.live_by_guid(guid.as_str());
    live.map(|container| ContainerStatus {
        id: container.id.clone(),
        name: container.name.clone(),
        image: container.image.clone(),
        state: "unknown".to_owned(),
        health: None,
        started_at: (container.started_at > 0.0).then_some(container.started_at),
        exit_code: None,
        addresses: container.addresses.clone(),
    })
    .collect()
}

fn inspected(found: Found) -> (AppState, ContainerStatus) {
    let answer: &ContainerInspectResponse = &found.inspected;
    let docker = answer.state.as_ref();
    let status = docker.and_then(|state| state.status);
    let state = match status {
        Some(ContainerStateStatusEnum::RUNNING) => AppState::Running,
        Some(ContainerStateStatusEnum::PAUSED) => AppState::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => AppState::Restarting,
        Some(ContainerStateStatusEnum::REMOVING | ContainerStateStatusEnum::DEAD) => {
            AppState::Removing
        }
        Some(ContainerStateStatusEnum::CREATED) => AppState::Failed,
        _ if found.life == Life::Broken => AppState::Failed,
        _ => AppState::Exited,
    };
    let ended = matches!(state, AppState::Exited | AppState::Failed);
    let networks = answer.network_settings.as_ref();
    let networks = networks.and_then(|settings| settings.networks.as_ref());
    let endpoints = networks.into_iter().flat_map(HashMap::values);
    let addresses = endpoints
        .flat_map(|endpoint| [&endpoint.ip_address, &endpoint.global_ipv6_address])
        .filter_map(|address| address.as_ref()?.parse().ok());
    let container = ContainerStatus {
        name: found.name,
        image: found.image,
        state: status.map(|status| status.to_string()).unwrap_or_default(),
        health: docker
            .and_then(|state| state.health.as_ref()?.status)
            .map(|status| status.to_string()),
        started_at: docker.and_then(|state| unix_seconds(state.started_at.as_ref()?)),
        exit_code: docker.and_then(|state| state.exit_code).filter(|_| ended),
        addresses: addresses.collect(),
        id: found.id,
    };
    (state, container)
}

/// A replacement under its spare name does not count: its predecessor still runs.
fn by_guid(
    listed: Vec<ContainerSummary>,
    view: &Snapshot,
) -> HashMap<String, (AppState, ContainerStatus)> {
    let mut of_guid = HashMap::new();
    for summary in listed {
        let labels = summary.labels.as_ref();
        let Some(guid) = labels.and_then(|labels| labels.get(LABEL_GUID)).cloned() else {
            continue;
        };
        let names = summary.names.as_deref().unwrap_or_default();
        let name = names.first().map(|name| name.trim_start_matches('/'));
        let name = name.unwrap_or_default();
        if name != guid && of_guid.contains_key(&guid) {
            continue;
        }
        if let Some(status) = summarised(&summary, name, view) {
            of_guid.insert(guid, status);
        }
    }
    of_guid
}

fn summarised(
    summary: &ContainerSummary,
    name: &str,
    view: &Snapshot,
) -> Option<(AppState, ContainerStatus)> {
    let state = match summary.state {
        Some(ContainerSummaryStateEnum::RUNNING) => AppState::Running,
        Some(ContainerSummaryStateEnum::PAUSED) => AppState::Paused,
        Some(ContainerSummaryStateEnum::RESTARTING) => AppState::Restarting,
        Some(ContainerSummaryStateEnum::REMOVING | ContainerSummaryStateEnum::DEAD) => {
            AppState::Removing
        }
        Some(ContainerSummaryStateEnum::CREATED) => AppState::Failed,
        _ => AppState::Exited,
    };
    let id = summary.id.clone()?;
    let known = view.container(&id);
    let words = summary.status.as_deref().unwrap_or_default();
    Some((
        state,
        ContainerStatus {
            name: name.to_owned(),
            image: summary.image.clone().unwrap_or_default(),
            state: summary.state.map(|state| state.to_string())?,
            health: health_in(words).map(str::to_owned),
            started_at: known
                .map(|known| known.started_at)
                .filter(|&started| started > 0.0),
            exit_code: exit_code_in(words).filter(|_| state == AppState::Exited),
            addresses: known
                .map(|known| known.addresses.clone())
                .unwrap_or_default(),
            id,
        },
    ))
}

/// The list has the exit code in words only: `Exited (137) 5 seconds ago`.
fn exit_code_in(words: &str) -> Option<i64> {
    let (code, _) = words.strip_prefix("Exited (")?.split_once(')')?;
    code.parse().ok()
}

/// Likewise the health: `Up 5 seconds (healthy)`.
fn health_in(words: &str) -> Option<&str> {
    let (_, health) = words.strip_prefix("Up ")?.rsplit_once('(')?;
    match health.strip_suffix(')')? {
        "health: starting" => Some("starting"),
        health @ ("healthy" | "unhealthy") => Some(health),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_code_and_health_are_read_from_the_lists_words() {
        assert_eq!(exit_code_in("Exited (137) 5 seconds ago"), Some(137));
        assert_eq!(exit_code_in("Up 5 seconds"), None);
        assert_eq!(health_in("Up 5 seconds (healthy)"), Some("healthy"));
        assert_eq!(
            health_in("Up 2 minutes (health: starting)"),
            Some("starting")
        );
        assert_eq!(health_in("Up 2 minutes (Paused)"), None);
        assert_eq!(health_in("Exited (0) 1 second ago"), None);
    }
}
