//! What an app finds in its environment so that its SDKs report without configuration.
//!
//! What the app's description or its image sets wins; only the guid is added to lists of
//! attributes that they set.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tokio::sync::watch;

use crate::config::Guid;

/// Where apps find the agent's listeners, as seen from inside a container. Absent: not told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment {
    /// OTLP over HTTP, e.g. `http://172.17.0.1:4318`.
    pub otlp_http: Option<String>,
    /// Jaeger's Thrift compact protocol over UDP.
    pub jaeger_agent: Option<JaegerAgent>,
    /// Where Jaeger clients ask what to sample, e.g. `http://172.17.0.1:5778/sampling`.
    pub jaeger_sampling: Option<String>,
}

/// What apps are told, by the network they are in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environments {
    /// Whether it is known where the agent can be reached. Until then a container is not made, for
    /// some seconds.
    pub settled: bool,
    /// Apps in networks of their own.
    pub bridge: Environment,
    /// Apps in the host's network.
    pub host: Environment,
}

/// How long a container waits for [`Environments::settled`].
const SETTLES_WITHIN: Duration = Duration::from_secs(5);

/// What an app in these networks is told, as soon as it is known.
pub(super) async fn of_networks(
    environments: &watch::Receiver<Environments>,
    networks: &[String],
) -> Environment {
    let mut environments = environments.clone();
    let settled = environments.wait_for(|known| known.settled);
    // Too late, or nobody there to tell: as it is.
    let _ = tokio::time::timeout(SETTLES_WITHIN, settled).await;
    let known = environments.borrow();
    match networks.first().map(String::as_str) {
        Some("none") => Environment::default(),
        Some("host") => known.host.clone(),
        _ => known.bridge.clone(),
    }
}

/// Address of a Jaeger agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JaegerAgent {
    /// Host name or address, as seen from inside a container.
    pub host: String,
    /// UDP port of the compact protocol.
    pub port: u16,
}

impl Environment {
    /// Adds the agent's variables to the app's. `image`: what the image sets, as `NAME=value`.
    pub(super) fn add_to(&self, env: &mut BTreeMap<String, String>, guid: &Guid, image: &[String]) {
        let image: BTreeMap<&str, &str> = image
            .iter()
            .filter_map(|pair| pair.split_once('='))
            .collect();
        let guid = guid.as_str();
        if let Some(endpoint) = &self.otlp_http {
            let elsewhere = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL"];
            if !elsewhere.iter().any(|name| is_set(env, &image, name)) {
                env.insert(elsewhere[0].to_owned(), endpoint.clone());
                // SDKs differ in their default, and the endpoint speaks HTTP.
                env.insert(elsewhere[1].to_owned(), "http/protobuf".to_owned());
            }
            let attributes = [("guid", guid), ("service.instance.id", guid)];
            let named = add_pairs(env, &image, "OTEL_RESOURCE_ATTRIBUTES", &attributes);
            if !named.contains("service.name") {
                add(env, &image, "OTEL_SERVICE_NAME", guid);
            }
        }
        if let Some(agent) = &self.jaeger_agent {
            if !is_set(env, &image, "JAEGER_ENDPOINT") {
                add(env, &image, "JAEGER_AGENT_HOST", &agent.host);
                add(env, &image, "JAEGER_AGENT_PORT", &agent.port.to_string());
            }
            if let Some(url) = &self.jaeger_sampling {
                add(env, &image, "JAEGER_SAMPLING_ENDPOINT", url);
            }
            add_pairs(env, &image, "JAEGER_TAGS", &[("guid", guid)]);
            add(env, &image, "JAEGER_SERVICE_NAME", guid);
        }
    }
}

type Env = BTreeMap<String, String>;

fn is_set(env: &Env, image: &BTreeMap<&str, &str>, name: &str) -> bool {
    env.contains_key(name) || image.contains_key(name)
}

fn add(env: &mut Env, image: &BTreeMap<&str, &str>, name: &str, value: &str) {
    if !is_set(env, image, name) {
        env.insert(name.to_owned(), value.to_owned());
    }
}

