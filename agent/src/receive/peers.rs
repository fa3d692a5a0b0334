//! Whose is it? From the two ends of a connection to the guid that its data gets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::config::{Guid, Network, Secret};
use crate::directory::{Container, Directory};
use crate::kernel::Kernel;
use crate::signal::{Apps, Policy, Tag};

/// A sender as its data is tagged.
#[derive(Debug, Clone)]
pub struct Sender {
    /// Its guid, and its container where that is known.
    pub tag: Tag,
    /// Whether its own guids are believed.
    pub trusted: bool,
    /// Where it is.
    pub place: Place,
}

/// Where a sender is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a container of this node.
    Container,
    /// In a process of this node outside of every container, or in a component of the agent's own:
    /// it can only be somebody whom the node's owner let in, such as a relay for the apps.
    Host,
    /// On another host; or in a container of this node that the directory does not know yet.
    Elsewhere,
}

impl Sender {
    /// For the splicers. `apps` knows the apps whose data a trusted sender may pass on.
    #[must_use]
    pub fn policy<'t>(&'t self, apps: Apps<'t>) -> Policy<'t> {
        if self.trusted {
            Policy::Relay {
                fallback: &self.tag,
                apps,
            }
        } else {
            Policy::Always(&self.tag)
        }
    }
}

/// Resolves senders.
pub trait Peers: Send + Sync + 'static {
    /// The sender at `peer`, connected to our `local` address over TCP or `udp`.
    fn sender(&self, peer: SocketAddr, local: SocketAddr, udp: bool) -> Sender;

    /// Whether an app of this guid is known here.
    fn knows(&self, guid: &Guid) -> bool;

    /// The sender as a relay of the node's own (a Prometheus that the agent manages, say), if this
    /// is the secret by which those show who they are: they send what is others', and are believed
    /// whose it is.
    fn relay(&self, _sender: &Sender, _token: &[u8]) -> Option<Sender> {
        None
    }

    /// The app whose host name this is: an app's host name is its guid.
    fn app(&self, host_name: &str) -> Option<Guid> {
        let guid = host_name.parse().ok()?;
        self.knows(&guid).then_some(guid)
    }
}

/// Asks the directory, and the kernel for senders on this host.
#[derive(Debug)]
pub struct DirectoryPeers {
    directory: Arc<Directory>,
    kernel: Option<Arc<Kernel>>,
    trusted: Vec<Network>,
    relay_token: Secret,
    /// What everybody gets who is in no app's container.
    host: Tag,
}

impl DirectoryPeers {
    /// Without a kernel, senders that share the host's network all get the host guid.
    #[must_use]
    pub fn new(
        directory: Arc<Directory>,
        kernel: Option<Arc<Kernel>>,
        trusted: Vec<Network>,
        relay_token: Secret,
    ) -> Self {
        let host = Tag::new(directory.host().clone());
        Self {
            directory,
            kernel,
            trusted,
            relay_token,
            host,
        }
    }

    /// The tag of data from a container: the app's, or the host's where it is nobody's app.
    fn tag_of(&self, container: &Container) -> Tag {
        let guid = container.guid.as_ref().unwrap_or(self.host.guid());
        Tag::new(guid.clone()).with_container(&container.id, &container.name)
    }

    /// The container at the other end. Bridge networks have an address for each; a sender in the
    /// host's network shares the host's, and is found by its socket's cgroup.
    fn container(&self, peer: SocketAddr, on_node: bool, udp: bool) -> Option<Arc<Container>> {
        let address = peer.ip().to_canonical();
        let directory = self.directory.load();
        if let Some(container) = directory.by_address(address) {
            return Some(Arc::clone(container));
        }
        let cgroup = self
            .kernel
            .as_ref()?
            .peer(SocketAddr::new(address, peer.port()), udp)?;
        let container = directory.by_cgroup(cgroup)?;
        // A container speaks before the runtime has told where it is. Once told, only that counts:
        // other machines may have the addresses of its private networks.
        let untold = container.pid == 0 && container.addresses.is_empty();
        (on_node || untold).then(|| Arc::clone(container))
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }
}

