//! Metrics and their points as series.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, SummaryDataPoint,
    exemplar, number_data_point,
};

use super::labels::{LabelSet, informing, text};
use super::names::{self, Suffix};
use super::{Converted, MAX_POINT_MESSAGES, decode, messages_in, native, next_message};
use crate::signal::malformed::{Fault, Malformed};
use crate::signal::schema;
use crate::signal::wire::{Cursor, WireType, put_len, put_message, put_tag, put_varint};

/// Prometheus' stale marker, as bits: no arithmetic keeps it.
pub(super) const STALE: u64 = 0x7ff0_0000_0000_0002;
/// The point says that there is no value any more.
const NO_RECORDED_VALUE: u32 = 1;
const CUMULATIVE: u64 = 2;
/// Characters of an exemplar's labels, names included, at most; OpenMetrics.
const EXEMPLAR_CHARS: usize = 128;

/// The request that is written.
pub(super) struct Out<'o> {
    pub(super) bytes: &'o mut Vec<u8>,
    pub(super) limit: usize,
    pub(super) converted: Converted,
    /// Samples and histograms of the resource at hand, and the latest time among them.
    pub(super) records: u32,
    pub(super) latest_ms: u64,
}

/// A metric as the request has it.
#[derive(Debug, Default)]
struct Metric<'r> {
    name: &'r str,
    help: &'r str,
    unit: &'r str,
}

/// The oneof of a metric, by field number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Data {
    Gauge,
    Sum { monotonic: bool },
    Histogram,
    Exponential,
    Summary,
}

impl Data {
    /// 1.0's metadata type.
    fn metadata_type(self) -> u64 {
        match self {
            Self::Sum { monotonic: true } => 1,
            Self::Gauge | Self::Sum { monotonic: false } => 2,
            Self::Histogram | Self::Exponential => 3,
            Self::Summary => 5,
        }
    }

    fn point(self) -> &'static schema::Message {
        match self {
            Self::Gauge | Self::Sum { .. } => &schema::NUMBER_POINT,
            Self::Histogram => &schema::HISTOGRAM_POINT,
            Self::Exponential => &schema::EXPONENTIAL_HISTOGRAM_POINT,
            Self::Summary => &schema::SUMMARY_POINT,
        }
    }
}

