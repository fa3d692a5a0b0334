//! Series tables: label blocks encoded once, values set each round, frames and exposition text out.
//!
//! A [`SeriesTable`] holds the series of one kind (containers, node, the agent itself). A producer
//! starts a pass, sets values, and then either takes the pass as remote-write frames
//! ([`SeriesTable::finish`]) or reads it as text ([`SeriesTable::text`]); reading text never changes
//! what the next frames hold. Knows nothing of where values come from.
//!
//! Limits: [`MAX_LABELS`] labels per series; frames of at most [`MAX_FRAME_SAMPLES`] samples and
//! about [`MAX_FRAME_BYTES`] bytes before compression.

mod encode;
mod labels;
mod plain;
mod table;
#[cfg(test)]
mod tests;
mod text;

pub use encode::{MAX_FRAME_BYTES, MAX_FRAME_SAMPLES, STALE_NAN};
pub use labels::MAX_LABELS;
pub use plain::{FamilySamples, PlainSample, render};
pub use table::{SeriesId, SeriesTable};
pub use text::Format;

/// What a metric family is, as the exposition format and remote-write metadata spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricType {
    /// Goes up, or back to zero.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets, a sum and a count.
    Histogram,
    /// Not said.
    Untyped,
}

/// One metric family: the unit of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// The name, with the suffix that its samples carry (`_total`), without a histogram's.
    pub name: &'static str,
    /// One line for people.
    pub help: &'static str,
    /// The type that is declared.
    pub kind: MetricType,
}

/// Which of a family's sample names a series goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Suffix {
    /// The family's own name.
    #[default]
    None,
    /// A histogram's cumulative bucket; the series needs an `le` label.
    Bucket,
    /// A histogram's sum of observations.
    Sum,
    /// A histogram's number of observations.
    Count,
}

impl Suffix {
    /// As it is appended to the family's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Bucket => "_bucket",
            Self::Sum => "_sum",
            Self::Count => "_count",
        }
    }
}
