#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::book::{Book, MAX_GUIDS};
use super::{Entry, Holdings, Ledger, Reason};
use crate::forward::destination::{DestinationId, Route};
use crate::signal::GuidCounts;

fn counts(pairs: &[(&str, u32)]) -> GuidCounts {
    pairs
        .iter()
        .map(|(guid, records)| (guid.parse().unwrap(), *records))
        .collect()
}

fn shown(book: &Book) -> BTreeMap<(String, Entry), u64> {
    let mut rows = BTreeMap::new();
    book.visit(&mut |guid, entry, records| {
        *rows.entry((guid.to_owned(), entry)).or_default() += records;
    });
    rows
}

#[test]
fn rows_are_summed_over_destinations_and_carry_the_labels_of_the_contract() {
    let ledger = Ledger::default();
    for url in ["http://a/", "http://b/"] {
        let book = ledger.book(&DestinationId::remote(Route::Metrics, url));
        book.add(Entry::Received, &counts(&[("x", 5), ("y", 2)]));
        book.add(Entry::Sent, &counts(&[("x", 4)]));
        book.add(Entry::Dropped(Reason::Refused400), &counts(&[("x", 1)]));
        book.held_by(|| Holdings {
            spooled: 1,
            bytes: 10,
            in_flight: 1,
        });
    }
    let rows: Vec<_> = ledger
        .records()
        .into_iter()
        .map(|row| (row.signal, row.stage, row.reason, row.guid, row.records))
        .collect();
    let x = || "x".to_owned();
    assert_eq!(
        rows,
        [
            ("metrics", "received", "", x(), 10),
            ("metrics", "received", "", "y".to_owned(), 4),
            ("metrics", "sent", "", x(), 8),
            ("metrics", "dropped", "refused_400", x(), 2),
        ]
    );
    assert!(ledger.audit().iter().all(super::Audit::closes));
    assert_eq!(ledger.spools()[0].records, 1);
}

#[test]
fn an_audit_finds_a_difference() {
    let ledger = Ledger::default();
    let book = ledger.book(&DestinationId::local(Route::Logs));
    book.add(Entry::Collected, &counts(&[("x", 5)]));
    assert!(!ledger.audit()[0].closes());
    assert_eq!(
        ledger.audit()[0].to_string(),
        "logs local: received 0 + collected 5 != sent 0 + spooled 0 + in flight 0 + dropped 0"
    );
}

#[test]
fn every_entry_has_a_place_of_its_own() {
    let places: Vec<usize> = Entry::all().map(Entry::index).collect();
    assert_eq!(places, (0..Entry::COUNT).collect::<Vec<_>>());
}

#[test]
fn more_guids_than_fit_are_booked_without_name_and_none_is_lost() {
    let book = Book::default();
    let guids = MAX_GUIDS + 500;
    for number in 0..guids {
        book.add(Entry::Received, &counts(&[(&format!("g{number}"), 2)]));
    }
    let rows = shown(&book);
    assert_eq!(rows.values().sum::<u64>(), 2 * guids as u64);
    assert_eq!(rows[&(String::new(), Entry::Received)], 1000);
    assert_eq!(rows.len(), MAX_GUIDS + 1);
}

#[test]
fn idle_guids_go_to_the_empty_one_and_may_come_back() {
    let book = Book::with_idle(Duration::from_secs(1));
    book.add(Entry::Sent, &counts(&[("old", 3)]));
    std::thread::sleep(Duration::from_millis(1100));
    book.add(Entry::Sent, &counts(&[("new", 1)]));
    let expected = [("", 3), ("new", 1)];
    for _ in 0..2 {
        let rows = shown(&book);
        let rows: Vec<_> = rows
            .iter()
            .map(|((guid, _), records)| (guid.as_str(), *records))
            .collect();
        assert_eq!(rows, expected);
    }
    book.add(Entry::Sent, &counts(&[("old", 4)]));
    assert_eq!(shown(&book)[&("old".to_owned(), Entry::Sent)], 4);
    assert_eq!(shown(&book).values().sum::<u64>(), 8);
}

#[test]
fn adding_from_many_threads_while_guids_come_and_go_loses_nothing() {
    let book = Arc::new(Book::with_idle(Duration::ZERO));
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let book = Arc::clone(&book);
            std::thread::spawn(move || {
                for round in 0..5_000 {
                    let guid = format!("g{}", (round * 7 + thread) % 50);
                    book.add(Entry::Received, &counts(&[(&guid, 1), ("all", 1)]));
                }
            })
        })
        .collect();
    // With no patience at all every look retires every guid.
    while threads.iter().any(|thread| !thread.is_finished()) {
        shown(&book);
    }
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(shown(&book).values().sum::<u64>(), 4 * 5_000 * 2);
}
