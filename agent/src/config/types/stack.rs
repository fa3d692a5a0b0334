//! `[stack.*]`: well-known programs that the agent can run, configure and watch.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// All components.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stack {
    pub prometheus: Prometheus,
    pub node_exporter: NodeExporter,
    pub vector: Vector,
    pub jaeger_collector: JaegerCollector,
    pub jaeger_agent: JaegerAgent,
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

impl Managed {
    /// As the file has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Container => "container",
            Self::Binary => "binary",
            Self::External => "external",
        }
    }
}

/// What every section of `[stack]` has.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Component {
    pub managed: Managed,
    /// Image, for `container`.
    pub image: Option<String>,
    /// Program, for `binary`; absent: the usual name, looked for in `/usr/local/bin`, `/usr/bin`
    /// and their `sbin`s.
    pub path: Option<PathBuf>,
    /// Further arguments, behind those that the agent gives.
    pub args: Vec<String>,
    /// The configuration file to write, for `external`.
    pub config_file: Option<PathBuf>,
    /// How an `external` one is told that its configuration file changed; absent: as the program
    /// usually is.
    pub reload: Option<ReloadBy>,
}

/// How a program that somebody else runs is told of a changed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReloadBy {
    /// `POST` to this URL.
    Url(String),
    /// This command, its words one by one; not through a shell.
    Command(Vec<String>),
}

/// `[stack.prometheus]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Prometheus {
    pub component: Component,
    /// Where it listens; for `external`, where it is reached.
    pub listen: SocketAddr,
    pub scrape_interval: Duration,
    /// How long it keeps samples itself.
    pub retention: Duration,
    /// Bound of its storage, in bytes.
    pub max_bytes: u64,
}
impl Default for Prometheus {
    fn default() -> Self {
        Self {
            component: Component::default(),
            listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            scrape_interval: Duration::from_secs(15),
            retention: Duration::from_secs(24 * 3600),
            max_bytes: 2 << 30,
        }
    }
}

/// `[stack.node_exporter]`.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeExporter {
    pub component: Component,
    /// Where it listens; for `external`, where it is reached.
    pub listen: SocketAddr,
}
impl Default for NodeExporter {
    fn default() -> Self {
        Self {
            component: Component::default(),
            listen: SocketAddr::from(([127, 0, 0, 1], 9100)),
        }
    }
}

/// `[stack.vector]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Vector {
    pub component: Component,
    /// Where it answers how it is. Not for `external`, whose file may say anything.
    pub api: SocketAddr,
}
impl Default for Vector {
    fn default() -> Self {
        Self {
            component: Component::default(),
            api: SocketAddr::from(([127, 0, 0, 1], 8686)),
        }
    }
}

/// Which Jaeger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JaegerVersion {
    /// A program for each task, told by flags; at its end of life.
    One,
    /// One program, told by a file.
    #[default]
    Two,
}

/// `[stack.jaeger_collector]`. It listens where `receive.jaeger.grpc` and `http` say.
#[derive(Debug, Clone, PartialEq)]
pub struct JaegerCollector {
    pub component: Component,
    pub version: JaegerVersion,
    /// Where it answers how it is; absent: at the version's usual port, on loopback.
    pub admin: Option<SocketAddr>,
    /// Of v1: `SPAN_STORAGE_TYPE`, one or several with commas. `grpc` (`grpc-plugin` before 1.58)
    /// is the agent.
    pub storage: String,
}
impl Default for JaegerCollector {
    fn default() -> Self {
        Self {
            component: Component::default(),
            version: JaegerVersion::default(),
            admin: None,
            storage: "grpc".to_owned(),
        }
    }
}
impl JaegerCollector {
    /// Where it answers how it is.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        let port = match self.version {
            JaegerVersion::One => 14_269,
            JaegerVersion::Two => 13_133,
        };
        let usual = SocketAddr::from(([127, 0, 0, 1], port));
        self.admin.unwrap_or(usual)
    }

    /// Whether one of its storages is the agent; of v1.
    #[must_use]
    pub fn writes_to_agent(&self) -> bool {
        let mut storages = self.storage.split(',').map(str::trim);
        storages.any(|storage| ["grpc", "grpc-plugin"].contains(&storage))
    }
}

/// `[stack.jaeger_agent]`, of Jaeger v1. It listens where `receive.jaeger.compact` and `binary` say.
#[derive(Debug, Clone, PartialEq)]
pub struct JaegerAgent {
    pub component: Component,
    /// Where it answers how it is.
    pub admin: SocketAddr,
    /// `host:port` of the collector, or several with commas; absent: at `receive.jaeger.grpc`.
    pub collector: Option<String>,
}
impl Default for JaegerAgent {
    fn default() -> Self {
        Self {
            component: Component::default(),
            admin: SocketAddr::from(([127, 0, 0, 1], 14_271)),
            collector: None,
        }
    }
}

impl Stack {
    /// Of `receive.jaeger`, the addresses that are components' to listen on: first those of a Jaeger
    /// agent, then those of a collector.
    #[must_use]
    pub fn takes_jaeger(&self) -> (bool, bool) {
        let is_there = |component: &Component| component.managed != Managed::Off;
        (
            is_there(&self.jaeger_agent.component),
            is_there(&self.jaeger_collector.component),
        )
    }

    /// Whether logs are Vector's to read, not the agent's, whatever `receive.logs` says.
    #[must_use]
    pub fn reads_logs(&self) -> bool {
        self.vector.component.managed != Managed::Off
    }
}
