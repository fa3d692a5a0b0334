//! Who can be reached, and whether our own ports are free.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::{Duration, SystemTime};

use http::Uri;

use super::Finding;
use crate::config::{Config, Jaeger};

const TIMEOUT: Duration = Duration::from_secs(3);
/// A receiver's clock and ours may differ by so much without harm.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);
const MOST_ANSWER_BYTES: u64 = 64 << 10;

pub(super) fn look(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let bus = &config.bus;
    let urls = [&bus.metrics, &bus.logs, &bus.traces, &bus.otlp_metrics];
    if urls.iter().all(|urls| urls.is_empty()) {
        findings.push(Finding::ok("bus", "none configured: the local bus"));
    }
    for url in urls.into_iter().flatten() {
        findings.push(receiver(
            "bus",
            url,
            "data waits in the spool until it answers",
        ));
    }
    for url in config.cluster.iter().flat_map(|cluster| &cluster.etcd) {
        findings.push(receiver(
            "etcd",
            url,
            "the node stands alone until it answers",
        ));
    }
    findings.extend(ports(config));
    findings
}

fn receiver(topic: &'static str, url: &str, consequence: &str) -> Finding {
    match ask(url) {
        Ok(None) => Finding::ok(topic, format!("{url} can be reached")),
        Ok(Some(skew)) if skew <= CLOCK_TOLERANCE => {
            Finding::ok(topic, format!("{url} answers, and has our time"))
        }
        Ok(Some(skew)) => Finding::warn(
            topic,
            format!("{url} answers, with a clock {} s from ours", skew.as_secs()),
            "receivers drop samples from the past and the future; set the clocks",
        ),
        Err(error) => Finding::warn(topic, format!("{url}: {error}"), consequence),
    }
}

/// Connects, and over plain HTTP asks for the time: the difference to ours.
fn ask(url: &str) -> std::io::Result<Option<Duration>> {
    let invalid = || std::io::Error::new(ErrorKind::InvalidInput, "not a URL");
    let uri: Uri = url.parse().map_err(|_| invalid())?;
    let host = uri.host().ok_or_else(invalid)?;
    let scheme = uri.scheme_str().unwrap_or("");
    let port = uri.port_u16().unwrap_or(match scheme {
        "http" => 80,
        "https" => 443,
        _ => 4317,
    });
    let mut last = std::io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in (host.trim_matches(['[', ']']), port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) if scheme == "http" => return Ok(skew(stream, &uri)),
            Ok(_) => return Ok(None),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// How far the `Date` of an answer is from our clock, if there is one.
fn skew(mut stream: TcpStream, uri: &Uri) -> Option<Duration> {
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    stream.set_write_timeout(Some(TIMEOUT)).ok()?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority()?;
    let request = format!("HEAD {path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    // A peer that keeps the connection open ends the reading by the timeout.
    stream.take(MOST_ANSWER_BYTES).read_to_end(&mut answer).ok();
    let theirs = String::from_utf8_lossy(&answer)
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("date"))
        .and_then(|(_, value)| httpdate::parse_http_date(value.trim()).ok())?;
    let ours = SystemTime::now();
    let apart = ours.duration_since(theirs);
    Some(apart.unwrap_or_else(|ahead| ahead.duration()))
}

fn ports(config: &Config) -> Vec<Finding> {
    let receive = &config.receive;
    let tcp = [
        ("api.listen", Some(config.api.listen)),
        ("receive.remote_write", receive.remote_write),
        ("receive.otlp_http", receive.otlp_http),
        ("receive.otlp_grpc", receive.otlp_grpc),
        ("receive.jaeger.http", receive.jaeger.http),
        ("receive.jaeger.grpc", receive.jaeger.grpc),
        ("receive.jaeger.sampling", receive.jaeger.sampling),
    ];
    let udp = [
        ("receive.jaeger.compact", receive.jaeger.compact),
        ("receive.jaeger.binary", receive.jaeger.binary),
    ];
    let bind_tcp = |address| TcpListener::bind(address).map(drop);
    let bind_udp = |address| UdpSocket::bind(address).map(drop);
    let mut taken = Vec::new();
    let mut free = Vec::new();
    for (listeners, bind) in [
        (
            &tcp[..],
            &bind_tcp as &dyn Fn(SocketAddr) -> std::io::Result<()>,
        ),
        (&udp[..], &bind_udp),
    ] {
        for &(key, address) in listeners {
            let Some(address) = address else { continue };
            match bind(address) {
                Ok(()) => free.push(address.to_string()),
                Err(error) => taken.push((key, address, error)),
            }
        }
    }
    if taken.is_empty() {
        return vec![Finding::ok("ports", format!("free: {}", free.join(", ")))];
    }
    if taken.iter().any(|(key, ..)| *key == "api.listen") && is_agent(config.api.listen) {
        let found = format!(
            "an agent is running already, its API at {}",
            config.api.listen
        );
        return vec![Finding::ok("ports", found)];
    }
    taken
        .into_iter()
        .map(|(key, address, error)| {
            if error.kind() == ErrorKind::AddrInUse && is_standard_jaeger(address, key) {
                let found = format!("{key} = {address}: {error}");
                let advice = format!(
                    "the agent leaves it to the program that listens there; stop that one, or set {key} = false"
                );
                return Finding::warn("ports", found, advice);
            }
            let advice = match error.kind() {
                ErrorKind::AddrInUse => format!(
                    "the agent does not start: stop the program that listens there, or change {key}"
                ),
                _ => format!("the agent does not start: change {key}"),
            };
            Finding::fail("ports", format!("{key} = {address}: {error}"), advice)
        })
        .collect()
}

/// Whether nobody asked for the listener: the agent starts without it.
fn is_standard_jaeger(address: SocketAddr, key: &str) -> bool {
    let Jaeger {
        compact,
        binary,
        http,
        grpc,
        sampling,
    } = Jaeger::standard();
    let standard = [compact, binary, http, grpc, sampling].contains(&Some(address));
    standard && key.starts_with("receive.jaeger.")
}

/// Whether what listens there answers like this program. Over TLS it cannot be told.
fn is_agent(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.take(MOST_ANSWER_BYTES).read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.contains("\"rooms\""))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::thread;

    use super::super::Level;
    use super::{ports, receiver};
    use crate::config::{Config, Jaeger};

    /// Answers one request with this `Date`.
    fn server(date: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).unwrap() > 0);
            let answer = format!("HTTP/1.0 405 Method Not Allowed\r\nDate: {date}\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn a_receiver_with_another_time_is_a_warning() {
        let url = format!("http://{}/write", server("Thu, 01 Jan 2015 00:00:00 GMT"));
        let finding = receiver("bus", &url, "");
        assert_eq!(finding.level, Level::Warn);
        assert!(finding.found.contains("with a clock"), "{finding:?}");
    }

    #[test]
    fn a_receiver_that_is_away_is_a_warning_with_its_consequence() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", port.local_addr().unwrap());
        drop(port);
        let finding = receiver("bus", &url, "data waits");
        assert_eq!(
            (finding.level, &*finding.advice),
            (Level::Warn, "data waits")
        );
    }

    #[test]
    fn a_port_that_somebody_else_has_fails() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = Config::default();
        config.api.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.receive.otlp_http = None;
        config.receive.otlp_grpc = None;
        config.receive.jaeger = Jaeger::default();
        config.receive.remote_write = Some(other.local_addr().unwrap());
        let findings = ports(&config);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].level, Level::Fail);
        assert!(findings[0].found.starts_with("receive.remote_write = "));
        assert!(findings[0].advice.contains("change receive.remote_write"));
    }
}
