//! One function per kind of value: a node in, a typed value or complaints out.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::problem::Complaint;
use super::reader::Outcome;
use super::tree::{Node, Value};
use super::{Guid, InvalidNetwork, Network, units};

const ADDRESS_FIX: &str = "write an IP address and a port like \"127.0.0.1:7070\"";

pub(super) fn text(node: &Node) -> Outcome<String> {
    let text = string(node, "write a string in quotes")?;
    if text.is_empty() {
        return complain("is empty", "give it a value or remove the key");
    }
    Ok(text.to_owned())
}

pub(super) fn path(node: &Node) -> Outcome<PathBuf> {
    let path = text(node)?;
    if path.contains('\0') {
        return complain("is no path: it holds a zero byte", "");
    }
    Ok(path.into())
}

pub(super) fn boolean(node: &Node) -> Outcome<bool> {
    match node.value {
        Value::Boolean(boolean) => Ok(boolean),
        _ => mismatch(node, "true or false", "write true or false without quotes"),
    }
}

pub(super) fn guid(node: &Node) -> Outcome<Guid> {
    let text = string(node, "write a string in quotes")?;
    let fix = "use 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends";
    text.parse()
        .or_else(|_| complain(format!("{} is not a guid", quote(text)), fix))
}

pub(super) fn address(node: &Node) -> Outcome<SocketAddr> {
    let text = string(node, ADDRESS_FIX)?;
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let what = format!("{} is not an address with a port", quote(text));
    match text.rsplit_once(':') {
        Some(("localhost", port)) if port.parse::<u16>().is_ok() => complain(
            what,
            format!("names are not resolved here; write \"127.0.0.1:{port}\""),
        ),
        Some(("", port)) if port.parse::<u16>().is_ok() => complain(
            what,
            format!("write \"0.0.0.0:{port}\" to listen on every address"),
        ),
        _ => complain(what, ADDRESS_FIX),
    }
}

/// An address, or `false` for a listener that is switched off.
pub(super) fn listener(node: &Node) -> Outcome<Option<SocketAddr>> {
    match node.value {
        Value::Boolean(false) => Ok(None),
        Value::Boolean(true) => complain(
            "true does not say where to listen",
            "write an address with a port, or remove the key for the default",
        ),
        _ => address(node).map(Some),
    }
}

/// A duration within bounds.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&Node) -> Outcome<Duration> {
    move |node| {
        let fix = "write a number with a unit (ms, s, m, h, d) like \"10s\"";
        let text = string(node, fix)?;
        match units::duration(text) {
            None => complain(format!("{} is not a duration", quote(text)), fix),
            Some(duration) if range.contains(&duration) => Ok(duration),
            Some(_) => complain(
                format!("{} is out of bounds", quote(text)),
                format!("use {:?} to {:?}", range.start(), range.end()),
            ),
        }
    }
}

/// A size of at least `least` bytes. A bare number is bytes.
pub(super) fn bytes(least: u64) -> impl Fn(&Node) -> Outcome<u64> {
    move |node| {
        let fix = "write a whole number with a unit like \"2GiB\" or \"512MiB\"";
        let (shown, size) = match node.value {
            Value::Integer(number) => (number.to_string(), u64::try_from(number).ok()),
            _ => {
                let text = string(node, fix)?;
                (quote(text), units::bytes(text))
            }
        };
        match size {
            None => complain(format!("{shown} is not a size"), fix),
            Some(size) if size < least => complain(
                format!("{shown} is too small"),
                format!("use at least \"{}\"", units::show_bytes(least)),
            ),
            Some(size) => Ok(size),
        }
    }
}

/// A whole number within bounds.
pub(super) fn number(range: RangeInclusive<u32>) -> impl Fn(&Node) -> Outcome<u32> {
    move |node| {
        let fix = format!(
            "use a whole number from {} to {}",
            range.start(),
            range.end()
        );
        let Value::Integer(number) = node.value else {
            return mismatch(node, "a whole number", &fix);
        };
        match u32::try_from(number) {
            Ok(value) if range.contains(&value) => Ok(value),
            _ => complain(format!("{number} is out of bounds"), fix),
        }
    }
}

/// One of a few words.
pub(super) fn word<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&Node) -> Outcome<T> {
    move |node| {
        let all: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        let fix = format!("use one of {}", all.join(", "));
        let text = string(node, &fix)?;
        match words.iter().find(|(word, _)| *word == text) {
            Some(&(_, value)) => Ok(value),
            None => complain(format!("{} is not known here", quote(text)), fix),
        }
    }
}

pub(super) fn network(node: &Node) -> Outcome<Network> {
    let fix = "write an address range like \"10.0.0.0/8\"";
    let text = string(node, fix)?;
    text.parse().or_else(|error: InvalidNetwork| {
        let fix = match &error {
            InvalidNetwork::HostBits(meant) => format!("did you mean \"{meant}\"?"),
            _ => fix.to_owned(),
        };
        complain(
            format!("{} is not an address range: {error}", quote(text)),
            fix,
        )
    })
}

