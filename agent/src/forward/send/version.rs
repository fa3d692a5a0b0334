//! Which remote-write version to speak with a receiver: negotiation and 2.0's own rules.
//!
//! Batches are kept as 1.0 and transcoded for receivers that take 2.0: half the bytes on the wire
//! for the price of compressing again.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::body::Pieces;
use super::verdict::{self, Verdict};
use crate::forward::options::RemoteWriteVersion;
use crate::signal::remote_write_v2::EncoderV2;
use crate::signal::snappy;

/// No batch is larger before compression; a frame alone may be, and then goes as 1.0.
const MAX_RAW: usize = 256 << 20;
const WRITTEN: [&str; 3] = [
    "x-prometheus-remote-write-samples-written",
    "x-prometheus-remote-write-histograms-written",
    "x-prometheus-remote-write-exemplars-written",
];

const V1: u8 = 0;
const ASKING: u8 = 1;
const V2: u8 = 2;

/// What is known of a receiver.
#[derive(Debug)]
pub(crate) struct Version {
    known: AtomicU8,
    /// What batches are transcoded with, while none is; requests of one receiver follow one another.
    transcoding: Arc<Mutex<Option<Box<Transcoding>>>>,
}

/// Buffers for transcoding, as large as the largest batch so far needed.
#[derive(Debug, Default)]
struct Transcoding {
    block: Vec<u8>,
    raw: Vec<u8>,
    encoder: EncoderV2,
    encoded: Vec<u8>,
    snappy: snappy::Encoder,
}

impl Version {
    pub(crate) fn new(wanted: RemoteWriteVersion) -> Self {
        let known = match wanted {
            RemoteWriteVersion::V1 => V1,
            RemoteWriteVersion::Auto => ASKING,
            RemoteWriteVersion::V2 => V2,
        };
        Self {
            known: AtomicU8::new(known),
            transcoding: Arc::default(),
        }
    }

    pub(crate) fn speaks_v2(&self) -> bool {
        self.known.load(Ordering::Relaxed) != V1
    }

    /// The verdict on the answer to a 2.0 request. While it is not known what the receiver speaks, an
    /// answer that a 1.0 receiver would give means to go over to 1.0: 415, 400, or a success that
    /// does not say what was written (it read an empty 1.0 message).
    pub(crate) fn judge(&self, status: u16, headers: &HeaderMap) -> Verdict {
        let said_what = WRITTEN.iter().any(|name| headers.contains_key(*name));
        let asking = self.known.load(Ordering::Relaxed) == ASKING;
        match status {
            200..=299 if said_what => {
                self.known.store(V2, Ordering::Relaxed);
                Verdict::Delivered
            }
            200..=299 | 400 | 415 if asking && !said_what => {
                self.known.store(V1, Ordering::Relaxed);
                Verdict::Renegotiate
            }
            // The specification: a success without these headers is to be treated as 415.
            200..=299 => verdict::remote_write(415),
            status => verdict::remote_write(status),
        }
    }

    /// Transcodes a 1.0 body. `None` when it cannot be, and is to go as it is.
    pub(crate) async fn encode_v2(&self, pieces: &Pieces) -> Option<Bytes> {
        let pieces = Pieces::clone(pieces);
        let kept = Arc::clone(&self.transcoding);
        // Long work has no place on the runtime's threads.
        let encoding = tokio::task::spawn_blocking(move || {
            let lock = || kept.lock().unwrap_or_else(PoisonError::into_inner);
            let mut transcoding = lock().take().unwrap_or_default();
            let encoded = transcoding.run(&pieces);
            *lock() = Some(transcoding);
            encoded
        });
        encoding.await.ok().flatten()
    }
}

impl Transcoding {
    fn run(&mut self, pieces: &[Bytes]) -> Option<Bytes> {
        self.block.clear();
        for piece in pieces {
            self.block.extend_from_slice(piece);
        }
        let raw = snappy::decode(&self.block, MAX_RAW, &mut self.raw).ok()?;
        self.encoder.encode(raw, &mut self.encoded).ok()?;
        let block = self.snappy.encode(&self.encoded).ok()?;
        Some(Bytes::copy_from_slice(block))
    }
}

/// Makes the headers those of a 2.0 request.
pub(crate) fn set_headers(headers: &mut HeaderMap) {
    let content = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content));
    headers.insert(
        HeaderName::from_static("x-prometheus-remote-write-version"),
        HeaderValue::from_static("2.0.0"),
    );
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::{Verdict, Version, WRITTEN};
    use crate::forward::ledger::Reason;
    use crate::forward::options::RemoteWriteVersion::{Auto, V1, V2};

    #[test]
    fn the_negotiation_table() {
        let bare = HeaderMap::new();
        let mut said = HeaderMap::new();
        said.insert(WRITTEN[0], HeaderValue::from_static("5"));
        let refused = |reason, apart| Verdict::Refused { reason, apart };
        for (wanted, status, headers, verdict, v2_after) in [
            (Auto, 204, &said, Verdict::Delivered, true),
            (Auto, 204, &bare, Verdict::Renegotiate, false),
            (Auto, 415, &bare, Verdict::Renegotiate, false),
            (Auto, 400, &bare, Verdict::Renegotiate, false),
            (Auto, 400, &said, refused(Reason::Refused400, true), true),
            (Auto, 503, &bare, Verdict::Again, true),
            (V2, 204, &said, Verdict::Delivered, true),
            (V2, 204, &bare, refused(Reason::Refused415, false), true),
            (V2, 415, &bare, refused(Reason::Refused415, false), true),
            (V2, 400, &bare, refused(Reason::Refused400, true), true),
        ] {
            let version = Version::new(wanted);
            assert_eq!(
                version.judge(status, headers),
                verdict,
                "{wanted:?} {status}"
            );
            assert_eq!(version.speaks_v2(), v2_after, "{wanted:?} {status}");
        }
        assert!(!Version::new(V1).speaks_v2());
    }

    #[test]
    fn once_it_spoke_2_0_a_receiver_is_not_asked_again() {
        let version = Version::new(Auto);
        let mut said = HeaderMap::new();
        said.insert(WRITTEN[1], HeaderValue::from_static("0"));
        assert_eq!(version.judge(200, &said), Verdict::Delivered);
        assert_ne!(version.judge(415, &HeaderMap::new()), Verdict::Renegotiate);
    }
}
