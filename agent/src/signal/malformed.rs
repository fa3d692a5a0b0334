//! What is wrong with a request, and where.

use std::fmt;

/// A request that is refused: what is wrong and at which byte of it (before compression), inside
/// which item.
///
/// One word large, so that the paths that fail never cost those that do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(Box<Place>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// `time series 17`: which of the request's repeated items, counted from 0.
    item: Option<(&'static str, u32)>,
    at: usize,
    fault: Fault,
}

/// What can be wrong with a request's bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Fault {
    #[error("ends in the middle of a field")]
    Truncated,
    #[error("varint is longer than 64 bits")]
    Varint,
    #[error("field number is zero or too large")]
    FieldNumber,
    #[error("protobuf groups are not allowed")]
    Group,
    #[error("unknown protobuf wire type")]
    UnknownWireType,
    #[error("field {field} of {message} has the wrong wire type")]
    WireType { message: &'static str, field: u32 },
    #[error("{what} is not valid UTF-8")]
    Utf8 { what: &'static str },
    #[error("packed field {field} of {message} has a length that is no multiple of its elements'")]
    Packed { message: &'static str, field: u32 },
    #[error("{what} is {len} bytes long, not {expected} or none")]
    IdLength {
        what: &'static str,
        len: usize,
        expected: usize,
    },
    #[error("label name is empty")]
    EmptyLabelName,
    #[error("label {name:?} is there twice")]
    DuplicateLabel { name: String },
    #[error("series has no label")]
    NoLabels,
    #[error("first symbol is not the empty string")]
    FirstSymbol,
    #[error("odd number of label references")]
    OddReferences,
    #[error("reference {reference} is outside of the {symbols} symbols")]
    Reference { reference: u64, symbols: usize },
    #[error("series has both samples and histograms")]
    SamplesAndHistograms,
    #[error("more than {limit} {what}")]
    TooMany { what: &'static str, limit: usize },
    #[error("{what} is longer than {limit} bytes")]
    TooLong { what: &'static str, limit: usize },
    #[error("messages are nested more than {limit} deep")]
    TooDeep { limit: usize },
}

impl Malformed {
    #[cold]
    pub(crate) fn new(at: usize, fault: Fault) -> Self {
        Self(Box::new(Place {
            item: None,
            at,
            fault,
        }))
    }

    /// Says which of the repeated items the fault is in.
    pub(crate) fn within(mut self, item: &'static str, index: u32) -> Self {
        self.0.item = Some((item, index));
        self
    }

    /// What is wrong.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        &self.0.fault
    }

    /// Whether the request is well formed but larger, in some way, than the limits allow.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        matches!(
            self.0.fault,
            Fault::TooMany { .. } | Fault::TooLong { .. } | Fault::TooDeep { .. }
        )
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((item, index)) = self.0.item {
            write!(formatter, "{item} {index}, ")?;
        }
        write!(formatter, "byte {}: {}", self.0.at, self.0.fault)
    }
}

impl std::error::Error for Malformed {}
