//! The hand-made concurrent structures of the agent, compiled from its own files with loom's atomics
//! in place of the standard library's: every order of events that the memory model allows, within
//! the bounds of each test, is gone through.
//!
//! Structures of other crates have tests of their own. Here they are replaced by what they promise,
//! made from a mutex.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unused_imports,
    reason = "tests; the files have more in them than is tested here"
)]

use std::time::Duration;

use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;

/// As in the agent.
mod config {
    pub(crate) use guidon::config::Guid;
}

/// As in the agent.
mod signal {
    pub(crate) use guidon::signal::GuidCounts;
}

#[path = "../src/forward"]
mod forward {
    pub(crate) mod hot;

    pub(crate) mod sync {
        pub(crate) use std::sync::PoisonError;

        pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
        pub(crate) use loom::sync::{Arc, Condvar, Mutex};

        /// `crossbeam`'s: a bounded queue.
        #[derive(Debug)]
        pub(crate) struct ArrayQueue<T> {
            room: usize,
            queue: Mutex<std::collections::VecDeque<T>>,
        }

        impl<T> ArrayQueue<T> {
            pub(crate) fn new(room: usize) -> Self {
                Self {
                    room,
                    queue: Mutex::default(),
                }
            }

            pub(crate) fn push(&self, item: T) -> Result<(), T> {
                let mut queue = self.queue.lock().unwrap();
                if queue.len() == self.room {
                    return Err(item);
                }
                queue.push_back(item);
                Ok(())
            }

            pub(crate) fn pop(&self) -> Option<T> {
                self.queue.lock().unwrap().pop_front()
            }
        }

        /// `tokio`'s, for one task that waits: a permit that is there or not.
        #[derive(Debug, Default)]
        pub(crate) struct Notify {
            permit: Mutex<bool>,
            given: Condvar,
        }

        impl Notify {
            pub(crate) fn new() -> Self {
                Self::default()
            }

            pub(crate) fn notify_one(&self) {
                *self.permit.lock().unwrap() = true;
                self.given.notify_one();
            }

            /// Blocks its thread, which is the one that waits.
            pub(crate) async fn notified(&self) {
                let mut permit = self.permit.lock().unwrap();
                while !std::mem::take(&mut *permit) {
                    permit = self.given.wait(permit).unwrap();
                }
            }
        }

        /// `arc_swap`'s: a pointer that is loaded without waiting.
        #[derive(Debug)]
        pub(crate) struct ArcSwap<T>(Mutex<Arc<T>>);

        impl<T> ArcSwap<T> {
            pub(crate) fn from_pointee(value: T) -> Self {
                Self(Mutex::new(Arc::new(value)))
            }

            pub(crate) fn load(&self) -> Guard<T> {
                Guard(self.load_full())
            }

            pub(crate) fn load_full(&self) -> Arc<T> {
                Arc::clone(&self.0.lock().unwrap())
            }

            pub(crate) fn store(&self, value: Arc<T>) {
                let before = std::mem::replace(&mut *self.0.lock().unwrap(), value);
                drop(before);
            }
        }

        pub(crate) struct Guard<T>(Arc<T>);

        impl<T> std::ops::Deref for Guard<T> {
            type Target = Arc<T>;

            fn deref(&self) -> &Arc<T> {
                &self.0
            }
        }
    }

    /// A frame as far as the lane looks at it.
    pub(crate) mod spool {
        pub(crate) mod tail {
            #[derive(Debug)]
            pub(crate) struct Queued {
                pub(crate) seq: u64,
                pub(crate) frame: Frame,
            }

            #[derive(Debug)]
            pub(crate) struct Frame {
                pub(crate) payload: Vec<u8>,
            }
        }
    }

    #[path = "ledger"]
    pub(crate) mod ledger {
        mod book;
        mod entry;
        pub(crate) use entry::Entry;

        /// A book whose guids are idle at once.
        pub(crate) fn forgetful() -> book::Book {
            book::Book::with_idle(std::time::Duration::ZERO)
        }

        /// Sum of an entry over all guids.
        pub(crate) fn sum(book: &book::Book, wanted: Entry) -> u64 {
            let mut sum = 0;
            book.visit(&mut |_, entry, records| {
                if entry == wanted {
                    sum += records;
                }
            });
            sum
        }
    }
}

#[path = "../src/receive"]
mod receive {
    pub(crate) mod activity;

    mod sync {
        pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
    }

