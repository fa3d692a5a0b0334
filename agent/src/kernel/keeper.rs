//! The way of a slot back to the pool.
//!
//! A slot may be given out again when nothing can count for its old owner any more:
//!
//! 1. *Unmapped*: the kernel's entry for the owner's id was deleted, so programs that start now do
//!    not find the slot. Whoever's deletion succeeded hands the slot to the keeper, so it comes
//!    here once.
//! 2. *Grace*: a program that was already running may have looked the slot up before. The keeper
//!    raises the epoch, so that what CPUs remember of earlier look-ups is void, and waits until
//!    every program that was running is done.
//! 3. *Base*: now the words stand still. Their sums become the slot's base.
//! 4. *Pool*: only then the slot goes into the queue that the kernel takes slots from.
//!
//! The wait takes the kernel some 10 to 30 ms, so a thread of its own does it, for all slots that
//! came meanwhile at once.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    Slot,
    book::Book,
    counters::CounterPages,
    epoch::Epoch,
    sys::{Grace, Queue},
};

/// Far longer than any program can run: the wait if the kernel refuses the exact one.
const GRACE_FALLBACK: Duration = Duration::from_secs(1);

/// Takes unmapped slots back to the pool. Dropping it waits for what is under way.
#[derive(Debug)]
pub(super) struct Keeper {
    unmapped: Option<Sender<Slot>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the thread.
    pub(super) fn start(
        pages: Arc<CounterPages>,
        free: Arc<Queue<u32>>,
        mut epoch: Epoch,
        book: Arc<Mutex<Book>>,
        grace: Grace,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("guidon-slots".to_owned())
            .spawn(move || run(&receiver, &pages, &free, &mut epoch, &book, &grace))?;
        Ok(Self {
            unmapped: Some(sender),
            thread: Some(thread),
        })
    }

    /// Hands over a slot whose entry the caller has deleted.
    pub(super) fn take_back(&self, slot: Slot) {
        if let Some(unmapped) = &self.unmapped
            && unmapped.send(slot).is_err()
        {
            tracing::error!(slot = slot.0, "slot keeper is gone, slot is lost");
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.unmapped.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("slot keeper panicked");
        }
    }
}

fn run(
    unmapped: &Receiver<Slot>,
    pages: &CounterPages,
    free: &Queue<u32>,
    epoch: &mut Epoch,
    book: &Mutex<Book>,
    grace: &Grace,
) {
    let mut exact = true;
    let mut kept = Vec::new();
    while let Ok(first) = unmapped.recv() {
        kept.extend(std::iter::once(first).chain(unmapped.try_iter()));
        if let Err(error) = epoch.raise() {
            // They wait for the next ones: given out now, they could count for their old owners.
            tracing::error!(%error, slots = kept.len(), "cannot take slots back yet");
            continue;
        }
        if exact && let Err(error) = grace.wait() {
            tracing::warn!(%error, "cannot wait for running programs, slots return a second later");
            exact = false;
        }
        if !exact {
            thread::sleep(GRACE_FALLBACK);
        }
        for slot in kept.drain(..) {
            pages.rebase(slot);
            // Freed in the book first: the kernel may give it out at once, and the birth be told.
            book.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .free(slot);
            if let Err(error) = free.push(&slot.0) {
                tracing::error!(slot = slot.0, %error, "cannot return slot to the pool");
            }
        }
    }
}
