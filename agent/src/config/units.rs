//! Durations and sizes as people write them.

use std::time::Duration;

/// `10s`, `500ms`, `1m30s`, `2h`, `1d`: whole numbers with a unit, largest unit first or not.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let unit_end = after
            .find(|letter: char| !letter.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let milliseconds = match &after[..unit_end] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let part = Duration::from_millis(number.checked_mul(milliseconds)?);
        total = total.checked_add(part)?;
        rest = &after[unit_end..];
    }
    Some(total)
}

/// `2GiB`, `512 MiB`, `1.5GB` is not one: a whole number and a unit (powers of 1024 with `i`,
/// powers of 1000 without).
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text.trim())?;
    let factor: u64 = match unit.trim_start() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// A size as [`bytes`] reads it back, in the largest unit that divides it.
pub(crate) fn show_bytes(bytes: u64) -> String {
    for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes != 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|digit: char| !digit.is_ascii_digit())
        .unwrap_or(text.len());
    let number = text[..end].parse().ok()?;
    Some((number, &text[end..]))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{bytes, duration, show_bytes};

    #[test]
    fn durations_are_whole_numbers_with_units() {
        for (text, milliseconds) in [
            ("10s", 10_000),
            ("500ms", 500),
            ("1m30s", 90_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("0s", 0),
        ] {
            assert_eq!(
                duration(text),
                Some(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for bad in [
            "",
            "10",
            "s",
            "1.5s",
            "10 s",
            "-1s",
            "10sec",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_whole_numbers_with_units() {
        for (text, expected) in [
            ("2GiB", 2 << 30),
            ("512 MiB", 512 << 20),
            ("1kB", 1_000),
            ("1TB", 1_000_000_000_000),
            ("7B", 7),
        ] {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for bad in ["", "2", "GiB", "1.5GiB", "-1B", "2gib", "17000000000TiB"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_shown_size_reads_back() {
        for size in [0, 1, 1023, 1024, 5 << 20, 2 << 30, u64::from(u32::MAX)] {
            assert_eq!(bytes(&show_bytes(size)), Some(size));
        }
    }
}
