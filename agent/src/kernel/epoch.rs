//! The number that makes what CPUs remember of look-ups in the table of slots void.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use super::sys::{ANY, Map};

/// The epoch, as the programs read it.
#[derive(Debug)]
pub(super) struct Epoch {
    map: Map<u32, u32>,
    /// Held while the map is written, so that numbers only grow.
    number: Mutex<u32>,
}

impl Epoch {
    pub(super) fn new(map: Map<u32, u32>) -> Self {
        Self {
            map,
            number: Mutex::new(0),
        }
    }

    /// Begins another epoch: programs that start after this look into the table themselves.
    pub(super) fn raise(&self) -> io::Result<()> {
        let mut number = self.number.lock().unwrap_or_else(PoisonError::into_inner);
        *number = number.wrapping_add(1);
        self.map.set(&0, &*number, ANY)
    }
}