/// A URL of one of these schemes, without credentials.
pub(super) fn url(schemes: &'static [&'static str]) -> impl Fn(&Node) -> Outcome<String> {
    move |node| {
        let all: Vec<String> = schemes.iter().map(|one| format!("{one}://")).collect();
        let fix = format!("write a URL that starts with {}", all.join(" or "));
        let text = string(node, &fix)?;
        let uri = text.parse::<http::Uri>().ok();
        let parts = uri.as_ref().and_then(|uri| {
            let authority = uri.authority().filter(|one| !one.host().is_empty())?;
            Some((uri.scheme_str()?, authority, uri.path()))
        });
        // A URL that may hold a password is not repeated.
        if text.contains('@') && parts.is_none_or(|(_, one, _)| one.as_str().contains('@')) {
            return complain(
                "a URL must not carry credentials",
                "remove the part before '@'",
            );
        }
        let shown = quote(text);
        let Some((scheme, authority, path)) = parts else {
            return complain(format!("{shown} is not a URL"), fix);
        };
        if !schemes.contains(&scheme) {
            return complain(format!("{shown} has a scheme that does not fit"), fix);
        }
        let after_host = authority.as_str().strip_prefix(authority.host());
        let port = after_host.unwrap_or("").strip_prefix(':');
        let port_is_odd = port.is_some_and(|port| port.parse().unwrap_or(0_u16) == 0);
        if port_is_odd {
            return complain(
                format!("{shown} has no valid port"),
                "use a port from 1 to 65535",
            );
        }
        if scheme.starts_with("grpc") && !matches!(path, "" | "/") {
            return complain(
                format!("{shown} has a path, and gRPC fixes its own"),
                format!("write \"{scheme}://{authority}\""),
            );
        }
        if text.contains('#') {
            return complain(
                format!("{shown} has a fragment"),
                "remove '#' and what follows",
            );
        }
        Ok(text.to_owned())
    }
}

/// An array.
pub(super) fn list<T>(item: impl Fn(&Node) -> Outcome<T>) -> impl Fn(&Node) -> Outcome<Vec<T>> {
    move |node| match &node.value {
        Value::Array(nodes) => items(nodes, &item),
        _ => mismatch(node, "an array", "write [\"…\", \"…\"]"),
    }
}

/// One value, or an array of them; no value twice; `false` is the empty array.
pub(super) fn one_or_list<T: PartialEq>(
    item: impl Fn(&Node) -> Outcome<T>,
) -> impl Fn(&Node) -> Outcome<Vec<T>> {
    move |node| match &node.value {
        Value::Boolean(false) => Ok(Vec::new()),
        Value::Array(nodes) => {
            let values = items(nodes, &item)?;
            for (index, value) in values.iter().enumerate() {
                if values[..index].contains(value) {
                    let twice = Complaint::new("the same value twice", "remove one of them");
                    return Err(vec![(Some(nodes[index].origin.clone()), twice)]);
                }
            }
            Ok(values)
        }
        _ => Ok(vec![item(node)?]),
    }
}

/// A value that may be absent.
pub(super) fn some<T>(read: impl Fn(&Node) -> Outcome<T>) -> impl Fn(&Node) -> Outcome<Option<T>> {
    move |node| read(node).map(Some)
}

fn items<T>(nodes: &[Node], item: impl Fn(&Node) -> Outcome<T>) -> Outcome<Vec<T>> {
    let mut values = Vec::with_capacity(nodes.len());
    let mut complaints = Vec::new();
    for node in nodes {
        match item(node) {
            Ok(value) => values.push(value),
            Err(found) => complaints.extend(found.into_iter().map(|(origin, complaint)| {
                (
                    Some(origin.unwrap_or_else(|| node.origin.clone())),
                    complaint,
                )
            })),
        }
    }
    if complaints.is_empty() {
        Ok(values)
    } else {
        Err(complaints)
    }
}

fn string<'n>(node: &'n Node, fix: &str) -> Outcome<&'n str> {
    match node.text() {
        Some(text) => Ok(text),
        None => mismatch(node, "a string", fix),
    }
}

/// The wrong kind of value.
fn mismatch<T>(node: &Node, wanted: &str, fix: &str) -> Outcome<T> {
    complain(format!("{} where {wanted} belongs", node.kind()), fix)
}

fn complain<T>(what: impl Into<String>, fix: impl Into<String>) -> Outcome<T> {
    Err(vec![(None, Complaint::new(what, fix))])
}

/// A value as it is shown: in quotes, escaped, cut where it is long.
fn quote(text: &str) -> String {
    const MOST: usize = 80;
    if text.chars().count() <= MOST {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(MOST).collect();
    format!("{start:?}…")
}
