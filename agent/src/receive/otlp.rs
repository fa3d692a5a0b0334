//! What OTLP over HTTP and over gRPC have in common: from an uncompressed request to a frame.

use super::budget::Hold;
use super::peers::Sender;
use super::workbench::Workbench;
use super::{OtlpMetrics, Receiver, Refusal, Sink, remote_write};
use crate::signal::protobuf::{put_len, put_tag, put_varint};
use crate::signal::{Apps, Frame, Signal, otlp, otlp_to_remote_write};

/// Records that were not taken though the request was, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Partial {
    pub(super) rejected: u64,
    pub(super) message: String,
}

/// Validates and tags a request; `None`: there is nothing in it.
pub(super) fn tag<S: Sink>(
    receiver: &Receiver<S>,
    signal: Signal,
    sender: &Sender,
    raw: &[u8],
    bench: &mut Workbench,
    hold: &mut Hold,
) -> Result<(Option<Frame>, Partial), Refusal> {
    hold.grow(2 * raw.len())?;
    if signal == Signal::Metrics && receiver.otlp_metrics == OtlpMetrics::Convert {
        return convert(receiver, sender, raw, bench, hold);
    }
    // Written where it stays: what is kept of it is the frame.
    let mut tagged = receiver.buffers.take(raw.len() + otlp::GROWTH_BYTES);
    let app = |host_name: &str| receiver.peers.0.app(host_name);
    let policy = sender.policy(Apps(&app));
    let spliced = bench.otlp.splice(signal, raw, policy, &mut tagged)?;
    receiver.stats.forged(signal, spliced.forged);
    let frame = (!spliced.counts.is_empty()).then(|| Frame {
        kind: otlp::kind(signal),
        raw_len: tagged.len() as u32,
        payload: receiver.buffers.share(tagged),
        counts: spliced.counts,
    });
    Ok((frame, Partial::default()))
}

/// Tags metrics and turns them into remote write.
fn convert<S: Sink>(
    receiver: &Receiver<S>,
    sender: &Sender,
    raw: &[u8],
    bench: &mut Workbench,
    hold: &mut Hold,
) -> Result<(Option<Frame>, Partial), Refusal> {
    let app = |host_name: &str| receiver.peers.0.app(host_name);
    let (policy, tagged) = (sender.policy(Apps(&app)), &mut bench.tagged);
    let spliced = bench.otlp.splice(Signal::Metrics, raw, policy, tagged)?;
    receiver.stats.forged(Signal::Metrics, spliced.forged);
    if spliced.counts.is_empty() {
        return Ok((None, Partial::default()));
    }
    let converted = otlp_to_remote_write::convert(
        tagged,
        receiver.limits.series.expanded_bytes,
        &mut bench.converted,
    )?;
    hold.grow(2 * bench.converted.len())?;
    let partial = Partial {
        rejected: converted.rejected,
        message: converted.message,
    };
    let frame = remote_write::frame(&mut bench.encoder, &bench.converted, &converted.written)?;
    Ok((frame, partial))
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
