//! Jaeger's five doors, from the outside.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tonic::Code;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

use super::support::{House, get, send};
use crate::config::Guid;
use crate::forward::Refused;
use crate::receive::jaeger::tests::{body, datagram, sample};
use crate::receive::jaeger::{Protocol as Thrift, api_v2};
use crate::receive::{Audience, Limits, OtlpMetrics, Peers, Place, Protocol, Sender};
use crate::signal::{Frame, Tag};

const THRIFT: &str = "application/x-thrift";

/// Everybody is a process of the host, or elsewhere.
struct Outside(Place);

impl Peers for Outside {
    fn sender(&self, _peer: SocketAddr, _local: SocketAddr, _udp: bool) -> Sender {
        Sender {
            tag: Tag::new("the-host".parse().unwrap()),
            trusted: false,
            place: self.0,
        }
    }

    fn knows(&self, guid: &Guid) -> bool {
        guid.as_str() == "app-1"
    }
}

async fn outside(place: Place) -> House {
    let peers = Arc::new(Outside(place));
    House::with_peers(Limits::default(), OtlpMetrics::Forward, peers).await
}

/// Sends datagrams from one socket.
async fn throw(house: &House, protocol: Protocol, datagrams: &[Vec<u8>]) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for datagram in datagrams {
        socket
            .send_to(datagram, house.address(protocol))
            .await
            .unwrap();
    }
}

