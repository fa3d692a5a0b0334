//! One attempt at one request: the client, the headers, the body, the answer.
//!
//! Remote write 1.0, OTLP/HTTP and OTLP/gRPC over one pooled hyper client per destination, HTTP/1.1
//! or HTTP/2, TLS by rustls with the system's roots. No proxies, no redirects.

use std::io::Write;
use std::time::{Duration, SystemTime};

use base64::Engine;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Uri};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::answer::{self, PartialSuccess};
use super::body::{Pieces, PiecesBody, Unmergeable, merge_snappy};
use super::verdict::{self, Verdict};
use crate::forward::destination::{DestinationId, Route};
use crate::forward::options::Tuning;

/// Idle connections are closed after this long: shorter than what receivers usually wait.
const IDLE: Duration = Duration::from_secs(50);
const USER_AGENT: &str = concat!("guidon/", env!("CARGO_PKG_VERSION"));

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    RemoteWrite,
    OtlpHttp,
    OtlpGrpc,
}

/// What an attempt came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// The receiver said when to come back.
    pub(crate) come_back: Option<Duration>,
    /// For the log: status and the receiver's words, or what went wrong.
    pub(crate) words: String,
    /// There was no answer, so the receiver may have taken the request.
    pub(crate) in_doubt: bool,
    /// What an OTLP receiver rejected of a request it took.
    pub(crate) partial: PartialSuccess,
}

/// The way to one receiver.
#[derive(Debug)]
pub(crate) struct Transport {
    client: Client<HttpsConnector<HttpConnector>, PiecesBody>,
    protocol: Protocol,
    uri: Uri,
    headers: HeaderMap,
    gzip: bool,
    timeout: Duration,
}

impl Transport {
    pub(crate) fn new(id: &DestinationId, tuning: &Tuning) -> Result<Self, InvalidUrl> {
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
        let gzip = tuning.otlp_gzip && protocol != Protocol::RemoteWrite;
        Ok(Self {
            client: client(protocol, tls, tuning)?,
            protocol,
            uri,
            headers: headers(protocol, gzip, authorization),
            gzip,
            timeout: tuning.request_timeout,
        })
    }

    /// The body of a request with these payloads.
    pub(crate) async fn body(&self, payloads: Vec<Bytes>) -> Result<Pieces, Unmergeable> {
        if self.protocol == Protocol::RemoteWrite {
            return merge_snappy(payloads.iter());
        }
        let mut pieces = payloads;
        if self.gzip {
            // Long work has no place on the runtime's threads.
            let merged = tokio::task::spawn_blocking(move || gzip(&pieces)).await;
            pieces = vec![merged.unwrap_or_default()];
        }
        if self.protocol == Protocol::OtlpGrpc {
            let len: usize = pieces.iter().map(Bytes::len).sum();
            let mut prefix = vec![u8::from(self.gzip)];
            prefix.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
            pieces.insert(0, Bytes::from(prefix));
        }
        Ok(pieces.into())
    }

    /// Sends a request and reads the answer.
    pub(crate) async fn attempt(&self, body: Pieces) -> Outcome {
        match tokio::time::timeout(self.timeout, self.exchange(body)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(words)) => no_answer(words),
            Err(_) => no_answer(format!("no answer within {:?}", self.timeout)),
        }
    }

    async fn exchange(&self, body: Pieces) -> Result<Outcome, String> {
        let mut request = Request::new(PiecesBody::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| chain(&error))?;
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        // A receiver that took the data but breaks off in its words has still taken it.
        let read = answer::read_start(body).await;
        if self.protocol == Protocol::OtlpGrpc {
            return Ok(match read {
                Ok((words, trailers)) => grpc_outcome(status, &head.headers, &words, trailers),
                Err(error) => no_answer(chain(&error)),
            });
        }
        let verdict = match self.protocol {
            Protocol::RemoteWrite => verdict::remote_write(status),
            Protocol::OtlpHttp | Protocol::OtlpGrpc => verdict::otlp_http(status),
        };
        let (words, complete) = match read {
            Ok((words, _)) => (words, true),
            Err(_) => (Bytes::new(), false),
        };
        let mut partial = PartialSuccess::default();
        if verdict == Verdict::Delivered && self.protocol == Protocol::OtlpHttp && complete {
            partial = answer::partial_success(&words);
        }
        Ok(Outcome {
            verdict,
            come_back: come_back(&head.headers),
            words: words_of(status, &head.headers, &words),
            in_doubt: false,
            partial,
        })
    }
}

