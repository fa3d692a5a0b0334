//! The docker driver's steps: find, fetch the image, create, start, stop, remove. Knows what one
//! container takes, not which apps are wanted nor in what order things are done.
//!
//! Each request opens its own connection, and each is bounded in time.

mod body;
mod image;
mod refusal;

use std::path::PathBuf;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary,
    NetworkConnectRequest,
};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, ListContainersOptions, RemoveContainerOptions,
    RenameContainerOptions, StopContainerOptions,
};
use tokio::sync::{Mutex, watch};

use super::app::App;
use super::{DriveError, Environments};
use crate::config::{self, Allow, Guid};
use crate::directory::docker::{self, ASK_TIMEOUT, LABEL_OWNER, Owner};

use refusal::{Act, is_beginning_of_ids, is_status, refused};

/// The description a container was made from, as [`App::fingerprint`].
const LABEL_APP: &str = "io.guidon.app";

/// Longest wait for work that touches disk, network and cgroups on a busy node.
const WORK_TIMEOUT: Duration = Duration::from_secs(120);

/// Docker's default between the stop signal and `SIGKILL`.
const GRACE: Duration = Duration::from_secs(10);

/// A container that carries a guid's name or label.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(super) image: String,
    /// Whether this agent made it.
    pub(super) ours: bool,
    /// The fingerprint of the description it was made from.
    pub(super) app: Option<String>,
    pub(crate) life: Life,
    pub(crate) inspected: Box<ContainerInspectResponse>,
}

/// How far a container has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Made, never started.
    Created,
    /// Running, paused, or between two runs.
    Running,
    /// Ended, by itself or by somebody's will.
    Ended,
    /// Docker tried to start it and could not.
    Broken,
}

/// A client of one daemon.
#[derive(Debug)]
pub(crate) struct Engine {
    socket: PathBuf,
    owner: Owner,
    credentials_file: Option<PathBuf>,
    pub(super) allow: Allow,
    environments: watch::Receiver<Environments>,
    /// Speaks the version that was agreed on; dropped when the daemon went away.
    client: Mutex<Option<Docker>>,
}

/// What became of a request to create.
#[derive(Debug)]
pub(crate) enum Created {
    Id(String),
    /// Another container has the name; Docker's words.
    NameTaken(DriveError),
}

impl Engine {
    pub(crate) fn new(
        docker: config::Docker,
        owner: Owner,
        environments: watch::Receiver<Environments>,
    ) -> Self {
        Self {
            socket: docker.socket,
            owner,
            credentials_file: docker.credentials_file,
            allow: docker.allow,
            environments,
            client: Mutex::default(),
        }
    }

