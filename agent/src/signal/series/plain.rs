//! Samples as plain data, for the few series that are not worth interning: a room hands over what
//! it counted, and gets text or puts it into a table.

use super::text::Text;
use super::{Family, Format, SeriesTable, Suffix};

/// One sample of a family.
#[derive(Debug, Clone, PartialEq)]
pub struct PlainSample {
    /// Which of the family's sample names.
    pub suffix: Suffix,
    /// Names and values; what has no value is left out.
    pub labels: Vec<(&'static str, String)>,
    /// In the family's unit.
    pub value: f64,
}

/// A family with its samples.
#[derive(Debug, Clone)]
pub struct FamilySamples {
    /// Name, help and type.
    pub family: Family,
    /// In the order they are to appear.
    pub samples: Vec<PlainSample>,
}

impl FamilySamples {
    /// A family with one sample and no labels.
    #[must_use]
    pub fn single(family: Family, value: f64) -> Self {
        Self::new(family).with(Vec::new(), value)
    }

    /// A family without samples yet.
    #[must_use]
    pub fn new(family: Family) -> Self {
        Self {
            family,
            samples: Vec::new(),
        }
    }

    /// Adds a sample.
    #[must_use]
    pub fn with(mut self, labels: Vec<(&'static str, String)>, value: f64) -> Self {
        self.samples.push(PlainSample {
            suffix: Suffix::None,
            labels,
            value,
        });
        self
    }

    /// Sets the samples in a table's current pass.
    pub fn put_into(&self, table: &mut SeriesTable) {
        for sample in &self.samples {
            let labels: Vec<(&str, &str)> = sample
                .labels
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            table.put(&self.family, sample.suffix, &labels, sample.value);
        }
    }
}

/// The families in an exposition format, in the order given; samples of one family must stand in
/// one entry. Labels without a value are left out.
#[must_use]
pub fn render(families: &[FamilySamples], format: Format) -> String {
    let mut text = Text::new(
        format,
        families.iter().map(|family| family.samples.len()).sum(),
    );
    for family in families {
        for sample in &family.samples {
            text.family(&family.family);
            let mut line = text.sample();
            line.name(family.family.name);
            line.name(sample.suffix.as_str());
            for (name, value) in &sample.labels {
                if !value.is_empty() {
                    line.label(name, value);
                }
            }
            line.value(sample.value);
        }
    }
    text.finish()
}
