//! Where frames go: what a destination is called, which protocol it speaks, and which frames it
//! gets. Knows nothing that runs.

use std::fmt;

use uuid::Uuid;

use crate::signal::{Kind, Signal};

/// One destination of one kind of frame. Two destinations are the same when kind and URL are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DestinationId {
    route: Route,
    /// Absent: the local bus.
    url: Option<String>,
}

/// Which frames a destination gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Route {
    /// Remote-write frames.
    Metrics,
    /// OTLP metrics, where they are not turned into remote write.
    OtlpMetrics,
    /// OTLP logs.
    Logs,
    /// OTLP traces.
    Traces,
}

impl Route {
    /// The route of a frame.
    #[must_use]
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::RemoteWrite => Self::Metrics,
            Kind::OtlpMetrics => Self::OtlpMetrics,
            Kind::OtlpLogs => Self::Logs,
            Kind::OtlpTraces => Self::Traces,
        }
    }

    /// The signal its records are booked under.
    #[must_use]
    pub fn signal(self) -> Signal {
        match self {
            Self::Metrics | Self::OtlpMetrics => Signal::Metrics,
            Self::Logs => Signal::Logs,
            Self::Traces => Signal::Traces,
        }
    }

    /// As it stands in directory names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::OtlpMetrics => "otlp-metrics",
            Self::Logs => "logs",
            Self::Traces => "traces",
        }
    }
}

impl DestinationId {
    /// A receiver at a URL.
    #[must_use]
    pub fn remote(route: Route, url: &str) -> Self {
        Self {
            route,
            url: Some(url.to_owned()),
        }
    }

    /// The local bus of a route.
    #[must_use]
    pub fn local(route: Route) -> Self {
        Self { route, url: None }
    }

    /// Which frames it gets.
    #[must_use]
    pub fn route(&self) -> Route {
        self.route
    }

    /// The signal its records are booked under.
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.route.signal()
    }

    /// The URL as configured, credentials and all; `None` for the local bus.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// For people and labels: the URL without credentials and query, or `local`.
    #[must_use]
    pub fn label(&self) -> String {
        let Some(url) = &self.url else {
            return "local".to_owned();
        };
        let url = url.split(['?', '#']).next().unwrap_or_default();
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let authority_end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(authority_end);
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        format!("{scheme}://{host}{path}")
    }

    /// The name of its directory under the spool: stable over restarts, without credentials.
    #[must_use]
    pub fn dir_name(&self) -> String {
        let route = self.route.as_str();
        match &self.url {
            None => format!("{route}-local"),
            Some(url) => {
                let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, url.as_bytes());
                format!("{route}-{}", id.simple())
            }
        }
    }
}

impl fmt::Display for DestinationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.route.as_str(), self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::{DestinationId, Route};

    #[test]
    fn a_label_shows_no_credentials() {
        for (url, label) in [
            ("http://h:1/api/v1/write", "http://h:1/api/v1/write"),
            ("https://me:secret@h/x?token=1", "https://h/x"),
            ("https://me:p@ss@h", "https://h"),
            ("grpc://h:4317", "grpc://h:4317"),
            ("http://h/a@b", "http://h/a@b"),
        ] {
            assert_eq!(DestinationId::remote(Route::Logs, url).label(), label);
        }
    }

    #[test]
    fn directories_differ_by_route_and_url() {
        let names = [
            DestinationId::remote(Route::Metrics, "http://a/").dir_name(),
            DestinationId::remote(Route::OtlpMetrics, "http://a/").dir_name(),
            DestinationId::remote(Route::Metrics, "http://b/").dir_name(),
            DestinationId::local(Route::Metrics).dir_name(),
        ];
        let mut distinct = names.to_vec();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), names.len());
        assert_eq!(
            names[0],
            DestinationId::remote(Route::Metrics, "http://a/").dir_name()
        );
    }
}
