//! What is scraped beside the agent: the node's registered exporters and the document that tells a
//! Prometheus of them. Knows nothing of guids' bookkeeping: a guid is a label here.

pub mod exporters;

pub use exporters::{
    Exporter, ExporterError, ExporterHealth, ExporterState, ExporterStatus, Exporters, Scheme,
    TargetGroup,
};
