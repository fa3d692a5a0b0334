//! Content negotiation (RFC 9110, 12.5).

use axum::http::{HeaderMap, HeaderName, header};

/// The offer that the `Accept` header likes best, as an index; the earlier wins a draw. Without
/// the header: the first. `None`: it likes none of them.
pub(super) fn media_type(headers: &HeaderMap, offers: &[&str]) -> Option<usize> {
    let ranges = ranges(headers, &header::ACCEPT);
    if ranges.is_empty() {
        return Some(0);
    }
    let quality = |offer: &str| {
        let (kind, _) = offer.split_once('/').unwrap_or((offer, ""));
        // The more exact range counts, whatever its quality.
        let specificity = |range: &str| match range {
            range if range.eq_ignore_ascii_case(offer) => Some(2),
            "*/*" => Some(0),
            range => {
                let any = range.strip_suffix("/*")?;
                any.eq_ignore_ascii_case(kind).then_some(1)
            }
        };
        ranges
            .iter()
            .filter_map(|(range, quality)| Some((specificity(range)?, *quality)))
            .max()
            .map_or(0, |(_, quality)| quality)
    };
    let mut best = None;
    for (index, offer) in offers.iter().enumerate() {
        let quality = quality(offer);
        if quality > best.map_or(0, |(_, quality)| quality) {
            best = Some((index, quality));
        }
    }
    best.map(|(index, _)| index)
}

/// Whether the caller takes gzip.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    ranges(headers, &header::ACCEPT_ENCODING)
        .iter()
        .any(|(coding, quality)| coding.eq_ignore_ascii_case("gzip") && *quality > 0)
}

/// The ranges of a header with their qualities in thousandths; other parameters are dropped.
fn ranges<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Vec<(&'h str, u16)> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().filter(|name| !name.is_empty())?;
            let quality = parts
                .filter_map(|parameter| parameter.split_once('='))
                .find(|(key, _)| key.trim().eq_ignore_ascii_case("q"))
                .and_then(|(_, value)| value.trim().parse::<f32>().ok())
                .filter(|quality| (0.0..=1.0).contains(quality))
                .map_or(1000, |quality| (quality * 1000.0) as u16);
            Some((name, quality))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use axum::http::{HeaderMap, header};

    use super::{media_type, takes_gzip};

    const JSON: &str = "application/json";
    const PROTOBUF: &str = "application/x-protobuf";

    #[test]
    fn the_best_liked_offer_wins_and_the_first_wins_a_draw() {
        for (accept, expected) in [
            ("*/*", Some(0)),
            ("application/x-protobuf", Some(1)),
            ("application/x-protobuf, */*;q=0.1", Some(1)),
            (
                "application/json;q=0.2, application/x-protobuf;q=0.9",
                Some(1),
            ),
            ("application/*", Some(0)),
            ("application/json;q=0, */*", Some(1)),
            ("Application/JSON; charset=utf-8", Some(0)),
            ("text/html", None),
            ("application/json;q=0", None),
            ("", Some(0)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(
                media_type(&headers, &[JSON, PROTOBUF]),
                expected,
                "{accept}"
            );
        }
        assert_eq!(media_type(&HeaderMap::new(), &[JSON]), Some(0));
    }

    #[test]
    fn gzip_is_taken_only_where_it_is_named_and_not_refused() {
        for (accept, expected) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("br", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, accept.parse().unwrap());
            assert_eq!(takes_gzip(&headers), expected, "{accept}");
        }
    }
}