    /// Runs `activity`'s parts that only its room sees.
    pub(crate) mod connection {
        use super::activity::{Activity, Idle};

        #[derive(Debug)]
        pub(crate) struct Connection(Activity);

        impl Connection {
            pub(crate) fn new() -> Self {
                Self(Activity::new())
            }

            pub(crate) fn request(&self, ends_ms: u64) {
                self.0.begin();
                self.0.end(ends_ms);
            }

            pub(crate) fn begin(&self) {
                self.0.begin();
            }

            pub(crate) fn end(&self, now_ms: u64) {
                self.0.end(now_ms);
            }

            /// Since when it is idle, 0 for its opening; `None` while it is busy.
            pub(crate) fn idle_since(&self) -> Option<u64> {
                Some(match self.0.idle()? {
                    Idle::First => 0,
                    Idle::Since(ms) => ms,
                })
            }
        }
    }
}

#[path = "../src/kernel"]
mod kernel {
    pub(crate) mod records;

    /// Words in memory of our own for those that the kernel writes.
    pub(crate) mod sys {
        pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};

        #[derive(Debug)]
        pub(crate) struct Pages(std::sync::Arc<Vec<AtomicU64>>);

        impl Pages {
            pub(crate) fn of(words: &std::sync::Arc<Vec<AtomicU64>>) -> Self {
                Self(std::sync::Arc::clone(words))
            }

            pub(crate) fn words(&self) -> &[AtomicU64] {
                &self.0
            }
        }
    }

    pub(crate) mod slot {
        use std::sync::Arc;

        use super::records::Records;
        use super::sys::{AtomicU64, Ordering, Pages};

        /// One slot, one CPU, one counter.
        #[derive(Debug)]
        pub(crate) struct Slot {
            live: Arc<Vec<AtomicU64>>,
            records: Records<1>,
        }

        impl Slot {
            pub(crate) fn new(counted: u64) -> Self {
                let live = Arc::new(vec![AtomicU64::new(counted)]);
                let base = Arc::new(vec![AtomicU64::new(0)]);
                let records = Records::new(Pages::of(&live), Pages::of(&base), 1);
                Self { live, records }
            }

            /// As a program does it: nobody else writes the word, so it need not be one step.
            pub(crate) fn count(&self, amount: u64) {
                let word = &self.live[0];
                let before = word.load(Ordering::Relaxed);
                word.store(before + amount, Ordering::Relaxed);
            }

            pub(crate) fn rebase(&self) {
                self.records.rebase(0);
            }

            pub(crate) fn read(&self) -> u64 {
                self.records.since_base(0)[0]
            }
        }
    }
}

/// Goes through every order in which threads are interrupted at most `preemptions` times.
fn explore(preemptions: usize, test: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(test);
}

mod lanes {
    use super::forward::hot::HotLane;
    use super::forward::spool::tail::{Frame, Queued};
    use super::{Arc, explore, thread};

    fn frame(seq: u64, bytes: usize) -> Queued {
        let payload = vec![0; bytes];
        Queued {
            seq,
            frame: Frame { payload },
        }
    }

    #[test]
    fn whatever_is_pushed_while_a_lane_closes_is_taken_out_by_one_of_the_two() {
        explore(3, || {
            let lane = Arc::new(HotLane::new(2, 100));
            let pusher = {
                let lane = Arc::clone(&lane);
                thread::spawn(move || {
                    lane.push(frame(0, 10)).unwrap();
                    if lane.is_closed() {
                        usize::from(lane.pop().is_some())
                    } else {
                        0
                    }
                })
            };
            lane.close();
            let mut dropped = usize::from(lane.pop().is_some());
            dropped += pusher.join().unwrap();
            // Else it was in before anybody thought of closing, and must not be left.
            assert_eq!(dropped, 1);
            // No byte of it is counted any more.
            lane.push(frame(1, 100)).unwrap();
        });
    }

    #[test]
    fn a_lane_holds_no_more_than_its_bounds_and_counts_its_bytes() {
        explore(3, || {
            let lane = Arc::new(HotLane::new(2, 10));
            let push = |seq| {
                let lane = Arc::clone(&lane);
                thread::spawn(move || usize::from(lane.push(frame(seq, 6)).is_ok()))
            };
            let pushers = [push(0), push(1)];
            let mut popped = usize::from(lane.pop().is_some());
            let pushed: usize = pushers.map(|pusher| pusher.join().unwrap()).iter().sum();
            // Both fit only if the first was gone when the second came.
            assert!(pushed >= 1 && pushed <= 1 + popped, "{pushed}, {popped}");
            while lane.pop().is_some() {
                popped += 1;
            }
            assert_eq!(popped, pushed);
            lane.push(frame(2, 10)).unwrap();
        });
    }

