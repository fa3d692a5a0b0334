//! Reads request bodies, bounded in bytes and time, and uncompresses gzip the same way.

use std::io::Read;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::body::Body;

use super::budget::Hold;
use super::buffers::Buffers;
use super::{Limits, Refusal};

/// Bytes held at a time while gzip is uncompressed.
const GZIP_STEP_BYTES: usize = 64 << 10;

/// Reads a body to its end. Memory is held as bytes arrive; what the headers promise is only
/// checked.
pub(super) async fn read(
    mut body: impl Body<Data = Bytes, Error = hyper::Error> + Unpin,
    limits: &Limits,
    buffers: &Buffers,
    hold: &mut Hold,
) -> Result<Bytes, Refusal> {
    let limit = limits.body_bytes;
    let too_large = || Refusal::TooLarge {
        what: "body",
        limit,
    };
    let promised = body.size_hint().lower();
    if promised > limit as u64 {
        return Err(too_large());
    }
    let whole = async {
        let mut first = Bytes::new();
        let mut rest = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Refusal::BodyBroken(error.to_string()))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if first.len().max(rest.len()) + data.len() > limit {
                return Err(too_large());
            }
            hold.grow(data.len())?;
            if first.is_empty() && rest.is_empty() {
                first = data;
                continue;
            }
            if rest.is_empty() {
                // Pages that are not written to cost nothing, so a promise may be believed here.
                rest = buffers.take(promised as usize);
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
        Ok(if rest.is_empty() {
            first
        } else {
            buffers.share(rest)
        })
    };
    match tokio::time::timeout(limits.body_time, whole).await {
        Ok(read) => read,
        Err(_) => Err(Refusal::BodyTime(limits.body_time)),
    }
}

/// Uncompresses gzip into `out` (which is cleared first). Memory is held as it is filled.
pub(super) fn gunzip(
    compressed: &[u8],
    limit: usize,
    hold: &mut Hold,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    out.clear();
    let mut decoder = MultiGzDecoder::new(compressed);
    let mut step = vec![0; GZIP_STEP_BYTES];
    loop {
        let len = decoder
            .read(&mut step)
            .map_err(|error| Refusal::Gzip(error.to_string()))?;
        if len == 0 {
            return Ok(());
        }
        if out.len() + len > limit {
            return Err(Refusal::TooLarge {
                what: "request after decompression",
                limit,
            });
        }
        hold.grow(len)?;
        out.extend_from_slice(step.get(..len).unwrap_or_default());
    }
}