impl Peers for DirectoryPeers {
    fn sender(&self, peer: SocketAddr, local: SocketAddr, udp: bool) -> Sender {
        let address = peer.ip().to_canonical();
        let on_node = address.is_loopback() || address == local.ip().to_canonical();
        if self.is_trusted(address) {
            // It speaks for others: what it leaves without a guid is the host's.
            return Sender {
                tag: self.host.clone(),
                trusted: true,
                place: match on_node {
                    true => Place::Host,
                    false => Place::Elsewhere,
                },
            };
        }
        let container = self.container(peer, on_node, udp);
        Sender {
            place: match (&container, on_node) {
                (Some(container), _) if container.is_component => Place::Host,
                (Some(_), _) => Place::Container,
                (None, true) => Place::Host,
                (None, false) => Place::Elsewhere,
            },
            tag: container.map_or_else(|| self.host.clone(), |container| self.tag_of(&container)),
            trusted: false,
        }
    }

    fn knows(&self, guid: &Guid) -> bool {
        guid == self.directory.host() || self.directory.load().knows(guid.as_str())
    }

    fn relay(&self, sender: &Sender, token: &[u8]) -> Option<Sender> {
        self.relay_token.equals(token).then(|| Sender {
            tag: self.host.clone(),
            trusted: true,
            place: sender.place,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use super::{DirectoryPeers, Peers, Place};
    use crate::config::Secret;
    use crate::directory::{Container, Directory};

    #[test]
    fn a_peer_is_its_container_or_the_host_and_trusted_only_by_address() {
        let directory = Arc::new(Directory::new("node-1".parse().unwrap()));
        for (id, guid, address, is_component) in [
            ("a", Some("app-1"), "172.17.0.2", false),
            ("b", None, "172.17.0.3", false),
            ("c", None, "172.17.0.4", true),
        ] {
            directory.put(Container {
                id: id.repeat(64),
                name: format!("name-{id}"),
                guid: guid.map(|guid| guid.parse().unwrap()),
                is_component,
                addresses: vec![address.parse().unwrap()],
                pid: 1,
                ..Container::default()
            });
        }
        let trusted = vec!["10.0.0.0/8".parse().unwrap()];
        let peers = DirectoryPeers::new(directory, None, trusted, Secret::new("relay"));
        let local = "172.17.0.1:10000".parse().unwrap();
        for (peer, guid, trusted, place, attributes) in [
            ("172.17.0.2:4000", "app-1", false, Place::Container, 3),
            (
                "[::ffff:172.17.0.2]:4000",
                "app-1",
                false,
                Place::Container,
                3,
            ),
            ("172.17.0.3:4000", "node-1", false, Place::Container, 3),
            ("172.17.0.4:4000", "node-1", false, Place::Host, 3),
            ("172.17.0.9:4000", "node-1", false, Place::Elsewhere, 0),
            ("172.17.0.1:4000", "node-1", false, Place::Host, 0),
            ("127.0.0.1:4000", "node-1", false, Place::Host, 0),
            ("10.9.9.9:4000", "node-1", true, Place::Elsewhere, 0),
        ] {
            let sender = peers.sender(peer.parse().unwrap(), local, false);
            assert_eq!(sender.place, place, "{peer}");
            assert_eq!(sender.tag.guid().as_str(), guid, "{peer}");
            assert_eq!(sender.trusted, trusted, "{peer}");
            assert_eq!(sender.tag.missing.len(), attributes, "{peer}");
        }
        let app = peers.sender("172.17.0.2:4000".parse().unwrap(), local, false);
        assert!(peers.relay(&app, b"other").is_none());
        let relay = peers.relay(&app, b"relay").unwrap();
        assert!(relay.trusted && relay.tag.guid().as_str() == "node-1");
        for (guid, known) in [("app-1", true), ("node-1", true), ("app-2", false)] {
            assert_eq!(peers.knows(&guid.parse().unwrap()), known, "{guid}");
        }
    }
}
