//! The parts of a description.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::is_default;
use super::values::{self, Size, Span};

/// Who runs an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A container of the node's Docker.
    #[default]
    Docker,
    /// A chart in Kubernetes.
    Helm,
}

impl fmt::Display for Driver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Docker => "docker",
            Self::Helm => "helm",
        })
    }
}

/// A port of the container that the node publishes. Also read from Docker's short form,
/// `[[address:]host:]container[/protocol]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Port {
    /// The port in the container.
    #[schema(minimum = 1)]
    pub container: u16,
    /// The port on the node; absent: a free one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<u16>,
    /// The node's address to listen on; absent: loopback. `0.0.0.0` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// Default `tcp`.
    #[serde(skip_serializing_if = "is_default")]
    #[schema(required = false)]
    pub protocol: Protocol,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    pub(in crate::drive) fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// Something mounted into the container. Also read from Docker's short form,
/// `source:target[:ro]`: a source that begins with `/` is of the host, any other a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Mount {
    /// What is mounted; absent: by the source, which for a path is of the host.
    #[serde(rename = "type")]
    #[schema(required = false)]
    pub kind: MountKind,
    /// The volume's name, or the path on the host. A `tmpfs` has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub source: String,
    /// The path in the container.
    pub target: String,
    /// The app cannot write it.
    #[serde(skip_serializing_if = "is_default")]
    #[schema(required = false)]
    pub read_only: bool,
    /// Most a `tmpfs` may hold; absent: half the node's memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
}

/// What a [`Mount`] mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A Docker volume, made if it is not there, kept when the app goes.
    Volume,
    /// A folder or file of the host. Needs the grant `host_mounts`.
    Bind,
    /// Memory.
    Tmpfs,
}

/// Most an app may use. Absent: no limit.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Processors; fractions are fine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Memory; at least 6 MiB. `memory_bytes` is read too.
    #[serde(alias = "memory_bytes", skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Swap beyond the memory; absent: as much again as `memory`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap: Option<Size>,
    /// Processes and threads. `processes` is read too.
    #[serde(alias = "processes", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub pids: Option<u32>,
}

/// When Docker starts the app again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Restart {
    /// Never: a job.
    No,
    /// Whenever it ends, and when Docker starts.
    Always,
    /// Likewise, unless somebody stopped it by hand.
    #[default]
    UnlessStopped,
    /// When it ends with another code than 0, at most so often; absent: no limit.
    OnFailure(Option<u32>),
}

/// When the image is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pull {
    /// Never: it is there, or it is an error.
    Never,
    /// When it is not there.
    #[default]
    Missing,
    /// Each time a container is made.
    Always,
}

/// How Docker finds out whether the app is well.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthCheck {
    /// A command in the container that ends with 0 when all is well: a list of words, or one
    /// string for the container's shell.
    #[serde(deserialize_with = "values::health_test")]
    #[schema(required = true)]
    pub test: Vec<String>,
    /// Between checks; absent: 30 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Span>,
    /// Longest a check may take; absent: 30 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Failures in a row that count; absent: 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// After the start, failures do not count for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_period: Option<Span>,
}

/// How the app is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Stop {
    /// From the signal to `SIGKILL`, at most 10 minutes; absent: 10 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace: Option<Span>,
    /// Absent: the image's, else `SIGTERM`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
}

/// Where Docker puts the app's output.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Docker's log driver; absent: the daemon's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Its options, e.g. `max-size`.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "values::pairs"
    )]
    pub options: BTreeMap<String, String>,
}

/// A namespace of the host that an app may share. `host` under `networks` shares the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Namespace {
    /// Sees and signals every process of the node.
    Pid,
    /// Shared memory and semaphores.
    Ipc,
    /// Sees the node's cgroup tree.
    Cgroup,
    /// Not remapped, where the daemon remaps users.
    User,
}

impl Namespace {
    pub(in crate::drive) fn as_str(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::Ipc => "ipc",
            Self::Cgroup => "cgroup",
            Self::User => "user",
        }
    }
}
