//! The live table: what each guid uses now.

use std::collections::BTreeMap;

use super::entry::Entry;
use crate::collect::rows::Row;

pub(super) fn table<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<Row> {
    let mut rows: BTreeMap<(bool, String), Row> = BTreeMap::new();
    for entry in entries.filter(|entry| entry.ended_ms.is_none() && entry.usage.now.at_ms != 0) {
        let guid = entry.known.as_ref().and_then(|known| known.guid.clone());
        let name = entry
            .known
            .as_ref()
            .map_or(entry.id.as_str(), |known| known.name.as_str());
        let key = match &guid {
            Some(guid) => (false, guid.to_string()),
            None => (true, entry.id.clone()),
        };
        let row = rows.entry(key).or_insert_with(|| Row {
            guid,
            name: name.to_owned(),
            ..Row::default()
        });
        row.containers += 1;
        if let Some(bytes) = entry.usage.memory_bytes {
            row.memory_bytes = Some(row.memory_bytes.unwrap_or(0) + bytes);
        }
        if let Some(before) = &entry.usage.before {
            row.add_rates(before, &entry.usage.now);
        }
    }
    rows.into_values().collect()
}
