//! Exporters, managed components and log targets, as they go over the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::{Guid, Put};
use crate::receive::logs::FollowedFile;
use crate::stack::{ComponentStatus, ExporterStatus};

/// The answer to a `PUT` of an exporter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExporterPut {
    pub outcome: Put,
    pub exporter: ExporterStatus,
}

/// The exporters of this node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExporterList {
    pub exporters: Vec<ExporterStatus>,
}

/// The managed components of this node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComponentList {
    pub components: Vec<ComponentStatus>,
}

/// Files whose lines are an app's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogTarget {
    /// Absolute paths; `*` and `?` match within a path component. Rotated generations
    /// (`name.1`, …) of a file are read with it.
    #[schema(example = json!(["/var/log/shop/*.log"]))]
    pub files: Vec<String>,
}

/// An app's files and how far they are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogTargetStatus {
    #[schema(value_type = String)]
    pub guid: Guid,
    pub files: Vec<String>,
    /// The files that are there.
    pub following: Vec<FollowedFile>,
    /// Why files that are there are not followed.
    pub problems: Vec<String>,
}

/// The answer to a `PUT` of log targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogTargetPut {
    pub outcome: Put,
    pub target: LogTargetStatus,
}

/// The extra log targets of this node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogTargetList {
    pub targets: Vec<LogTargetStatus>,
}
