//! `google.rpc.Status`, the error body of OTLP/HTTP and the details of gRPC errors.

use std::time::Duration;

use crate::signal::protobuf::{put_len, put_tag, put_varint};

/// The type of [`retry_info`] inside `details`.
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// An encoded status.
pub(super) fn encode(code: tonic::Code, message: &str, retry_after: Option<Duration>) -> Vec<u8> {
    let mut out = Vec::new();
    put_tag(&mut out, 1, 0);
    put_varint(&mut out, code as u64);
    put_len(&mut out, 2, message.as_bytes());
    if let Some(wait) = retry_after {
        let mut any = Vec::new();
        put_len(&mut any, 1, RETRY_INFO.as_bytes());
        put_len(&mut any, 2, &retry_info(wait));
        put_len(&mut out, 3, &any);
    }
    out
}

/// The same in JSON.
pub(super) fn json(code: tonic::Code, message: &str, retry_after: Option<Duration>) -> Vec<u8> {
    let mut status = serde_json::json!({ "code": code as i32, "message": message });
    if let (Some(wait), Some(status)) = (retry_after, status.as_object_mut()) {
        let delay = format!("{}.{:09}s", wait.as_secs(), wait.subsec_nanos());
        let details = serde_json::json!([{ "@type": RETRY_INFO, "retryDelay": delay }]);
        status.insert("details".to_owned(), details);
    }
    status.to_string().into_bytes()
}

/// `google.rpc.RetryInfo`: `retry_delay` = 1, a `Duration` of seconds = 1 and nanoseconds = 2.
fn retry_info(wait: Duration) -> Vec<u8> {
    let mut duration = Vec::new();
    put_tag(&mut duration, 1, 0);
    put_varint(&mut duration, wait.as_secs());
    put_tag(&mut duration, 2, 0);
    put_varint(&mut duration, wait.subsec_nanos().into());
    let mut out = Vec::new();
    put_len(&mut out, 1, &duration);
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{encode, json};

    #[test]
    fn a_status_is_encoded_as_google_rpc_has_it() {
        let wait = Some(Duration::from_millis(1500));
        let encoded = encode(tonic::Code::ResourceExhausted, "no", wait);
        let mut expected = vec![0x08, 8, 0x12, 2, b'n', b'o', 0x1a, 54, 0x0a, 40];
        expected.extend_from_slice(b"type.googleapis.com/google.rpc.RetryInfo");
        expected.extend_from_slice(&[
            0x12, 10, 0x0a, 8, 0x08, 1, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01,
        ]);
        assert_eq!(encoded, expected);
        assert_eq!(
            json(tonic::Code::Unavailable, "no", wait),
            br#"{"code":14,"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.500000000s"}],"message":"no"}"#
        );
    }
}
