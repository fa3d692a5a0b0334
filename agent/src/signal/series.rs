//! Series tables: label blocks encoded once, values set each round, frames and exposition text out.

/// What a metric family is, as the exposition format and remote-write metadata spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricType {
    Counter,
    Gauge,
    Histogram,
    Untyped,
}

/// One metric family: the unit of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: MetricType,
}
