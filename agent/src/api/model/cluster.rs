//! `GET /api/v1/cluster`: the node among others.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a node is among others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClusterRole {
    /// It belongs to no cluster.
    #[default]
    Alone,
    Master,
    Slave,
}

/// The node's place in its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ClusterStatus {
    /// Absent for a node that stands alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub role: ClusterRole,
    /// The nodes, this one among them.
    pub members: Vec<ClusterMember>,
    /// Where the members send traces; absent if they have no common collector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collector_url: Option<String>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClusterMember {
    /// Its host guid.
    pub guid: String,
    /// Where its API listens.
    #[schema(example = "127.0.0.1:7070")]
    pub api: String,
    pub role: ClusterRole,
}