impl Out<'_> {
    /// One `Metric`.
    pub(super) fn metric(
        &mut self,
        raw: &[u8],
        from: usize,
        to: usize,
        labels: &LabelSet,
    ) -> Result<(), Malformed> {
        let mut metric = Metric::default();
        let mut cursor = Cursor::window(raw, from, to);
        while let Some((number, from, to)) = next_message(&mut cursor)? {
            let text = || std::str::from_utf8(raw.get(from..to).unwrap_or_default());
            match number {
                1 => metric.name = text().unwrap_or_default(),
                2 => metric.help = text().unwrap_or_default(),
                3 => metric.unit = text().unwrap_or_default(),
                _ => {}
            }
        }
        let mut cursor = Cursor::window(raw, from, to);
        while let Some((number, from, to)) = next_message(&mut cursor)? {
            if let 5 | 7 | 9 | 10 | 11 = number {
                self.data(raw, from, to, number, &metric, labels)?;
            }
        }
        Ok(())
    }

    /// One of a metric's kinds of data.
    fn data(
        &mut self,
        raw: &[u8],
        from: usize,
        to: usize,
        number: u32,
        metric: &Metric<'_>,
        labels: &LabelSet,
    ) -> Result<(), Malformed> {
        let (mut temporality, mut monotonic) = (0, false);
        let mut cursor = Cursor::window(raw, from, to);
        while !cursor.is_empty() {
            match cursor.tag()? {
                (2, WireType::Varint) => temporality = cursor.varint()?,
                (3, WireType::Varint) => monotonic = cursor.varint()? != 0,
                (_, wire) => cursor.skip(wire)?,
            }
        }
        let (data, has_temporality) = match number {
            5 => (Data::Gauge, false),
            7 => (Data::Sum { monotonic }, true),
            9 => (Data::Histogram, true),
            10 => (Data::Exponential, true),
            _ => (Data::Summary, false),
        };
        let suffix = match data {
            Data::Sum { monotonic: true } => Suffix::Total,
            Data::Gauge if metric.unit.trim() == "1" => Suffix::Ratio,
            _ => Suffix::None,
        };
        let name = names::metric(metric.name, metric.unit, suffix);
        let reason = if has_temporality && temporality != CUMULATIVE {
            Some("delta temporality cannot be written to Prometheus; use cumulative")
        } else if metric.name.is_empty() || name.is_empty() {
            Some("metric has no name")
        } else {
            None
        };
        let before = self.records;
        let mut cursor = Cursor::window(raw, from, to);
        while let Some((number, from, to)) = next_message(&mut cursor)? {
            if number != 1 {
                continue;
            }
            if let Some(reason) = reason {
                self.reject(metric.name, reason);
            } else if messages_in(raw, from, to, data.point())? > MAX_POINT_MESSAGES {
                self.reject(
                    metric.name,
                    "data point has too many attributes or exemplars",
                );
            } else if let Err(reason) = self.point(raw, from, to, data, &name, labels)? {
                self.reject(metric.name, &reason);
            }
            if self.bytes.len() > self.limit {
                return Err(Malformed::new(
                    from,
                    Fault::TooLong {
                        what: "request, as remote write,",
                        limit: self.limit,
                    },
                ));
            }
        }
        if self.records > before {
            self.metadata(&name, metric, data);
        }
        Ok(())
    }

    fn reject(&mut self, metric: &str, reason: &str) {
        if self.converted.rejected == 0 {
            // The name is the sender's: no more of it than is needed.
            let metric: String = metric.chars().take(100).collect();
            self.converted.message = format!("{metric:?}: {reason}");
        }
        self.converted.rejected += 1;
    }

    /// One data point; the inner error says why it is left out.
    fn point(
        &mut self,
        raw: &[u8],
        from: usize,
        to: usize,
        data: Data,
        name: &str,
        labels: &LabelSet,
    ) -> Result<Result<(), String>, Malformed> {
        match data {
            Data::Gauge | Data::Sum { .. } => {
                let point: NumberDataPoint = decode(raw, from, to)?;
                let value = match point.value {
                    _ if point.flags & NO_RECORDED_VALUE != 0 => STALE,
                    Some(number_data_point::Value::AsDouble(value)) => value.to_bits(),
                    Some(number_data_point::Value::AsInt(value)) => (value as f64).to_bits(),
                    None => return Ok(Err("data point has no value".to_owned())),
                };
                let labels = labels.with_attributes(&point.attributes);
                let exemplars: &[Exemplar] = match data {
                    Data::Sum { monotonic: true } => &point.exemplars,
                    _ => &[],
                };
                let exemplars: Vec<&Exemplar> = exemplars.iter().collect();
                let time = point.time_unix_nano / 1_000_000;
                self.sample(&labels, name, None, value, time, &exemplars);
            }
            Data::Histogram => {
                let point: HistogramDataPoint = decode(raw, from, to)?;
                let bounds = &point.explicit_bounds;
                if !bounds.is_sorted_by(|low, high| low < high)
                    || bounds.iter().any(|it| it.is_nan())
                {
                    return Ok(Err("histogram's bounds are not in order".to_owned()));
                }
                self.histogram(&point, name, labels);
            }
            Data::Exponential => {
                let point: ExponentialHistogramDataPoint = decode(raw, from, to)?;
                let stale = point.flags & NO_RECORDED_VALUE != 0;
                let encoded = match native::encode(&point, stale) {
                    Ok(encoded) => encoded,
                    Err(unfit) => return Ok(Err(unfit.to_string())),
                };
                let labels = labels.with_attributes(&point.attributes);
                let exemplars: Vec<&Exemplar> = point.exemplars.iter().collect();
                self.series(&labels, name, None, 4, &encoded, &exemplars);
                self.converted.written.histograms += 1;
                self.seen(point.time_unix_nano / 1_000_000);
            }
            Data::Summary => {
                let point: SummaryDataPoint = decode(raw, from, to)?;
                let stale = point.flags & NO_RECORDED_VALUE != 0;
                let bits = |value: f64| if stale { STALE } else { value.to_bits() };
                let labels = labels.with_attributes(&point.attributes);
                let time = point.time_unix_nano / 1_000_000;
                for (suffix, value) in [("_sum", point.sum), ("_count", point.count as f64)] {
                    let name = format!("{name}{suffix}");
                    self.sample(&labels, &name, None, bits(value), time, &[]);
                }
                for at in &point.quantile_values {
                    let quantile = number(at.quantile);
                    let more = Some(("quantile", quantile.as_str()));
                    self.sample(&labels, name, more, bits(at.value), time, &[]);
                }
            }
        }
        Ok(Ok(()))
    }

    fn histogram(&mut self, point: &HistogramDataPoint, name: &str, labels: &LabelSet) {
        let stale = point.flags & NO_RECORDED_VALUE != 0;
        let bits = |value: f64| if stale { STALE } else { value.to_bits() };
        let labels = labels.with_attributes(&point.attributes);
        let time = point.time_unix_nano / 1_000_000;
        if let Some(sum) = point.sum {
            let name = format!("{name}_sum");
            self.sample(&labels, &name, None, bits(sum), time, &[]);
        }
        let count = bits(point.count as f64);
        self.sample(&labels, &format!("{name}_count"), None, count, time, &[]);
        let name = format!("{name}_bucket");
        // Exemplars go with the first bucket that counts their value.
        let place = |exemplar: &Exemplar| {
            let value = exemplar_value(exemplar);
            point
                .explicit_bounds
                .partition_point(|&bound| bound < value)
        };
        let mut placed: Vec<(usize, &Exemplar)> =
            point.exemplars.iter().map(|it| (place(it), it)).collect();
        placed.sort_by_key(|&(place, _)| place);
        let mut placed = placed.into_iter().peekable();
        let mut exemplars = Vec::new();
        let mut cumulative = 0u64;
        let buckets = point.explicit_bounds.iter().zip(&point.bucket_counts);
        for (index, (&bound, &count)) in buckets.enumerate() {
            cumulative = cumulative.saturating_add(count);
            if bound.is_infinite() {
                continue;
            }
            exemplars.clear();
            while let Some((_, exemplar)) = placed.next_if(|&(place, _)| place <= index) {
                exemplars.push(exemplar);
            }
            let (le, value) = (number(bound), bits(cumulative as f64));
            let more = Some(("le", le.as_str()));
            self.sample(&labels, &name, more, value, time, &exemplars);
        }
        let exemplars: Vec<&Exemplar> = placed.map(|(_, exemplar)| exemplar).collect();
        self.sample(
            &labels,
            &name,
            Some(("le", "+Inf")),
            count,
            time,
            &exemplars,
        );
    }

    /// `target_info` of a resource that says more than what it is.
    pub(super) fn target_info(
        &mut self,
        resource: &LabelSet,
        attributes: &[KeyValue],
    ) -> Result<(), Malformed> {
        let informing = informing(attributes);
        if informing.is_empty() || !resource.is_identified() {
            return Ok(());
        }
        let labels = resource.with_attributes(&informing);
        let time = self.latest_ms;
        self.sample(&labels, "target_info", None, 1f64.to_bits(), time, &[]);
        Ok(())
    }

    fn sample(
        &mut self,
        labels: &LabelSet,
        name: &str,
        more: Option<(&str, &str)>,
        value: u64,
        time_ms: u64,
        exemplars: &[&Exemplar],
    ) {
        let mut sample = Vec::with_capacity(20);
        put_tag(&mut sample, 1, 1);
        sample.extend_from_slice(&value.to_le_bytes());
        put_tag(&mut sample, 2, 0);
        put_varint(&mut sample, time_ms);
        self.series(labels, name, more, 2, &sample, exemplars);
        self.converted.written.samples += 1;
        self.seen(time_ms);
    }

    fn seen(&mut self, time_ms: u64) {
        self.records += 1;
        self.latest_ms = self.latest_ms.max(time_ms);
    }

    /// A series with one point, which goes to field `number`.
    fn series(
        &mut self,
        labels: &LabelSet,
        name: &str,
        more: Option<(&str, &str)>,
        number: u32,
        point: &[u8],
        exemplars: &[&Exemplar],
    ) {
        // The request is refused for it when the point is done.
        if self.bytes.len() > self.limit {
            return;
        }
        message(self.bytes, 1, |out| {
            for (name, value) in labels.of_series(name, more) {
                message(out, 1, |out| put_label(out, name, value));
            }
            put_len(out, number, point);
            for exemplar in exemplars {
                message(out, 3, |out| put_exemplar(out, exemplar));
            }
        });
        self.converted.written.series += 1;
        self.converted.written.exemplars += exemplars.len() as u32;
    }

    fn metadata(&mut self, name: &str, metric: &Metric<'_>, data: Data) {
        message(self.bytes, 3, |out| {
            put_tag(out, 1, 0);
            put_varint(out, data.metadata_type());
            for (number, text) in [(2, name), (4, metric.help), (5, metric.unit)] {
                if !text.is_empty() {
                    put_len(out, number, text.as_bytes());
                }
            }
        });
        self.converted.written.metadata += 1;
    }
}

