//! The name an app goes by, everywhere.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// An app's guid: an RFC 1123 label, 1 to 63 characters of `[a-z0-9-]`, starting and ending with a
/// letter or digit. Fits a hostname, a container name and a Kubernetes namespace. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Guid(Arc<str>);

/// Why a string is not a [`Guid`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "guid {0:?} is not 1 to 63 characters of a-z, 0-9 and '-' that start and end with a letter or digit"
)]
pub struct InvalidGuid(pub String);

impl Guid {
    /// The longest guid, in bytes (RFC 1123 label).
    pub const MAX_LEN: usize = 63;

    /// The form of a guid as a regular expression (without its anchors).
    pub const PATTERN: &str = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";

    /// Whether `text` has the form of a guid.
    #[must_use]
    pub fn is_valid(text: &str) -> bool {
        let bytes = text.as_bytes();
        let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        match (bytes.first(), bytes.last()) {
            (Some(&first), Some(&last)) => {
                bytes.len() <= Self::MAX_LEN
                    && alphanumeric(first)
                    && alphanumeric(last)
                    && bytes.iter().all(|&byte| alphanumeric(byte) || byte == b'-')
            }
            _ => false,
        }
    }

    /// A host guid: `node-` and the lowest 48 bits of `digits` in hex.
    pub(super) fn from_host_digits(digits: u128) -> Self {
        Self(format!("node-{:012x}", digits & 0xffff_ffff_ffff).into())
    }

    /// The guid as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Guid {
    type Err = InvalidGuid;

    fn from_str(text: &str) -> Result<Self, InvalidGuid> {
        if Self::is_valid(text) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidGuid(text.to_owned()))
        }
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl<'de> serde::Deserialize<'de> for Guid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for Guid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Guid;

    #[test]
    fn a_guid_is_an_rfc_1123_label() {
        for good in ["a", "7", "node-7", "a--b", &"x".repeat(63)] {
            assert!(Guid::is_valid(good), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "ä", &"x".repeat(64)] {
            assert!(!Guid::is_valid(bad), "{bad}");
        }
    }
}
