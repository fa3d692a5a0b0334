//! Rules between keys.

mod stack;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::Config;
use super::problem::{Origin, Problem};

/// A listener of the configuration: its key and address.
type Listener = (&'static str, SocketAddr);

/// Everything that is wrong between keys that are each fine alone: `broken` keys (and what depends
/// on them) are left out.
pub(super) fn check(
    config: &Config,
    origins: &BTreeMap<String, Origin>,
    broken: &[Problem],
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut complain = |keys: &[&str], what: String, fix: &str| {
        let is_broken = |key: &&str| broken.iter().any(|problem| problem.key.starts_with(key));
        if keys.iter().any(is_broken) {
            return;
        }
        let key = keys[0];
        problems.push(Problem {
            origin: origins.get(key).cloned().unwrap_or(Origin::Default),
            key: key.to_owned(),
            what,
            fix: fix.to_owned(),
        });
    };

    let api = &config.api;
    let has_client_ca = api.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    if !api.listen.ip().is_loopback() && api.token_file.is_none() && !has_client_ca {
        complain(
            &["api.listen", "api.token_file", "api.tls"],
            format!(
                "{} can be reached from other hosts without a token",
                api.listen
            ),
            "set api.token_file or api.tls.client_ca, or listen on 127.0.0.1",
        );
    }

    for stack::Violation { keys, what, fix } in stack::violations(config) {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        complain(&keys, what, fix);
    }

    for listeners in [tcp_listeners(config), udp_listeners(config)] {
        for (index, &second) in listeners.iter().enumerate() {
            for &first in &listeners[..index] {
                if collide(first.1, second.1) {
                    // A default cannot be pointed at: name the key that somebody wrote.
                    let (here, there) = if origins.contains_key(second.0) {
                        (second, first)
                    } else {
                        (first, second)
                    };
                    complain(
                        &[here.0, there.0],
                        format!("{} is taken by {} ({})", here.1, there.0, there.1),
                        "use another port for one of them",
                    );
                }
            }
        }
    }

    let receivers = receivers(config);
    for (key, urls) in [
        ("bus.metrics", &config.bus.metrics),
        ("bus.logs", &config.bus.logs),
        ("bus.traces", &config.bus.traces),
        ("bus.otlp_metrics", &config.bus.otlp_metrics),
    ] {
        for url in urls {
            let to_itself = local_port(url).and_then(|(address, port)| {
                receivers.iter().find(|(_, listen)| {
                    let same_address = listen.ip().is_unspecified()
                        || address.is_unspecified()
                        || listen.ip() == address;
                    listen.port() == port && same_address
                })
            });
            if let Some((listener, _)) = to_itself {
                complain(
                    &[key, listener],
                    format!("{url:?} is the agent's own {listener}: data would go in circles"),
                    "name the receiver that the data is for",
                );
            }
        }
    }
    problems
}

fn tcp_listeners(config: &Config) -> Vec<Listener> {
    let mut listeners = vec![("api.listen", config.api.listen)];
    listeners.extend(receivers(config));
    listeners.extend(stack::listeners(config));
    listeners
}

fn receivers(config: &Config) -> Vec<Listener> {
    let receive = &config.receive;
    [
        ("receive.remote_write", receive.remote_write),
        ("receive.otlp_http", receive.otlp_http),
        ("receive.otlp_grpc", receive.otlp_grpc),
        ("receive.jaeger.http", receive.jaeger.http),
        ("receive.jaeger.grpc", receive.jaeger.grpc),
        ("receive.jaeger.sampling", receive.jaeger.sampling),
    ]
    .into_iter()
    .filter_map(|(key, address)| Some((key, address?)))
    .collect()
}

fn udp_listeners(config: &Config) -> Vec<Listener> {
    let jaeger = &config.receive.jaeger;
    [
        ("receive.jaeger.compact", jaeger.compact),
        ("receive.jaeger.binary", jaeger.binary),
    ]
    .into_iter()
    .filter_map(|(key, address)| Some((key, address?)))
    .collect()
}

/// Whether the second could not be bound beside the first. Port 0 is any free port; `::` takes
/// IPv4 along.
fn collide(first: SocketAddr, second: SocketAddr) -> bool {
    let covers =
        |any: IpAddr, other: IpAddr| any.is_unspecified() && (any.is_ipv6() || other.is_ipv4());
    let (one, other) = (first.ip(), second.ip());
    first.port() == second.port()
        && first.port() != 0
        && (one == other || covers(one, other) || covers(other, one))
}

/// The address and port of a URL that names this host's loopback.
fn local_port(url: &str) -> Option<(IpAddr, u16)> {
    let uri: http::Uri = url.parse().ok()?;
    let default_port = match uri.scheme_str()? {
        "http" => 80,
        "https" => 443,
        _ => 4317,
    };
    let host = uri.host()?.trim_matches(['[', ']']);
    let address = match host {
        "localhost" => IpAddr::from([127, 0, 0, 1]),
        _ => host.parse().ok()?,
    };
    let is_local = address.is_loopback() || address.is_unspecified();
    is_local.then(|| (address, uri.port_u16().unwrap_or(default_port)))
}
