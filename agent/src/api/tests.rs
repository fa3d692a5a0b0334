//! The API through real connections, with fakes behind the handles.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod access;
mod apps;
mod bus;
mod fakes;
mod limits;
mod pages;
mod targets;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::Connect;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Access;
use super::server::Server;
use crate::config::Api;
use fakes::Fakes;

/// An API that serves on a free port until it is dropped.
struct Running {
    address: SocketAddr,
    access: Arc<Access>,
    fakes: Arc<Fakes>,
    shutdown: CancellationToken,
    _stop: DropGuard,
}

/// Starts an API without a token.
async fn start() -> Running {
    start_with(Api::default()).await
}

async fn start_with(mut config: Api) -> Running {
    config.listen.set_port(0);
    let server = Server::bind(&config).await.unwrap();
    let fakes = Arc::new(Fakes::default());
    let shutdown = CancellationToken::new();
    let running = Running {
        address: server.local_address(),
        access: server.access(),
        fakes: Arc::clone(&fakes),
        shutdown: shutdown.clone(),
        _stop: shutdown.clone().drop_guard(),
    };
    tokio::spawn(server.run(Fakes::handles(&fakes), shutdown));
    running
}

/// An answer, read whole.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The code of an error; checks the shape on the way.
    fn error_code(&self) -> String {
        let body = self.json();
        let error = body["error"].as_object().unwrap();
        assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
        assert!(!error["message"].as_str().unwrap().is_empty(), "{body}");
        error["code"].as_str().unwrap().to_owned()
    }
}

impl Running {
    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], "").await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let base = format!("http://{}", self.address);
        send(&client, &base, method, path, headers, body.into())
            .await
            .unwrap()
    }
}

async fn send<C: Connect + Clone + Send + Sync + 'static>(
    client: &Client<C, Full<Bytes>>,
    base: &str,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Answer, hyper_util::client::legacy::Error> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{base}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = client
        .request(request.body(Full::new(body)).unwrap())
        .await?;
    let (parts, body) = response.into_parts();
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
    })
}
