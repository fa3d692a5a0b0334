//! `GET /api/v1/bus/{signal}` as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A page of the local bus.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct BusPageView {
    /// The cursor of the next page.
    pub next: String,
    /// Whether frames were dropped before they were read.
    pub skipped: bool,
    pub frames: Vec<FrameView>,
}

/// A frame, decoded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct FrameView {
    /// `remote_write`, `otlp_metrics`, `otlp_logs` or `otlp_traces`.
    pub kind: String,
    /// Records by guid.
    pub guids: BTreeMap<String, u32>,
    /// For `remote_write`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<Vec<SeriesView>>,
    /// For the others: the export request in OTLP/JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub request: Option<serde_json::Value>,
    /// Why it could not be decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A series of a frame.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct SeriesView {
    pub labels: BTreeMap<String, String>,
    pub samples: Vec<SampleView>,
    /// Native histograms, which JSON does not show.
    #[serde(default)]
    pub histograms: usize,
}

/// A sample of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SampleView {
    /// Unix time, milliseconds.
    pub timestamp_ms: i64,
    pub value: SampleValue,
}

/// A number, or a word where JSON has no number: `NaN`, `+Inf`, `-Inf`, `stale` (the series has
/// ended).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum SampleValue {
    Number(f64),
    Word(String),
}