/// Frames, once they hold so many spans.
async fn spans(house: &House, count: u64) -> Vec<Frame> {
    let mut frames = Vec::new();
    for _ in 0..200 {
        frames.extend(house.sink.take());
        let spans: u64 = frames.iter().map(Frame::records).sum();
        if spans >= count {
            assert_eq!(spans, count);
            return frames;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} frames arrived", frames.len());
}

fn counts(frames: &[Frame]) -> Vec<(&str, u32)> {
    let counts = frames.iter().flat_map(|frame| &frame.counts);
    counts
        .map(|(guid, count)| (guid.as_str(), *count))
        .collect()
}

async fn refusals(house: &House, reason: &str, count: u64) {
    for _ in 0..200 {
        if house.refused(reason) >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(house.refused(reason), count, "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_of_both_protocols_become_one_apps_spans() {
    let house = House::open().await;
    for (protocol, thrift) in [
        (Protocol::JaegerCompact, Thrift::Compact),
        (Protocol::JaegerBinary, Thrift::Binary),
    ] {
        throw(&house, protocol, &vec![datagram(thrift, &sample()); 50]).await;
        let frames = spans(&house, 50).await;
        assert!(counts(&frames).iter().all(|(guid, _)| *guid == "app-1"));
        for frame in frames {
            let read = ExportTraceServiceRequest::decode(&frame.payload[..]).unwrap();
            assert_eq!(read.resource_spans.len() as u64, frame.records());
            assert_eq!(frame.raw_len as usize, frame.payload.len());
            let span = &read.resource_spans[0].scope_spans[0].spans[0];
            assert_eq!(span.name, "GET /");
        }
    }
    let snapshot = house.receiver.stats().snapshot();
    assert_eq!(
        snapshot.datagrams,
        [("jaeger_compact", 50), ("jaeger_binary", 50)]
    );
    house.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_and_oversize_datagrams_are_counted_and_the_next_one_is_taken() {
    let house = House::open().await;
    let good = datagram(Thrift::Compact, &sample());
    let mut oversize = good.clone();
    oversize.resize(65_200, 0);
    let truncated = good[..good.len() / 2].to_vec();
    let foreign = datagram(Thrift::Binary, &sample());
    let datagrams = [oversize, truncated, foreign, Vec::new(), good];
    throw(&house, Protocol::JaegerCompact, &datagrams).await;
    spans(&house, 1).await;
    assert_eq!(house.refused("too_large"), 1);
    assert_eq!(house.refused("malformed"), 3);
    house.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_sink_holds_datagrams_back_and_what_is_lost_is_counted() {
    let house = House::open().await;
    let full = Refused::Full {
        what: "spool".to_owned(),
        retry_after: Duration::from_millis(300),
    };
    house.sink.refuse(Some(full.clone()));
    let one = vec![datagram(Thrift::Compact, &sample())];
    throw(&house, Protocol::JaegerCompact, &one).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    house.sink.refuse(None);
    spans(&house, 1).await;
    assert_eq!(house.refused("full"), 0);

    house.sink.refuse(Some(Refused::Closing));
    throw(&house, Protocol::JaegerCompact, &one).await;
    refusals(&house, "closing", 1).await;
    house.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_kernel_had_at_the_stop_is_handed_on() {
    let mut house = House::open().await;
    let datagrams = vec![datagram(Thrift::Compact, &sample()); 300];
    throw(&house, Protocol::JaegerCompact, &datagrams).await;
    house.stop.cancel();
    for task in house.tasks.drain(..) {
        task.await.unwrap();
    }
    spans(&house, 300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_posted_to_the_collector() {
    let limits = Limits {
        jaeger_bytes: 4 << 10,
        ..Limits::default()
    };
    let house = House::new(limits, OtlpMetrics::Forward).await;
    let address = house.address(Protocol::JaegerHttp);
    let path = "/api/traces?format=jaeger.thrift";
    let batch = body(&sample());
    for content_type in [THRIFT, "application/vnd.apache.thrift.binary; charset=x"] {
        let headers = [("content-type", content_type)];
        let answer = send(address, false, path, &headers, batch.clone()).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        assert_eq!(counts(&spans(&house, 1).await), [("app-1", 1)]);
    }
    for (path, content_type, body, status) in [
        ("/api/traces", "application/json", batch.clone(), 415),
        ("/api/spans", THRIFT, batch.clone(), 404),
        ("/api/traces", THRIFT, batch[1..].to_vec(), 400),
        ("/api/traces", THRIFT, vec![0; 5 << 10], 413),
    ] {
        let headers = [("content-type", content_type)];
        let answer = send(address, false, path, &headers, body).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(!answer.text().is_empty());
    }
    house.sink.refuse(Some(Refused::Closing));
    let answer = send(address, false, path, &[("content-type", THRIFT)], batch).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    house.is_quiet().await;
}

async fn post_spans(
    house: &House,
    path: &'static str,
    request: api_v2::PostSpansRequest,
) -> Result<(), tonic::Status> {
    call(house, Protocol::JaegerGrpc, path, request).await
}

/// A unary call with an empty answer.
async fn call<M: prost::Message + Send + Sync + 'static>(
    house: &House,
    protocol: Protocol,
    path: &'static str,
    request: M,
) -> Result<(), tonic::Status> {
    let address = house.address(protocol);
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    let mut client = tonic::client::Grpc::new(channel.connect().await.unwrap());
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<M, ()>::default();
    let path = PathAndQuery::from_static(path);
    let response = client.unary(tonic::Request::new(request), path, codec);
    response.await.map(|_| ())
}

fn api_v2_request(trace_id: Vec<u8>) -> api_v2::PostSpansRequest {
    let span = |service: Option<&str>| api_v2::Span {
        trace_id: trace_id.clone(),
        span_id: vec![2; 8],
        process: service.map(|name| api_v2::Process {
            service_name: name.to_owned(),
            tags: Vec::new(),
        }),
        ..Default::default()
    };
    api_v2::PostSpansRequest {
        batch: Some(api_v2::Batch {
            spans: vec![span(None), span(Some("b")), span(None)],
            process: Some(api_v2::Process {
                service_name: "a".to_owned(),
                tags: Vec::new(),
            }),
        }),
    }
}

/// `jaeger.storage.v1.WriteSpanRequest`.
#[derive(Clone, PartialEq, prost::Message)]
struct WriteSpanRequest {
    #[prost(message, optional, tag = "1")]
    span: Option<api_v2::Span>,
}

/// A trusted sender, as a managed collector is.
struct Trusted;

impl Peers for Trusted {
    fn sender(&self, _peer: SocketAddr, _local: SocketAddr, _udp: bool) -> Sender {
        Sender {
            tag: Tag::new("the-host".parse().unwrap()),
            trusted: true,
            place: Place::Host,
        }
    }

    fn knows(&self, guid: &Guid) -> bool {
        ["app-1", "the-host"].contains(&guid.as_str())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_v1_collector_writes_to_the_agent_as_to_its_storage() {
    const WRITE: &str = "/jaeger.storage.v1.SpanWriterPlugin/WriteSpan";
    const CAPABILITIES: &str = "/jaeger.storage.v1.PluginCapabilities/Capabilities";
    // As a collector writes what came through a tagged agent: its tag is behind the client's.
    let request = |tags: &[(&str, &str)]| WriteSpanRequest {
        span: Some(api_v2::Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            operation_name: "GET /".to_owned(),
            process: Some(api_v2::Process {
                service_name: "shop".to_owned(),
                tags: tags
                    .iter()
                    .map(|&(key, value)| api_v2::KeyValue {
                        key: key.to_owned(),
                        v_str: value.to_owned(),
                        ..Default::default()
                    })
                    .collect(),
            }),
            ..Default::default()
        }),
    };
    let of_app = request(&[
        ("hostname", "app-1"),
        ("guid", "app-1"),
        ("guid", "the-host"),
    ]);
    let of_host = request(&[("hostname", "vm-7"), ("guid", "the-host")]);
    let trusted = House::with_peers(Limits::default(), OtlpMetrics::Forward, Arc::new(Trusted));
    for house in [trusted.await, outside(Place::Host).await] {
        for (request, guid) in [(of_app.clone(), "app-1"), (of_host.clone(), "the-host")] {
            call(&house, Protocol::OtlpGrpc, WRITE, request)
                .await
                .unwrap();
            let frames = spans(&house, 1).await;
            assert_eq!(counts(&frames), [(guid, 1)]);
            let read = ExportTraceServiceRequest::decode(&frames[0].payload[..]).unwrap();
            let attributes = &read.resource_spans[0].resource.as_ref().unwrap().attributes;
            let guids = attributes.iter().filter(|it| it.key == "guid").count();
            assert_eq!(guids, 1, "{attributes:?}");
            assert_eq!(read.resource_spans[0].scope_spans[0].spans[0].name, "GET /");
        }
        // It goes without what is not there.
        let refused = call(&house, Protocol::OtlpGrpc, CAPABILITIES, ()).await;
        assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
        let no_process = WriteSpanRequest {
            span: Some(api_v2::Span::default()),
        };
        let refused = call(&house, Protocol::OtlpGrpc, WRITE, no_process).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
        house.is_quiet().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_are_posted_over_grpc() {
    const POST: &str = "/jaeger.api_v2.CollectorService/PostSpans";
    let house = House::open().await;
    post_spans(&house, POST, api_v2_request(vec![1; 16]))
        .await
        .unwrap();
    let frames = spans(&house, 3).await;
    assert_eq!(counts(&frames), [("app-1", 3)]);
    let read = ExportTraceServiceRequest::decode(&frames[0].payload[..]).unwrap();
    assert_eq!(read.resource_spans.len(), 2, "one for each process");

    let elsewhere = "/jaeger.api_v2.QueryService/GetTrace";
    for (path, request, code) in [
        (POST, api_v2_request(Vec::new()), Code::InvalidArgument),
        (elsewhere, api_v2_request(vec![1; 16]), Code::Unimplemented),
    ] {
        let refused = post_spans(&house, path, request).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
    }
    let requests = house.receiver.stats().snapshot().requests;
    assert!(requests.contains(&("jaeger_grpc", "OK", 1)), "{requests:?}");
    house.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_nothing_but_empty_tags_is_refused_before_it_is_decoded() {
    let house = House::new(
        Limits {
            memory_bytes: 64 << 20,
            sender_memory_bytes: 64 << 20,
            ..Limits::default()
        },
        OtlpMetrics::Forward,
    )
    .await;
    let mut request = api_v2_request(vec![1; 16]);
    let batch = request.batch.as_mut().unwrap();
    batch.spans[0].tags = vec![api_v2::KeyValue::default(); 1_000_000];
    let path = "/jaeger.api_v2.CollectorService/PostSpans";
    let refused = post_spans(&house, path, request).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    house.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_told_to_keep_everything() {
    let house = House::open().await;
    let agent = house.address(Protocol::JaegerSampling);
    let collector = house.address(Protocol::JaegerHttp);
    for (address, path, kind) in [
        (agent, "/sampling?service=shop", r#""PROBABILISTIC""#),
        (agent, "/?service=shop", "0"),
        (
            collector,
            "/api/sampling?service=shop",
            r#""PROBABILISTIC""#,
        ),
    ] {
        let answer = get(address, path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let expected =
            format!(r#"{{"strategyType":{kind},"probabilisticSampling":{{"samplingRate":1.0}}}}"#);
        assert_eq!(answer.text(), expected);
    }
    assert_eq!(
        get(agent, "/baggageRestrictions?service=a").await.text(),
        "[]"
    );
    for (path, status) in [
        ("/sampling", 400),
        ("/sampling?service=", 400),
        ("/sampling?service=a&service=b", 400),
        ("/elsewhere?service=a", 404),
    ] {
        assert_eq!(get(agent, path).await.status, status, "{path}");
    }
    let posted = send(agent, false, "/sampling?service=a", &[], "").await;
    assert_eq!(posted.status, 405);
    assert_eq!(posted.header("allow"), Some("GET"));
}

/// `app-1` is known, and so is the sender's own `the-host`; others are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hostname_decides_for_processes_of_the_host_alone() {
    let mut unknown = sample();
    unknown.process.tags[0].value = crate::receive::jaeger::model::Value::String("app-9");
    let in_container = House::open().await;
    let (host, elsewhere) = (outside(Place::Host).await, outside(Place::Elsewhere).await);
    let mut forged = sample();
    forged.process.tags[0].value = crate::receive::jaeger::model::Value::String("app-2");
    for (house, batch, guid) in [
        (&host, &sample(), "app-1"),
        (&host, &unknown, "the-host"),
        (&elsewhere, &sample(), "the-host"),
        // It knows `app-2`, but is `app-1`.
        (&in_container, &forged, "app-1"),
    ] {
        let sent = vec![datagram(Thrift::Compact, batch)];
        throw(house, Protocol::JaegerCompact, &sent).await;
        assert_eq!(counts(&spans(house, 1).await), [(guid, 1)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_for_containers_lets_nobody_else_in() {
    for (place, is_admitted) in [
        (Place::Elsewhere, false),
        (Place::Container, true),
        (Place::Host, true),
    ] {
        let house = House::for_audience(
            Limits::default(),
            OtlpMetrics::Forward,
            Arc::new(Outside(place)),
            Audience::Node,
        )
        .await;
        let sent = vec![datagram(Thrift::Compact, &sample())];
        throw(&house, Protocol::JaegerCompact, &sent).await;
        let mut stream = TcpStream::connect(house.address(Protocol::JaegerSampling))
            .await
            .unwrap();
        let request = b"GET /sampling?service=a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        // It may be cut off with what it sent unread.
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!(
            answer.starts_with(b"HTTP/1.1 200"),
            is_admitted,
            "{place:?}"
        );
        if is_admitted {
            spans(&house, 1).await;
        } else {
            refusals(&house, "stranger", 2).await;
            assert!(house.sink.take().is_empty());
        }
    }
}
