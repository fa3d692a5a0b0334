//! What OTLP over HTTP and over gRPC have in common: from an uncompressed request to a frame.

use bytes::Bytes;

use super::budget::Hold;
use super::peers::Sender;
use super::workbench::Workbench;
use super::{OtlpMetrics, Receiver, Refusal, Sink, remote_write};
use crate::signal::protobuf::{put_len, put_tag, put_varint};
use crate::signal::{Frame, Signal, otlp, otlp_to_remote_write};

/// Records that were not taken though the request was, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Partial {
    pub(super) rejected: u64,
    pub(super) message: String,
}

/// Validates and tags the request in `bench.raw`; `None`: there is nothing in it.
pub(super) fn tag<S: Sink>(
    receiver: &Receiver<S>,
    signal: Signal,
    sender: &Sender,
    bench: &mut Workbench,
    hold: &mut Hold,
) -> Result<(Option<Frame>, Partial), Refusal> {
    hold.grow(2 * bench.raw.len())?;
    let (raw, tagged) = (&bench.raw, &mut bench.tagged);
    let spliced = bench.otlp.splice(signal, raw, sender.policy(), tagged)?;
    receiver.stats.forged(signal, spliced.forged);
    if spliced.counts.is_empty() {
        return Ok((None, Partial::default()));
    }
    if signal == Signal::Metrics && receiver.otlp_metrics == OtlpMetrics::Convert {
        let converted = otlp_to_remote_write::convert(
            tagged,
            receiver.limits.series.expanded_bytes,
            &mut bench.raw,
        )?;
        hold.grow(2 * bench.raw.len())?;
        let partial = Partial {
            rejected: converted.rejected,
            message: converted.message,
        };
        let frame = remote_write::frame(&mut bench.encoder, &bench.raw, &converted.written)?;
        return Ok((frame, partial));
    }
    let frame = Frame {
        kind: otlp::kind(signal),
        payload: Bytes::copy_from_slice(tagged),
        raw_len: tagged.len() as u32,
        counts: spliced.counts,
    };
    Ok((Some(frame), Partial::default()))
}

/// The `Export…ServiceResponse`.
pub(super) fn response(partial: &Partial) -> Vec<u8> {
    let mut out = Vec::new();
    if *partial != Partial::default() {
        let mut inner = Vec::new();
        if partial.rejected > 0 {
            put_tag(&mut inner, 1, 0);
            put_varint(&mut inner, partial.rejected);
        }
        put_len(&mut inner, 2, partial.message.as_bytes());
        put_len(&mut out, 1, &inner);
    }
    out
}

/// The same in JSON.
pub(super) fn json_response(signal: Signal, partial: &Partial) -> Vec<u8> {
    if *partial == Partial::default() {
        return b"{}".to_vec();
    }
    let rejected = match signal {
        Signal::Metrics => "rejectedDataPoints",
        Signal::Logs => "rejectedLogRecords",
        Signal::Traces => "rejectedSpans",
    };
    serde_json::json!({
        "partialSuccess": {
            (rejected): partial.rejected.to_string(),
            "errorMessage": partial.message,
        }
    })
    .to_string()
    .into_bytes()
}
