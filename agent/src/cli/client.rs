//! A client of the agent's API.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client as HyperClient};
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::args::ApiArgs;
use super::{CommandError, Verdict};
use crate::api::model::ErrorBody;
use crate::config::{self, Config, ConfigError, Secret, TokenError};
use crate::stack::reached_at;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Making an app may pull its image.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);
const MOST_ANSWER_BYTES: usize = 256 << 20;

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("{0}\nname the API with --api URL to do without the configuration file")]
    Config(#[from] ConfigError),
    #[error("{0:?} is no URL of an API: write it like http://127.0.0.1:7070")]
    Url(String),
    #[error("cannot use the token: {0}")]
    Token(#[from] TokenError),
    #[error("cannot use {path}: {source}")]
    Pem { path: String, source: pem::Error },
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the system has no authorities to believe: {0}; name one with --ca FILE")]
    Roots(std::io::Error),
    #[error("cannot reach the agent at {url}: {source}; is it running?")]
    Connect { url: String, source: legacy::Error },
    #[error("the agent at {url} did not answer within {} s", ANSWER_TIMEOUT.as_secs())]
    Timeout { url: String },
    #[error("the agent's answer broke off: {0}")]
    Broken(Box<dyn std::error::Error + Send + Sync>),
    /// The agent said no, in its own words.
    #[error("{message} ({code})")]
    Refused { code: String, message: String },
    #[error("{url} answered {status}: is this a guidon agent?")]
    Strange { url: String, status: StatusCode },
    #[error("the agent's answer is not understood: {0}")]
    Decode(#[from] serde_json::Error),
}

/// A connection to one agent.
#[derive(Debug)]
pub(super) struct Client {
    base: String,
    token: Option<Secret>,
    client: HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Runs a command that speaks to the agent.
pub(super) fn block_on(
    command: impl Future<Output = Result<Verdict, CommandError>>,
) -> Result<Verdict, CommandError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(command)
}

/// Where the agent is and what opens its door.
struct Target {
    base: String,
    token: Option<Secret>,
    /// The agent's own certificates, believed in place of the system's authorities.
    own_certificate: Option<PathBuf>,
}

impl Client {
    pub(super) fn new(args: &ApiArgs) -> Result<Self, ClientError> {
        let target = target(args)?;
        let is_url = |uri: &Uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.authority().is_some()
                && matches!(uri.path(), "" | "/")
                && uri.query().is_none()
        };
        let uri = target.base.parse::<Uri>().ok().filter(is_url);
        if uri.is_none() {
            return Err(ClientError::Url(target.base));
        }
        let mut http = HttpConnector::new();
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        http.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls_config(
                args,
                &target.base,
                target.own_certificate.as_deref(),
            )?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        Ok(Self {
            base: target.base.trim_end_matches('/').to_owned(),
            token: target.token,
            client: HyperClient::builder(TokioExecutor::new()).build(connector),
        })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let answer = self.call(Method::GET, path, None).await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    pub(super) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body)?;
        let answer = self.call(Method::PUT, path, Some(body)).await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    pub(super) async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.call(Method::DELETE, path, None).await.map(|_| ())
    }

    /// The body of a good answer.
    async fn call(
        &self,
        method: Method,
        path: &str,
        json: Option<Vec<u8>>,
    ) -> Result<Bytes, ClientError> {
        let url = format!("{}{path}", self.base);
        let is_json = json.is_some();
        let mut request = Request::new(Full::new(Bytes::from(json.unwrap_or_default())));
        *request.method_mut() = method;
        *request.uri_mut() = url.parse().map_err(|_| ClientError::Url(url.clone()))?;
        let headers = request.headers_mut();
        if is_json {
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
        }
        if let Some(token) = &self.token
            && let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", token.expose()))
        {
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let exchange = async {
            let response = self.client.request(request).await;
            let response = response.map_err(|source| ClientError::Connect {
                url: self.base.clone(),
                source,
            })?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MOST_ANSWER_BYTES);
            let body = body.collect().await.map_err(ClientError::Broken)?;
            Ok::<_, ClientError>((status, body.to_bytes()))
        };
        let (status, body) = tokio::time::timeout(ANSWER_TIMEOUT, exchange)
            .await
            .map_err(|_| ClientError::Timeout {
                url: self.base.clone(),
            })??;
        if status.is_success() {
            return Ok(body);
        }
        match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(ErrorBody { error }) => Err(ClientError::Refused {
                code: error.code,
                message: error.message,
            }),
            Err(_) => Err(ClientError::Strange { url, status }),
        }
    }
}

fn target(args: &ApiArgs) -> Result<Target, ClientError> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let token_file = args.token_file.clone();
    let token_file = token_file.or_else(|| variable("GUIDON_TOKEN_FILE").map(Into::into));
    let token = match &token_file {
        Some(path) => Some(Secret::read_token(path)?),
        None => None,
    };
    if let Some(base) = args.api.clone().or_else(|| variable("GUIDON_API")) {
        // The token of the configuration is for that agent alone: it goes to no named one.
        return Ok(Target {
            base,
            token,
            own_certificate: None,
        });
    }
    let config = Config::read(args.config.as_deref(), &config::environment())?;
    let address = reached_at(config.api.listen);
    let token = match (token, &config.api.token_file) {
        (None, Some(path)) => Some(Secret::read_token(path)?),
        (token, _) => token,
    };
    let scheme = if config.api.tls.is_some() {
        "https"
    } else {
        "http"
    };
    Ok(Target {
        base: format!("{scheme}://{address}"),
        token,
        own_certificate: config.api.tls.map(|tls| tls.cert),
    })
}

fn tls_config(
    args: &ApiArgs,
    base: &str,
    own_certificate: Option<&Path>,
) -> Result<ClientConfig, ClientError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    let own_roots = [args.ca.as_deref(), own_certificate];
    let builder = if base.starts_with("https") && own_roots == [None, None] {
        builder.with_native_roots().map_err(ClientError::Roots)?
    } else {
        let mut roots = RootCertStore::empty();
        for path in own_roots.into_iter().flatten() {
            roots.add_parsable_certificates(certificates(path)?);
        }
        builder.with_root_certificates(roots)
    };
    match (&args.cert, &args.key) {
        (Some(cert), Some(key)) => {
            let key_der = PrivateKeyDer::from_pem_file(key).map_err(|source| ClientError::Pem {
                path: key.display().to_string(),
                source,
            })?;
            Ok(builder.with_client_auth_cert(certificates(cert)?, key_der)?)
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|source| ClientError::Pem {
            path: path.display().to_string(),
            source,
        })
}
