//! Makes an app exist, makes it go. Knows no telemetry.
//!
//! [`Apps`] is the handle: it keeps what the Manager asked for on disk, makes Docker follow, and
//! brings back what went missing. [`App`] is the description the Manager sends; [`Allow`] in the
//! configuration says what it may ask for.
//!
//! [`Allow`]: crate::config::Allow

mod app;
mod apps;
mod docker;
mod environment;
mod policy;
mod store;

use std::path::PathBuf;

use crate::config::Guid;

pub use app::{
    App, Driver, HealthCheck, Limits, Log, Mount, MountKind, Namespace, Port, Protocol, Pull,
    Restart, Size, Span, Stop,
};
pub use apps::{AppState, AppStatus, Apps, ContainerStatus, Outcome, Settings};
pub(crate) use docker::{Created, Engine, Found, Life};
pub use environment::{Environment, Environments, JaegerAgent};

/// Why an app is not as it was asked to be.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The description is wrong, and stays wrong however often it is sent.
    #[error("{field}: {message}")]
    Invalid {
        /// Path of the field, e.g. `limits.memory` or `ports[0].host`.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// The description asks for more than `[docker.allow]` grants.
    #[error("{field}: {message}; the configuration's docker.allow.{rule} does not grant it")]
    Forbidden {
        /// Key of `[docker.allow]` that would have to grant it.
        rule: &'static str,
        /// Path of the field that asks.
        field: String,
        /// What it asks for.
        message: String,
    },
    /// The driver is not part of this version.
    #[error("driver: {0} is not available yet; this agent runs apps with the docker driver")]
    NoDriver(Driver),
    /// The name is taken by a container that this agent did not make.
    #[error(
        "{guid} is already the name of container {container} (image {image}), which guidon did not create"
    )]
    Conflict {
        /// The guid asked for.
        guid: Guid,
        /// The other container's id.
        container: String,
        /// The other container's image.
        image: String,
    },
    /// No such app.
    #[error("there is no app {0}")]
    NotFound(Guid),
    /// Docker cannot be reached. What was asked is stored and done when it can.
    #[error("docker is away: {reason}")]
    Unavailable {
        /// Why, e.g. `Connection refused`.
        reason: String,
    },
    /// The image is not there and cannot be had. What was asked is stored and tried again.
    #[error("image: {image} is not available: {reason}")]
    Image {
        /// The image as it was asked for.
        image: String,
        /// Docker's or the registry's words.
        reason: String,
    },
    /// Docker said no to the container. Asked-for apps are stored and tried again, unless the
    /// container could not even be created.
    #[error("{}docker could not {action} the container: {reason}", field.map(|field| format!("{field}: ")).unwrap_or_default())]
    Refused {
        /// `create`, `start`, `stop`, ….
        action: &'static str,
        /// The field at fault, where Docker's words tell.
        field: Option<&'static str>,
        /// Docker's words.
        reason: String,
    },
    /// The desired state cannot be kept.
    #[error("cannot keep the app in {}: {source}", path.display())]
    Storage {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The agent is shutting down.
    #[error("the agent is shutting down")]
    Stopping,
}

impl DriveError {
    /// The kind of error as one word, stable for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "invalid",
            Self::Forbidden { .. } => "forbidden",
            Self::NoDriver(_) => "driver_not_available",
            Self::Conflict { .. } => "conflict",
            Self::NotFound(_) => "not_found",
            Self::Unavailable { .. } => "docker_unavailable",
            Self::Image { .. } => "image_not_available",
            Self::Refused { .. } => "docker_refused",
            Self::Storage { .. } => "storage",
            Self::Stopping => "stopping",
        }
    }

    /// The field of the description that is at fault, if one is.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Invalid { field, .. } | Self::Forbidden { field, .. } => Some(field),
            Self::NoDriver(_) => Some("driver"),
            Self::Image { .. } => Some("image"),
            Self::Refused { field, .. } => *field,
            _ => None,
        }
    }

    /// Whether the same request may succeed later, so that it is worth keeping and repeating.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Image { .. } => true,
            Self::Refused { action, .. } => *action != "create",
            _ => false,
        }
    }

    pub(crate) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            message: message.into(),
        }
    }
}
