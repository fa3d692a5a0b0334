//! The messages of OTLP 1.9, packages `opentelemetry.proto.{common,resource,metrics,logs,trace}.v1`
//! and the export requests.

use super::{Kind, Message, field, list, records};

const TRACE_ID: Kind = Kind::Id(16);
const SPAN_ID: Kind = Kind::Id(8);

static ANY_VALUE: Message = Message::new(
    "AnyValue",
    &[
        field(1, "stringValue", Kind::String),
        field(2, "boolValue", Kind::Bool),
        field(3, "intValue", Kind::Int64),
        field(4, "doubleValue", Kind::Double),
        field(5, "arrayValue", Kind::Message(&ARRAY_VALUE)),
        field(6, "kvlistValue", Kind::Message(&KEY_VALUE_LIST)),
        field(7, "bytesValue", Kind::Bytes),
        // Of profiles; never in JSON, but decoders mind its wire type.
        field(8, "", Kind::Enum),
    ],
);

static ARRAY_VALUE: Message = Message::new(
    "ArrayValue",
    &[list(1, "values", Kind::Message(&ANY_VALUE))],
);

static KEY_VALUE_LIST: Message = Message::new(
    "KeyValueList",
    &[list(1, "values", Kind::Message(&KEY_VALUE))],
);

static KEY_VALUE: Message = Message::new(
    "KeyValue",
    &[
        field(1, "key", Kind::String),
        field(2, "value", Kind::Message(&ANY_VALUE)),
        field(3, "", Kind::Enum),
    ],
)
.attribute();

static ENTITY_REF: Message = Message::new(
    "EntityRef",
    &[
        field(1, "schemaUrl", Kind::String),
        field(2, "type", Kind::String),
        list(3, "idKeys", Kind::String),
        list(4, "descriptionKeys", Kind::String),
    ],
);

pub(crate) static RESOURCE: Message = Message::new(
    "Resource",
    &[
        list(1, "attributes", Kind::Message(&KEY_VALUE)),
        field(2, "droppedAttributesCount", Kind::Uint32),
        list(3, "entityRefs", Kind::Message(&ENTITY_REF)),
    ],
);

pub(crate) static SCOPE: Message = Message::new(
    "InstrumentationScope",
    &[
        field(1, "name", Kind::String),
        field(2, "version", Kind::String),
        list(3, "attributes", Kind::Message(&KEY_VALUE)),
        field(4, "droppedAttributesCount", Kind::Uint32),
    ],
);

pub(crate) static METRICS_REQUEST: Message = Message::new(
    "ExportMetricsServiceRequest",
    &[list(1, "resourceMetrics", Kind::Message(&RESOURCE_METRICS))],
);

pub(crate) static RESOURCE_METRICS: Message = Message::new(
    "ResourceMetrics",
    &[
        field(1, "resource", Kind::Message(&RESOURCE)),
        list(2, "scopeMetrics", Kind::Message(&SCOPE_METRICS)),
        field(3, "schemaUrl", Kind::String),
    ],
);

static SCOPE_METRICS: Message = Message::new(
    "ScopeMetrics",
    &[
        field(1, "scope", Kind::Message(&SCOPE)),
        list(2, "metrics", Kind::Message(&METRIC)),
        field(3, "schemaUrl", Kind::String),
    ],
);

static METRIC: Message = Message::new(
    "Metric",
    &[
        field(1, "name", Kind::String),
        field(2, "description", Kind::String),
        field(3, "unit", Kind::String),
        field(5, "gauge", Kind::Message(&GAUGE)),
        field(7, "sum", Kind::Message(&SUM)),
        field(9, "histogram", Kind::Message(&HISTOGRAM)),
        field(
            10,
            "exponentialHistogram",
            Kind::Message(&EXPONENTIAL_HISTOGRAM),
        ),
        field(11, "summary", Kind::Message(&SUMMARY)),
        list(12, "metadata", Kind::Message(&KEY_VALUE)),
    ],
);

static GAUGE: Message = Message::new("Gauge", &[records(1, "dataPoints", &NUMBER_POINT)]);

static SUM: Message = Message::new(
    "Sum",
    &[
        records(1, "dataPoints", &NUMBER_POINT),
        field(2, "aggregationTemporality", Kind::Enum),
        field(3, "isMonotonic", Kind::Bool),
    ],
);

