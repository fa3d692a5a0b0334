//! Metric and label names as Prometheus wants them.

/// What a metric's name ends with besides its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suffix {
    /// Monotonic sums.
    Total,
    /// Gauges of unit `1`.
    Ratio,
    None,
}

/// The name with its unit and suffix: words of letters, digits and colons, joined by underscores.
pub(super) fn metric(name: &str, unit: &str, suffix: Suffix) -> String {
    let mut words: Vec<&str> = words(name).collect();
    let (main, per) = match unit.split_once('/') {
        Some((main, per)) => (main.trim(), per.trim()),
        None => (unit.trim(), ""),
    };
    for word in self::words(main_unit(main)) {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    let mut per = self::words(per_unit(per)).peekable();
    if per.peek().is_some_and(|first| !words.contains(first)) {
        words.push("per");
        words.extend(per);
    }
    let last = match suffix {
        Suffix::Total => Some("total"),
        Suffix::Ratio => Some("ratio"),
        Suffix::None => None,
    };
    if let Some(last) = last {
        words.retain(|&word| word != last);
        words.push(last);
    }
    let joined = words.join("_");
    if joined.starts_with(|first: char| first.is_ascii_digit()) {
        format!("_{joined}")
    } else {
        joined
    }
}

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_ascii_alphanumeric() && c != ':')
        .filter(|word| !word.is_empty())
}

/// A unit of UCUM as a word; annotations in braces are none.
fn main_unit(unit: &str) -> &str {
    match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tebibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "%" => "percent",
        "1" => "",
        _ if unit.contains(['{', '}']) => "",
        other => other,
    }
}

fn per_unit(unit: &str) -> &str {
    match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        _ if unit.contains(['{', '}']) => "",
        other => other,
    }
}

/// A label name: letters, digits and underscores, no digit in front.
pub(super) fn label(key: &str) -> String {
    let mut name = String::with_capacity(key.len());
    if key.starts_with(|first: char| first.is_ascii_digit()) {
        name.push_str("key_");
    }
    name.extend(key.chars().map(|c| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => c,
        _ => '_',
    }));
    name
}

#[cfg(test)]
mod tests {
    use super::{Suffix, label, metric};

    #[test]
    fn a_name_gets_its_unit_and_type_once() {
        for (name, unit, suffix, expected) in [
            (
                "http.server.duration",
                "ms",
                Suffix::None,
                "http_server_duration_milliseconds",
            ),
            (
                "process.cpu.time",
                "s",
                Suffix::Total,
                "process_cpu_time_seconds_total",
            ),
            (
                "requests_total",
                "{request}",
                Suffix::Total,
                "requests_total",
            ),
            ("total.requests", "1", Suffix::Total, "requests_total"),
            ("memory.usage", "By", Suffix::None, "memory_usage_bytes"),
            ("memory_bytes", "By", Suffix::None, "memory_bytes"),
            (
                "cpu.utilization",
                "1",
                Suffix::Ratio,
                "cpu_utilization_ratio",
            ),
            ("speed", "m/s", Suffix::None, "speed_meters_per_second"),
            ("rate", "{packet}/s", Suffix::None, "rate_per_second"),
            ("odd", "foo/bar", Suffix::None, "odd_foo_per_bar"),
            ("2xx..count__x", "", Suffix::None, "_2xx_count_x"),
            ("größe", "", Suffix::None, "gr_e"),
            ("a:b", "%", Suffix::None, "a:b_percent"),
        ] {
            assert_eq!(metric(name, unit, suffix), expected, "{name} {unit}");
        }
    }

    #[test]
    fn a_label_name_is_letters_digits_and_underscores() {
        for (key, expected) in [
            ("http.method", "http_method"),
            ("2nd", "key_2nd"),
            ("größe", "gr__e"),
            ("a__b", "a__b"),
        ] {
            assert_eq!(label(key), expected);
        }
    }
}