fn client(
    protocol: Protocol,
    tls: bool,
    tuning: &Tuning,
) -> Result<Client<HttpsConnector<HttpConnector>, PiecesBody>, InvalidUrl> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(tuning.connect_timeout));
    connector.set_keepalive(Some(Duration::from_secs(30)));
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let failed = |error: &dyn std::fmt::Display| InvalidUrl::Tls(error.to_string());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?;
    let config = if tls {
        config.with_native_roots().map_err(|error| failed(&error))?
    } else {
        config.with_root_certificates(rustls::RootCertStore::empty())
    };
    let builder = HttpsConnectorBuilder::new().with_tls_config(config.with_no_client_auth());
    let builder = if tls {
        builder.https_only()
    } else {
        builder.https_or_http()
    };
    let grpc = protocol == Protocol::OtlpGrpc;
    let connector = if grpc {
        builder.enable_http2().wrap_connector(connector)
    } else {
        builder.enable_all_versions().wrap_connector(connector)
    };
    Ok(Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(2)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .http2_only(grpc)
        .build(connector))
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
fn unescape(text: &str) -> Vec<u8> {
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

fn headers(protocol: Protocol, gzip: bool, authorization: Option<HeaderValue>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(header::USER_AGENT, USER_AGENT);
    match protocol {
        Protocol::RemoteWrite => {
            set(header::CONTENT_TYPE, "application/x-protobuf");
            set(header::CONTENT_ENCODING, "snappy");
            let version = HeaderName::from_static("x-prometheus-remote-write-version");
            set(version, "0.1.0");
        }
        Protocol::OtlpHttp => {
            set(header::CONTENT_TYPE, "application/x-protobuf");
            if gzip {
                set(header::CONTENT_ENCODING, "gzip");
            }
        }
        Protocol::OtlpGrpc => {
            set(header::CONTENT_TYPE, "application/grpc");
            set(header::TE, "trailers");
            if gzip {
                set(HeaderName::from_static("grpc-encoding"), "gzip");
            }
        }
    }
    if let Some(authorization) = authorization {
        headers.insert(header::AUTHORIZATION, authorization);
    }
    headers
}

fn gzip(pieces: &[Bytes]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for piece in pieces {
        // Writing to memory does not fail.
        let _ = encoder.write_all(piece);
    }
    encoder.finish().unwrap_or_default().into()
}

fn no_answer(words: String) -> Outcome {
    Outcome {
        verdict: Verdict::Again,
        come_back: None,
        words,
        in_doubt: true,
        partial: PartialSuccess::default(),
    }
}

fn come_back(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    verdict::retry_after(value, SystemTime::now())
}

fn words_of(status: u16, headers: &HeaderMap, body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    match headers
        .get(header::LOCATION)
        .and_then(|to| to.to_str().ok())
    {
        Some(to) => format!("{status}, redirects to {to}"),
        None => format!("{status} {}", body.trim()).trim_end().to_owned(),
    }
}

fn grpc_outcome(
    status: u16,
    headers: &HeaderMap,
    message: &[u8],
    trailers: Option<HeaderMap>,
) -> Outcome {
    // An answer without a body has its status in the headers.
    let tail = trailers.as_ref().unwrap_or(headers);
    let text = |name: &str| tail.get(name).and_then(|value| value.to_str().ok());
    let Some(code) = text("grpc-status").and_then(|code| code.parse::<u32>().ok()) else {
        // Not gRPC: a proxy's answer, or one that broke off.
        return Outcome {
            verdict: match status {
                200 => Verdict::Again,
                _ => verdict::otlp_http(status),
            },
            come_back: come_back(headers),
            words: format!("{} without a gRPC status", words_of(status, headers, &[])),
            in_doubt: status == 200,
            partial: PartialSuccess::default(),
        };
    };
    let details = text("grpc-status-details-bin").and_then(|details| {
        // With padding or without: both are allowed.
        let details = details.trim_end_matches('=');
        base64::engine::general_purpose::STANDARD_NO_PAD
            .decode(details)
            .ok()
    });
    let come_back = details.as_deref().and_then(answer::retry_info);
    let said = unescape(text("grpc-message").unwrap_or_default());
    let partial = match (code, message.split_first_chunk::<5>()) {
        // Uncompressed: nothing else was offered.
        (0, Some(([0, ..], response))) => answer::partial_success(response),
        _ => PartialSuccess::default(),
    };
    Outcome {
        verdict: verdict::grpc(code, come_back.is_some()),
        come_back,
        words: format!("grpc {code} {}", String::from_utf8_lossy(&said)),
        in_doubt: false,
        partial,
    }
}

/// An error with its causes: hyper's own text says next to nothing.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
