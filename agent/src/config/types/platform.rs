//! Sections of the parts of a platform around the agent: Jaeger clients, other nodes, Kubernetes,
//! managed components.

use std::net::SocketAddr;
use std::path::PathBuf;

/// `[receive] jaeger`: listeners for Jaeger clients. All absent: none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Jaeger {
    /// UDP, Thrift compact protocol.
    pub compact: Option<SocketAddr>,
    /// UDP, Thrift binary protocol.
    pub binary: Option<SocketAddr>,
    /// TCP, `POST /api/traces`.
    pub http: Option<SocketAddr>,
}

/// What a node is in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Elected.
    #[default]
    Auto,
    Master,
    Slave,
}

/// `[cluster]`: several nodes that know one another through etcd.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// Client URLs of the etcd members; at least one.
    pub etcd: Vec<String>,
    /// Clusters of different names share an etcd without seeing one another. Default `default`.
    pub name: String,
    pub role: Role,
}

/// `[kubernetes]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Kubernetes {
    pub enabled: bool,
}

/// `[stack.*]`: well-known programs that the agent can run, configure and watch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stack {
    pub prometheus: Component,
    pub node_exporter: Component,
    pub vector: Component,
    pub jaeger_collector: Component,
    pub jaeger_agent: Component,
}

/// How a component is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Managed {
    /// Not at all; the agent does the work itself.
    #[default]
    Off,
    Container,
    Binary,
    /// It runs already; it is only configured.
    External,
}

/// One section of `[stack]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Component {
    pub managed: Managed,
    /// Image, for `container`.
    pub image: Option<String>,
    /// Program, for `binary`.
    pub path: Option<PathBuf>,
}
