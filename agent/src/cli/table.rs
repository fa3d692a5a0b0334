//! Tables of text, and numbers as people read them.

use super::output::plain;

/// Which way a column leans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Left(&'static str),
    Right(&'static str),
}

impl Column {
    fn title(self) -> &'static str {
        match self {
            Self::Left(title) | Self::Right(title) => title,
        }
    }
}

/// A table whose columns are as wide as they must be.
pub(super) fn render(columns: &[Column], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| plain(cell)).collect())
        .collect();
    let width = |index: usize, column: &Column| {
        let cells = rows.iter().filter_map(|row| row.get(index));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        widest.max(column.title().chars().count())
    };
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| width(index, column))
        .collect();
    let titles: Vec<String> = columns.iter().map(|one| one.title().to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&titles).chain(&rows) {
        let mut line = String::new();
        for ((cell, column), &width) in row.iter().zip(columns).zip(&widths) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            match column {
                Column::Left(_) => line.push_str(&format!("{cell:<width$}")),
                Column::Right(_) => line.push_str(&format!("{cell:>width$}")),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// What stands for a value that nobody knows.
pub(super) const NOTHING: &str = "-";

/// Bytes in the largest unit that leaves a whole part.
pub(super) fn bytes(bytes: f64) -> String {
    let mut value = bytes;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB"].iter();
    let mut unit = units.next().unwrap_or(&"");
    for larger in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if *unit == "B" || value >= 100.0 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// A duration in its two largest units.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    if days > 0 {
        format!("{days}d {hours}h")
    } else if hours > 0 {
        format!("{hours}h {minutes}m")
    } else if minutes > 0 {
        format!("{minutes}m {}s", whole % 60)
    } else {
        let text = format!("{seconds:.1}");
        format!("{}s", text.strip_suffix(".0").unwrap_or(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::{Column, bytes, duration, render};

    #[test]
    fn columns_are_as_wide_as_they_must_be_and_lean_their_way() {
        let columns = [Column::Left("name"), Column::Right("n")];
        let rows = [
            vec!["a".into(), "1000".into()],
            vec!["longer\u{1b}[2J".into(), "1".into()],
        ];
        assert_eq!(
            render(&columns, &rows),
            "name                n\n\
             a                1000\n\
             longer\\u{1b}[2J     1\n"
        );
    }

    #[test]
    fn sizes_and_durations_are_short() {
        for (value, text) in [
            (0.0, "0 B"),
            (1023.0, "1023 B"),
            (1536.0, "1.5 KiB"),
            (200.0 * 1024.0 * 1024.0, "200 MiB"),
            (5e15, "4547 TiB"),
        ] {
            assert_eq!(bytes(value), text);
        }
        for (value, text) in [
            (0.25, "0.2s"),
            (59.96, "60s"),
            (61.0, "1m 1s"),
            (3_660.0, "1h 1m"),
            (90_000.0, "1d 1h"),
        ] {
            assert_eq!(duration(value), text);
        }
    }
}
