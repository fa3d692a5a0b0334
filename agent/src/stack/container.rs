//! A component as a container: in the host's network, as root without capabilities, marked with
//! labels of its own. It is no app: the apps' labels are not on it.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountBindOptions,
    MountBindOptionsPropagationEnum, MountType,
};
use bollard::query_parameters::{KillContainerOptions, LogsOptions};
use futures_util::StreamExt;

use super::component::{Bind, ContainerSpec};
use super::log_file::last_lines;
use crate::directory::docker::{ASK_TIMEOUT, LABEL_STACK, reason};
use crate::drive::{Created, Engine, Found, Life, Pull};

/// What it was made from.
const LABEL_SPEC: &str = "io.guidon.stack.spec";

/// Docker's words where a mount shall follow the host's, and the host's root is not of that kind.
const NOT_SHARED: &str = "not a shared or slave mount";

/// How often it is asked whether a container still runs.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest run of a container that only answers a question.
const QUESTION: Duration = Duration::from_secs(60);

/// The containers of one agent's components. Errors are in words: they are shown, and all of them
/// are tried again.
#[derive(Debug)]
pub(super) struct Containers {
    engine: Engine,
    owner: String,
}

impl Containers {
    pub(super) fn new(engine: Engine, owner: String) -> Self {
        Self { engine, owner }
    }

    /// Several agents may share a daemon.
    fn name(&self, component: &str) -> String {
        let owner = crc32fast::hash(self.owner.as_bytes());
        format!("guidon-{}-{owner:08x}", component.replace('_', "-"))
    }

    async fn find(&self, name: &str) -> Result<Option<Found>, String> {
        let found = self.engine.inspect(name).await;
        let Some(found) = found.map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        // Docker also takes the beginning of an id for a name.
        if found.name != name {
            return Ok(None);
        }
        match label(&found, LABEL_STACK) == Some(&self.owner) {
            true => Ok(Some(found)),
            false => Err(format!(
                "container {name} is there already, and this agent did not make it"
            )),
        }
    }

    /// The component's container, if it runs as described; what else has its name is removed.
    pub(super) async fn adopt(
        &self,
        component: &str,
        spec: &ContainerSpec,
    ) -> Result<Option<String>, String> {
        let Some(found) = self.find(&self.name(component)).await? else {
            return Ok(None);
        };
        let as_wanted = label(&found, LABEL_SPEC) == Some(&fingerprint(spec));
        if as_wanted && found.life == Life::Running {
            return Ok(Some(found.id));
        }
        let retired = self.engine.retire(&found).await;
        retired.map_err(|error| error.to_string())?;
        Ok(None)
    }

