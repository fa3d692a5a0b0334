//! A plain HTTP/1.0 client over TCP or a Unix socket: one connection per request, whole bodies.
//!
//! HTTP/1.0 on purpose: the answer ends with the connection, so there is no chunked coding to parse.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// `host:port`.
    Tcp(String),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// One request. Build it with [`Request::new`] and change what differs.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// `GET`, `PUT`, …
    pub method: &'a str,
    /// Path with query, starting with `/`.
    pub path: &'a str,
    /// Extra headers, without `Host` and `Content-Length`.
    pub headers: &'a [(&'a str, &'a str)],
    /// Empty for none.
    pub body: &'a [u8],
    /// Longest wait for the connection, and between two reads or writes.
    pub timeout: Duration,
}

impl<'a> Request<'a> {
    /// A request without body or extra headers that waits 30 s at most.
    #[must_use]
    pub fn new(method: &'a str, path: &'a str) -> Self {
        Self {
            method,
            path,
            headers: &[],
            body: &[],
            timeout: Duration::from_secs(30),
        }
    }
}

/// An answer, read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of the first header of this (lower-case) name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("not JSON (status {}): {}", self.status, self.text()))
    }

    /// The answer itself if its status is 2xx, else an error with the body.
    pub fn success(self) -> Result<Self> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        bail!("status {}: {}", self.status, self.text().trim())
    }
}

/// Sends a request and reads the whole answer.
pub fn send(server: &Server, request: &Request<'_>) -> Result<Response> {
    let what = || format!("{} {} at {server:?}", request.method, request.path);
    match server {
        Server::Tcp(address) => {
            let resolved = address
                .to_socket_addrs()
                .with_context(what)?
                .next()
                .with_context(|| format!("{address} has no address"))?;
            let stream =
                TcpStream::connect_timeout(&resolved, request.timeout).with_context(what)?;
            stream.set_read_timeout(Some(request.timeout))?;
            stream.set_write_timeout(Some(request.timeout))?;
            exchange(stream, address, request).with_context(what)
        }
        Server::Unix(path) => {
            let stream = UnixStream::connect(path).with_context(what)?;
            stream.set_read_timeout(Some(request.timeout))?;
            stream.set_write_timeout(Some(request.timeout))?;
            exchange(stream, "localhost", request).with_context(what)
        }
    }
}

fn exchange(mut stream: impl Read + Write, host: &str, request: &Request<'_>) -> Result<Response> {
    let mut head = format!(
        "{} {} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {}\r\n",
        request.method,
        request.path,
        request.body.len()
    );
    for (name, value) in request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    // A server may refuse before it has read the body; its answer tells more than the broken pipe.
    let sent = stream.write_all(request.body).and_then(|()| stream.flush());
    let mut bytes = Vec::new();
    let received = stream.read_to_end(&mut bytes);
    if bytes.is_empty() {
        sent?;
        received?;
        bail!("connection closed without an answer");
    }
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<Response> {
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .context("the answer has no end of headers")?;
    let head = std::str::from_utf8(&bytes[..end]).context("headers are not text")?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|code| code.parse().ok())
        .context("no status line")?;
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut body = bytes[end + 4..].to_vec();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse::<usize>().ok());
    if let Some(length) = length {
        body.truncate(length);
    }
    Ok(Response {
        status,
        headers,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_answer_is_split_into_status_headers_and_body() {
        let answer =
            parse(b"HTTP/1.1 404 Not Found\r\nX-One: 1\r\nContent-Length: 2\r\n\r\nno").unwrap();
        assert_eq!(answer.status, 404);
        assert_eq!(answer.header("x-one"), Some("1"));
        assert_eq!(answer.text(), "no");
    }

    #[test]
    fn an_answer_that_breaks_off_in_its_headers_is_an_error() {
        assert!(parse(b"HTTP/1.1 200 OK\r\nX-One: 1\r\n").is_err());
    }
}
