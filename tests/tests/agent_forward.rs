//! The real agent under a steady load: killed, reloaded, stopped. What it acknowledged arrives.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use guidon_tests::forward::frames;
use guidon_tests::forward::sink::{Deed, Sink};
use guidon_tests::{Agent, free_port};
use rustix::process::Signal;
use xtask::http::{Request, Server, send};

const FEEDERS: [&str; 3] = ["a", "b", "c"];
const SERIES: usize = 20;
const SOON: Duration = Duration::from_secs(30);

/// An agent that believes its senders on loopback, and where it takes remote write.
fn start(bus: &str) -> (Agent, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let agent = Agent::start_with("guid = \"the-host\"", &sections(&address, bus));
    (agent, address)
}

fn sections(address: &str, bus: &str) -> String {
    format!(
        "[collect]\nkernel = false\ncontainers = false\nnode = false\n\n\
         [receive]\nremote_write = {address:?}\notlp_http = false\notlp_grpc = false\n\
         trusted = [\"127.0.0.0/8\"]\n\n[bus]\nmetrics = {bus}"
    )
}

/// Senders, each with series of its own, whose samples have the times 0, 1, 2 and so on.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Fed>>,
}

/// What became of a sender's requests.
struct Fed {
    feeder: &'static str,
    /// Times that were acknowledged.
    acknowledged: Vec<i64>,
    /// Requests without an answer, or another one.
    failed: u64,
}

impl Load {
    fn on(address: &str) -> Self {
        Self::paced(address, Duration::ZERO)
    }

