//! From the Engine API's words to the directory's.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use bollard::models::{
    ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum, EndpointSettings,
};

use crate::config::Guid;
use crate::directory::{Container, LogSource};

/// The guid of a container that guidon made.
pub const LABEL_GUID: &str = "io.guidon.guid";
/// Which agent made it: see [`Owner`].
pub const LABEL_OWNER: &str = "io.guidon.owner";

/// Whose component of the stack it is: the owner, as with apps.
pub const LABEL_STACK: &str = "io.guidon.stack";

/// What tells one agent's containers from another's on the same daemon: its data directory. Kept
/// in a label, so that the agent finds its apps after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner(pub String);

impl Owner {
    /// The owner that keeps its state in this folder, which should exist.
    #[must_use]
    pub fn of_data_dir(folder: &Path) -> Self {
        let folder = folder
            .canonicalize()
            .or_else(|_| std::path::absolute(folder));
        Self(folder.unwrap_or_default().to_string_lossy().into_owned())
    }

    /// The guid that the labels give a container, if they are this agent's.
    #[must_use]
    pub fn guid(&self, labels: &HashMap<String, String>) -> Option<Guid> {
        (labels.get(LABEL_OWNER) == Some(&self.0))
            .then(|| labels.get(LABEL_GUID)?.parse().ok())
            .flatten()
    }

    /// Whether the labels are those of one of this agent's components.
    fn runs_as_component(&self, labels: &HashMap<String, String>) -> bool {
        labels.get(LABEL_STACK) == Some(&self.0)
    }
}

/// Absent where the answer has no id.
pub(super) fn from_inspect(answer: &ContainerInspectResponse, owner: &Owner) -> Option<Container> {
    let id = answer.id.clone()?;
    let config = answer.config.as_ref();
    let state = answer.state.as_ref();
    let time = |text: Option<&String>| text.and_then(|text| unix_seconds(text)).unwrap_or(0.0);
    let pid = state
        .and_then(|state| state.pid)
        .and_then(|pid| u32::try_from(pid).ok())
        .unwrap_or(0);
    let networks = answer.network_settings.as_ref();
    let networks = networks.and_then(|settings| settings.networks.as_ref());
    let log = answer.host_config.as_ref();
    let log = log.and_then(|host| host.log_config.as_ref());
    Some(Container {
        id,
        name: plain_name(answer.name.as_deref()),
        image: config
            .and_then(|config| config.image.clone())
            .unwrap_or_default(),
        guid: config
            .and_then(|config| config.labels.as_ref())
            .and_then(|labels| owner.guid(labels)),
        is_component: config
            .and_then(|config| config.labels.as_ref())
            .is_some_and(|labels| owner.runs_as_component(labels)),
        created_at: time(answer.created.as_ref()),
        started_at: time(state.and_then(|state| state.started_at.as_ref())),
        addresses: if pid == 0 {
            Vec::new()
        } else {
            addresses(networks)
        },
        pid,
        log: LogSource {
            driver: log.and_then(|log| log.typ.clone()).unwrap_or_default(),
            path: answer
                .log_path
                .as_ref()
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
            is_tty: config.and_then(|config| config.tty).unwrap_or(false),
        },
    })
}

/// What the list tells: all but pid, start and log.
pub(super) fn from_summary(summary: &ContainerSummary, owner: &Owner) -> Option<Container> {
    let networks = summary.network_settings.as_ref();
    let networks = networks.and_then(|settings| settings.networks.as_ref());
    let names = summary.names.as_deref().unwrap_or_default();
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds since 1970 fit a double for 285 million years"
    )]
    let created_at = summary.created.unwrap_or(0) as f64;
    Some(Container {
        id: summary.id.clone()?,
        name: plain_name(own_name(names)),
        image: summary.image.clone().unwrap_or_default(),
        guid: summary
            .labels
            .as_ref()
            .and_then(|labels| owner.guid(labels)),
        is_component: summary
            .labels
            .as_ref()
            .is_some_and(|labels| owner.runs_as_component(labels)),
        created_at,
        addresses: if runs(summary) {
            addresses(networks)
        } else {
            Vec::new()
        },
        ..Container::default()
    })
}

/// What the `create` event tells.
pub(super) fn from_event(
    id: &str,
    attributes: &HashMap<String, String>,
    owner: &Owner,
) -> Container {
    Container {
        id: id.to_owned(),
        name: attributes.get("name").cloned().unwrap_or_default(),
        image: attributes.get("image").cloned().unwrap_or_default(),
        guid: owner.guid(attributes),
        is_component: owner.runs_as_component(attributes),
        ..Container::default()
    }
}

/// Whether the list contradicts what is known, as far as it tells.
pub(super) fn differs(known: &Container, summary: &ContainerSummary) -> bool {
    let names = summary.names.as_deref().unwrap_or_default();
    (known.pid != 0) != runs(summary) || known.name != plain_name(own_name(names))
}

pub(super) fn runs(summary: &ContainerSummary) -> bool {
    matches!(
        summary.state,
        Some(ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::PAUSED)
    )
}

/// Links of other containers show as further names, `/other/alias`.
fn own_name(names: &[String]) -> Option<&str> {
    let own = |name: &&String| name.matches('/').count() <= 1;
    names.iter().find(own).map(String::as_str)
}

fn plain_name(name: Option<&str>) -> String {
    let name = name.unwrap_or_default();
    name.strip_prefix('/').unwrap_or(name).to_owned()
}

fn addresses(networks: Option<&HashMap<String, EndpointSettings>>) -> Vec<IpAddr> {
    let endpoints = networks.into_iter().flat_map(HashMap::values);
    let mut addresses: Vec<IpAddr> = endpoints
        .flat_map(|endpoint| [&endpoint.ip_address, &endpoint.global_ipv6_address])
        .filter_map(|address| address.as_ref()?.parse().ok())
        .collect();
    // The map has no order of its own, and an equal record must compare equal.
    addresses.sort_unstable();
    addresses
}

/// An RFC 3339 time of the Engine API in Unix seconds. Absent for what is not one, and for the
/// zero time (year 1) that stands for "never".
#[must_use]
pub fn unix_seconds(text: &str) -> Option<f64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u32>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let valid = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !valid || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let rest = text.get(19..)?;
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (fraction, zone) = rest.split_at(zone_at);
    let fraction = match fraction {
        "" => 0.0,
        digits => format!("0{digits}").parse::<f64>().ok()?,
    };
    let offset = match zone.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign, ..] => {
            let hours: i64 = zone.get(1..3)?.parse().ok()?;
            let minutes: i64 = zone.get(4..6)?.parse().ok()?;
            let seconds = hours * 3600 + minutes * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
        [] => return None,
    };
    // Days from 1970 in a year that begins in March, so that the leap day is its last.
    let (year, month) = if month > 2 {
        (i64::from(year), i64::from(month) - 3)
    } else {
        (i64::from(year) - 1, i64::from(month) + 9)
    };
    let days =
        year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + i64::from(day)
            - 719_469;
    let seconds = days * 86_400 + i64::from(hour * 3600 + minute * 60 + second) - offset;
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds since 1970 fit a double for 285 million years"
    )]
    let seconds = seconds as f64;
    Some(seconds + fraction)
}
