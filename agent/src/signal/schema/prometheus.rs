//! The messages of remote write 1.0 and 2.0 below a time series. Labels, series and requests are
//! walked by the splicers themselves.

use super::{Field, Kind, Message, field, list};

/// A label; only as a part of [`EXEMPLAR`] here.
static LABEL: Message = Message::new(
    "Label",
    &[
        field(1, "label name", Kind::String),
        field(2, "label value", Kind::String),
    ],
);

/// Both versions; `start_timestamp` is 2.0's.
pub(crate) static SAMPLE: Message = Message::new(
    "Sample",
    &[
        field(1, "value", Kind::Double),
        field(2, "timestamp", Kind::Int64),
        field(3, "start_timestamp", Kind::Int64),
    ],
);

pub(crate) static EXEMPLAR: Message = Message::new(
    "Exemplar",
    &[
        list(1, "labels", Kind::Message(&LABEL)),
        field(2, "value", Kind::Double),
        field(3, "timestamp", Kind::Int64),
    ],
);

/// 2.0's.
pub(crate) static EXEMPLAR_V2: Message = Message::new(
    "Exemplar",
    &[
        list(1, "labels_refs", Kind::Uint32),
        field(2, "value", Kind::Double),
        field(3, "timestamp", Kind::Int64),
    ],
);

static BUCKET_SPAN: Message = Message::new(
    "BucketSpan",
    &[
        field(1, "offset", Kind::Sint32),
        field(2, "length", Kind::Uint32),
    ],
);

/// Both versions; `start_timestamp` is 2.0's.
pub(crate) static HISTOGRAM: Message = Message::new("Histogram", HISTOGRAM_FIELDS);

const HISTOGRAM_FIELDS: &[Field] = &[
    field(1, "count_int", Kind::Uint64),
    field(2, "count_float", Kind::Double),
    field(3, "sum", Kind::Double),
    field(4, "schema", Kind::Sint32),
    field(5, "zero_threshold", Kind::Double),
    field(6, "zero_count_int", Kind::Uint64),
    field(7, "zero_count_float", Kind::Double),
    list(8, "negative_spans", Kind::Message(&BUCKET_SPAN)),
    list(9, "negative_deltas", Kind::Sint64),
    list(10, "negative_counts", Kind::Double),
    list(11, "positive_spans", Kind::Message(&BUCKET_SPAN)),
    list(12, "positive_deltas", Kind::Sint64),
    list(13, "positive_counts", Kind::Double),
    field(14, "reset_hint", Kind::Enum),
    field(15, "timestamp", Kind::Int64),
    list(16, "custom_values", Kind::Double),
    field(17, "start_timestamp", Kind::Int64),
];

/// 1.0's, beside the series.
pub(crate) static METADATA: Message = Message::new(
    "MetricMetadata",
    &[
        field(1, "type", Kind::Enum),
        field(2, "metric family name", Kind::String),
        field(4, "help", Kind::String),
        field(5, "unit", Kind::String),
    ],
);

/// 2.0's, inside a series.
pub(crate) static METADATA_V2: Message = Message::new(
    "Metadata",
    &[
        field(1, "type", Kind::Enum),
        field(3, "help_ref", Kind::Uint32),
        field(4, "unit_ref", Kind::Uint32),
    ],
);

/// Whole requests, for tests that rewrite them.
#[cfg(test)]
pub(crate) static WRITE_REQUEST: Message = Message::new(
    "WriteRequest",
    &[
        list(1, "timeseries", Kind::Message(&TIME_SERIES)),
        list(3, "metadata", Kind::Message(&METADATA)),
    ],
);

#[cfg(test)]
static TIME_SERIES: Message = Message::new(
    "TimeSeries",
    &[
        list(1, "labels", Kind::Message(&LABEL)),
        list(2, "samples", Kind::Message(&SAMPLE)),
        list(3, "exemplars", Kind::Message(&EXEMPLAR)),
        list(4, "histograms", Kind::Message(&HISTOGRAM)),
    ],
);

#[cfg(test)]
pub(crate) static REQUEST_V2: Message = Message::new(
    "Request",
    &[
        list(4, "symbols", Kind::String),
        list(5, "timeseries", Kind::Message(&TIME_SERIES_V2)),
    ],
);

#[cfg(test)]
static TIME_SERIES_V2: Message = Message::new(
    "TimeSeries",
    &[
        list(1, "labels_refs", Kind::Uint32),
        list(2, "samples", Kind::Message(&SAMPLE)),
        list(3, "histograms", Kind::Message(&HISTOGRAM)),
        list(4, "exemplars", Kind::Message(&EXEMPLAR_V2)),
        field(5, "metadata", Kind::Message(&METADATA_V2)),
    ],
);
