//! What a frame costs from the inlet to the wire does not depend on how many records it holds.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use guidon::config::Durability;
use guidon::forward::{Forward, Stage};
use guidon_tests::forward::{frames, options};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A receiver that allocates nothing for a request.
fn sink() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 4 << 20];
        loop {
            let (stream, _) = listener.accept().unwrap();
            serve(stream, &mut buffer);
        }
    });
    address
}

fn serve(mut stream: TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    loop {
        let head = buffer[..filled]
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n");
        if let Some(head) = head {
            let length = content_length(&buffer[..head]);
            let end = head + 4 + length;
            if filled >= end {
                stream
                    .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                    .unwrap();
                buffer.copy_within(end..filled, 0);
                filled -= end;
                continue;
            }
        }
        match stream.read(&mut buffer[filled..]) {
            Ok(0) | Err(_) => return,
            Ok(count) => filled += count,
        }
    }
}

fn content_length(head: &[u8]) -> usize {
    let name = b"content-length: ";
    let at = head
        .windows(name.len())
        .position(|bytes| bytes == name)
        .unwrap()
        + name.len();
    head[at..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}

/// Allocations per frame of so many series, over many frames.
async fn allocations(durability: Durability, series: usize) -> f64 {
    const FRAMES: i64 = 100;
    let dir = tempfile::tempdir().unwrap();
    let url = format!("http://{}/w", sink());
    let options = options(dir.path(), &[url], durability);
    let (forward, inlet) = Forward::start(options, tokio::runtime::Handle::current()).unwrap();
    let frame = |time| frames::metrics("app", series, time).unwrap();
    let sent = |forward: &Forward| {
        forward
            .ledger()
            .audit()
            .iter()
            .map(|audit| audit.sent)
            .sum::<u64>()
    };
    inlet.accept(frame(0), Stage::Received).await.unwrap();
    while sent(&forward) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let all: Vec<_> = (1..=FRAMES).map(frame).collect();
    let region = Region::new(COUNTING);
    for frame in all {
        inlet.accept(frame, Stage::Received).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let allocations = region.change().allocations;
    assert_eq!(sent(&forward), (FRAMES as u64 + 1) * series as u64);
    forward.shutdown(Duration::ZERO).await;
    allocations as f64 / FRAMES as f64
}

#[test]
fn allocations_are_bounded_for_each_frame_and_do_not_grow_with_its_records() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for durability in [Durability::Memory, Durability::Spool] {
        let few = runtime.block_on(allocations(durability, 1));
        let many = runtime.block_on(allocations(durability, 2000));
        assert!(
            few < 60.0,
            "{durability:?}: {few} allocations for a frame of 1 record"
        );
        assert!(
            many < 60.0,
            "{durability:?}: {many} allocations for a frame of 2000 records"
        );
    }
}
