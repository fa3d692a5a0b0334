//! Senders that mean harm. Each gets a clear error; the others notice nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::http::write_request;
use super::support::{Answer, House, block, gzip, send};
use crate::receive::{Limits, OtlpMetrics, Protocol};
use crate::signal::protobuf::{put_len, put_varint};
use crate::signal::remote_write::prom::{Label, WriteRequest, v2};

/// Impatient, so that tests are not slow.
fn limits() -> Limits {
    Limits {
        body_bytes: 4 << 20,
        decompressed_bytes: 8 << 20,
        memory_bytes: 48 << 20,
        sender_memory_bytes: 32 << 20,
        connections: 40,
        sender_connections: 30,
        header_time: Duration::from_millis(400),
        body_time: Duration::from_millis(600),
        idle_time: Duration::from_millis(1500),
        shutdown_time: Duration::from_millis(500),
        ..Limits::default()
    }
}

async fn house() -> House {
    House::new(limits(), OtlpMetrics::Forward).await
}

async fn write(house: &House, block: impl Into<bytes::Bytes>) -> Answer {
    let address = house.address(Protocol::RemoteWrite);
    send(address, false, "/write", &[], block).await
}

/// An honest request gets through, and soon.
async fn others_are_served(house: &House) {
    house.sink.take();
    let begun = Instant::now();
    let good = block(&write_request(&[("__name__", "up")]).encode_to_vec());
    let answer = write(house, good).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(house.sink.take().len(), 1);
    assert!(begun.elapsed() < Duration::from_millis(500));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_writes_first_and_reads_later_gets_the_reason_too() {
    let house = house().await;
    let address = house.address(Protocol::RemoteWrite);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = vec![0; 24 << 20];
    let head = format!(
        "POST /write HTTP/1.1\r\nhost: guidon\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let mut answer = vec![0; 4096];
    let len = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..len]);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(
        answer.ends_with("body is larger than 4194304 bytes\n"),
        "{answer}"
    );
    house.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_are_refused_before_they_go_off() {
    let house = house().await;
    let answer = write(&house, vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0, 1, 2]).await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.text(),
        "snappy block declares 4294967295 bytes, more than its 8 bytes can hold"
    );
    let answer = write(&house, block(&vec![0; 40 << 20])).await;
    assert_eq!(answer.status, 413);
    assert_eq!(
        answer.text(),
        "snappy block declares 41943040 bytes, 8388608 are allowed"
    );
    let bomb = gzip(&vec![0; 64 << 20]);
    assert!(bomb.len() < 1 << 20);
    let headers = [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "gzip"),
    ];
    let address = house.address(Protocol::OtlpHttp);
    let begun = Instant::now();
    let answer = send(address, false, "/v1/logs", &headers, bomb.clone()).await;
    assert_eq!(answer.status, 413);
    assert!(
        answer
            .text()
            .ends_with("request after decompression is larger than 8388608 bytes")
    );
    // Its end was never reached.
    assert!(begun.elapsed() < Duration::from_secs(2));
    // And gzip inside gzip is one layer.
    let answer = send(address, false, "/v1/logs", &headers, gzip(&bomb)).await;
    assert_eq!(answer.status, 400);
    let answer = write(&house, vec![0; 5 << 20]).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.text(), "body is larger than 4194304 bytes");
    others_are_served(&house).await;
    house.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_without_end_are_counted_no_further_than_the_limit() {
    let house = house().await;
    // A million labels in one series, and a million series.
    let label = [0x0a, 6, 0x0a, 1, b'a', 0x12, 1, b'b'];
    let mut series = Vec::new();
    put_len(&mut series, 1, &label.repeat(1_000_000));
    let answer = write(&house, block(&series)).await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.text(),
        "time series 0, byte 1029: more than 128 labels"
    );
    let mut one = Vec::new();
    put_len(&mut one, 1, &label);
    let answer = write(&house, block(&one.repeat(800_000))).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().ends_with("more than 100000 time series"));
    others_are_served(&house).await;
}

