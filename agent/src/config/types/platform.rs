//! Sections of the parts of a platform around the agent: Jaeger clients, other nodes, Kubernetes.

use std::net::SocketAddr;
use std::path::PathBuf;

/// `[receive] jaeger`: listeners for Jaeger clients. All absent (`jaeger = false`): none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Jaeger {
    /// UDP, Thrift compact protocol.
    pub compact: Option<SocketAddr>,
    /// UDP, Thrift binary protocol.
    pub binary: Option<SocketAddr>,
    /// TCP, `POST /api/traces`.
    pub http: Option<SocketAddr>,
    /// TCP, gRPC `jaeger.api_v2.CollectorService/PostSpans`.
    pub grpc: Option<SocketAddr>,
    /// TCP, `GET /sampling`: what share of their traces clients shall keep.
    pub sampling: Option<SocketAddr>,
}

impl Jaeger {
    /// Jaeger's own ports, on loopback: what a file that says nothing gets.
    #[must_use]
    pub fn standard() -> Self {
        let port = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        Self {
            compact: port(6831),
            binary: port(6832),
            http: port(14_268),
            grpc: port(14_250),
            sampling: port(5778),
        }
    }
}

/// `[docker.allow]`: what apps may ask for beyond a container of their own. Default: nothing, but
/// any image. Each grant is as good as root on the node; grant what is needed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allow {
    pub privileged: bool,
    /// Folders and files of the host that apps may mount, with what is below them.
    pub host_mounts: Vec<PathBuf>,
    /// Of `network`, `pid`, `ipc`, `cgroup` and `user`.
    pub host_namespaces: Vec<String>,
    /// Capabilities apps may add, e.g. `NET_ADMIN`.
    pub capabilities: Vec<String>,
    /// Device files of the host that apps may use, with what is below them.
    pub devices: Vec<PathBuf>,
    /// Folders and files of the host whose content apps may get as secrets.
    pub secret_files: Vec<PathBuf>,
    /// Images apps may run, by name or by beginning and `*`. Empty: any.
    pub images: Vec<String>,
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
