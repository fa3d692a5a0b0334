//! The number that makes what CPUs remember of look-ups in the table of slots void.

use std::io;

use super::sys::{ANY, Map};

/// The epoch, as the programs read it.
#[derive(Debug)]
pub(super) struct Epoch {
    map: Map<u32, u32>,
    number: u32,
}

impl Epoch {
    pub(super) fn new(map: Map<u32, u32>) -> Self {
        Self { map, number: 0 }
    }

    /// Begins another epoch: programs that start after this look into the table themselves.
    pub(super) fn raise(&mut self) -> io::Result<()> {
        self.number = self.number.wrapping_add(1);
        self.map.set(&0, &self.number, ANY)
    }
}