    #[test]
    fn who_waits_for_a_frame_gets_it_or_is_told_that_it_is_on_disk() {
        explore(2, || {
            // Room for one of the two.
            let lane = Arc::new(HotLane::new(1, 100));
            let writer = {
                let lane = Arc::clone(&lane);
                thread::spawn(move || {
                    for seq in 0..2 {
                        if lane.push(frame(seq, 10)).is_err() {
                            lane.set_disk_below(seq + 1);
                        }
                    }
                })
            };
            // As the sender does: the lane, else the disk, else wait.
            let mut at = 0;
            while at < 2 {
                match lane.pop() {
                    Some(queued) if queued.seq < at => {}
                    // What lies before it found no room here.
                    Some(queued) => at = queued.seq + 1,
                    None if at < lane.disk_below() => at = lane.disk_below(),
                    None => loom::future::block_on(lane.pushed()),
                }
            }
            writer.join().unwrap();
        });
    }
}

mod books {
    use super::forward::ledger::{Entry, forgetful, sum};
    use super::{Arc, explore, thread};

    fn counts(guid: &str, records: u32) -> Vec<(super::config::Guid, u32)> {
        vec![(guid.parse().unwrap(), records)]
    }

    #[test]
    fn no_record_is_lost_while_guids_come_and_go() {
        explore(2, || {
            let book = Arc::new(forgetful());
            let add = |records| {
                let book = Arc::clone(&book);
                thread::spawn(move || book.add(Entry::Received, &counts("a", records)))
            };
            let adders = [add(1), add(10)];
            // Every guid is idle: each look retires them all.
            let seen = sum(&book, Entry::Received);
            assert!([0, 1, 10, 11].contains(&seen), "{seen}");
            for adder in adders {
                adder.join().unwrap();
            }
            assert_eq!(sum(&book, Entry::Received), 11);
            assert_eq!(sum(&book, Entry::Received), 11);
        });
    }

    #[test]
    fn what_is_taken_back_is_taken_back_wherever_its_guid_went() {
        explore(2, || {
            let book = Arc::new(forgetful());
            book.add(Entry::Received, &counts("b", 100));
            let refused = {
                let book = Arc::clone(&book);
                thread::spawn(move || {
                    book.add(Entry::Received, &counts("a", 5));
                    book.take_back(Entry::Received, &counts("a", 5));
                })
            };
            let seen = sum(&book, Entry::Received);
            assert!([100, 105].contains(&seen), "{seen}");
            refused.join().unwrap();
            assert_eq!(sum(&book, Entry::Received), 100);
        });
    }
}

mod receivers {
    use super::receive::connection::Connection;
    use super::{Arc, explore, thread};

    #[test]
    fn a_connection_is_idle_only_since_its_last_request_ended() {
        explore(3, || {
            let connection = Arc::new(Connection::new());
            connection.begin();
            let other = {
                let connection = Arc::clone(&connection);
                // It began while the first one was under way.
                connection.begin();
                thread::spawn(move || connection.end(80))
            };
            let first = {
                let connection = Arc::clone(&connection);
                thread::spawn(move || connection.end(70))
            };
            if let Some(since) = connection.idle_since() {
                assert_eq!(since, 80);
            }
            other.join().unwrap();
            first.join().unwrap();
            assert_eq!(connection.idle_since(), Some(80));
        });
    }
}

mod counters {
    use super::kernel::slot::Slot;
    use super::{Arc, explore, thread};

    #[test]
    fn a_program_that_is_late_costs_the_next_owner_its_own_amount_at_most() {
        explore(3, || {
            let slot = Arc::new(Slot::new(1000));
            let late = {
                let slot = Arc::clone(&slot);
                thread::spawn(move || slot.count(7))
            };
            let keeper = {
                let slot = Arc::clone(&slot);
                thread::spawn(move || slot.rebase())
            };
            keeper.join().unwrap();
            let read = slot.read();
            assert!([0, 7].contains(&read), "{read}");
            late.join().unwrap();
            let read = slot.read();
            assert!([0, 7].contains(&read), "{read}");
            slot.count(3);
            assert_eq!(slot.read(), read + 3);
        });
    }
}
