//! Registered exporters: kept over restarts, looked at now and then, served as Prometheus'
//! `http_sd` document.
//!
//! Limits: [`MOST_EXPORTERS`], and the lengths below. Looking costs an exporter one scrape in
//! [`LOOK_EVERY`], of which nothing but the status is read.

mod look;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use utoipa::ToSchema;

use crate::config::{Guid, Kept, KeptError, Put};

/// Exporters of one node at most.
pub const MOST_EXPORTERS: usize = 10_000;
const MOST_NAME_BYTES: usize = 63;
const MOST_TEXT_BYTES: usize = 1024;
const MOST_LABELS: usize = 32;

/// How often exporters are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How many at a time.
const LOOKS_AT_ONCE: usize = 16;

/// How an exporter is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    #[default]
    Http,
    Https,
}

/// An exporter, as it is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Exporter {
    /// Host and port, as Prometheus shall reach it.
    #[schema(example = "127.0.0.1:9100")]
    pub address: String,
    /// Default `/metrics`.
    #[serde(default = "metrics")]
    pub path: String,
    /// Default `http`.
    #[serde(default)]
    pub scheme: Scheme,
    /// On every series of it. `guid` says whose it is, default the host's; `job` is by default the
    /// exporter's name.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl Exporter {
    /// One that is asked as most are.
    pub(super) fn plain(address: String, labels: BTreeMap<String, String>) -> Self {
        Self {
            address,
            path: metrics(),
            scheme: Scheme::default(),
            labels,
        }
    }
}

fn metrics() -> String {
    "/metrics".to_owned()
}

/// How an exporter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExporterState {
    /// Not looked at yet.
    #[default]
    Unknown,
    /// It answered.
    Up,
    /// It did not, or with an error.
    Down,
}

/// What the last look at an exporter found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ExporterHealth {
    pub state: ExporterState,
    /// Why it is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it was looked at, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<u64>,
}

/// An exporter and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExporterStatus {
    pub name: String,
    pub exporter: Exporter,
    pub health: ExporterHealth,
}

/// One entry of the `http_sd` document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TargetGroup {
    pub targets: Vec<String>,
    pub labels: BTreeMap<String, String>,
}

/// Why an exporter is not registered.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    /// A field is wrong.
    #[error("{field}: {what}")]
    Invalid { field: String, what: &'static str },
    #[error("there are {MOST_EXPORTERS} exporters already")]
    TooMany,
    #[error("there is no exporter {0:?}")]
    NotFound(String),
    #[error(transparent)]
    Storage(#[from] KeptError),
}

/// The form of an exporter's name as a regular expression (without its anchors).
pub const NAME_PATTERN: &str = "[A-Za-z0-9][A-Za-z0-9._-]{0,62}";

/// Whether an exporter may have this name: 1 to 63 of letters, digits, `-`, `_` and `.`, the first
/// one a letter or digit.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.len() <= MOST_NAME_BYTES
        && name.bytes().all(plain)
        && name
            .bytes()
            .next()
            .is_some_and(|it| it.is_ascii_alphanumeric())
}

impl Exporter {
    /// Whether Prometheus will take it.
    pub fn validate(&self) -> Result<(), ExporterError> {
        let check = |is_good: bool, field: &str, what| match is_good {
            true => Ok(()),
            false => Err(ExporterError::Invalid {
                field: field.to_owned(),
                what,
            }),
        };
        check(
            is_address(&self.address),
            "address",
            "write host and port, like 127.0.0.1:9100 or [::1]:9100",
        )?;
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
        check(
            self.path.starts_with('/')
                && self.path.len() <= MOST_TEXT_BYTES
                && self.path.bytes().all(plain),
            "path",
            "begins with / and has no spaces, ? or #",
        )?;
        check(self.labels.len() <= MOST_LABELS, "labels", "at most 32")?;
        for (name, value) in &self.labels {
            let field = format!("labels.{name}");
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            check(
                !name.is_empty()
                    && name.len() <= MOST_TEXT_BYTES
                    && name.bytes().all(plain)
                    && !name.starts_with(|first: char| first.is_ascii_digit())
                    && !name.starts_with("__"),
                &field,
                "a name has letters, digits and _, no digit first, and does not begin with __",
            )?;
            check(value.len() <= MOST_TEXT_BYTES, &field, "at most 1024 bytes")?;
            check(
                name != "guid" || Guid::is_valid(value),
                &field,
                "is not a guid",
            )?;
        }
        Ok(())
    }
}

fn is_address(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else {
        return false;
    };
    let host_is_good = match host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (1..=253).contains(&host.len()) && host.bytes().all(plain)
        }
    };
    host_is_good && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// The node's exporters. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Exporters(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    host: Guid,
    kept: Kept<Exporter>,
    health: Mutex<HashMap<String, ExporterHealth>>,
    look: Notify,
    /// Components of the agent that are exporters.
    managed: Mutex<Vec<(String, Exporter)>>,
}

