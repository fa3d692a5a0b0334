//! TLS and client certificates, with certificates made on the spot.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

use super::{Running, send, start_with};
use crate::api::{ServeError, Server, TlsError};
use crate::config::{Api, Tls};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for 127.0.0.1 and its key.
fn leaf(authority: &Authority) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
    (params.signed_by(&key, authority).unwrap(), key)
}

/// Server files on disk.
struct Files {
    folder: TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        let files = Self {
            folder: tempfile::tempdir().unwrap(),
            authority: authority(),
        };
        let (certificate, key) = leaf(&files.authority);
        files.write("cert.pem", &certificate.pem());
        files.write("key.pem", &key.serialize_pem());
        files.write("ca.pem", &files.authority.pem());
        files
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn config(&self, with_client_ca: bool, token: Option<&str>) -> Api {
        let path = |name: &str| self.folder.path().join(name);
        Api {
            token_file: token.map(|token| self.write("token", token)),
            tls: Some(Tls {
                cert: path("cert.pem"),
                key: path("key.pem"),
                client_ca: with_client_ca.then(|| path("ca.pem")),
            }),
            ..Api::default()
        }
    }

    /// A client that believes our authority, and shows a certificate of `signer`, if any.
    fn client(&self, signer: Option<&Authority>) -> TlsClient {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match signer {
            None => builder.with_no_client_auth(),
            Some(signer) => {
                let (certificate, key) = leaf(signer);
                let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_only()
            .enable_http1()
            .enable_http2()
            .build();
        Client::builder(TokioExecutor::new()).build(connector)
    }
}

type TlsClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// The status of a call; 0 if there was no answer.
async fn status(api: &Running, client: &TlsClient, path: &str, token: Option<&str>) -> u16 {
    let base = format!("https://{}", api.address);
    let value = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = value
        .iter()
        .map(|value| ("authorization", value.as_str()))
        .collect();
    let answer = send(client, &base, Method::GET, path, &headers, Bytes::new()).await;
    answer.map_or(0, |answer| answer.status.as_u16())
}

const STATUS: &str = "/api/v1/status";

#[tokio::test]
async fn a_client_certificate_of_our_authority_opens_and_no_other() {
    let files = Files::new();
    let api = start_with(files.config(true, None)).await;
    let stranger = authority();
    let (ours, none, strange) = (
        files.client(Some(&files.authority)),
        files.client(None),
        files.client(Some(&stranger)),
    );
    assert_eq!(status(&api, &ours, STATUS, None).await, 200);
    assert_eq!(status(&api, &none, STATUS, None).await, 401);
    assert_eq!(status(&api, &none, "/healthz", None).await, 200);
    assert_eq!(
        status(&api, &strange, STATUS, None).await,
        0,
        "handshake refused"
    );
    assert_eq!(status(&api, &none, STATUS, Some("any")).await, 401);
}

#[tokio::test]
async fn token_or_certificate_is_enough_where_both_are_set_up() {
    let files = Files::new();
    let api = start_with(files.config(true, Some("t0ken"))).await;
    let (ours, none) = (files.client(Some(&files.authority)), files.client(None));
    assert_eq!(status(&api, &ours, STATUS, None).await, 200);
    assert_eq!(status(&api, &none, STATUS, Some("t0ken")).await, 200);
    assert_eq!(status(&api, &none, STATUS, Some("wrong")).await, 401);
    assert_eq!(status(&api, &none, STATUS, None).await, 401);
}

#[tokio::test]
async fn without_a_client_authority_certificates_prove_nothing() {
    let files = Files::new();
    let api = start_with(files.config(false, Some("t0ken"))).await;
    let ours = files.client(Some(&files.authority));
    assert_eq!(status(&api, &ours, STATUS, None).await, 401);
    assert_eq!(status(&api, &ours, STATUS, Some("t0ken")).await, 200);
}

#[tokio::test]
async fn plain_http_gets_no_answer_from_a_tls_port() {
    let files = Files::new();
    let api = start_with(files.config(false, Some("t0ken"))).await;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let base = format!("http://{}", api.address);
    let answer = send(&client, &base, Method::GET, "/healthz", &[], Bytes::new()).await;
    assert!(answer.is_err());
}

#[tokio::test]
async fn bad_files_are_named_by_their_key() {
    let files = Files::new();
    let (_, other_key) = leaf(&files.authority);
    for (name, text, expected) in [
        ("cert.pem", "no PEM", "api.tls.cert"),
        ("key.pem", "no PEM", "api.tls.key"),
        (
            "key.pem",
            &other_key.serialize_pem()[..],
            "api.tls.cert and api.tls.key",
        ),
        ("ca.pem", "", "api.tls.client_ca"),
    ] {
        let files = Files::new();
        files.write(name, text);
        let error = Server::bind(&files.config(true, None)).await.unwrap_err();
        assert!(matches!(error, ServeError::Tls(_)));
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    let mut config = files.config(false, None);
    config.tls.as_mut().unwrap().cert = "/nowhere".into();
    config.listen.set_port(0);
    let error = Server::bind(&config).await.unwrap_err();
    assert!(
        matches!(error, ServeError::Tls(TlsError::File { .. })),
        "{error}"
    );
}
