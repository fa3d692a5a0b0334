//! OTLP over gRPC, from tonic's client.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message as _;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

use super::support::{House, gzip, send};
use crate::forward::Refused;
use crate::receive::{Limits, OtlpMetrics, Protocol};

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

async fn call(
    house: &House,
    path: &'static str,
    request: ExportTraceServiceRequest,
    compress: bool,
) -> Result<ExportTraceServiceResponse, tonic::Status> {
    let address = house.address(Protocol::OtlpGrpc);
    let channel = Channel::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut client = tonic::client::Grpc::new(channel);
    if compress {
        client = client
            .send_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Gzip);
    }
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::default();
    let path = PathAndQuery::from_static(path);
    let response = client
        .unary(tonic::Request::new(request), path, codec)
        .await?;
    Ok(response.into_inner())
}

fn traces() -> ExportTraceServiceRequest {
    serde_json::from_str(
        r#"{"resourceSpans":[{"scopeSpans":[{"spans":[
            {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"a"},
            {"name":"b"}]}]}]}"#,
    )
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_tagged_and_kept_plain_and_gzip() {
    let house = House::open().await;
    for compress in [false, true] {
        let response = call(&house, TRACES, traces(), compress).await.unwrap();
        assert_eq!(response.partial_success, None);
        let (raw, counts) = house.sink.only();
        assert_eq!(counts, [("app-1".to_owned(), 2)]);
        let read = ExportTraceServiceRequest::decode(&raw[..]).unwrap();
        assert_eq!(
            read.resource_spans[0].scope_spans,
            traces().resource_spans[0].scope_spans
        );
        let resource = read.resource_spans[0].resource.as_ref().unwrap();
        assert!(resource.attributes.iter().any(|pair| pair.key == "guid"));
    }
    // More than the runtime's other tasks would wait for.
    let mut many = traces();
    let spans = &mut many.resource_spans[0].scope_spans[0].spans;
    *spans = vec![spans.clone(); 20_000].concat();
    call(&house, TRACES, many, true).await.unwrap();
    assert_eq!(house.sink.only().1, [("app-1".to_owned(), 40_000)]);
    house.is_quiet().await;
    assert_eq!(
        house.receiver.stats().snapshot().requests,
        [("otlp_grpc", "OK", 3)]
    );
}

#[tokio::test]
async fn back_pressure_is_resource_exhausted_with_retry_info() {
    let house = House::open().await;
    house.sink.refuse(Some(Refused::Full {
        what: "lane 0".to_owned(),
        retry_after: Duration::from_secs(2),
    }));
    let status = call(&house, TRACES, traces(), false).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "overloaded: lane 0 is full");
    let retry_info = b"type.googleapis.com/google.rpc.RetryInfo\x12\x06\x0a\x04\x08\x02\x10\x00";
    assert!(
        status.details().ends_with(retry_info),
        "{:?}",
        status.details()
    );
    house.sink.refuse(Some(Refused::Closing));
    let status = call(&house, TRACES, traces(), false).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn what_is_no_export_call_is_refused_by_name() {
    let limits = Limits {
        decompressed_bytes: 10_000,
        ..Limits::default()
    };
    let house = House::new(limits, OtlpMetrics::Forward).await;
    let status = call(&house, "/x.Y/Export", traces(), false)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let mut large = traces();
    let spans = &mut large.resource_spans[0].scope_spans[0].spans;
    *spans = vec![spans.clone(); 1000].concat();
    let status = call(&house, TRACES, large, true).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(
        status.message(),
        "request after decompression is larger than 10000 bytes"
    );
    assert!(status.details().is_empty(), "no use in trying again");

    let address = house.address(Protocol::OtlpGrpc);
    let grpc = ("content-type", "application/grpc");
    for (headers, body, code, text) in [
        (
            &[("content-type", "application/json")][..],
            vec![],
            "12",
            "content type must be",
        ),
        (
            &[grpc, ("grpc-encoding", "zstd")],
            vec![],
            "12",
            "grpc-encoding must be gzip",
        ),
        (
            &[grpc],
            vec![0, 0],
            "3",
            "gRPC message frame: there is none",
        ),
        (
            &[grpc],
            vec![0, 0, 0, 0, 9, 1],
            "3",
            "gRPC message frame: ends early",
        ),
        (
            &[grpc],
            vec![0, 0, 0, 0, 0, 0, 0],
            "3",
            "gRPC message frame: is followed by another",
        ),
        (
            &[grpc],
            vec![7, 0, 0, 0, 0],
            "3",
            "gRPC message frame: flag is neither 0 nor 1",
        ),
        (
            &[grpc],
            vec![1, 0, 0, 0, 0],
            "3",
            "gRPC message frame: message is compressed, but",
        ),
        (
            &[grpc],
            vec![0, 0, 0, 0, 1, 0x0a],
            "3",
            "byte 1: ends in the middle of a field",
        ),
        (
            &[grpc, ("grpc-encoding", "gzip")],
            [&[1, 0, 0, 0, 20][..], &gzip(b"x")[..20]].concat(),
            "3",
            "gzip is corrupt: ",
        ),
    ] {
        let answer = send(address, true, TRACES, headers, body).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("grpc-status"), Some(code), "{text}");
        let message = answer.header("grpc-message").unwrap().replace("%20", " ");
        assert!(message.starts_with(text), "{message}");
        assert!(answer.trailers.is_empty());
    }
    assert!(house.sink.take().is_empty());
}
