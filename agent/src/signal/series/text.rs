//! Prometheus text exposition (0.0.4) and OpenMetrics 1.0.

use std::fmt::Write;

use super::{Family, MetricType};

/// An exposition format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `text/plain; version=0.0.4`.
    #[default]
    Prometheus,
    /// `application/openmetrics-text; version=1.0.0`.
    OpenMetrics,
}

impl Format {
    /// The format that an `Accept` header prefers. OpenMetrics only where it is named, in a version
    /// that is spoken here, and not less wanted than plain text.
    #[must_use]
    pub fn from_accept(accept: Option<&str>) -> Self {
        let mut open_metrics = 0.0;
        let mut plain = 0.0;
        for range in accept.unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let mut quality = 1.0f32;
            let mut spoken = true;
            for parameter in parts {
                match parameter.split_once('=') {
                    Some(("q", value)) => quality = value.trim().parse().unwrap_or(0.0),
                    Some(("version", value)) => {
                        spoken = matches!(value.trim(), "1.0.0" | "0.0.1" | "0.0.4");
                    }
                    _ => {}
                }
            }
            match media.as_str() {
                "application/openmetrics-text" if spoken => {
                    open_metrics = quality.max(open_metrics)
                }
                "text/plain" => plain = quality.max(plain),
                _ => {}
            }
        }
        if open_metrics > 0.0 && open_metrics >= plain {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// The `Content-Type` of the answer.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A document in the making: samples must come grouped by family.
pub(super) struct Text {
    format: Format,
    out: String,
    family: &'static str,
}

/// One sample line in the making.
pub(super) struct SampleLine<'a> {
    out: &'a mut String,
    /// Where labels go that are given before the name is known.
    labels: usize,
}

impl Text {
    pub(super) fn new(format: Format, samples: usize) -> Self {
        Self {
            format,
            out: String::with_capacity(samples * 200),
            family: "",
        }
    }

    /// The family of the samples that follow; its head is written once.
    pub(super) fn family(&mut self, family: &Family) {
        if self.family == family.name {
            return;
        }
        self.family = family.name;
        let (name, kind) = match (self.format, family.kind) {
            (Format::Prometheus, MetricType::Untyped) => (family.name, "untyped"),
            (Format::OpenMetrics, MetricType::Untyped) => (family.name, "unknown"),
            (_, MetricType::Gauge) => (family.name, "gauge"),
            (_, MetricType::Histogram) => (family.name, "histogram"),
            (Format::Prometheus, MetricType::Counter) => (family.name, "counter"),
            // A counter's family is named without the suffix of its samples.
            (Format::OpenMetrics, MetricType::Counter) => {
                match family.name.strip_suffix("_total") {
                    Some(name) => (name, "counter"),
                    None => (family.name, "unknown"),
                }
            }
        };
        let _ = write!(self.out, "# HELP {name} ");
        escape(
            &mut self.out,
            family.help,
            self.format == Format::OpenMetrics,
        );
        let _ = write!(self.out, "\n# TYPE {name} {kind}\n");
    }

    pub(super) fn sample(&mut self) -> SampleLine<'_> {
        let labels = self.out.len();
        SampleLine {
            out: &mut self.out,
            labels,
        }
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
}

impl SampleLine<'_> {
    /// Appends to the sample's name.
    pub(super) fn name(&mut self, part: &str) {
        self.out.insert_str(self.labels, part);
        self.labels += part.len();
    }

    /// The next label, in order; `__name__` may stand anywhere among them.
    pub(super) fn label(&mut self, name: &str, value: &str) {
        if name == "__name__" {
            self.name(value);
            return;
        }
        let first = self.out.len() == self.labels;
        self.out.push(if first { '{' } else { ',' });
        self.out.push_str(name);
        self.out.push_str("=\"");
        escape(self.out, value, true);
        self.out.push('"');
    }

    pub(super) fn value(self, value: f64) {
        if self.out.len() > self.labels {
            self.out.push('}');
        }
        self.out.push(' ');
        put_float(self.out, value);
        self.out.push('\n');
    }
}

/// A float as both formats spell it.
pub(super) fn put_float(out: &mut String, value: f64) {
    let _ = if value.is_nan() {
        write!(out, "NaN")
    } else if value.is_infinite() {
        write!(out, "{}Inf", if value > 0.0 { '+' } else { '-' })
    } else {
        write!(out, "{value}")
    };
}

fn escape(out: &mut String, text: &str, quotes: bool) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}
