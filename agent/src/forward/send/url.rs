//! Reading a destination's URL: protocol, address, path and credentials.

use base64::Engine;
use http::{HeaderValue, Uri};

use crate::forward::destination::{DestinationId, Route};

/// Why a URL is not a destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// Not a URL with a host.
    #[error("not a URL with a host")]
    NoHost,
    /// The scheme does not fit the signal.
    #[error("scheme {0:?} is not one of {1}")]
    Scheme(String, &'static str),
    /// Credentials that cannot be sent.
    #[error("the credentials cannot be sent in a header")]
    Credentials,
    /// TLS cannot be set up.
    #[error("no TLS: {0}")]
    Tls(String),
}

/// What is spoken to a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    RemoteWrite,
    OtlpHttp,
    OtlpGrpc,
}

/// A URL, taken apart.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) protocol: Protocol,
    pub(crate) tls: bool,
    pub(crate) uri: Uri,
    /// For the credentials in the URL.
    pub(crate) authorization: Option<HeaderValue>,
}

impl Target {
    pub(crate) fn of(id: &DestinationId) -> Result<Self, InvalidUrl> {
        let url: Uri = id
            .url()
            .and_then(|url| url.parse().ok())
            .ok_or(InvalidUrl::NoHost)?;
        let scheme = url.scheme_str().unwrap_or_default();
        let metrics = id.route() == Route::Metrics;
        let (protocol, tls) = match scheme {
            "http" | "https" if metrics => (Protocol::RemoteWrite, scheme == "https"),
            "http" | "https" => (Protocol::OtlpHttp, scheme == "https"),
            "grpc" | "grpcs" if !metrics => (Protocol::OtlpGrpc, scheme == "grpcs"),
            other => {
                let fitting = if metrics {
                    "http, https"
                } else {
                    "http, https, grpc, grpcs"
                };
                return Err(InvalidUrl::Scheme(other.to_owned(), fitting));
            }
        };
        let (uri, authorization) = split_credentials(&url, protocol, id.route(), tls)?;
        Ok(Self {
            protocol,
            tls,
            uri,
            authorization,
        })
    }
}

/// The URI to ask for and the header for the credentials in the URL.
fn split_credentials(
    url: &Uri,
    protocol: Protocol,
    route: Route,
    tls: bool,
) -> Result<(Uri, Option<HeaderValue>), InvalidUrl> {
    let authority = url.authority().ok_or(InvalidUrl::NoHost)?;
    let (credentials, host) = match authority.as_str().rsplit_once('@') {
        Some((credentials, host)) => (Some(credentials), host),
        None => (None, authority.as_str()),
    };
    let authorization = match credentials {
        None => None,
        Some(credentials) => {
            let code = base64::engine::general_purpose::STANDARD.encode(unescape(credentials));
            let mut value = HeaderValue::try_from(format!("Basic {code}"))
                .map_err(|_| InvalidUrl::Credentials)?;
            value.set_sensitive(true);
            Some(value)
        }
    };
    let path = match (
        protocol,
        url.path_and_query().map_or("/", |path| path.as_str()),
    ) {
        (Protocol::OtlpGrpc, _) => match route {
            Route::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Route::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Route::Metrics | Route::OtlpMetrics => {
                "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
            }
        },
        (Protocol::OtlpHttp, "/") => match route {
            Route::Logs => "/v1/logs",
            Route::Traces => "/v1/traces",
            Route::Metrics | Route::OtlpMetrics => "/v1/metrics",
        },
        (_, path) => path,
    };
    let uri = Uri::builder()
        .scheme(if tls { "https" } else { "http" })
        .authority(host)
        .path_and_query(path)
        .build()
        .map_err(|_| InvalidUrl::NoHost)?;
    Ok((uri, authorization))
}

/// Undoes percent escapes.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let Some((&byte, rest)) = bytes.split_first() {
        let escaped = (byte == b'%')
            .then(|| rest.get(..2))
            .flatten()
            .and_then(|code| std::str::from_utf8(code).ok())
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        match escaped {
            Some(escaped) => {
                out.push(escaped);
                bytes = &rest[2..];
            }
            None => {
                out.push(byte);
                bytes = rest;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{InvalidUrl, Protocol, Target};
    use crate::forward::destination::{DestinationId, Route};

    #[test]
    fn a_url_says_protocol_address_and_path() {
        use Protocol::{OtlpGrpc, OtlpHttp, RemoteWrite};
        let logs = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
        for (route, url, protocol, uri) in [
            (
                Route::Metrics,
                "http://h:1/w?x=1",
                RemoteWrite,
                "http://h:1/w?x=1".to_owned(),
            ),
            (
                Route::Metrics,
                "https://u:p@h/w",
                RemoteWrite,
                "https://h/w".to_owned(),
            ),
            (
                Route::Logs,
                "http://h:4318",
                OtlpHttp,
                "http://h:4318/v1/logs".to_owned(),
            ),
            (
                Route::Traces,
                "http://h/",
                OtlpHttp,
                "http://h/v1/traces".to_owned(),
            ),
            (
                Route::OtlpMetrics,
                "http://h/a",
                OtlpHttp,
                "http://h/a".to_owned(),
            ),
            (
                Route::Logs,
                "grpc://h:4317",
                OtlpGrpc,
                format!("http://h:4317{logs}"),
            ),
            (
                Route::Logs,
                "grpcs://h",
                OtlpGrpc,
                format!("https://h{logs}"),
            ),
        ] {
            let target = Target::of(&DestinationId::remote(route, url)).unwrap();
            assert_eq!(
                (target.protocol, target.uri.to_string()),
                (protocol, uri),
                "{url}"
            );
        }
    }

    #[test]
    fn credentials_become_a_sensitive_header() {
        let id = DestinationId::remote(Route::Metrics, "http://me:p%40ss@h/w");
        let header = Target::of(&id).unwrap().authorization.unwrap();
        // printf 'me:p@ss' | base64
        assert_eq!(header.to_str().unwrap(), "Basic bWU6cEBzcw==");
        assert!(header.is_sensitive());
    }

    #[test]
    fn what_cannot_be_a_destination_is_refused() {
        for (route, url) in [(Route::Metrics, "grpc://h"), (Route::Logs, "kafka://h")] {
            let error = Target::of(&DestinationId::remote(route, url)).unwrap_err();
            assert!(matches!(error, InvalidUrl::Scheme(..)), "{url}");
        }
        for url in ["", "/path", "http://", "ht tp://h"] {
            let error = Target::of(&DestinationId::remote(Route::Metrics, url)).unwrap_err();
            assert!(
                matches!(error, InvalidUrl::NoHost | InvalidUrl::Scheme(..)),
                "{url}"
            );
        }
    }
}