fn message(out: &mut Vec<u8>, number: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let Ok(()) = put_message(out, number, |out| {
        body(out);
        Ok::<(), std::convert::Infallible>(())
    });
}

fn put_label(out: &mut Vec<u8>, name: &str, value: &str) {
    put_len(out, 1, name.as_bytes());
    put_len(out, 2, value.as_bytes());
}

fn put_exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    let mut chars = 0;
    let mut put = |out: &mut Vec<u8>, name: &str, value: &str| {
        let more = name.chars().count() + value.chars().count();
        if value.is_empty() || chars + more > EXEMPLAR_CHARS {
            return;
        }
        chars += more;
        message(out, 1, |out| put_label(out, name, value));
    };
    for (name, id) in [
        ("trace_id", &exemplar.trace_id),
        ("span_id", &exemplar.span_id),
    ] {
        let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        put(out, name, &hex);
    }
    for pair in &exemplar.filtered_attributes {
        put(out, &names::label(&pair.key), &text(pair));
    }
    put_tag(out, 2, 1);
    out.extend_from_slice(&exemplar_value(exemplar).to_bits().to_le_bytes());
    put_tag(out, 3, 0);
    put_varint(out, exemplar.time_unix_nano / 1_000_000);
}

fn exemplar_value(exemplar: &Exemplar) -> f64 {
    match exemplar.value {
        Some(exemplar::Value::AsDouble(value)) => value,
        Some(exemplar::Value::AsInt(value)) => value as f64,
        None => 0.0,
    }
}

/// A number as a label's value.
fn number(value: f64) -> String {
    if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    }
}
