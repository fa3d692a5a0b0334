//! What a sender's data is tagged with, encoded once, and whose own tags are believed.

use std::collections::HashMap;

use super::GuidCounts;
use super::wire::put_len;
use crate::config::Guid;

/// The label and the resource attribute that carry the guid.
pub const GUID_KEY: &str = "guid";

/// OpenTelemetry's namespace for `service.instance.id` made from an inherent id (semantic
/// conventions, `service.instance.id`).
const INSTANCE_NAMESPACE: uuid::Uuid =
    uuid::Uuid::from_u128(0x4d63_009a_8d0f_11ee_aad7_4c79_6ed8_e320);

/// A guid, and the container behind it where it is known, as label and attribute bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    guid: Guid,
    /// A `TimeSeries.labels` field.
    pub(crate) label: Vec<u8>,
    /// A `Resource.attributes` field.
    pub(crate) attribute: Vec<u8>,
    /// Attributes for resources that lack them: key and `Resource.attributes` field.
    pub(crate) missing: Vec<(&'static str, Vec<u8>)>,
}

impl Tag {
    /// A tag that says the guid and nothing more.
    #[must_use]
    pub fn new(guid: Guid) -> Self {
        let mut pair = Vec::new();
        put_len(&mut pair, 1, GUID_KEY.as_bytes());
        put_len(&mut pair, 2, guid.as_str().as_bytes());
        let mut label = Vec::new();
        put_len(&mut label, 1, &pair);
        let attribute = attribute(GUID_KEY, guid.as_str());
        Self {
            guid,
            label,
            attribute,
            missing: Vec::new(),
        }
    }

    /// Adds the sender's container: resources that do not say so themselves get `container.id`,
    /// `container.name` and, made from the id, `service.instance.id`.
    #[must_use]
    pub fn with_container(mut self, id: &str, name: &str) -> Self {
        let instance = uuid::Uuid::new_v5(&INSTANCE_NAMESPACE, id.as_bytes()).to_string();
        for (key, value) in [
            ("container.id", id),
            ("container.name", name),
            ("service.instance.id", &instance),
        ] {
            if !value.is_empty() {
                self.missing.push((key, attribute(key, value)));
            }
        }
        self
    }

    /// The guid.
    #[must_use]
    pub fn guid(&self) -> &Guid {
        &self.guid
    }
}

/// A `Resource.attributes` field with a string value.
pub(crate) fn attribute(key: &str, value: &str) -> Vec<u8> {
    let mut any = Vec::new();
    put_len(&mut any, 1, value.as_bytes());
    let mut pair = Vec::new();
    put_len(&mut pair, 1, key.as_bytes());
    put_len(&mut pair, 2, &any);
    let mut field = Vec::new();
    put_len(&mut field, 1, &pair);
    field
}

/// Whether a sender's own guid is believed.
#[derive(Debug, Clone, Copy)]
pub enum Policy<'t> {
    /// Everything gets this tag; another guid is forged, replaced and counted.
    Always(&'t Tag),
    /// A valid guid of the sender's own is kept; what has none gets the guid of the fallback (but
    /// not its container: a trusted sender speaks for others).
    Trust {
        /// For what has no guid of its own.
        fallback: &'t Tag,
    },
    /// Trust of a sender that passes on what apps sent it: an OTLP resource that has no guid, or
    /// the fallback's, and whose `host.name` is an app's guid is that app's. Everything else is
    /// as with [`Policy::Trust`].
    Relay {
        /// For what has no guid of its own.
        fallback: &'t Tag,
        /// Knows the apps.
        apps: Apps<'t>,
    },
}

/// Tells the guid of the app whose host name this is.
#[derive(Clone, Copy)]
pub struct Apps<'t>(pub &'t dyn Fn(&str) -> Option<Guid>);

impl std::fmt::Debug for Apps<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Apps")
    }
}

