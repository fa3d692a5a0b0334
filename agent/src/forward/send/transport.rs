//! One attempt at one request: the client, the headers, the body, the answer.
//!
//! Remote write 1.0, OTLP/HTTP and OTLP/gRPC over one pooled hyper client per destination, HTTP/1.1
//! or HTTP/2, TLS by rustls with the system's roots. No proxies, no redirects.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Uri};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::answer::{self, PartialSuccess};
use super::body::{Pieces, PiecesBody, Unmergeable, gzip, merge_snappy};
use super::grpc;
use super::url::{InvalidUrl, Protocol, Target};
use super::verdict::{self, Verdict};
use super::version::{self, Version};
use crate::forward::destination::DestinationId;
use crate::forward::options::Tuning;

/// Idle connections are closed after this long: shorter than what receivers usually wait.
const IDLE: Duration = Duration::from_secs(50);
const USER_AGENT: &str = concat!("guidon/", env!("CARGO_PKG_VERSION"));

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

/// A request, ready to be sent any number of times.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pieces: Pieces,
    /// Remote write 2.0.
    v2: bool,
}

/// The way to one receiver.
#[derive(Debug)]
pub(crate) struct Transport {
    client: Client<HttpsConnector<HttpConnector>, PiecesBody>,
    protocol: Protocol,
    version: Version,
    uri: Uri,
    headers: HeaderMap,
    gzip: bool,
    timeout: Duration,
}

impl Transport {
    pub(crate) fn new(id: &DestinationId, tuning: &Tuning) -> Result<Self, InvalidUrl> {
        let target = Target::of(id)?;
        let gzip = tuning.otlp_gzip && target.protocol != Protocol::RemoteWrite;
        Ok(Self {
            client: client(&target, tuning)?,
            protocol: target.protocol,
            version: Version::new(tuning.remote_write_version),
            uri: target.uri,
            headers: headers(target.protocol, gzip, target.authorization),
            gzip,
            timeout: tuning.request_timeout,
        })
    }

    /// A request with these payloads.
    pub(crate) async fn prepare(&self, payloads: Vec<Bytes>) -> Result<Prepared, Unmergeable> {
        if self.protocol == Protocol::RemoteWrite {
            let pieces = merge_snappy(payloads.iter())?;
            let encoded = match self.version.speaks_v2() {
                true => self.version.encode_v2(&pieces).await,
                false => None,
            };
            return Ok(Prepared {
                v2: encoded.is_some(),
                pieces: encoded.map_or(pieces, |encoded| Pieces::from([encoded])),
            });
        }
        let mut pieces = payloads;
        if self.gzip {
            let source = pieces.clone();
            // Long work has no place on the runtime's threads.
            let compressed = tokio::task::spawn_blocking(move || gzip(&source)).await;
            pieces = vec![compressed.unwrap_or_else(|_| gzip(&pieces))];
        }
        if self.protocol == Protocol::OtlpGrpc {
            let len: usize = pieces.iter().map(Bytes::len).sum();
            let mut prefix = vec![u8::from(self.gzip)];
            prefix.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
            pieces.insert(0, Bytes::from(prefix));
        }
        Ok(Prepared {
            pieces: pieces.into(),
            v2: false,
        })
    }

    /// Sends a request and reads the answer.
    pub(crate) async fn attempt(&self, request: &Prepared) -> Outcome {
        match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(outcome) => outcome,
            Err(_) => no_answer(format!("no answer within {:?}", self.timeout), true),
        }
    }

    async fn exchange(&self, prepared: &Prepared) -> Outcome {
        let mut request = Request::new(PiecesBody::new(Pieces::clone(&prepared.pieces)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        if prepared.v2 {
            version::set_headers(request.headers_mut());
        }
        let response = match self.client.request(request).await {
            Ok(response) => response,
            // Without a connection nothing was sent.
            Err(error) => return no_answer(chain(&error), !error.is_connect()),
        };
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        if self.protocol == Protocol::OtlpGrpc {
            return match answer::read(body, grpc::MAX_ANSWER).await {
                Ok((words, trailers)) => grpc::outcome(status, &head.headers, &words, trailers),
                Err(error) => no_answer(chain(&error), true),
            };
        }
        // A receiver that took the data but breaks off in its words has still taken it.
        let read = answer::read(body, 0).await;
        let verdict = match self.protocol {
            Protocol::RemoteWrite if prepared.v2 => self.version.judge(status, &head.headers),
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
        Outcome {
            verdict,
            come_back: come_back(&head.headers),
            words: words_of(status, &head.headers, &words),
            in_doubt: false,
            partial,
        }
    }
}

fn client(
    target: &Target,
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
    let config = if target.tls {
        config.with_native_roots().map_err(|error| failed(&error))?
    } else {
        config.with_root_certificates(rustls::RootCertStore::empty())
    };
    let builder = HttpsConnectorBuilder::new().with_tls_config(config.with_no_client_auth());
    let builder = if target.tls {
        builder.https_only()
    } else {
        builder.https_or_http()
    };
    let grpc = target.protocol == Protocol::OtlpGrpc;
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

fn no_answer(words: String, in_doubt: bool) -> Outcome {
    Outcome {
        verdict: Verdict::Again,
        come_back: None,
        words,
        in_doubt,
        partial: PartialSuccess::default(),
    }
}

pub(crate) fn come_back(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    verdict::retry_after(value, SystemTime::now())
}

pub(crate) fn words_of(status: u16, headers: &HeaderMap, body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    match headers
        .get(header::LOCATION)
        .and_then(|to| to.to_str().ok())
    {
        Some(to) => format!("{status}, redirects to {to}"),
        None => format!("{status} {}", body.trim()).trim_end().to_owned(),
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
