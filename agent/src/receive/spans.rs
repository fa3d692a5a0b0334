//! From Jaeger batches to a frame of OTLP spans under the right guid.
//!
//! Whose a batch is: a sender in a container is that container's app, whatever it says. Only for
//! senders that may speak for others (trusted ones, and processes of the node outside of every
//! container, such as a relay) the process tag `hostname` decides, where an app of that guid is
//! known here: an app's host name is its guid. A trusted sender's own guid comes before it, unless
//! it is the host's, which relays put on all they pass on.

use std::borrow::Cow;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use super::budget::Hold;
use super::jaeger::api_v2::{self, PostSpansRequest};
use super::jaeger::{Batch, decode_agent_message, decode_batch, thrift, to_resource_spans};
use super::peers::{Place, Sender};
use super::workbench::Workbench;
use super::{Receiver, Refusal, Sink, otlp};
use crate::signal::{Frame, GuidCounts, Signal, Tag, otlp as wire};

/// Bytes that a decoded struct or message takes at most, on its way to OTLP: a span's two forms
/// are the largest with some 550, and few structs are spans.
const DECODED_BYTES: usize = 300;

/// One datagram of the agent service.
pub(super) fn of_datagram<S: Sink>(
    receiver: &Receiver<S>,
    protocol: thrift::Protocol,
    datagram: &[u8],
    sender: &Sender,
    bench: &mut Workbench,
    hold: &mut Hold,
) -> Result<Option<Frame>, Refusal> {
    let batch = decode_agent_message(protocol, datagram)?;
    of_batches(receiver, &[batch], sender, bench, hold)
}

/// The body of a POST to the collector, which is in Thrift's binary protocol.
pub(super) fn of_body<S: Sink>(
    receiver: &Receiver<S>,
    body: &[u8],
    sender: &Sender,
    bench: &mut Workbench,
    hold: &mut Hold,
) -> Result<Option<Frame>, Refusal> {
    hold.grow(thrift::structs(thrift::Protocol::Binary, body)? * DECODED_BYTES)?;
    let batch = decode_batch(thrift::Protocol::Binary, body)?;
    of_batches(receiver, &[batch], sender, bench, hold)
}

/// A `PostSpansRequest`.
pub(super) fn of_post<S: Sink>(
    receiver: &Receiver<S>,
    sender: &Sender,
    raw: &[u8],
    bench: &mut Workbench,
    hold: &mut Hold,
) -> Result<Option<Frame>, Refusal> {
    hold.grow(raw.len() + api_v2::messages(raw)? * DECODED_BYTES)?;
    let request =
        PostSpansRequest::decode(raw).map_err(|error| Refusal::Protobuf(error.to_string()))?;
    let batches = match &request.batch {
        Some(batch) => batch.view()?,
        None => Vec::new(),
    };
    of_batches(receiver, &batches, sender, bench, hold)
}

/// A `WriteSpanRequest`.
pub(super) fn of_write<S: Sink>(
    receiver: &Receiver<S>,
    sender: &Sender,
    raw: &[u8],
    bench: &mut Workbench,
    hold: &mut Hold,
) -> Result<Option<Frame>, Refusal> {
    hold.grow(raw.len() + api_v2::messages_of_write(raw)? * DECODED_BYTES)?;
    // Its one field is a batch's first.
    let batch = api_v2::Batch::decode(raw).map_err(|error| Refusal::Protobuf(error.to_string()))?;
    of_batches(receiver, &batch.view()?, sender, bench, hold)
}

fn of_batches<S: Sink>(
    receiver: &Receiver<S>,
    batches: &[Batch<'_>],
    sender: &Sender,
    bench: &mut Workbench,
    hold: &mut Hold,
) -> Result<Option<Frame>, Refusal> {
    let mut gathered = Gathered::default();
    for batch in batches {
        let speaker = speaker(receiver, sender, batch);
        let request = ExportTraceServiceRequest {
            resource_spans: vec![to_resource_spans(batch)],
        };
        bench.raw.clear();
        // A vector takes whatever is written to it.
        let _ = request.encode(&mut bench.raw);
        let (frame, _) = bench
            .on_raw(|raw, bench| otlp::tag(receiver, Signal::Traces, &speaker, raw, bench, hold))?;
        if let Some(frame) = frame {
            gathered.add(frame);
        }
    }
    Ok(gathered.into_frame())
}

/// As whom a batch's sender speaks.
fn speaker<'s, S: Sink>(
    receiver: &Receiver<S>,
    sender: &'s Sender,
    batch: &Batch<'_>,
) -> Cow<'s, Sender> {
    let named = || {
        let guid = receiver.peers.0.app(batch.hostname()?)?;
        (guid != *sender.tag.guid()).then_some(guid)
    };
    // For trusted ones the resource decides, see `Policy::Relay`.
    match (!sender.trusted && sender.place == Place::Host)
        .then(named)
        .flatten()
    {
        Some(guid) => Cow::Owned(Sender {
            tag: Tag::new(guid),
            ..sender.clone()
        }),
        None => Cow::Borrowed(sender),
    }
}

/// Frames of spans that go on as one: every export is a concatenation.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    first: Option<Bytes>,
    payload: Vec<u8>,
    counts: GuidCounts,
}

impl Gathered {
    pub(super) fn add(&mut self, frame: Frame) {
        for (guid, count) in frame.counts {
            match self.counts.iter_mut().find(|(known, _)| *known == guid) {
                Some((_, sum)) => *sum = sum.saturating_add(count),
                None => self.counts.push((guid, count)),
            }
        }
        if self.first.is_none() && self.payload.is_empty() {
            self.first = Some(frame.payload);
            return;
        }
        if let Some(first) = self.first.take() {
            self.payload.extend_from_slice(&first);
        }
        self.payload.extend_from_slice(&frame.payload);
    }

    pub(super) fn into_frame(self) -> Option<Frame> {
        let payload = self.first.unwrap_or_else(|| self.payload.into());
        (!payload.is_empty()).then(|| Frame {
            kind: wire::kind(Signal::Traces),
            raw_len: payload.len() as u32,
            payload,
            counts: self.counts,
        })
    }
}