impl<'t> Policy<'t> {
    /// What is put where the sender's own guid is not kept.
    pub(crate) fn tag(self) -> &'t Tag {
        match self {
            Self::Always(tag)
            | Self::Trust { fallback: tag }
            | Self::Relay { fallback: tag, .. } => tag,
        }
    }
}

/// Counts records by guid. Kept from request to request: it knows guids it has met, so that only a
/// guid's first appearance allocates.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    known: HashMap<Box<str>, Guid>,
    counts: GuidCounts,
    /// Where in `counts` a guid is, once there are many.
    places: HashMap<Guid, usize>,
    last: usize,
}

/// Guids remembered between requests at most.
const KNOWN_MAX: usize = 4096;
/// Up to so many guids in one request a plain search is faster than hashing.
const SEARCH_MAX: usize = 8;

impl Tally {
    /// The guid of these bytes, if they are one.
    pub(crate) fn guid(&mut self, bytes: &[u8]) -> Option<Guid> {
        if let Some((guid, _)) = self.counts.get(self.last)
            && guid.as_str().as_bytes() == bytes
        {
            return Some(guid.clone());
        }
        let text = std::str::from_utf8(bytes).ok()?;
        if let Some(guid) = self.known.get(text) {
            return Some(guid.clone());
        }
        let guid: Guid = text.parse().ok()?;
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(text.into(), guid.clone());
        Some(guid)
    }

    /// Books records of a guid.
    pub(crate) fn add(&mut self, guid: &Guid, records: u32) {
        if records == 0 {
            return;
        }
        let found = match self.counts.get(self.last) {
            Some((last, _)) if last == guid => Some(self.last),
            _ if self.counts.len() <= SEARCH_MAX => {
                self.counts.iter().position(|(known, _)| known == guid)
            }
            _ => {
                if self.places.is_empty() {
                    let counted = self.counts.iter().enumerate();
                    self.places
                        .extend(counted.map(|(index, (guid, _))| (guid.clone(), index)));
                }
                self.places.get(guid).copied()
            }
        };
        if let Some((index, (_, count))) =
            found.and_then(|index| Some((index, self.counts.get_mut(index)?)))
        {
            *count = count.saturating_add(records);
            self.last = index;
            return;
        }
        self.last = self.counts.len();
        if !self.places.is_empty() {
            self.places.insert(guid.clone(), self.last);
        }
        self.counts.push((guid.clone(), records));
    }

    /// Forgets what an earlier request left behind.
    pub(crate) fn start(&mut self) {
        self.counts.clear();
        self.places.clear();
        self.last = 0;
    }

    /// The counts since [`Tally::start`].
    pub(crate) fn take(&mut self) -> GuidCounts {
        self.places.clear();
        self.last = 0;
        std::mem::take(&mut self.counts)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::Tally;
    use crate::config::Guid;

    #[test]
    fn a_tally_names_each_guid_once_however_many_there_are() {
        let mut tally = Tally::default();
        for round in 0..3u32 {
            tally.start();
            for index in 0..100 {
                let guid: Guid = format!("app-{}", index % 33).parse().unwrap();
                tally.add(&guid, 1 + round);
                tally.add(&guid, 0);
            }
            let counts = tally.take();
            assert_eq!(counts.len(), 33);
            assert_eq!(counts[0].1, 4 * (1 + round));
            assert_eq!(counts[1].1, 3 * (1 + round));
            assert_eq!(
                counts.iter().map(|(_, count)| count).sum::<u32>(),
                100 * (1 + round)
            );
        }
    }

    #[test]
    fn only_guids_are_guids() {
        let mut tally = Tally::default();
        assert_eq!(tally.guid(b"app-1").unwrap().as_str(), "app-1");
        assert_eq!(tally.guid(b"App"), None);
        assert_eq!(tally.guid(b"\xff"), None);
        assert_eq!(tally.guid(b""), None);
    }
}
