//! `/proc/net/dev`: counters per interface.

use super::scan;

/// The columns, as the kernel orders them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) receive: [u64; 8],
    pub(super) transmit: [u64; 8],
}

/// Columns of both directions.
pub(super) const BYTES: usize = 0;
pub(super) const PACKETS: usize = 1;
pub(super) const ERRORS: usize = 2;
pub(super) const DROPPED: usize = 3;

/// The interfaces of a `/proc/net/dev`; lines of another form are left out.
pub(super) fn interfaces(bytes: &[u8]) -> impl Iterator<Item = (&str, Interface)> {
    scan::lines(bytes).filter_map(|line| {
        // A name may hold colons (an alias): the counters hold none.
        let colon = line.iter().rposition(|&byte| byte == b':')?;
        let name = std::str::from_utf8(line[..colon].trim_ascii()).ok()?;
        let mut numbers = scan::words(&line[colon + 1..]).map(scan::number);
        let mut interface = Interface::default();
        for column in interface.receive.iter_mut().chain(&mut interface.transmit) {
            *column = numbers.next()??;
        }
        (!name.is_empty()).then_some((name, interface))
    })
}
