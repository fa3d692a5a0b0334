//! The JSON of the Manager API: what goes over the wire, and nothing a room uses inside.

mod bus;
mod cluster;
mod status;
mod targets;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::drive::{AppStatus, Outcome};

pub use bus::*;
pub use cluster::*;
pub use status::*;
pub use targets::*;

/// The one shape of every error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// For programs: stable.
    #[schema(example = "not_found")]
    pub code: String,
    /// For people: what is wrong and, where it helps, what to do.
    pub message: String,
    /// The field of the request that is wrong, as a path, e.g. `limits.memory_bytes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// The answer to a `PUT`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AppPut {
    pub outcome: Outcome,
    pub app: AppStatus,
}

/// The apps of this node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AppList {
    pub apps: Vec<AppStatus>,
}

/// What a reload did.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct ReloadReport {
    /// Keys whose new value is in force.
    pub applied: Vec<String>,
    /// Keys whose new value comes into force at the next start.
    pub needs_restart: Vec<String>,
}

/// Whether the agent does its work.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    pub ready: bool,
    pub rooms: Vec<RoomReadiness>,
}

/// One room of the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RoomReadiness {
    #[schema(example = "collect")]
    pub room: String,
    pub ready: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
