//! Counts lines that come over TCP, and keeps nothing.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};

/// A listener on a thread of its own, until the process ends.
#[derive(Debug)]
pub struct LineSink {
    lines: Arc<AtomicU64>,
}

impl LineSink {
    /// Starts to listen.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn start(listen: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(listen).with_context(|| listen.to_string())?;
        let lines = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lines);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let lines = Arc::clone(&counted);
                std::thread::spawn(move || count(stream, &lines));
            }
        });
        Ok(Self { lines })
    }

    /// Lines so far.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }
}

fn count(mut stream: TcpStream, lines: &AtomicU64) {
    let mut buffer = vec![0; 256 << 10];
    // A sender that breaks off has sent what it sent.
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        let newlines = buffer[..length]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count();
        lines.fetch_add(newlines as u64, Ordering::Relaxed);
    }
}