impl Exporters {
    /// Reads what is kept below the data directory. Nothing is looked at before
    /// [`Exporters::run`].
    pub fn open(data_dir: &Path, host: Guid) -> Result<Self, ExporterError> {
        Ok(Self(Arc::new(Inner {
            host,
            kept: Kept::open(data_dir.join("exporters"))?,
            health: Mutex::default(),
            look: Notify::new(),
            managed: Mutex::default(),
        })))
    }

    /// Registers an exporter, or changes it. Writes to disk.
    pub fn put(&self, name: &str, exporter: Exporter) -> Result<Put, ExporterError> {
        check_name(name)?;
        exporter.validate()?;
        let all = self.0.kept.all();
        if all.len() >= MOST_EXPORTERS && !all.contains_key(name) {
            return Err(ExporterError::TooMany);
        }
        let put = self.0.kept.put(name, exporter)?;
        if put != Put::Unchanged {
            self.health().remove(name);
            self.0.look.notify_one();
        }
        Ok(put)
    }

    /// Forgets an exporter. Writes to disk.
    pub fn remove(&self, name: &str) -> Result<(), ExporterError> {
        check_name(name)?;
        if !self.0.kept.remove(name)? {
            return Err(ExporterError::NotFound(name.to_owned()));
        }
        self.health().remove(name);
        Ok(())
    }

    /// One exporter.
    pub fn get(&self, name: &str) -> Result<ExporterStatus, ExporterError> {
        check_name(name)?;
        let exporter = self.0.kept.get(name);
        let exporter = exporter.ok_or_else(|| ExporterError::NotFound(name.to_owned()))?;
        Ok(self.status(name.to_owned(), exporter))
    }

    /// All of them, by name.
    #[must_use]
    pub fn list(&self) -> Vec<ExporterStatus> {
        let all = self.0.kept.all().into_iter();
        all.map(|(name, exporter)| self.status(name, exporter))
            .collect()
    }

    /// Has these served as targets beside the registered ones; replaces the ones before.
    pub fn set_managed(&self, managed: Vec<(String, Exporter)>) {
        *self.managed() = managed;
    }

    fn managed(&self) -> std::sync::MutexGuard<'_, Vec<(String, Exporter)>> {
        self.0
            .managed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The `http_sd` document.
    #[must_use]
    pub fn targets(&self) -> Vec<TargetGroup> {
        let group = |(name, exporter): (String, Exporter)| {
            let mut labels = exporter.labels;
            let host = || self.0.host.to_string();
            labels.entry("guid".to_owned()).or_insert_with(host);
            labels.entry("job".to_owned()).or_insert(name);
            labels.insert("__metrics_path__".to_owned(), exporter.path);
            if exporter.scheme == Scheme::Https {
                labels.insert("__scheme__".to_owned(), "https".to_owned());
            }
            TargetGroup {
                targets: vec![exporter.address],
                labels,
            }
        };
        let managed = self.managed().clone();
        let all = managed.into_iter().chain(self.0.kept.all());
        all.map(group).collect()
    }

    /// Looks at exporters, new ones at once, until dropped.
    pub async fn run(&self) {
        loop {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let now = now.map_or(0, |since| since.as_secs());
            let due = self.list().into_iter().filter(|one| {
                let age = one.health.checked_at.map(|at| now.saturating_sub(at));
                age.is_none_or(|age| age + 1 >= LOOK_EVERY.as_secs())
            });
            let looks = futures_util::stream::iter(due.map(|one| async move {
                let health = look::at(&one.exporter).await;
                self.found(&one, health);
            }));
            looks.buffer_unordered(LOOKS_AT_ONCE).collect::<()>().await;
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.0.look.notified() => {}
            }
        }
    }

    fn found(&self, seen: &ExporterStatus, health: ExporterHealth) {
        // It may have been changed or removed meanwhile: then this says nothing of it.
        if self.0.kept.get(&seen.name).as_ref() != Some(&seen.exporter) {
            return;
        }
        let (state, error) = (health.state, health.error.clone());
        let before = self.health().insert(seen.name.clone(), health);
        if before.map(|before| before.state) != Some(state) && state == ExporterState::Down {
            tracing::warn!(exporter = seen.name, error, "exporter does not answer");
        }
    }

    fn status(&self, name: String, exporter: Exporter) -> ExporterStatus {
        ExporterStatus {
            health: self.health().get(&name).cloned().unwrap_or_default(),
            name,
            exporter,
        }
    }

    fn health(&self) -> std::sync::MutexGuard<'_, HashMap<String, ExporterHealth>> {
        self.0.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_name(name: &str) -> Result<(), ExporterError> {
    match is_name(name) {
        true => Ok(()),
        false => Err(ExporterError::Invalid {
            field: "name".to_owned(),
            what: "use 1 to 63 letters, digits, -, _ and ., beginning with a letter or digit",
        }),
    }
}

#[cfg(test)]
mod tests;