    /// With a rest after each request.
    fn paced(address: &str, rest: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = FEEDERS.map(|feeder| {
            let (stop, server) = (Arc::clone(&stop), Server::Tcp(address.to_owned()));
            std::thread::spawn(move || {
                let mut fed = Fed {
                    feeder,
                    acknowledged: Vec::new(),
                    failed: 0,
                };
                for time in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    if post(&server, feeder, time) {
                        fed.acknowledged.push(time);
                        std::thread::sleep(rest);
                    } else {
                        fed.failed += 1;
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
                fed
            })
        });
        Self {
            stop,
            threads: threads.into(),
        }
    }

    fn end(self) -> Vec<Fed> {
        self.stop.store(true, Ordering::Relaxed);
        let threads = self.threads.into_iter();
        threads.map(|thread| thread.join().unwrap()).collect()
    }
}

/// Whether a request with a sample for each of the feeder's series was acknowledged.
fn post(server: &Server, feeder: &str, time: i64) -> bool {
    let frame = frames::metrics(feeder, SERIES, time).unwrap();
    let mut request = Request::new("POST", "/api/v1/write");
    request.headers = &[
        ("Content-Type", "application/x-protobuf"),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Write-Version", "0.1.0"),
    ];
    request.body = &frame.payload;
    send(server, &request).is_ok_and(|answer| answer.status < 300)
}

/// Records that the agent's present life sent, or may have sent, another time.
fn resent(agent: &Agent) -> usize {
    let text = agent.get("/metrics").text();
    let counters = text
        .lines()
        .filter(|line| line.starts_with("guidon_resent_records_total{"));
    let values = counters.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum::<f64>() as usize
}

/// Waits until all that was acknowledged has arrived, no new sample of a series behind a later one;
/// how many arrived again.
async fn all_arrive_in_order(sink: &Sink, fed: &[Fed]) -> usize {
    let newest = |fed: &Fed| fed.acknowledged.last().copied();
    let arrived = sink.wait_until(SOON, |kept| {
        fed.iter().all(|fed| {
            (0..SERIES).all(|series| {
                let seen = kept.series.get(&format!("{}/{series}", fed.feeder));
                newest(fed).is_none_or(|newest| seen.is_some_and(|seen| seen.contains(&newest)))
            })
        })
    });
    arrived.await.expect("the newest samples");
    let mut again = 0;
    sink.kept(|kept| {
        for fed in fed {
            for series in 0..SERIES {
                let name = format!("{}/{series}", fed.feeder);
                let mut first_seen: Vec<i64> = Vec::new();
                for time in &kept.series[&name] {
                    if first_seen.last().is_none_or(|last| time > last) {
                        first_seen.push(*time);
                    } else {
                        assert!(
                            first_seen.binary_search(time).is_ok(),
                            "{name}: {time} late"
                        );
                        again += 1;
                    }
                }
                let missing: Vec<&i64> = fed
                    .acknowledged
                    .iter()
                    .filter(|time| first_seen.binary_search(time).is_err())
                    .collect();
                assert_eq!(missing, Vec::<&i64>::new(), "of {name}");
            }
        }
    });
    again
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_kills_of_the_agent_lose_nothing_that_was_acknowledged() {
    const ROUNDS: usize = 10;
    let mut sink = Sink::start().await.unwrap();
    // Every tenth answer is late: the agent is often killed with a request on the line.
    let mut count = 0;
    sink.judge(move |_| {
        count += 1;
        if count % 10 == 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
        Deed::Take
    });
    let (mut agent, address) = start(&format!("{:?}", sink.url("/w")));
    let load = Load::on(&address);
    let mut counted = 0;
    for round in 0..ROUNDS {
        tokio::time::sleep(Duration::from_millis(rand::random_range(100..400))).await;
        let outage = round % 2 == 1;
        if outage {
            sink.close().await;
            tokio::time::sleep(Duration::from_millis(rand::random_range(50..300))).await;
        }
        counted += resent(&agent);
        agent.kill();
        agent.start();
        if outage {
            sink.open().await.unwrap();
        }
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let fed = load.end();
    let acknowledged: usize = fed.iter().map(|fed| fed.acknowledged.len()).sum();
    assert!(acknowledged > 300, "{acknowledged} requests are no load");
    let again = all_arrive_in_order(&sink, &fed).await;
    counted += resent(&agent);
    assert!(
        again <= counted,
        "{again} samples arrived again, {counted} were counted"
    );
    agent.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_without_the_receiver_loses_nothing_and_takes_no_memory() {
    let mut sink = Sink::start().await.unwrap();
    let (mut agent, address) = start(&format!("{:?}", sink.url("/w")));
    let load = Load::paced(&address, Duration::from_millis(5));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        kib.parse::<u64>().unwrap()
    };
    sink.close().await;
    // The lane in memory fills first; from then on the disk alone takes what comes.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let early = resident();
    tokio::time::sleep(Duration::from_secs(45)).await;
    let late = resident();
    assert!(
        late < early + (8 << 10),
        "{early} kB resident early in the outage, {late} kB late"
    );
    sink.open().await.unwrap();
    // What comes now is taken while the backlog goes out.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let fed = load.end();
    for fed in &fed {
        assert_eq!(fed.failed, 0, "requests of {}", fed.feeder);
        assert!(fed.acknowledged.len() > 2_000, "no load");
    }
    let (again, counted) = (all_arrive_in_order(&sink, &fed).await, resent(&agent));
    assert!(
        again <= counted,
        "{again} samples arrived again, {counted} were counted"
    );
    agent.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_of_the_agent_under_load_lose_nothing_and_touch_only_what_changed() {
    let (stays, comes) = (Sink::start().await.unwrap(), Sink::start().await.unwrap());
    let one = format!("[{:?}]", stays.url("/w"));
    let both = format!("[{:?}, {:?}]", stays.url("/w"), comes.url("/w"));
    let (mut agent, address) = start(&one);
    let config = std::fs::read_to_string(agent.config_path()).unwrap();
    let load = Load::on(&address);
    for round in 0..8 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let bus = if round % 2 == 0 { &both } else { &one };
        let changed = config.replace(&format!("metrics = {one}"), &format!("metrics = {bus}"));
        std::fs::write(agent.config_path(), changed).unwrap();
        if round % 4 < 2 {
            agent.signal(Signal::HUP);
        } else {
            let answer = agent.send(&Request::new("POST", "/api/v1/reload"));
            assert!(answer.status < 300, "{}", answer.text());
        }
    }
    tokio::time::sleep(Duration::from_millis(250)).await;
    let fed = load.end();
    for fed in &fed {
        assert_eq!(fed.failed, 0, "requests of {}", fed.feeder);
        assert!(fed.acknowledged.len() > 50, "no load");
    }
    // Not a single duplicate: neither the listener nor the sender that stays was touched.
    assert_eq!(all_arrive_in_order(&stays, &fed).await, 0);
    assert!(comes.kept(|kept| kept.samples) > 0);
    agent.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_of_the_agent_drains_and_leaves_the_rest_in_the_spool() {
    let sink = Sink::start().await.unwrap();
    let (mut agent, address) = start(&format!("{:?}", sink.url("/w")));
    let load = Load::on(&address);
    tokio::time::sleep(Duration::from_secs(1)).await;
    // While the load goes on: what is acknowledged until the end is sent before the end.
    agent.stop();
    let mut fed = load.end();
    let sent = sink.kept(|kept| kept.samples);
    assert_eq!(all_arrive_in_order(&sink, &fed).await, 0);
    assert_eq!(sink.kept(|kept| kept.samples), sent, "sent after the end");

    sink.judge(|_| Deed::Hang);
    agent.start();
    let server = Server::Tcp(address);
    for fed in &mut fed {
        let next = fed.acknowledged.last().unwrap() + 1_000_000;
        for time in next..next + 20 {
            assert!(post(&server, fed.feeder, time));
            fed.acknowledged.push(time);
        }
    }
    let begun = Instant::now();
    agent.stop();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    sink.judge(|_| Deed::Take);
    agent.start();
    all_arrive_in_order(&sink, &fed).await;
    agent.stop();
}
