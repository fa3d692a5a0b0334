//! Medians and plain tables.

use std::fmt;

/// Measurements of one thing.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    values: Vec<f64>,
}

impl Summary {
    /// Adds a measurement.
    pub fn add(&mut self, value: f64) {
        self.values.push(value);
        self.values.sort_by(f64::total_cmp);
    }

    /// The middle one.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    fn quantile(&self, part: f64) -> f64 {
        let last = self.values.len().saturating_sub(1);
        let index = (last as f64 * part).round() as usize;
        self.values.get(index).copied().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Summary {
    /// Median and quartiles; with `+` the sign is always shown.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = (self.quantile(0.25), self.quantile(0.75));
        if formatter.sign_plus() {
            write!(formatter, "{:+.0} [{low:+.0}..{high:+.0}]", self.median())
        } else {
            write!(formatter, "{:.1} [{low:.1}..{high:.1}]", self.median())
        }
    }
}

/// A table of text, columns as wide as they need.
#[derive(Debug)]
pub struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// With these headings.
    #[must_use]
    pub fn new(headings: [&str; N]) -> Self {
        Self {
            rows: vec![headings.map(str::to_owned)],
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &self.rows {
            let cells: Vec<String> = row
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            writeln!(formatter, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_its_median_and_quartiles() {
        let mut summary = Summary::default();
        for value in [5.0, 1.0, 4.0, 2.0, 3.0] {
            summary.add(value);
        }
        assert_eq!(summary.to_string(), "3.0 [2.0..4.0]");
        assert_eq!(format!("{summary:+}"), "+3 [+2..+4]");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["a", "b"]);
        table.row(["long".to_owned(), "x".to_owned()]);
        assert_eq!(table.to_string(), "a     b\nlong  x\n");
    }
}