    /// Under the guid's name; else the ids that the directory knows of, for one that was renamed.
    pub(super) async fn find(
        &self,
        guid: &Guid,
        known: &[String],
    ) -> Result<Option<Found>, DriveError> {
        if let Some(found) = self.inspect(guid.as_str()).await?
            // Docker also takes the beginning of an id for a name.
            && found.name == guid.as_str()
        {
            return Ok(Some(found));
        }
        for id in known {
            if let Some(found) = self.inspect(id).await?
                && found.ours
                && found.name != spare_name(guid)
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Every container of this agent, in one request.
    pub(super) async fn list(&self) -> Result<Vec<ContainerSummary>, DriveError> {
        let docker = self.client().await?;
        let label = format!("{LABEL_OWNER}={}", self.owner.0);
        let options = ListContainersOptions {
            all: true,
            filters: Some([("label".to_owned(), vec![label])].into()),
            ..Default::default()
        };
        let listed = docker.list_containers(Some(options));
        self.bounded(Act::Ask, ASK_TIMEOUT, listed).await
    }

    /// Makes a container and connects its networks; it does not run yet.
    pub(super) async fn create(
        &self,
        name: &str,
        guid: &Guid,
        app: &App,
        image_env: &[String],
    ) -> Result<Created, DriveError> {
        let docker = self.client().await?;
        let body = body::of(self, guid, app, image_env).await?;
        let id = match self.create_as(name, body).await? {
            Created::Id(id) => id,
            taken @ Created::NameTaken(_) => return Ok(taken),
        };
        // The first network is part of the body; daemons before API 1.44 take no more there.
        for network in app.networks.iter().skip(1) {
            let request = NetworkConnectRequest {
                container: id.clone(),
                ..Default::default()
            };
            let connected = docker.connect_network(network, request);
            if let Err(error) = self.bounded(Act::Connect, WORK_TIMEOUT, connected).await {
                self.remove(&id).await?;
                return Err(error);
            }
        }
        Ok(Created::Id(id))
    }

    /// Makes a container from the body of a request.
    pub(crate) async fn create_as(
        &self,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<Created, DriveError> {
        let docker = self.client().await?;
        let options = CreateContainerOptions {
            name: Some(name.to_owned()),
            ..Default::default()
        };
        let created = docker.create_container(Some(options), body);
        match tokio::time::timeout(WORK_TIMEOUT, created).await {
            Ok(Err(error)) if is_status(&error, 409) => {
                Ok(Created::NameTaken(refused(Act::Create, &error)))
            }
            Ok(outcome) => Ok(Created::Id(self.outcome(Act::Create, outcome).await?.id)),
            Err(_) => Err(self.silent(WORK_TIMEOUT).await),
        }
    }

    pub(crate) async fn start(&self, id: &str) -> Result<(), DriveError> {
        let docker = self.client().await?;
        let started = docker.start_container(id, None);
        self.bounded(Act::Start, WORK_TIMEOUT, started).await
    }

    pub(super) async fn rename(&self, id: &str, guid: &Guid) -> Result<(), DriveError> {
        let docker = self.client().await?;
        let name = guid.as_str().to_owned();
        let renamed = docker.rename_container(id, RenameContainerOptions { name });
        self.bounded(Act::Rename, ASK_TIMEOUT, renamed).await
    }

    /// Stops within the grace that the app asked for, then removes with anonymous volumes. It is
    /// no error if the container is gone already.
    pub(crate) async fn retire(&self, found: &Found) -> Result<(), DriveError> {
        if found.life == Life::Running {
            let docker = self.client().await?;
            let config = found.inspected.config.as_ref();
            let grace = config
                .and_then(|config| config.stop_timeout)
                .and_then(|seconds| u64::try_from(seconds).ok())
                .map_or(GRACE, Duration::from_secs);
            // Without a time of its own the daemon uses the container's, or its default.
            let stopped = docker.stop_container(&found.id, None::<StopContainerOptions>);
            let bound = grace + WORK_TIMEOUT;
            match self.bounded(Act::Stop, bound, stopped).await {
                // Removal by force follows, whatever the daemon had against stopping it.
                Ok(()) | Err(DriveError::Refused { .. } | DriveError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.remove(&found.id).await
    }

    /// Removes by force. It is no error if the container is gone already.
    pub(crate) async fn remove(&self, id_or_name: &str) -> Result<(), DriveError> {
        let docker = self.client().await?;
        let options = RemoveContainerOptions {
            force: true,
            v: true,
            ..Default::default()
        };
        let removed = docker.remove_container(id_or_name, Some(options));
        match tokio::time::timeout(WORK_TIMEOUT, removed).await {
            Ok(Err(error)) if is_status(&error, 404) => Ok(()),
            // Somebody else is removing it this moment.
            Ok(Err(error)) if is_status(&error, 409) => Ok(()),
            Ok(outcome) => self.outcome(Act::Remove, outcome).await,
            Err(_) => Err(self.silent(WORK_TIMEOUT).await),
        }
    }

    pub(crate) async fn inspect(&self, id_or_name: &str) -> Result<Option<Found>, DriveError> {
        let docker = self.client().await?;
        let answer = docker.inspect_container(id_or_name, None::<InspectContainerOptions>);
        match tokio::time::timeout(ASK_TIMEOUT, answer).await {
            Ok(Err(error)) if is_status(&error, 404) || is_beginning_of_ids(&error) => Ok(None),
            Ok(outcome) => {
                let answer = self.outcome(Act::Ask, outcome).await?;
                Ok(self.found(answer))
            }
            Err(_) => Err(self.silent(ASK_TIMEOUT).await),
        }
    }

    fn found(&self, answer: ContainerInspectResponse) -> Option<Found> {
        let config = answer.config.as_ref();
        let labels = config.and_then(|config| config.labels.as_ref());
        let label = |name| labels.and_then(|labels| labels.get(name));
        let name = answer.name.as_deref().unwrap_or_default();
        Some(Found {
            id: answer.id.clone()?,
            name: name.trim_start_matches('/').to_owned(),
            image: config
                .and_then(|config| config.image.clone())
                .unwrap_or_default(),
            ours: label(LABEL_OWNER) == Some(&self.owner.0),
            app: label(LABEL_APP).cloned(),
            life: life(&answer),
            inspected: Box::new(answer),
        })
    }

    /// The client, connected and agreed on a version if it is not yet.
    pub(crate) async fn client(&self) -> Result<Docker, DriveError> {
        let mut client = self.client.lock().await;
        if let Some(docker) = &*client {
            return Ok(docker.clone());
        }
        match docker::connect(&self.socket).await {
            Ok(docker) => Ok(client.insert(docker).clone()),
            Err(error) => Err(DriveError::Unavailable {
                reason: error.to_string(),
            }),
        }
    }

    async fn bounded<T>(
        &self,
        act: Act,
        bound: Duration,
        request: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, DriveError> {
        match tokio::time::timeout(bound, request).await {
            Ok(outcome) => self.outcome(act, outcome).await,
            Err(_) => Err(self.silent(bound).await),
        }
    }

    async fn outcome<T>(
        &self,
        act: Act,
        outcome: Result<T, bollard::errors::Error>,
    ) -> Result<T, DriveError> {
        match outcome {
            Ok(value) => Ok(value),
            Err(error) => {
                let error = refused(act, &error);
                if matches!(error, DriveError::Unavailable { .. }) {
                    // The daemon that comes back may speak another version.
                    *self.client.lock().await = None;
                }
                Err(error)
            }
        }
    }

    async fn silent(&self, bound: Duration) -> DriveError {
        *self.client.lock().await = None;
        DriveError::Unavailable {
            reason: format!("no answer within {} s", bound.as_secs()),
        }
    }
}

/// The name a replacement has until its predecessor is gone. No guid has a dot.
pub(super) fn spare_name(guid: &Guid) -> String {
    format!("{guid}.next")
}

/// The fingerprint in a listed container's labels.
pub(super) fn fingerprint_of(summary: &ContainerSummary) -> Option<&String> {
    summary.labels.as_ref()?.get(LABEL_APP)
}

fn life(answer: &ContainerInspectResponse) -> Life {
    let state = answer.state.as_ref();
    let status = state.and_then(|state| state.status);
    let error = state.and_then(|state| state.error.as_deref());
    match status {
        Some(ContainerStateStatusEnum::CREATED) => Life::Created,
        Some(
            ContainerStateStatusEnum::RUNNING
            | ContainerStateStatusEnum::PAUSED
            | ContainerStateStatusEnum::RESTARTING,
        ) => Life::Running,
        _ if error.is_some_and(|error| !error.is_empty()) => Life::Broken,
        _ => Life::Ended,
    }
}
