//! Samples as receivers see them.

use std::collections::BTreeMap;

/// A series' labels, `__name__` among them.
pub type Labels = BTreeMap<String, String>;

/// The bits of a stale marker.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

/// One sample. Values are compared by their bits: a stale marker is a NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The value, also of a stale marker.
    pub value: f64,
}

impl Sample {
    /// Whether it says that the series ended.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.value.to_bits() == STALE
    }
}

/// Whether `labels` has each of the wanted pairs.
#[must_use]
pub fn matches(labels: &Labels, wanted: &[(&str, &str)]) -> bool {
    wanted
        .iter()
        .all(|(name, value)| labels.get(*name).is_some_and(|found| found == value))
}
