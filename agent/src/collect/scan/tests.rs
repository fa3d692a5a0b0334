#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Write;

use super::*;

#[test]
fn numbers_are_decimal_and_fit() {
    for (text, expected) in [
        ("0", Some(0)),
        (" 42\n", Some(42)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("", None),
        ("-1", None),
        ("1x", None),
        ("max", None),
    ] {
        assert_eq!(number(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn a_file_longer_than_the_buffer_is_read_whole() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("long");
    let content: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
    std::fs::File::create(&path)
        .unwrap()
        .write_all(&content)
        .unwrap();
    let mut buffer = Vec::new();
    for shape in [Shape::Whole, Shape::Records] {
        read_file(&File::open(&path).unwrap(), shape, &mut buffer).unwrap();
        assert!(buffer == content, "{shape:?}");
    }
}

#[test]
fn a_kept_file_gives_up_on_what_does_not_come_and_reopens_what_was_there() {
    let directory = tempfile::TempDir::new().unwrap();
    let budget = Budget::new(10);
    let mut buffer = Vec::new();
    let mut kept = Kept::new(&budget);
    assert!(!kept.read(directory.path(), "late", Shape::Whole, &mut buffer));
    std::fs::write(directory.path().join("late"), "1").unwrap();
    assert!(kept.read(directory.path(), "late", Shape::Whole, &mut buffer));
    assert_eq!(buffer, b"1");
    let mut never = Kept::new(&budget);
    for _ in 0..TRIES {
        assert!(!never.read(directory.path(), "never", Shape::Whole, &mut buffer));
    }
    std::fs::write(directory.path().join("never"), "1").unwrap();
    assert!(!never.read(directory.path(), "never", Shape::Whole, &mut buffer));
}
