//! Reading what receivers say: the head of a body, OTLP's partial success, gRPC's status.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body;
use http_body_util::BodyExt;

/// How much of a receiver's words is read.
const MAX_WORDS: usize = 1024;
/// Fields looked at in an answer: it is short by nature.
const MAX_FIELDS: usize = 64;

/// Reads the start of a body, and the trailers where they come within `passed` bytes behind it.
pub(crate) async fn read<B>(
    mut body: B,
    mut passed: usize,
) -> Result<(Bytes, Option<HeaderMap>), B::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut start = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(mut data) => {
                let room = MAX_WORDS - start.len();
                let part = data.copy_to_bytes(room.min(data.len()));
                start.extend_from_slice(&part);
                if start.len() == MAX_WORDS && passed <= data.len() {
                    break;
                }
                passed -= data.len();
            }
            Err(frame) => return Ok((start.freeze(), frame.into_trailers().ok())),
        }
    }
    Ok((start.freeze(), None))
}

/// What OTLP receivers say about a request they took.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PartialSuccess {
    pub(crate) rejected: u64,
    pub(crate) message: String,
}

/// Reads an `Export…ServiceResponse`. Garbage reads as full success: the status said so.
pub(crate) fn partial_success(response: &[u8]) -> PartialSuccess {
    let mut partial = PartialSuccess::default();
    for field in fields(response) {
        if let (1, Value::Bytes(message)) = field {
            for field in fields(message) {
                match field {
                    (1, Value::Varint(rejected)) => {
                        // Negative is nonsense.
                        partial.rejected = i64::try_from(rejected).map_or(0, i64::unsigned_abs);
                    }
                    (2, Value::Bytes(text)) => {
                        partial.message = String::from_utf8_lossy(text).into_owned();
                    }
                    _ => {}
                }
            }
        }
    }
    partial
}

/// The pause asked for by a `google.rpc.RetryInfo` in a serialised `google.rpc.Status`.
pub(crate) fn retry_info(status: &[u8]) -> Option<Duration> {
    for field in fields(status) {
        let (3, Value::Bytes(any)) = field else {
            continue;
        };
        let mut is_retry_info = false;
        let mut value: &[u8] = &[];
        for field in fields(any) {
            match field {
                (1, Value::Bytes(url)) => is_retry_info = url.ends_with(b"google.rpc.RetryInfo"),
                (2, Value::Bytes(bytes)) => value = bytes,
                _ => {}
            }
        }
        if !is_retry_info {
            continue;
        }
        for field in fields(value) {
            if let (1, Value::Bytes(duration)) = field {
                return Some(read_duration(duration));
            }
        }
        return Some(Duration::ZERO);
    }
    None
}

fn read_duration(duration: &[u8]) -> Duration {
    let (mut seconds, mut nanos) = (0_u64, 0_u64);
    for field in fields(duration) {
        match field {
            (1, Value::Varint(value)) => seconds = value,
            (2, Value::Varint(value)) => nanos = value,
            _ => {}
        }
    }
    // A negative duration has the top bit set: not a time to wait.
    if i64::try_from(seconds).is_err() {
        return Duration::ZERO;
    }
    Duration::from_secs(seconds) + Duration::from_nanos(nanos.min(999_999_999))
}

enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a protobuf message, up to the first that is malformed or cut off.
fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u64, Value<'_>)> {
    std::iter::from_fn(move || {
        let key = varint(&mut bytes)?;
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut bytes)?),
            1 => {
                bytes = bytes.get(8..)?;
                Value::Other
            }
            2 => {
                let len = usize::try_from(varint(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(len)?;
                bytes = rest;
                Value::Bytes(value)
            }
            5 => {
                bytes = bytes.get(4..)?;
                Value::Other
            }
            _ => return None,
        };
        Some((key >> 3, value))
    })
    .take(MAX_FIELDS)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for index in 0..10 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(7 * index)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry_proto::tonic::collector::logs::v1::{
        ExportLogsPartialSuccess, ExportLogsServiceResponse,
    };
    use prost::Message;

    use super::{PartialSuccess, partial_success, retry_info};

    #[test]
    fn a_partial_success_reads_as_the_official_types_wrote_it() {
        let response = ExportLogsServiceResponse {
            partial_success: Some(ExportLogsPartialSuccess {
                rejected_log_records: 3,
                error_message: "too old".to_owned(),
            }),
        };
        let expected = PartialSuccess {
            rejected: 3,
            message: "too old".to_owned(),
        };
        assert_eq!(partial_success(&response.encode_to_vec()), expected);
        for nothing in [&b""[..], b"{}", b"\xff\xff\xff", b"<html>"] {
            assert_eq!(partial_success(nothing).rejected, 0, "{nothing:?}");
        }
    }

    #[test]
    fn a_negative_number_of_rejected_records_is_none() {
        let response = ExportLogsServiceResponse {
            partial_success: Some(ExportLogsPartialSuccess {
                rejected_log_records: -1,
                error_message: String::new(),
            }),
        };
        assert_eq!(partial_success(&response.encode_to_vec()).rejected, 0);
    }

    #[test]
    fn retry_info_is_found_in_a_status() {
        // Status { code: 8, details: [Any { "type.googleapis.com/google.rpc.RetryInfo",
        // RetryInfo { retry_delay: { seconds: 2, nanos: 5 } } }] }
        let mut any = vec![0x0a, 40];
        any.extend_from_slice(b"type.googleapis.com/google.rpc.RetryInfo");
        any.extend_from_slice(&[0x12, 6, 0x0a, 4, 0x08, 2, 0x10, 5]);
        let mut status = vec![0x08, 8, 0x1a, any.len() as u8];
        status.extend_from_slice(&any);
        assert_eq!(retry_info(&status), Some(Duration::new(2, 5)));
        assert_eq!(retry_info(&[0x08, 8]), None);
        assert_eq!(retry_info(b"\xff\xff"), None);
    }
}
