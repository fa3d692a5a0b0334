//! Memory of requests that are being served: one bound for all, one for each sender.
//!
//! Bytes are held as they arrive, never by what a header promises, so that a sender cannot reserve
//! what it does not send. Counters only; the table of senders is locked when a connection comes or
//! goes, not per request.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Limits;

/// Why something is not held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exhausted {
    #[error("memory for requests is used up")]
    Memory,
    #[error("memory for requests of one sender is used up")]
    SenderMemory,
    #[error("connections are used up")]
    Connections,
    #[error("connections of one sender are used up")]
    SenderConnections,
}

/// The bounds and what is used of them.
#[derive(Debug)]
pub struct Budget {
    memory_bytes: usize,
    sender_memory_bytes: usize,
    connections: usize,
    sender_connections: usize,
    used_bytes: AtomicUsize,
    senders: Mutex<Senders>,
}

#[derive(Debug, Default)]
struct Senders {
    connections: usize,
    by_address: HashMap<IpAddr, (usize, Arc<AtomicUsize>)>,
}

impl Budget {
    /// With nothing used.
    #[must_use]
    pub fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            memory_bytes: limits.memory_bytes,
            sender_memory_bytes: limits.sender_memory_bytes,
            connections: limits.connections,
            sender_connections: limits.sender_connections,
            used_bytes: AtomicUsize::new(0),
            senders: Mutex::default(),
        })
    }

    /// A connection from this address.
    pub fn connect(self: &Arc<Self>, address: IpAddr) -> Result<Connected, Exhausted> {
        let address = address.to_canonical();
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if senders.connections >= self.connections {
            return Err(Exhausted::Connections);
        }
        let (connections, bytes) = senders.by_address.entry(address).or_default();
        if *connections >= self.sender_connections {
            return Err(Exhausted::SenderConnections);
        }
        *connections += 1;
        let bytes = Arc::clone(bytes);
        senders.connections += 1;
        Ok(Connected {
            budget: Arc::clone(self),
            address,
            sender_bytes: bytes,
        })
    }

    /// Holds nothing yet, for what comes without a connection.
    #[must_use]
    pub fn hold(self: &Arc<Self>) -> Hold {
        Hold {
            budget: Arc::clone(self),
            sender_bytes: Arc::default(),
            bytes: 0,
        }
    }

    /// Bytes held now.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Connections open now.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.senders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .connections
    }
}

/// An open connection's place in the budget.
#[derive(Debug)]
pub struct Connected {
    budget: Arc<Budget>,
    address: IpAddr,
    sender_bytes: Arc<AtomicUsize>,
}

impl Connected {
    /// Holds nothing yet, for a request on this connection.
    #[must_use]
    pub fn hold(&self) -> Hold {
        Hold {
            budget: Arc::clone(&self.budget),
            sender_bytes: Arc::clone(&self.sender_bytes),
            bytes: 0,
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut senders = self
            .budget
            .senders
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        senders.connections -= 1;
        if let Some((connections, _)) = senders.by_address.get_mut(&self.address) {
            *connections -= 1;
            if *connections == 0 {
                senders.by_address.remove(&self.address);
            }
        }
    }
}

/// Bytes held for a request, until dropped.
#[derive(Debug)]
pub struct Hold {
    budget: Arc<Budget>,
    sender_bytes: Arc<AtomicUsize>,
    bytes: usize,
}

impl Hold {
    /// Holds more.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Exhausted> {
        // Numbers only, which order nothing else.
        let take = |used: &AtomicUsize, limit: usize| {
            used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|&sum| sum <= limit)
            })
        };
        take(&self.sender_bytes, self.budget.sender_memory_bytes)
            .map_err(|_| Exhausted::SenderMemory)?;
        if take(&self.budget.used_bytes, self.budget.memory_bytes).is_err() {
            self.sender_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Exhausted::Memory);
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.sender_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget
            .used_bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::net::IpAddr;

    use super::{Budget, Exhausted};
    use crate::receive::Limits;

    #[test]
    fn one_sender_cannot_take_what_is_there_for_all() {
        let budget = Budget::new(&Limits {
            memory_bytes: 100,
            sender_memory_bytes: 60,
            connections: 3,
            sender_connections: 2,
            ..Limits::default()
        });
        let [one, other]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|it| it.parse().unwrap());
        let first = budget.connect(one).unwrap();
        let second = budget.connect("::ffff:10.0.0.1".parse().unwrap()).unwrap();
        assert_eq!(
            budget.connect(one).unwrap_err(),
            Exhausted::SenderConnections
        );
        let third = budget.connect(other).unwrap();
        assert_eq!(budget.connect(other).unwrap_err(), Exhausted::Connections);

        let (mut a, mut b, mut c) = (first.hold(), second.hold(), third.hold());
        a.grow(50).unwrap();
        assert_eq!(b.grow(20), Err(Exhausted::SenderMemory));
        c.grow(45).unwrap();
        assert_eq!(a.grow(6), Err(Exhausted::Memory));
        a.grow(5).unwrap();
        assert_eq!(budget.used_bytes(), 100);
        drop((a, b, c));
        drop((first, second, third));
        assert_eq!(budget.used_bytes(), 0);
        assert_eq!(budget.open_connections(), 0);
        budget.connect(one).unwrap().hold().grow(60).unwrap();
    }

    #[test]
    fn the_largest_request_that_is_allowed_fits() {
        let limits = Limits::default();
        // Body, uncompressed, spliced, compressed again.
        let largest = limits.body_bytes + 3 * limits.decompressed_bytes;
        assert!(largest <= limits.sender_memory_bytes);
        assert!(limits.sender_memory_bytes < limits.memory_bytes);
    }
}
