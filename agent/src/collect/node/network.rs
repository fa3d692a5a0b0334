//! Interfaces, protocols, sockets.

use std::path::Path;

use super::{families, put, put_with};
use crate::collect::catalogue::node::keyed;
use crate::collect::{netdev, scan};
use crate::signal::series::{Family, SeriesTable};

/// Columns of `/proc/net/dev`, in its order.
const RECEIVE: [&Family; 8] = [
    &families::NETWORK_RECEIVE_BYTES,
    &families::NETWORK_RECEIVE_PACKETS,
    &families::NETWORK_RECEIVE_ERRS,
    &families::NETWORK_RECEIVE_DROP,
    &families::NETWORK_RECEIVE_FIFO,
    &families::NETWORK_RECEIVE_FRAME,
    &families::NETWORK_RECEIVE_COMPRESSED,
    &families::NETWORK_RECEIVE_MULTICAST,
];
const TRANSMIT: [&Family; 8] = [
    &families::NETWORK_TRANSMIT_BYTES,
    &families::NETWORK_TRANSMIT_PACKETS,
    &families::NETWORK_TRANSMIT_ERRS,
    &families::NETWORK_TRANSMIT_DROP,
    &families::NETWORK_TRANSMIT_FIFO,
    &families::NETWORK_TRANSMIT_COLLS,
    &families::NETWORK_TRANSMIT_CARRIER,
    &families::NETWORK_TRANSMIT_COMPRESSED,
];

/// `/proc/net/dev`.
pub(super) fn dev(bytes: &[u8], table: &mut SeriesTable) {
    for (name, interface) in netdev::interfaces(bytes) {
        let labels = [("device", name)];
        let columns = RECEIVE.into_iter().zip(interface.receive);
        for (family, value) in columns.chain(TRANSMIT.into_iter().zip(interface.transmit)) {
            put_with(table, family, &labels, value as f64);
        }
    }
}

/// `/proc/net/netstat` and `snmp`: for each protocol a line of names and one of values.
pub(super) fn netstat(bytes: &[u8], table: &mut SeriesTable) {
    let mut lines = scan::lines(bytes);
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let mut names = scan::words(names);
        let Some(protocol) = names.next().and_then(|word| word.strip_suffix(b":")) else {
            continue;
        };
        for (name, value) in names.zip(scan::words(values).skip(1)) {
            if let Some(value) = scan::float(value) {
                put_key(table, keyed::NETSTAT, &[protocol, b"_", name], value);
            }
        }
    }
}

/// `/proc/net/snmp6`: `Ip6InOctets 12` lines, the protocol ending with the 6.
pub(super) fn snmp6(bytes: &[u8], table: &mut SeriesTable) {
    for (key, value) in scan::pairs(bytes) {
        let Some(six) = key.iter().position(|&byte| byte == b'6') else {
            continue;
        };
        let (protocol, name) = key.split_at(six + 1);
        put_key(table, keyed::NETSTAT, &[protocol, b"_", name], value as f64);
    }
}

/// `/proc/net/sockstat` and `sockstat6`: `TCP: inuse 4 orphan 0 …` lines.
pub(super) fn sockstat(bytes: &[u8], table: &mut SeriesTable) {
    let page = rustix::param::page_size() as f64;
    for line in scan::lines(bytes) {
        let mut words = scan::words(line);
        let Some(protocol) = words.next().and_then(|word| word.strip_suffix(b":")) else {
            continue;
        };
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            let Some(value) = scan::number(value) else {
                continue;
            };
            let key: [&[u8]; 3] = [protocol, b"_", name];
            put_key(table, keyed::SOCKSTAT, &key, value as f64);
            put_key(table, keyed::SOCKSTAT_BYTES, &key, value as f64 * page);
        }
    }
}

fn put_key(table: &mut SeriesTable, list: keyed::Keyed, key: &[&[u8]], value: f64) {
    if let Some(family) = keyed::find(list, &key.concat()) {
        put(table, family, value);
    }
}

/// `/sys/class/net`: a directory per interface.
pub(super) fn classes(directory: &Path, buffer: &mut Vec<u8>, table: &mut SeriesTable) {
    let Ok(interfaces) = std::fs::read_dir(directory) else {
        return;
    };
    for interface in interfaces.flatten() {
        let name = interface.file_name();
        let Some(name) = name.to_str() else { continue };
        let labels = [("device", name)];
        let path = interface.path();
        let mut read = |file: &str| {
            scan::read_path(&path.join(file), buffer)
                .ok()
                .map(|()| buffer.clone())
        };
        let Some(state) = read("operstate") else {
            continue;
        };
        let up = if state.trim_ascii() == b"up" {
            1.0
        } else {
            0.0
        };
        put_with(table, &families::NETWORK_UP, &labels, up);
        for (file, family, unit) in [
            ("carrier", &families::NETWORK_CARRIER, 1.0),
            ("carrier_changes", &families::NETWORK_CARRIER_CHANGES, 1.0),
            ("mtu", &families::NETWORK_MTU, 1.0),
            // In Mbit/s.
            ("speed", &families::NETWORK_SPEED, 125_000.0),
        ] {
            if let Some(value) = read(file).and_then(|bytes| scan::float(&bytes)) {
                put_with(table, family, &labels, value * unit);
            }
        }
    }
}
