//! What is too much, too slow or of the wrong kind; shutdown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use tokio_util::sync::CancellationToken;

use super::fakes::Fakes;
use super::{Server, start};
use crate::config::Api;

#[tokio::test]
async fn a_body_that_is_too_large_or_of_another_type_is_refused() {
    let api = start().await;
    let json = [("content-type", "application/json")];
    let large = format!("{{\"image\": \"{}\"}}", "x".repeat(1 << 20));
    let answer = api
        .call(Method::PUT, "/api/v1/apps/shop", &json, large)
        .await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.error_code(), "too_large");

    for (content_type, status) in [
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=utf-8", 201),
    ] {
        let headers = [("content-type", content_type)];
        let answer = api
            .call(
                Method::PUT,
                "/api/v1/apps/shop",
                &headers,
                r#"{"image": "x"}"#,
            )
            .await;
        assert_eq!(answer.status, status, "{content_type}");
    }
}

#[tokio::test]
async fn one_address_may_not_ask_without_end_but_health_is_answered() {
    let api = start().await;
    let mut last = api.get("/openapi.json").await;
    // The allowance, and what grows back meanwhile.
    for _ in 0..20_000 {
        if last.status != StatusCode::OK {
            break;
        }
        last = api.get("/openapi.json").await;
    }
    assert_eq!(last.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(last.error_code(), "too_many_requests");
    assert!(last.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(api.get("/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_endless_header_is_cut_off() {
    let api = start().await;
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\n")
        .await
        .unwrap();
    let mut written = 0;
    // The other end answers or closes long before this ends.
    while written < 1 << 20 && stream.write_all(&[b'a'; 1024]).await.is_ok() {
        written += 1024;
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        written < 1 << 20 || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    assert_eq!(api.get("/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_header_that_takes_too_long_ends_the_connection() {
    let mut config = Api::default();
    config.listen.set_port(0);
    let mut server = Server::bind(&config).await.unwrap();
    server.header_timeout = Duration::from_millis(300);
    let address = server.local_address();
    let handles = Fakes::handles(&Arc::default());
    tokio::spawn(server.run(handles, CancellationToken::new()));

    // A header that never ends, and a connection that idles after its first request.
    for sent in [
        "GET /healthz HTTP/1.1\r\nhost: loc",
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        let ended = tokio::time::timeout(Duration::from_secs(3), ended).await;
        assert!(ended.is_ok(), "still open after {sent:?}");
        let is_whole = sent.ends_with("\r\n\r\n");
        assert_eq!(answer.starts_with(b"HTTP/1.1 200"), is_whole);
    }
}

#[tokio::test]
async fn shutdown_closes_idle_connections_and_takes_no_new_ones() {
    let api = start().await;
    let mut idle = TcpStream::connect(api.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut buffer = [0; 1024];
    assert!(idle.read(&mut buffer).await.unwrap() > 0);
    let started = Instant::now();
    api.shutdown.cancel();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(2));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(TcpStream::connect(api.address).await.is_err());
}