    /// Removes whatever the component has.
    pub(super) async fn clear(&self, component: &str) -> Result<(), String> {
        let name = self.name(component);
        for name in [asked(&name), name] {
            if let Some(found) = self.find(&name).await? {
                let retired = self.engine.retire(&found).await;
                retired.map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// Makes and starts the component's container; there must be none.
    pub(super) async fn start(
        &self,
        component: &str,
        spec: &ContainerSpec,
        grace: Duration,
    ) -> Result<String, String> {
        let pulled = self
            .engine
            .ensure_image(&spec.image, Pull::Missing, |progress| {
                tracing::debug!(component, progress, "image");
            });
        pulled.await.map_err(|error| error.to_string())?;
        let (name, body) = (self.name(component), self.body(spec, grace));
        match self.run(&name, body.clone()).await {
            // Such a host has no mounts that could come later, either.
            Err(error) if error.contains(NOT_SHARED) => self.run(&name, following_none(body)).await,
            outcome => outcome,
        }
    }

    async fn run(&self, name: &str, body: ContainerCreateBody) -> Result<String, String> {
        let id = match self.engine.create_as(name, body).await {
            Ok(Created::Id(id)) => id,
            Ok(Created::NameTaken(error)) | Err(error) => return Err(error.to_string()),
        };
        if let Err(error) = self.engine.start(&id).await {
            // Removed again: its name is needed for the next try.
            let _ = self.engine.remove(&id).await;
            return Err(error.to_string());
        }
        Ok(id)
    }

    /// Waits for the end; says how it was.
    pub(super) async fn ended(&self, id: &str) -> String {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match self.engine.inspect(id).await {
                Ok(Some(found)) if found.life == Life::Running => {}
                Ok(Some(found)) => {
                    let state = found.inspected.state;
                    let code = state.and_then(|state| state.exit_code).unwrap_or(-1);
                    let end = format!("it ended with code {code}");
                    return match self.log(id).await.pop().filter(|_| code != 0) {
                        Some(line) => format!("{end}: {line}"),
                        None => end,
                    };
                }
                Ok(None) => return "its container is gone".to_owned(),
                // Docker is away, which says nothing of the container.
                Err(error) => tracing::debug!(%error, id, "cannot look at the container"),
            }
        }
    }

    /// Stops and removes it.
    pub(super) async fn stop(&self, id: &str) -> Result<(), String> {
        let found = self.engine.inspect(id).await;
        match found.map_err(|error| error.to_string())? {
            Some(found) => {
                let retired = self.engine.retire(&found).await;
                retired.map_err(|error| error.to_string())
            }
            None => Ok(()),
        }
    }

    pub(super) async fn hang_up(&self, id: &str) -> Result<(), String> {
        let docker = self.engine.client().await;
        let docker = docker.map_err(|error| error.to_string())?;
        let options = KillContainerOptions {
            signal: "SIGHUP".to_owned(),
        };
        let sent = docker.kill_container(id, Some(options));
        match tokio::time::timeout(ASK_TIMEOUT, sent).await {
            Ok(outcome) => outcome.map_err(|error| reason(&error)),
            Err(_) => Err(format!("docker does not answer within {ASK_TIMEOUT:?}")),
        }
    }

    /// Runs the container's image with another command to its end: exit code and what it printed.
    pub(super) async fn ask(
        &self,
        component: &str,
        spec: &ContainerSpec,
    ) -> Result<(i64, Vec<String>), String> {
        let name = asked(&self.name(component));
        if let Some(old) = self.find(&name).await? {
            let removed = self.engine.remove(&old.id).await;
            removed.map_err(|error| error.to_string())?;
        }
        let pulled = self.engine.ensure_image(&spec.image, Pull::Missing, |_| ());
        pulled.await.map_err(|error| error.to_string())?;
        let body = following_none(self.body(spec, Duration::from_secs(1)));
        let id = self.run(&name, body).await?;
        let ended = tokio::time::timeout(QUESTION, self.ended(&id)).await;
        let printed = self.log(&id).await;
        let code = match self.engine.inspect(&id).await {
            Ok(Some(found)) => found.inspected.state.and_then(|state| state.exit_code),
            _ => None,
        };
        let removed = self.engine.remove(&id).await;
        removed.map_err(|error| error.to_string())?;
        match ended {
            Ok(_) => Ok((code.unwrap_or(-1), printed)),
            Err(_) => Err(format!("does not end within {QUESTION:?}")),
        }
    }

    /// The last lines that it printed; none if Docker does not tell.
    pub(super) async fn log(&self, id: &str) -> Vec<String> {
        let Ok(docker) = self.engine.client().await else {
            return Vec::new();
        };
        let options = LogsOptions {
            stdout: true,
            stderr: true,
            tail: "20".to_owned(),
            ..Default::default()
        };
        let mut stream = Box::pin(docker.logs(id, Some(options)));
        let read = async {
            let mut bytes = Vec::new();
            while let Some(Ok(piece)) = stream.next().await {
                bytes.extend_from_slice(&piece.into_bytes());
            }
            bytes
        };
        let bytes = tokio::time::timeout(ASK_TIMEOUT, read).await;
        last_lines(&bytes.unwrap_or_default(), false)
    }

    fn body(&self, spec: &ContainerSpec, grace: Duration) -> ContainerCreateBody {
        let some = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
        let env = spec.env.iter();
        let env = env.map(|(name, value)| format!("{name}={value}")).collect();
        ContainerCreateBody {
            image: Some(spec.image.clone()),
            entrypoint: some(&spec.command),
            cmd: some(&spec.args),
            env: Some(env),
            user: Some("0:0".to_owned()),
            labels: Some(HashMap::from([
                (LABEL_STACK.to_owned(), self.owner.clone()),
                (LABEL_SPEC.to_owned(), fingerprint(spec)),
            ])),
            stop_signal: Some("SIGTERM".to_owned()),
            stop_timeout: i64::try_from(grace.as_secs()).ok(),
            host_config: Some(HostConfig {
                network_mode: Some("host".to_owned()),
                pid_mode: spec.host_pid.then(|| "host".to_owned()),
                cap_drop: Some(vec!["ALL".to_owned()]),
                cap_add: some(&spec.capabilities),
                security_opt: Some(vec!["no-new-privileges".to_owned()]),
                mounts: Some(spec.mounts.iter().map(mount).collect()),
                log_config: Some(HostConfigLogConfig {
                    typ: Some("json-file".to_owned()),
                    config: Some(HashMap::from([
                        ("max-size".to_owned(), "4m".to_owned()),
                        ("max-file".to_owned(), "2".to_owned()),
                    ])),
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }
}

/// The same without mounts that follow the host's.
fn following_none(mut body: ContainerCreateBody) -> ContainerCreateBody {
    let host = body.host_config.as_mut();
    for mount in host
        .and_then(|host| host.mounts.as_mut())
        .into_iter()
        .flatten()
    {
        mount.bind_options = None;
    }
    body
}

/// The name of a container that only answers a question.
fn asked(name: &str) -> String {
    format!("{name}-asked")
}

fn label<'f>(found: &'f Found, name: &str) -> Option<&'f String> {
    found.inspected.config.as_ref()?.labels.as_ref()?.get(name)
}

fn fingerprint(spec: &ContainerSpec) -> String {
    let text = serde_json::to_vec(spec).unwrap_or_default();
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &text).to_string()
}

fn mount(bind: &Bind) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(bind.source.to_string_lossy().into_owned()),
        target: Some(bind.target.to_string_lossy().into_owned()),
        read_only: Some(bind.read_only),
        bind_options: bind.follows_host.then(|| MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RSLAVE),
            ..Default::default()
        }),
        ..Default::default()
    }
}