#[tokio::test]
async fn what_is_malformed_is_refused_with_its_place() {
    let house = house().await;
    let good = write_request(&[("__name__", "up"), ("job", "x")]).encode_to_vec();
    for (raw, text) in [
        (
            good[..good.len() - 3].to_vec(),
            "byte 1: ends in the middle of a field",
        ),
        (
            write_request(&[("a", "1"), ("a", "2")]).encode_to_vec(),
            "time series 0, byte 12: label \"a\" is there twice",
        ),
        (
            write_request(&[("", "1")]).encode_to_vec(),
            "time series 0, byte 4: label name is empty",
        ),
        (
            write_request(&[]).encode_to_vec(),
            "time series 0, byte 2: series has no label",
        ),
        (
            vec![0x0a, 7, 0x0a, 5, 0x0a, 1, 0xff, 0x12, 0],
            "time series 0, byte 6: label name is not valid UTF-8",
        ),
    ] {
        let answer = write(&house, block(&raw)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text()),
            (400, text.to_owned())
        );
    }
    // Labels out of order are the sender's carelessness, not malice.
    let unsorted = write_request(&[("z", "1"), ("a", "2")]).encode_to_vec();
    assert_eq!(write(&house, block(&unsorted)).await.status, 204);
    let (raw, _) = house.sink.only();
    let names: Vec<String> = WriteRequest::decode(&raw[..]).unwrap().timeseries[0]
        .labels
        .iter()
        .map(|label: &Label| label.name.clone())
        .collect();
    assert_eq!(names, ["a", "guid", "z"]);

    let request = v2::Request {
        symbols: vec![String::new(), "a".to_owned()],
        timeseries: vec![v2::TimeSeries {
            labels_refs: vec![1, u32::MAX],
            ..v2::TimeSeries::default()
        }],
    };
    let headers = [(
        "content-type",
        "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    )];
    let address = house.address(Protocol::RemoteWrite);
    let answer = send(
        address,
        false,
        "/write",
        &headers,
        block(&request.encode_to_vec()),
    )
    .await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.text(),
        "time series 0, byte 10: reference 4294967295 is outside of the 2 symbols"
    );
    assert_eq!(house.refused("malformed"), 6);
}

