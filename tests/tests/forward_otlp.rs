//! OTLP out, over HTTP and gRPC.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::io::Read;
use std::time::Duration;

use guidon::config::{Bus, Durability};
use guidon::forward::{Forward, Inlet, Options, Order, Stage};
use guidon_tests::forward::sink::{Deed, Sink};
use guidon_tests::forward::{dropped, expect_books, frames, options};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceResponse,
};
use prost::Message;
use tokio::runtime::Handle;

fn logs_to(dir: &tempfile::TempDir, url: String) -> Options {
    let mut options = options(dir.path(), &[], Durability::Spool);
    options.bus = Bus {
        logs: vec![url],
        ..Bus::default()
    };
    options
}

async fn feed_logs(inlet: &Inlet, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let frame = frames::log("app", &number.to_string()).unwrap();
        inlet.accept(frame, Stage::Received).await.unwrap();
    }
}

fn texts(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn http_requests_hold_many_frames_and_can_be_gzipped() {
    for gzip in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let sink = Sink::start().await.unwrap();
        sink.kept(|kept| kept.keep_requests = true);
        let mut options = logs_to(&dir, sink.url(""));
        options.tuning.otlp_gzip = gzip;
        let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
        feed_logs(&inlet, 0..300).await;
        expect_books(&forward, 300, 0).await;
        let requests = sink.kept(|kept| std::mem::take(&mut kept.requests));
        assert!(requests.len() < 300);
        let mut seen = Vec::new();
        for request in requests {
            assert_eq!(request.path, "/v1/logs");
            assert_eq!(
                request.headers.get("content-type").unwrap(),
                "application/x-protobuf"
            );
            let mut body = request.body.to_vec();
            if gzip {
                assert_eq!(request.headers.get("content-encoding").unwrap(), "gzip");
                let mut raw = Vec::new();
                flate2::read::GzDecoder::new(&*body)
                    .read_to_end(&mut raw)
                    .unwrap();
                body = raw;
            }
            seen.extend(frames::log_texts(&body).unwrap());
        }
        assert_eq!(seen, texts(0..300));
        forward.shutdown(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_rejects_of_a_request_is_counted_and_not_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start().await.unwrap();
    sink.judge(|_| {
        let response = ExportLogsServiceResponse {
            partial_success: Some(ExportLogsPartialSuccess {
                rejected_log_records: 1,
                error_message: "too old".to_owned(),
            }),
        };
        Deed::TakeSaying(response.encode_to_vec())
    });
    let (forward, inlet) =
        Forward::start(logs_to(&dir, sink.url("/v1/logs")), Handle::current()).unwrap();
    feed_logs(&inlet, 0..100).await;
    let audits = guidon_tests::forward::settled(&forward).await;
    let requests = sink.kept(|kept| kept.asked);
    assert_eq!(dropped(&forward, "partial"), requests);
    let sent: u64 = audits.iter().map(|audit| audit.sent).sum();
    assert_eq!(sent, 100 - requests);
    let rows = forward.ledger().records();
    assert!(
        rows.iter()
            .any(|row| row.reason == "partial" && row.guid == "app")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_breaks_the_receiver_is_given_up_alone_when_patience_ends() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start().await.unwrap();
    sink.kept(|kept| kept.keep_requests = true);
    sink.judge(|seen| match frames::log_texts(&seen.body).unwrap() {
        texts if texts.contains(&"13".to_owned()) => Deed::Say(500, vec![], "boom".to_owned()),
        _ => Deed::Take,
    });
    let mut options = logs_to(&dir, sink.url("/v1/logs"));
    options.tuning.patience = Duration::from_millis(200);
    let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
    feed_logs(&inlet, 0..64).await;
    expect_books(&forward, 63, 1).await;
    assert_eq!(dropped(&forward, "refused_5xx"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_is_spoken_with_its_own_retry_rules() {
    for gzip in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let sink = Sink::start().await.unwrap();
        sink.kept(|kept| kept.keep_requests = true);
        let mut count = 0;
        sink.judge(move |seen| {
            count += 1;
            let texts = frames::grpc_log_texts(&seen.body).unwrap();
            match count {
                1 => Deed::Grpc(14, "unavailable", Vec::new()),
                2 => Deed::Break { kept: false },
                _ if texts.contains(&"7".to_owned()) => Deed::Grpc(3, "bad%20record", Vec::new()),
                _ => Deed::Grpc(0, "", ExportLogsServiceResponse::default().encode_to_vec()),
            }
        });
        let mut options = logs_to(&dir, sink.url("").replace("http", "grpc"));
        options.tuning.otlp_gzip = gzip;
        let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
        feed_logs(&inlet, 0..50).await;
        expect_books(&forward, 49, 1).await;
        assert_eq!(dropped(&forward, "refused_grpc"), 1);
        let requests = sink.kept(|kept| std::mem::take(&mut kept.requests));
        let mut seen = Vec::new();
        for request in requests {
            assert_eq!(
                request.path,
                "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
            );
            assert_eq!(request.headers.get("te").unwrap(), "trailers");
            seen.extend(frames::grpc_log_texts(&request.body).unwrap());
        }
        let mut expected = texts(0..50);
        expected.remove(7);
        assert_eq!(seen, expected);
        let status = forward.destinations();
        let logs = status
            .iter()
            .find(|status| status.destination.starts_with("grpc"))
            .unwrap();
        assert_eq!(logs.last_refusal.as_deref(), Some("grpc 3 bad record"));
        forward.shutdown(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_fresh_data_overtakes_the_backlog_and_nothing_is_sent_twice() {
    for order in [Order::FreshFirst, Order::Strict] {
        let dir = tempfile::tempdir().unwrap();
        let mut sink = Sink::start().await.unwrap();
        sink.kept(|kept| kept.keep_requests = true);
        let mut options = logs_to(&dir, sink.url("/v1/logs"));
        options.tuning.otlp_order = order;
        options.tuning.lane_bytes = 1 << 10;
        options.tuning.max_records = 20;
        options.tuning.backoff_min = Duration::from_millis(100);
        options.tuning.backoff_max = Duration::from_millis(100);
        let (forward, inlet) = Forward::start(options, Handle::current()).unwrap();
        sink.close().await;
        feed_logs(&inlet, 0..3000).await;
        sink.judge(|_| {
            // Slow enough that fresh data comes while the backlog drains.
            std::thread::sleep(Duration::from_millis(2));
            Deed::Take
        });
        sink.open().await.unwrap();
        sink.wait_until(Duration::from_secs(5), |kept| kept.requests.len() > 5)
            .await
            .unwrap();
        feed_logs(&inlet, 3000..3200).await;
        expect_books(&forward, 3200, 0).await;
        let requests = sink.kept(|kept| std::mem::take(&mut kept.requests));
        let seen: Vec<String> = requests
            .iter()
            .flat_map(|request| frames::log_texts(&request.body).unwrap())
            .collect();
        let distinct: BTreeSet<&String> = seen.iter().collect();
        assert_eq!(distinct.len(), 3200);
        assert_eq!(seen.len(), 3200, "{order:?}");
        match order {
            Order::Strict => assert_eq!(seen, texts(0..3200)),
            Order::FreshFirst => {
                let place = |text: &str| seen.iter().position(|seen| seen == text).unwrap();
                assert!(
                    place("3000") < place("2999"),
                    "fresh data waited for the backlog"
                );
            }
        }
        forward.shutdown(Duration::from_secs(1)).await;
    }
}
