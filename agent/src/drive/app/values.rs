//! Values that are read from more than one form, and what a reader's errors say.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::parts::{Mount, MountKind, Port, Protocol, Restart};
use crate::config::{parse_bytes, parse_duration, show_bytes};
use crate::drive::DriveError;

/// A number of bytes: `"256MiB"`, or a bare number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, example = "256MiB")]
pub struct Size(pub u64);

/// A length of time: `"1m30s"`, or a number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, example = "30s")]
pub struct Span(pub Duration);

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&show_bytes(self.0))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let milliseconds = self.0.as_millis();
        if milliseconds.is_multiple_of(1_000) {
            serializer.collect_str(&format_args!("{}s", milliseconds / 1_000))
        } else {
            serializer.collect_str(&format_args!("{milliseconds}ms"))
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrText {
            expecting: "a size such as \"256MiB\", or a number of bytes",
            number: |number| Some(Self(number)),
            text: |text| parse_bytes(text).map(Self),
        })
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrText {
            expecting: "a length of time such as \"30s\", or a number of seconds",
            number: |number| Some(Self(Duration::from_secs(number))),
            text: |text| parse_duration(text).map(Self),
        })
    }
}

struct NumberOrText<T> {
    expecting: &'static str,
    number: fn(u64) -> Option<T>,
    text: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for NumberOrText<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.expecting)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        (self.number)(number).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.text)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => formatter.write_str("no"),
            Self::Always => formatter.write_str("always"),
            Self::UnlessStopped => formatter.write_str("unless-stopped"),
            Self::OnFailure(None) => formatter.write_str("on-failure"),
            Self::OnFailure(Some(most)) => write!(formatter, "on-failure:{most}"),
        }
    }
}

impl Serialize for Restart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Restart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrText {
            expecting: "\"no\", \"always\", \"unless-stopped\", \"on-failure\" or \"on-failure:N\"",
            number: |_| None,
            text: |text| match text {
                "no" => Some(Self::No),
                "always" => Some(Self::Always),
                "unless-stopped" => Some(Self::UnlessStopped),
                "on-failure" => Some(Self::OnFailure(None)),
                _ => {
                    let most = text.strip_prefix("on-failure:")?.parse().ok()?;
                    Some(Self::OnFailure(Some(most)))
                }
            },
        })
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Long {
            container: u16,
            host: Option<u16>,
            address: Option<IpAddr>,
            #[serde(default)]
            protocol: Protocol,
        }
        deserializer.deserialize_any(LongOrShort {
            expecting: "a port such as \"8080:80\", or an object with `container`",
            long: |long: Long| Self {
                container: long.container,
                host: long.host,
                address: long.address,
                protocol: long.protocol,
            },
            number: |number| short_port(&number.to_string()),
            short: short_port,
        })
    }
}

impl<'de> Deserialize<'de> for Mount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Long {
            #[serde(rename = "type")]
            kind: Option<MountKind>,
            #[serde(default)]
            source: String,
            target: String,
            #[serde(default)]
            read_only: bool,
            size: Option<Size>,
        }
        deserializer.deserialize_any(LongOrShort {
            expecting: "a mount such as \"data:/var/lib/app:ro\", or an object with `target`",
            long: |long: Long| Self {
                kind: long.kind.unwrap_or_else(|| kind_of_source(&long.source)),
                source: long.source,
                target: long.target,
                read_only: long.read_only,
                size: long.size,
            },
            number: |_| None,
            short: short_mount,
        })
    }
}

/// `[[address:]host:]container[/protocol]`; an IPv6 address stands in brackets.
fn short_port(text: &str) -> Option<Port> {
    let (rest, protocol) = match text.rsplit_once('/') {
        None => (text, Protocol::Tcp),
        Some((rest, "tcp")) => (rest, Protocol::Tcp),
        Some((rest, "udp")) => (rest, Protocol::Udp),
        Some((rest, "sctp")) => (rest, Protocol::Sctp),
        Some(_) => return None,
    };
    let (rest, container) = match rest.rsplit_once(':') {
        None => (None, rest),
        Some((rest, container)) => (Some(rest), container),
    };
    let (address, host) = match rest.map(|rest| rest.rsplit_once(':').ok_or(rest)) {
        None => (None, None),
        Some(Err(host)) => (None, Some(host)),
        Some(Ok((address, host))) => (Some(address), Some(host)),
    };
    let address = address.map(|text| {
        let inner = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        inner.unwrap_or(text).parse::<IpAddr>().ok()
    });
    Some(Port {
        container: container.parse().ok()?,
        host: match host {
            None | Some("") => None,
            Some(host) => Some(host.parse().ok()?),
        },
        address: match address {
            None => None,
            Some(address) => Some(address?),
        },
        protocol,
    })
}

