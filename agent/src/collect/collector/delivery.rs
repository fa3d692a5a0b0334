//! Handing frames over, and holding those that were refused.

use std::collections::VecDeque;

use crate::forward::{Inlet, Refused, Stage};
use crate::signal::Frame;

/// Most bytes of refused frames that are held.
pub const MAX_HELD_BYTES: usize = 16 << 20;

/// Frames on their way to the inlet, in order.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    held: VecDeque<Frame>,
    bytes: usize,
    refusing: bool,
}

impl Delivery {
    /// Offers what is held and then these. Returns the samples that were given up.
    pub(super) async fn offer(&mut self, inlet: &Inlet, frames: Vec<Frame>) -> u64 {
        let dropped = self.hold(frames);
        while let Some(frame) = self.held.front() {
            match inlet.accept(frame.clone(), Stage::Collected).await {
                Ok(()) => {
                    if std::mem::take(&mut self.refusing) {
                        tracing::info!("the way to the bus takes collected samples again");
                    }
                    self.bytes -= frame.payload.len();
                    self.held.pop_front();
                }
                // The agent goes down: there is no next time.
                Err(Refused::Closing) => return dropped + self.give_up(),
                Err(error) => {
                    if !std::mem::replace(&mut self.refusing, true) {
                        tracing::warn!(%error, "the way to the bus refuses collected samples");
                    }
                    break;
                }
            }
        }
        dropped
    }

    /// Frames that wait for the next offer.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    fn hold(&mut self, frames: Vec<Frame>) -> u64 {
        let mut dropped = 0;
        self.bytes += frames
            .iter()
            .map(|frame| frame.payload.len())
            .sum::<usize>();
        self.held.extend(frames);
        while self.bytes > MAX_HELD_BYTES
            && let Some(oldest) = self.held.pop_front()
        {
            self.bytes -= oldest.payload.len();
            dropped += oldest.records();
        }
        dropped
    }

    fn give_up(&mut self) -> u64 {
        self.bytes = 0;
        self.held.drain(..).map(|frame| frame.records()).sum()
    }
}
