//! A blocking HTTP/1.1 client that costs a write and a read per request.
//!
//! Owns: one kept-alive connection and the parsing of a response's status, length and
//! `Retry-After`. Must not know: what is sent. Limits: response heads of 16 KiB, bodies with a
//! length or chunked, read and dropped (or returned by [`get`]) up to 1 MiB.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

const HEAD_LIMIT: usize = 16 << 10;
const BODY_LIMIT: usize = 1 << 20;

/// What a receiver answered.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// `Retry-After` in seconds, if the receiver sent one.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
    /// The receiver closes the connection after this response.
    pub close: bool,
}

impl Response {
    /// Whether the receiver took it.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// One connection to a receiver.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects with `timeout` for the connection and for every later read and write.
    ///
    /// # Errors
    /// What the socket says.
    pub fn open(target: SocketAddr, timeout: Duration) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&target, timeout)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4096),
        })
    }

    /// Sends a whole request (head and body) and waits for its response.
    ///
    /// # Errors
    /// A broken or slow connection, or something that is not an HTTP/1.1 response. The connection is
    /// not usable afterwards.
    pub fn exchange(&mut self, request: &[u8]) -> Result<Response> {
        self.stream.write_all(request)?;
        self.buffer.clear();
        let head_end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            if self.buffer.len() > HEAD_LIMIT {
                bail!("response head over {HEAD_LIMIT} bytes");
            }
            self.read_more()?;
        };
        let head = std::str::from_utf8(&self.buffer[..head_end]).context("response head")?;
        let (mut response, length) = parse_head(head)?;
        self.buffer.drain(..head_end);
        match length {
            Length::Bytes(length) => {
                if length > BODY_LIMIT {
                    bail!("response body over {BODY_LIMIT} bytes");
                }
                while self.buffer.len() < length {
                    self.read_more()?;
                }
                response.body.extend_from_slice(&self.buffer[..length]);
            }
            Length::Chunked => self.read_chunks(&mut response.body)?,
        }
        Ok(response)
    }

    fn read_chunks(&mut self, body: &mut Vec<u8>) -> Result<()> {
        loop {
            let line = loop {
                if let Some(end) = find(&self.buffer, b"\r\n") {
                    break end;
                }
                self.read_more()?;
            };
            let size = std::str::from_utf8(&self.buffer[..line])?;
            let size = usize::from_str_radix(size.split(';').next().unwrap_or("").trim(), 16)?;
            if body.len() + size > BODY_LIMIT {
                bail!("response body over {BODY_LIMIT} bytes");
            }
            while self.buffer.len() < line + 2 + size + 2 {
                self.read_more()?;
            }
            body.extend_from_slice(&self.buffer[line + 2..line + 2 + size]);
            self.buffer.drain(..line + 2 + size + 2);
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn read_more(&mut self) -> Result<()> {
        let mut chunk = [0; 4096];
        let count = self.stream.read(&mut chunk)?;
        if count == 0 {
            bail!("receiver closed the connection");
        }
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(())
    }
}

/// One `GET` on a connection of its own.
///
/// # Errors
/// As [`Connection::open`] and [`Connection::exchange`].
pub fn get(target: SocketAddr, path: &str, timeout: Duration) -> Result<Response> {
    Connection::open(target, timeout)?.exchange(
        format!("GET {path} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n").as_bytes(),
    )
}

enum Length {
    Bytes(usize),
    Chunked,
}

fn parse_head(head: &str) -> Result<(Response, Length)> {
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|rest| rest.get(..3))
        .context("not an HTTP/1.1 response")?
        .parse()?;
    let mut response = Response {
        status,
        ..Response::default()
    };
    let mut length = Length::Bytes(0);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Length::Bytes(value.parse()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            length = Length::Chunked;
        } else if name.eq_ignore_ascii_case("retry-after") {
            response.retry_after = value.parse().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            response.close = value.eq_ignore_ascii_case("close");
        }
    }
    Ok((response, length))
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}
