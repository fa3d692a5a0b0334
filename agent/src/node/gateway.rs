//! Follows the gateway of Docker's default bridge: the one address of the node that containers of
//! every bridge network reach and that other hosts do not. What listens on loopback listens there,
//! too, for containers alone, and apps are told so.
//!
//! Where Docker comes later, or makes its bridge anew with another address, this notices within
//! [`LOOK_EVERY`].

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bollard::models::NetworkInspect;
use bollard::query_parameters::InspectNetworkOptions;
use tokio::sync::{Notify, watch};

use super::rooms::Rooms;
use crate::config::Network;
use crate::directory::docker::{ASK_TIMEOUT, connect, reason};
use crate::drive::Environments;

/// How often the bridge is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The first pause while something is not as it should be; each doubles up to [`LOOK_EVERY`].
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// The bridge's name, whatever its device is called.
const BRIDGE: &str = "bridge";

/// What apps are told, and the news that it is to be looked at again.
#[derive(Debug)]
pub(super) struct Told {
    sender: watch::Sender<Environments>,
    look: Notify,
}

impl Told {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self {
            sender: watch::Sender::default(),
            look: Notify::new(),
        }
    }

    pub(super) fn environments(&self) -> watch::Receiver<Environments> {
        self.sender.subscribe()
    }

    /// The listeners are new ones.
    pub(super) fn look(&self) {
        self.look.notify_one();
    }
}

/// Why there is no gateway.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum NoGateway {
    #[error("{0}")]
    Docker(String),
    #[error("docker's default bridge has no address")]
    NoAddress,
}

/// Follows until dropped, or until the rooms are.
pub(super) async fn follow(rooms: Weak<Rooms>) {
    let mut known = None;
    let mut complained = None;
    let mut again = LOOK_AGAIN;
    loop {
        let Some(rooms) = rooms.upgrade() else {
            return;
        };
        let mut docker = rooms.docker.changes();
        let is_connected = docker.borrow_and_update().connected;
        let config = rooms.config();
        let mut problem = None;
        if !config.receive.apps {
            known = None;
        } else if is_connected {
            match ask(&config.docker.socket).await {
                Ok(address) => known = Some(address),
                Err(error) => problem = Some(error.to_string()),
            }
        }
        // Else Docker is away: its containers may run on, and so the address stays.
        {
            let replaceable = rooms.replaceable.lock().await;
            if let Err(error) = replaceable.listeners.serve_containers(known) {
                problem = Some(error.to_string());
            }
            let told = replaceable.listeners.environments();
            rooms.told.sender.send_if_modified(|current| {
                // Before Docker was seen nothing is settled, unless nobody waits for it.
                let mut told = told;
                told.settled = current.settled || is_connected || !config.receive.apps;
                let changed = *current != told;
                if changed && told.settled {
                    let endpoint = told.bridge.otlp_http.as_deref().unwrap_or("none");
                    tracing::info!(otlp = endpoint, "apps are told where to report");
                }
                *current = told;
                changed
            });
        }
        if problem.is_some() && problem != complained {
            tracing::warn!(
                error = problem,
                "apps cannot reach the listeners on docker's bridge; will keep trying"
            );
        }
        let wait = match problem {
            Some(_) => {
                let wait = again;
                again = (again * 2).min(LOOK_EVERY);
                wait
            }
            None => {
                again = LOOK_AGAIN;
                LOOK_EVERY
            }
        };
        complained = problem;
        let told = Arc::clone(&rooms.told);
        drop(rooms);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = told.look.notified() => {}
            changed = docker.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

async fn ask(socket: &Path) -> Result<IpAddr, NoGateway> {
    let docker = connect(socket)
        .await
        .map_err(|error| NoGateway::Docker(error.to_string()))?;
    let asked = docker.inspect_network(BRIDGE, None::<InspectNetworkOptions>);
    match tokio::time::timeout(ASK_TIMEOUT, asked).await {
        Ok(Ok(network)) => gateway(&network).ok_or(NoGateway::NoAddress),
        Ok(Err(error)) => Err(NoGateway::Docker(reason(&error))),
        Err(_) => Err(NoGateway::Docker(format!(
            "no answer within {ASK_TIMEOUT:?}"
        ))),
    }
}

/// The bridge's IPv4 address. A daemon that has made no container yet may leave it out: then it is
/// the first one of the subnet, as Docker gives it.
fn gateway(network: &NetworkInspect) -> Option<IpAddr> {
    let ipam = network.ipam.as_ref()?.config.as_ref()?;
    ipam.iter().find_map(|range| {
        if let Some(gateway) = &range.gateway {
            let gateway: Ipv4Addr = gateway.split('/').next()?.parse().ok()?;
            return Some(gateway.into());
        }
        let subnet = range.subnet.as_ref()?;
        subnet.parse::<Network>().ok()?;
        let first: Ipv4Addr = subnet.split('/').next()?.parse().ok()?;
        Some(Ipv4Addr::from_bits(first.to_bits() + 1).into())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::gateway;

    #[test]
    fn the_gateway_is_the_one_told_or_the_first_of_the_subnet() {
        for (ipam, expected) in [
            (
                r#"[{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.9"}]"#,
                Some("172.17.0.9"),
            ),
            (r#"[{"Subnet": "172.17.0.0/16"}]"#, Some("172.17.0.1")),
            (
                r#"[{"Subnet": "fd00::/64", "Gateway": "fd00::1"}, {"Subnet": "10.1.0.0/24"}]"#,
                Some("10.1.0.1"),
            ),
            (r#"[{"Subnet": "nonsense"}]"#, None),
            ("[]", None),
        ] {
            let text = format!(r#"{{"Name": "bridge", "IPAM": {{"Config": {ipam}}}}}"#);
            let found = gateway(&serde_json::from_str(&text).unwrap());
            assert_eq!(found, expected.map(|text| text.parse().unwrap()), "{ipam}");
        }
    }
}
