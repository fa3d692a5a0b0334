//! What is left of a body when its request has its answer already.
//!
//! A refusal often comes before the body's end: too large, a wrong type, no memory. Many clients
//! write the whole body before they look for an answer; if the connection were closed under them,
//! they would see a broken pipe instead of the reason and try the same again. So what they still
//! send is read and thrown away for a moment, within bounds, while the answer is on its way.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::{Request, Version};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// Most that is thrown away; whoever sends more has its connection closed.
const MOST_BYTES: usize = 64 << 20;
/// Longest that it takes.
const LONGEST: Duration = Duration::from_secs(1);

/// A request's body that is read to its end, within bounds, even if nobody wants it.
#[derive(Debug)]
pub(super) struct WholeBody {
    /// Gone only while it is dropped.
    body: Option<Incoming>,
    lingers: bool,
}

impl WholeBody {
    /// The request with its body wrapped, where that helps: HTTP/2 resets a stream without
    /// touching the connection, and a client that asks first ([`EXPECT`]) has sent nothing yet.
    pub(super) fn of(request: Request<Incoming>) -> Request<Self> {
        let lingers =
            request.version() < Version::HTTP_2 && !request.headers().contains_key(EXPECT);
        request.map(|body| Self {
            body: Some(body),
            lingers,
        })
    }
}

impl Body for WholeBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for WholeBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take()
            && self.lingers
            && !body.is_end_stream()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            // It ends with the connection at the latest: then the body breaks.
            runtime.spawn(tokio::time::timeout(LONGEST, throw_away(body)));
        }
    }
}

async fn throw_away(mut body: Incoming) {
    let mut thrown = 0;
    while let Some(Ok(frame)) = body.frame().await {
        thrown += frame.data_ref().map_or(0, Bytes::len);
        if thrown > MOST_BYTES {
            return;
        }
    }
}
