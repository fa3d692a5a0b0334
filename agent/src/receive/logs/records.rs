//! Log lines as OTLP bytes: written straight into the request, nothing in between.
//!
//! Field numbers are those of `opentelemetry/proto/{logs,common,resource}/v1`.

use super::json_file::Stream;

/// A resource's attributes, encoded once per source of lines.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resource(Vec<u8>);

impl Resource {
    /// A `Resource` message with these string attributes; empty values are left out.
    #[must_use]
    pub fn new<'a>(attributes: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        const ATTRIBUTES: u8 = 1 << 3 | LENGTH_DELIMITED;
        let mut encoded = Vec::new();
        for (key, value) in attributes {
            if !value.is_empty() {
                write_attribute(&mut encoded, ATTRIBUTES, key, value);
            }
        }
        Self(encoded)
    }
}

/// One line.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Absent for files that are no container's output.
    pub stream: Option<Stream>,
    /// When it was written, nanoseconds since the Unix epoch; 0 = not known.
    pub time_ns: u64,
    /// When it was read.
    pub observed_ns: u64,
    pub text: &'a str,
    /// A piece of a line beyond the limit: more of the same line follows.
    pub cut: bool,
}

const FIXED64: u8 = 1;
const LENGTH_DELIMITED: u8 = 2;

/// Severity numbers of the logs data model.
const INFO: u8 = 9;
const ERROR: u8 = 17;

/// The attribute of a piece of an overlong line.
const CUT_ATTRIBUTE: &str = "guidon.log.cut";

/// Appends a line as `ScopeLogs.log_records` (2) to `records`.
pub fn push_record(records: &mut Vec<u8>, scratch: &mut Vec<u8>, line: &Line<'_>) {
    const TIME: u8 = 1 << 3 | FIXED64;
    const SEVERITY_NUMBER: u8 = 2 << 3;
    const SEVERITY_TEXT: u8 = 3 << 3 | LENGTH_DELIMITED;
    const BODY: u8 = 5 << 3 | LENGTH_DELIMITED;
    const ATTRIBUTES: u8 = 6 << 3 | LENGTH_DELIMITED;
    const OBSERVED: u8 = 11 << 3 | FIXED64;
    const LOG_RECORDS: u8 = 2 << 3 | LENGTH_DELIMITED;

    scratch.clear();
    if line.time_ns != 0 {
        scratch.push(TIME);
        scratch.extend_from_slice(&line.time_ns.to_le_bytes());
    }
    let severity = match line.stream {
        Some(Stream::Stdout) => Some((INFO, "INFO", "stdout")),
        Some(Stream::Stderr) => Some((ERROR, "ERROR", "stderr")),
        None => None,
    };
    if let Some((number, text, _)) = severity {
        scratch.extend_from_slice(&[SEVERITY_NUMBER, number]);
        write_bytes(scratch, SEVERITY_TEXT, text.as_bytes());
    }
    write_string_value(scratch, BODY, line.text);
    if let Some((_, _, stream)) = severity {
        write_attribute(scratch, ATTRIBUTES, "log.iostream", stream);
    }
    if line.cut {
        write_attribute(scratch, ATTRIBUTES, CUT_ATTRIBUTE, "true");
    }
    scratch.push(OBSERVED);
    scratch.extend_from_slice(&line.observed_ns.to_le_bytes());
    write_bytes(records, LOG_RECORDS, scratch);
}

/// Appends `ExportLogsServiceRequest.resource_logs` (1): one resource with one scope that holds
/// the records.
pub fn push_resource_logs(request: &mut Vec<u8>, resource: &Resource, records: &[u8]) {
    const FIRST: u8 = 1 << 3 | LENGTH_DELIMITED;
    const SCOPE_LOGS: u8 = 2 << 3 | LENGTH_DELIMITED;
    let length = field_length(resource.0.len()) + field_length(records.len());
    request.push(FIRST);
    write_varint(request, length);
    write_bytes(request, FIRST, &resource.0);
    write_bytes(request, SCOPE_LOGS, records);
}

/// Length of a field with a one-byte tag.
fn field_length(length: usize) -> usize {
    1 + varint_length(length) + length
}

fn varint_length(value: usize) -> usize {
    (value | 1).ilog2() as usize / 7 + 1
}

fn write_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn write_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    write_varint(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// An `AnyValue` with `string_value` (1).
fn write_string_value(out: &mut Vec<u8>, tag: u8, text: &str) {
    const STRING_VALUE: u8 = 1 << 3 | LENGTH_DELIMITED;
    out.push(tag);
    write_varint(out, field_length(text.len()));
    write_bytes(out, STRING_VALUE, text.as_bytes());
}

/// A `KeyValue` (key 1, value 2).
fn write_attribute(out: &mut Vec<u8>, tag: u8, key: &str, value: &str) {
    const KEY: u8 = 1 << 3 | LENGTH_DELIMITED;
    const VALUE: u8 = 2 << 3 | LENGTH_DELIMITED;
    out.push(tag);
    write_varint(
        out,
        field_length(key.len()) + field_length(field_length(value.len())),
    );
    write_bytes(out, KEY, key.as_bytes());
    write_string_value(out, VALUE, value);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
    use prost::Message;

    use super::*;

    fn string(text: &str) -> AnyValue {
        AnyValue {
            value: Some(any_value::Value::StringValue(text.to_owned())),
        }
    }

    fn attribute(key: &str, value: &str) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Some(string(value)),
            ..Default::default()
        }
    }

    #[test]
    fn the_official_types_read_back_what_was_written() {
        let long = "x".repeat(40_000);
        let resource = Resource::new([("guid", "g1"), ("image", ""), ("container.name", "g1")]);
        let (mut records, mut scratch, mut request) = (Vec::new(), Vec::new(), Vec::new());
        for (stream, text, cut) in [
            (Some(Stream::Stdout), long.as_str(), true),
            (Some(Stream::Stderr), "", false),
            (None, "plain", false),
        ] {
            let line = Line {
                stream,
                time_ns: 5,
                observed_ns: 6,
                text,
                cut,
            };
            push_record(&mut records, &mut scratch, &line);
        }
        push_resource_logs(&mut request, &resource, &records);
        push_resource_logs(&mut request, &Resource::default(), &[]);

        let read = ExportLogsServiceRequest::decode(request.as_slice()).unwrap();
        assert_eq!(read.resource_logs.len(), 2);
        let first = &read.resource_logs[0];
        assert_eq!(
            first.resource.as_ref().unwrap().attributes,
            [attribute("guid", "g1"), attribute("container.name", "g1")]
        );
        let records = &first.scope_logs[0].log_records;
        let found: Vec<_> = records
            .iter()
            .map(|it| {
                (
                    it.body.clone().unwrap(),
                    it.severity_number,
                    it.attributes.len(),
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                (string(&long), 9, 2),
                (string(""), 17, 1),
                (string("plain"), 0, 0)
            ]
        );
        assert_eq!(
            records[0].attributes[0],
            attribute("log.iostream", "stdout")
        );
        assert_eq!(records[0].attributes[1], attribute(CUT_ATTRIBUTE, "true"));
        assert!(
            records
                .iter()
                .all(|it| it.time_unix_nano == 5 && it.observed_time_unix_nano == 6)
        );
    }
}
