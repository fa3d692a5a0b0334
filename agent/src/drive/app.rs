//! An app as the Manager describes it.
//!
//! Fields that are at their default are left out when a description is written, so that a newer
//! agent does not take an old description for a changed one.

mod parts;
#[cfg(test)]
mod tests;
mod validate;
mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::DriveError;

pub use parts::{
    Driver, HealthCheck, Limits, Log, Mount, MountKind, Namespace, Port, Protocol, Pull, Restart,
    Stop,
};
pub use values::{Size, Span};

/// What an app is: one container, for the `docker` driver. Its hostname and name are its guid.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct App {
    /// Who runs it.
    pub driver: Driver,
    /// The image, e.g. `registry.local:5000/shop/cart:1.4`.
    #[schema(required = true)]
    pub image: String,
    /// The program and its first arguments, in place of the image's entrypoint.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Arguments, in place of the image's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment variables; a list of `NAME=value` is read too.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "values::pairs"
    )]
    pub env: BTreeMap<String, String>,
    /// Environment variables whose value is the content of a file on the node, read when the
    /// container is made. Needs the grant `secret_files`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub secrets: BTreeMap<String, PathBuf>,
    /// Ports of the container that the node publishes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// Volumes, temporary file systems and folders of the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Docker networks; default `bridge`. `none` and `host` stand alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Most the app may use.
    #[serde(skip_serializing_if = "is_default")]
    pub limits: Limits,
    /// When Docker starts it again: `no`, `always`, `unless-stopped` (default) or
    /// `on-failure[:N]`.
    #[serde(skip_serializing_if = "is_default")]
    #[schema(value_type = String, example = "on-failure:5")]
    pub restart: Restart,
    /// User (and group) in the container: `name`, `1000` or `1000:1000`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Working directory in the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Docker labels; `io.guidon.` is the agent's own.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "values::pairs"
    )]
    pub labels: BTreeMap<String, String>,
    /// How Docker finds out whether the app is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
    /// How the app is stopped.
    #[serde(skip_serializing_if = "is_default")]
    pub stop: Stop,
    /// Where Docker puts the app's output.
    #[serde(skip_serializing_if = "is_default")]
    pub log: Log,
    /// When the image is fetched.
    #[serde(skip_serializing_if = "is_default")]
    pub pull: Pull,
    /// Runs Docker's small init as process 1, which reaps orphans.
    #[serde(skip_serializing_if = "is_default")]
    pub init: bool,
    /// The container's own file system cannot be written.
    #[serde(skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// All rights of the host. Needs the grant `privileged`.
    #[serde(skip_serializing_if = "is_default")]
    pub privileged: bool,
    /// Namespaces shared with the host. Needs the grant `host_namespaces`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub host_namespaces: Vec<Namespace>,
    /// Capabilities beyond Docker's default. Needs the grant `capabilities`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Capabilities of Docker's default that the app does without; `ALL` for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    /// Device files of the host. Needs the grant `devices`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub devices: Vec<PathBuf>,
}

impl App {
    /// Reads and checks a description. Errors name the field.
    pub fn from_json(json: &[u8]) -> Result<Self, DriveError> {
        // A list of values in the fields' order would be read too.
        if json.trim_ascii_start().first() != Some(&b'{') {
            return Err(DriveError::invalid("body", "is not a JSON object"));
        }
        // First, because the fields of another driver are unknown to this one.
        #[derive(Deserialize)]
        struct Head {
            #[serde(default)]
            driver: Driver,
        }
        if let Ok(Head { driver }) = serde_json::from_slice(json)
            && driver != Driver::Docker
        {
            return Err(DriveError::NoDriver(driver));
        }
        let mut json = serde_json::Deserializer::from_slice(json);
        let app: Self = serde_path_to_error::deserialize(&mut json)
            .map_err(|error| values::error_of(error.path(), &error.inner().to_string()))?;
        json.end()
            .map_err(|error| DriveError::invalid("body", error.to_string()))?;
        app.validate()?;
        Ok(app)
    }

    /// Checks what no type can: forms, ranges, contradictions.
    pub fn validate(&self) -> Result<(), DriveError> {
        validate::validate(self)
    }

    /// The same for equal descriptions, another for different ones.
    pub(super) fn fingerprint(&self) -> String {
        // Maps are sorted and fields in order, so equal descriptions are equal bytes. Writing to
        // memory cannot fail, and every key is a string.
        let json = serde_json::to_vec(self).unwrap_or_default();
        Uuid::new_v5(&Uuid::NAMESPACE_OID, &json).to_string()
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
