//! Where tagged frames go.

use crate::forward::{Inlet, Refused, Stage};
use crate::signal::Frame;

/// Takes frames; the forward room's inlet, or a test's stand-in.
pub trait Sink: Clone + Send + Sync + 'static {
    /// Takes a frame that was received; returns when it is as durable as configured.
    fn accept(&self, frame: Frame) -> impl Future<Output = Result<(), Refused>> + Send;
}

impl Sink for Inlet {
    async fn accept(&self, frame: Frame) -> Result<(), Refused> {
        Self::accept(self, frame, Stage::Received).await
    }
}