fn short_mount(text: &str) -> Option<Mount> {
    let mut parts = text.split(':');
    let (source, target) = (parts.next()?, parts.next()?);
    let read_only = match parts.next() {
        None | Some("rw") => false,
        Some("ro") => true,
        Some(_) => return None,
    };
    if parts.next().is_some() || source.is_empty() {
        return None;
    }
    Some(Mount {
        kind: kind_of_source(source),
        source: source.to_owned(),
        target: target.to_owned(),
        read_only,
        size: None,
    })
}

fn kind_of_source(source: &str) -> MountKind {
    if source.starts_with('/') {
        MountKind::Bind
    } else {
        MountKind::Volume
    }
}

struct LongOrShort<L, T> {
    expecting: &'static str,
    long: fn(L) -> T,
    number: fn(u64) -> Option<T>,
    short: fn(&str) -> Option<T>,
}

impl<'de, L: Deserialize<'de>, T> Visitor<'de> for LongOrShort<L, T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.expecting)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        (self.number)(number).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.short)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        L::deserialize(de::value::MapAccessDeserializer::new(map)).map(self.long)
    }
}

/// A map of strings; or a list of `NAME=value`, where the last of a name counts.
pub(super) fn pairs<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    struct Pairs;
    impl<'de> Visitor<'de> for Pairs {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object of names and values, or a list of \"NAME=value\"")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = BTreeMap::new();
            while let Some((name, Scalar(value))) = map.next_entry()? {
                pairs.insert(name, value);
            }
            Ok(pairs)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut pairs = BTreeMap::new();
            while let Some(item) = list.next_element::<String>()? {
                // The item is not repeated in the error: it may hold a secret.
                let (name, value) = item
                    .split_once('=')
                    .ok_or_else(|| de::Error::custom("an item of the list is not NAME=value"))?;
                pairs.insert(name.to_owned(), value.to_owned());
            }
            Ok(pairs)
        }
    }
    deserializer.deserialize_any(Pairs)
}

/// A string, or a number or truth value as one writes it in an environment.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(text)),
            serde_json::Value::Number(number) => Ok(Self(number.to_string())),
            serde_json::Value::Bool(truth) => Ok(Self(truth.to_string())),
            _ => Err(de::Error::custom("a value is not a string")),
        }
    }
}

/// Words, or one string for the shell; kept in Docker's form, whose first word says which.
pub(super) fn health_test<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    struct Test;
    impl<'de> Visitor<'de> for Test {
        type Value = Vec<String>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a list of words, or one string for the shell")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(vec!["CMD-SHELL".to_owned(), text.to_owned()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut words: Vec<String> = Vec::new();
            while let Some(word) = list.next_element()? {
                words.push(word);
            }
            let first = words.first().map(String::as_str);
            if !matches!(first, None | Some("CMD" | "CMD-SHELL" | "NONE")) {
                words.insert(0, "CMD".to_owned());
            }
            Ok(words)
        }
    }
    deserializer.deserialize_any(Test)
}

/// The field and message of a reader's error. The reader names an unknown or missing field only in
/// its words.
pub(super) fn error_of(path: &serde_path_to_error::Path, message: &str) -> DriveError {
    let mut field = match path.to_string() {
        path if path == "." => String::new(),
        path => path,
    };
    for start in ["unknown field `", "missing field `"] {
        let named = message
            .strip_prefix(start)
            .and_then(|rest| rest.split_once('`'));
        if let Some((name, _)) = named {
            let last = field.rsplit('.').next().unwrap_or_default();
            if last != name {
                if !field.is_empty() {
                    field.push('.');
                }
                field.push_str(name);
            }
        }
    }
    if field.is_empty() {
        field.push_str("body");
    }
    DriveError::invalid(field, message)
}