/// Sends pieces with pauses until the listener hangs up or answers; returns what it said.
async fn dribble(address: SocketAddr, head: &[u8], piece: &[u8], pause: Duration) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head).await.unwrap();
    let mut said = Vec::new();
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < Duration::from_secs(10), "never cut off");
        let mut buffer = [0; 4096];
        match tokio::time::timeout(pause, stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return String::from_utf8_lossy(&said).into_owned(),
            Ok(Ok(len)) => said.extend_from_slice(&buffer[..len]),
            Err(_) => {
                if stream.write_all(piece).await.is_err() {
                    return String::from_utf8_lossy(&said).into_owned();
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_senders_are_cut_off_and_others_served_meanwhile() {
    let house = house().await;
    let address = house.address(Protocol::RemoteWrite);
    let pause = Duration::from_millis(50);
    let begun = Instant::now();
    let http1 = b"POST /write HTTP/1.1\r\nhost: x\r\n";
    let body = b"POST /write HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n";
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // A frame header of HEADERS without its end, whose block goes on and on.
    let http2 = [
        &preface[..],
        &[0, 0, 0, 4, 0, 0, 0, 0, 0],
        &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82],
    ]
    .concat();
    let silent = dribble(address, b"", b"", pause);
    let undecided = dribble(address, b"P", b"", pause);
    let endless_head = dribble(address, http1, b"x: y\r\n", pause);
    let endless_head_2 = dribble(address, &http2, &[0, 0, 1, 9, 0, 0, 0, 0, 1, 0x84], pause);
    let slow_body = dribble(address, body, b"x", pause);
    let honest = async {
        for _ in 0..5 {
            others_are_served(&house).await;
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    };
    let (silent, undecided, head, head_2, slow, ()) = tokio::join!(
        silent,
        undecided,
        endless_head,
        endless_head_2,
        slow_body,
        honest
    );
    assert_eq!(
        (silent.as_str(), undecided.as_str(), head.as_str()),
        ("", "", "")
    );
    assert!(!head_2.contains("HTTP/1.1"));
    assert!(slow.starts_with("HTTP/1.1 408 "), "{slow}");
    assert!(
        slow.ends_with("body did not arrive within 600ms\n"),
        "{slow}"
    );
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert_eq!(house.refused("body"), 1);
    house.is_quiet().await;

    // A head too large for its buffer.
    let answer = dribble(address, http1, &[b'x'; 30_000], Duration::from_millis(5)).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
    others_are_served(&house).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sender_s_connections_and_memory_are_not_all_there_is() {
    let house = house().await;
    let address = house.address(Protocol::RemoteWrite);
    // As many bodies as it can hold open, each nearly there.
    let mut streams = Vec::new();
    for _ in 0..30 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = b"POST /write HTTP/1.1\r\nhost: x\r\ncontent-length: 4000000\r\n\r\n";
        stream.write_all(head).await.unwrap();
        streams.push(stream);
    }
    for stream in &mut streams {
        let _ = stream.write_all(&vec![0; 2 << 20]).await;
    }
    // Connections: one more is hung up on.
    let mut more = TcpStream::connect(address).await.unwrap();
    let mut nothing = Vec::new();
    let _ = more.read_to_end(&mut nothing).await;
    assert!(nothing.is_empty());
    // Memory: 30 times 2 MiB is more than one sender gets, so some were told to come again.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let held = house.receiver.budget().used_bytes();
    assert!(held <= 32 << 20, "{held}");
    assert!(
        house.refused("overload") >= 10,
        "{}",
        house.refused("overload")
    );
    // Another address has its own share.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(address).await.unwrap();
    let good = block(&write_request(&[("__name__", "up")]).encode_to_vec());
    let head = format!(
        "POST /write HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        good.len()
    );
    other.write_all(head.as_bytes()).await.unwrap();
    other.write_all(&good).await.unwrap();
    let mut said = String::new();
    other.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 204 "), "{said}");
    drop(streams);
    house.is_quiet().await;
    others_are_served(&house).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_stops_ends_requests_under_way_and_no_later_than_its_grace() {
    let house = house().await;
    let address = house.address(Protocol::RemoteWrite);
    let good = block(&write_request(&[("__name__", "up")]).encode_to_vec());
    let mut under_way = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /write HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        good.len()
    );
    under_way.write_all(head.as_bytes()).await.unwrap();
    let mut stuck = TcpStream::connect(address).await.unwrap();
    stuck.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    house.stop.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(TcpStream::connect(address).await.is_err());
    under_way.write_all(&good).await.unwrap();
    let mut said = String::new();
    under_way.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 204 "), "{said}");
    assert_eq!(house.sink.take().len(), 1);
    let begun = Instant::now();
    for task in house.tasks {
        task.await.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(1));
    let _ = stuck.read_to_end(&mut Vec::new()).await;
    assert_eq!(house.receiver.budget().open_connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_refused_requests_leaves_nothing_behind() {
    let house = house().await;
    let mut bytes = Vec::new();
    put_varint(&mut bytes, 7 << 20);
    bytes.resize(1 << 20, 0x55);
    let storm = (0..8).map(|_| async {
        for _ in 0..20 {
            let answer = write(&house, bytes.clone()).await;
            assert!(matches!(answer.status.as_u16(), 400 | 503), "{answer:?}");
        }
    });
    futures_util::future::join_all(storm).await;
    house.is_quiet().await;
    others_are_served(&house).await;
}
