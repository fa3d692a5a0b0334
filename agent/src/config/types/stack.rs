//! `[stack.*]`: well-known programs that the agent can run, configure and watch.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// All components.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stack {
    pub prometheus: Prometheus,
    pub node_exporter: NodeExporter,
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