/// Adds the pairs that a variable of the form `a=b,c=d` does not name yet; returns what it named.
fn add_pairs(
    env: &mut Env,
    image: &BTreeMap<&str, &str>,
    variable: &str,
    pairs: &[(&str, &str)],
) -> HashSet<String> {
    let own = env.get(variable).map(String::as_str);
    let own = own.or_else(|| image.get(variable).copied());
    let mut value = own.unwrap_or_default().trim().to_owned();
    let named: HashSet<String> = value
        .split(',')
        .filter_map(|pair| Some(pair.split_once('=')?.0.trim().to_owned()))
        .collect();
    for (name, text) in pairs {
        if !named.contains(*name) {
            if !value.is_empty() {
                value.push(',');
            }
            value.push_str(&format!("{name}={text}"));
        }
    }
    env.insert(variable.to_owned(), value);
    named
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn full() -> Environment {
        Environment {
            otlp_http: Some("http://172.17.0.1:4318".to_owned()),
            jaeger_agent: Some(JaegerAgent {
                host: "172.17.0.1".to_owned(),
                port: 6831,
            }),
            jaeger_sampling: Some("http://172.17.0.1:5778/sampling".to_owned()),
        }
    }

    fn added(environment: &Environment, own: &[(&str, &str)], image: &[&str]) -> Env {
        let text = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let mut env = own.iter().map(text).collect();
        let image: Vec<_> = image.iter().map(|&pair| pair.to_owned()).collect();
        environment.add_to(&mut env, &"app-1".parse().unwrap(), &image);
        env
    }

    #[test]
    fn an_app_that_sets_nothing_is_told_everything() {
        let env = added(&full(), &[], &["PATH=/bin"]);
        let expected = [
            ("JAEGER_AGENT_HOST", "172.17.0.1"),
            ("JAEGER_AGENT_PORT", "6831"),
            (
                "JAEGER_SAMPLING_ENDPOINT",
                "http://172.17.0.1:5778/sampling",
            ),
            ("JAEGER_SERVICE_NAME", "app-1"),
            ("JAEGER_TAGS", "guid=app-1"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://172.17.0.1:4318"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "guid=app-1,service.instance.id=app-1",
            ),
            ("OTEL_SERVICE_NAME", "app-1"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(env, Env::from(expected));
    }

    #[test]
    fn nothing_is_told_of_listeners_that_are_not_there() {
        assert!(added(&Environment::default(), &[], &[]).is_empty());
    }

    #[tokio::test]
    async fn networks_decide_and_nobody_waits_for_what_never_comes() {
        let (sender, environments) = watch::channel(Environments::default());
        let of = async |networks: &[&str]| {
            let networks: Vec<_> = networks.iter().map(|&name| name.to_owned()).collect();
            of_networks(&environments, &networks).await
        };
        let host = Environment {
            jaeger_sampling: None,
            ..full()
        };
        let settled = Environments {
            settled: true,
            bridge: full(),
            host: host.clone(),
        };
        let (told, ()) = tokio::join!(of(&[]), async {
            sender.send_replace(settled);
        });
        assert_eq!(told, full());
        assert_eq!(of(&["own"]).await, full());
        assert_eq!(of(&["host"]).await, host);
        assert_eq!(of(&["none"]).await, Environment::default());

        let (_, nobody) = watch::channel(Environments::default());
        assert_eq!(of_networks(&nobody, &[]).await, Environment::default());
    }

    #[test]
    fn what_the_app_or_its_image_sets_wins() {
        let own = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://elsewhere"),
            ("OTEL_RESOURCE_ATTRIBUTES", "team=a, service.name=cart"),
            ("JAEGER_AGENT_HOST", "other"),
            ("JAEGER_TAGS", "guid=mine"),
        ];
        let env = added(&full(), &own, &["JAEGER_SERVICE_NAME=cart"]);
        assert_eq!(env["OTEL_EXPORTER_OTLP_ENDPOINT"], "http://elsewhere");
        assert!(!env.contains_key("OTEL_EXPORTER_OTLP_PROTOCOL"));
        assert_eq!(
            env["OTEL_RESOURCE_ATTRIBUTES"],
            "team=a, service.name=cart,guid=app-1,service.instance.id=app-1"
        );
        assert!(!env.contains_key("OTEL_SERVICE_NAME"));
        assert_eq!(env["JAEGER_AGENT_HOST"], "other");
        assert_eq!(env["JAEGER_TAGS"], "guid=mine");
        assert!(!env.contains_key("JAEGER_SERVICE_NAME"));
    }

    #[test]
    fn attributes_of_the_image_are_kept_beside_the_guid() {
        let env = added(&full(), &[], &["OTEL_RESOURCE_ATTRIBUTES=a=b"]);
        assert_eq!(
            env["OTEL_RESOURCE_ATTRIBUTES"],
            "a=b,guid=app-1,service.instance.id=app-1"
        );
    }
}