static HISTOGRAM: Message = Message::new(
    "Histogram",
    &[
        records(1, "dataPoints", &HISTOGRAM_POINT),
        field(2, "aggregationTemporality", Kind::Enum),
    ],
);

static EXPONENTIAL_HISTOGRAM: Message = Message::new(
    "ExponentialHistogram",
    &[
        records(1, "dataPoints", &EXPONENTIAL_HISTOGRAM_POINT),
        field(2, "aggregationTemporality", Kind::Enum),
    ],
);

static SUMMARY: Message = Message::new("Summary", &[records(1, "dataPoints", &SUMMARY_POINT)]);

pub(crate) static NUMBER_POINT: Message = Message::new(
    "NumberDataPoint",
    &[
        field(2, "startTimeUnixNano", Kind::Fixed64),
        field(3, "timeUnixNano", Kind::Fixed64),
        field(4, "asDouble", Kind::Double),
        list(5, "exemplars", Kind::Message(&EXEMPLAR)),
        field(6, "asInt", Kind::Sfixed64),
        list(7, "attributes", Kind::Message(&KEY_VALUE)),
        field(8, "flags", Kind::Uint32),
    ],
);

pub(crate) static HISTOGRAM_POINT: Message = Message::new(
    "HistogramDataPoint",
    &[
        field(2, "startTimeUnixNano", Kind::Fixed64),
        field(3, "timeUnixNano", Kind::Fixed64),
        field(4, "count", Kind::Fixed64),
        field(5, "sum", Kind::Double),
        list(6, "bucketCounts", Kind::Fixed64),
        list(7, "explicitBounds", Kind::Double),
        list(8, "exemplars", Kind::Message(&EXEMPLAR)),
        list(9, "attributes", Kind::Message(&KEY_VALUE)),
        field(10, "flags", Kind::Uint32),
        field(11, "min", Kind::Double),
        field(12, "max", Kind::Double),
    ],
);

static BUCKETS: Message = Message::new(
    "Buckets",
    &[
        field(1, "offset", Kind::Sint32),
        list(2, "bucketCounts", Kind::Uint64),
    ],
);

pub(crate) static EXPONENTIAL_HISTOGRAM_POINT: Message = Message::new(
    "ExponentialHistogramDataPoint",
    &[
        list(1, "attributes", Kind::Message(&KEY_VALUE)),
        field(2, "startTimeUnixNano", Kind::Fixed64),
        field(3, "timeUnixNano", Kind::Fixed64),
        field(4, "count", Kind::Fixed64),
        field(5, "sum", Kind::Double),
        field(6, "scale", Kind::Sint32),
        field(7, "zeroCount", Kind::Fixed64),
        field(8, "positive", Kind::Message(&BUCKETS)),
        field(9, "negative", Kind::Message(&BUCKETS)),
        field(10, "flags", Kind::Uint32),
        list(11, "exemplars", Kind::Message(&EXEMPLAR)),
        field(12, "min", Kind::Double),
        field(13, "max", Kind::Double),
        field(14, "zeroThreshold", Kind::Double),
    ],
);

static QUANTILE: Message = Message::new(
    "ValueAtQuantile",
    &[
        field(1, "quantile", Kind::Double),
        field(2, "value", Kind::Double),
    ],
);

pub(crate) static SUMMARY_POINT: Message = Message::new(
    "SummaryDataPoint",
    &[
        field(2, "startTimeUnixNano", Kind::Fixed64),
        field(3, "timeUnixNano", Kind::Fixed64),
        field(4, "count", Kind::Fixed64),
        field(5, "sum", Kind::Double),
        list(6, "quantileValues", Kind::Message(&QUANTILE)),
        list(7, "attributes", Kind::Message(&KEY_VALUE)),
        field(8, "flags", Kind::Uint32),
    ],
);

static EXEMPLAR: Message = Message::new(
    "Exemplar",
    &[
        field(2, "timeUnixNano", Kind::Fixed64),
        field(3, "asDouble", Kind::Double),
        field(4, "spanId", SPAN_ID),
        field(5, "traceId", TRACE_ID),
        field(6, "asInt", Kind::Sfixed64),
        list(7, "filteredAttributes", Kind::Message(&KEY_VALUE)),
    ],
);

pub(crate) static LOGS_REQUEST: Message = Message::new(
    "ExportLogsServiceRequest",
    &[list(1, "resourceLogs", Kind::Message(&RESOURCE_LOGS))],
);

pub(crate) static RESOURCE_LOGS: Message = Message::new(
    "ResourceLogs",
    &[
        field(1, "resource", Kind::Message(&RESOURCE)),
        list(2, "scopeLogs", Kind::Message(&SCOPE_LOGS)),
        field(3, "schemaUrl", Kind::String),
    ],
);

static SCOPE_LOGS: Message = Message::new(
    "ScopeLogs",
    &[
        field(1, "scope", Kind::Message(&SCOPE)),
        records(2, "logRecords", &LOG_RECORD),
        field(3, "schemaUrl", Kind::String),
    ],
);

static LOG_RECORD: Message = Message::new(
    "LogRecord",
    &[
        field(1, "timeUnixNano", Kind::Fixed64),
        field(2, "severityNumber", Kind::Enum),
        field(3, "severityText", Kind::String),
        field(5, "body", Kind::Message(&ANY_VALUE)),
        list(6, "attributes", Kind::Message(&KEY_VALUE)),
        field(7, "droppedAttributesCount", Kind::Uint32),
        field(8, "flags", Kind::Fixed32),
        field(9, "traceId", TRACE_ID),
        field(10, "spanId", SPAN_ID),
        field(11, "observedTimeUnixNano", Kind::Fixed64),
        field(12, "eventName", Kind::String),
    ],
);

pub(crate) static TRACES_REQUEST: Message = Message::new(
    "ExportTraceServiceRequest",
    &[list(1, "resourceSpans", Kind::Message(&RESOURCE_SPANS))],
);

pub(crate) static RESOURCE_SPANS: Message = Message::new(
    "ResourceSpans",
    &[
        field(1, "resource", Kind::Message(&RESOURCE)),
        list(2, "scopeSpans", Kind::Message(&SCOPE_SPANS)),
        field(3, "schemaUrl", Kind::String),
    ],
);

static SCOPE_SPANS: Message = Message::new(
    "ScopeSpans",
    &[
        field(1, "scope", Kind::Message(&SCOPE)),
        records(2, "spans", &SPAN),
        field(3, "schemaUrl", Kind::String),
    ],
);

static SPAN: Message = Message::new(
    "Span",
    &[
        field(1, "traceId", TRACE_ID),
        field(2, "spanId", SPAN_ID),
        field(3, "traceState", Kind::String),
        field(4, "parentSpanId", SPAN_ID),
        field(5, "name", Kind::String),
        field(6, "kind", Kind::Enum),
        field(7, "startTimeUnixNano", Kind::Fixed64),
        field(8, "endTimeUnixNano", Kind::Fixed64),
        list(9, "attributes", Kind::Message(&KEY_VALUE)),
        field(10, "droppedAttributesCount", Kind::Uint32),
        list(11, "events", Kind::Message(&EVENT)),
        field(12, "droppedEventsCount", Kind::Uint32),
        list(13, "links", Kind::Message(&LINK)),
        field(14, "droppedLinksCount", Kind::Uint32),
        field(15, "status", Kind::Message(&STATUS)),
        field(16, "flags", Kind::Fixed32),
    ],
);

static EVENT: Message = Message::new(
    "Span.Event",
    &[
        field(1, "timeUnixNano", Kind::Fixed64),
        field(2, "name", Kind::String),
        list(3, "attributes", Kind::Message(&KEY_VALUE)),
        field(4, "droppedAttributesCount", Kind::Uint32),
    ],
);

static LINK: Message = Message::new(
    "Span.Link",
    &[
        field(1, "traceId", TRACE_ID),
        field(2, "spanId", SPAN_ID),
        field(3, "traceState", Kind::String),
        list(4, "attributes", Kind::Message(&KEY_VALUE)),
        field(5, "droppedAttributesCount", Kind::Uint32),
        field(6, "flags", Kind::Fixed32),
    ],
);

static STATUS: Message = Message::new(
    "Status",
    &[
        field(2, "message", Kind::String),
        field(3, "code", Kind::Enum),
    ],
);
