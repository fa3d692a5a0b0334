//! Real servers in processes of their own: VictoriaMetrics, Prometheus, and anything else.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use xtask::child::Running;
use xtask::dockerd::tail;
use xtask::http::{Request, Response, Server, send};
use xtask::run::find_program;

use crate::{Labels, eventually, free_port};

/// A server's program with a folder and an HTTP port of its own. Dropping it stops it.
#[derive(Debug)]
pub struct Program {
    folder: TempDir,
    address: String,
    process: Running,
}

impl Program {
    /// Starts a program from Debian and waits until `health` answers 2xx. `arguments` get the
    /// folder and the `host:port` to listen on.
    #[must_use]
    pub fn start(
        name: &str,
        health: &str,
        arguments: impl FnOnce(&Path, &str) -> Vec<String>,
    ) -> Self {
        let folder = tempfile::tempdir().expect("make a folder");
        let address = format!("127.0.0.1:{}", free_port());
        let program = find_program(name)
            .unwrap_or_else(|| panic!("{name} is missing: `cargo xtask setup test`"));
        let arguments = arguments(folder.path(), &address);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let log = folder.path().join("log");
        let process = Running::start(&program, &arguments, &log).expect("start the program");
        let mut started = Self {
            folder,
            address,
            process,
        };
        eventually(
            Duration::from_secs(30),
            &format!("{name} to answer"),
            || {
                if let Some(status) = started.process.ended().expect("ask for the program") {
                    panic!("{name} ended: {status}\n{}", tail(&log));
                }
                started.get(health).filter(|answer| answer.status < 300)
            },
        );
        started
    }

    /// `host:port` of its HTTP server.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// `GET` of a path; `None` if there is no answer.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Response> {
        send(
            &Server::Tcp(self.address.clone()),
            &Request::new("GET", path),
        )
        .ok()
    }
}

/// A time-series server that takes remote write and answers Prometheus queries.
#[derive(Debug)]
pub struct PrometheusServer {
    program: Program,
}

impl PrometheusServer {
    /// Debian's VictoriaMetrics.
    #[must_use]
    pub fn victoria_metrics() -> Self {
        let program = Program::start("victoria-metrics", "/health", |folder, address| {
            vec![
                format!("-storageDataPath={}", folder.join("data").display()),
                format!("-httpListenAddr={address}"),
                // Queries see fresh samples at once.
                "-search.latencyOffset=0s".to_owned(),
                "-search.disableCache".to_owned(),
                "-retentionPeriod=1d".to_owned(),
            ]
        });
        Self { program }
    }

    /// Debian's Prometheus as a receiver; `scrape` is its `scrape_configs` list, empty for none.
    #[must_use]
    pub fn prometheus(scrape: &str) -> Self {
        let program = Program::start("prometheus", "/-/ready", |folder, address| {
            let config = folder.join("prometheus.yml");
            let text = format!("global:\n  scrape_interval: 1s\nscrape_configs:\n{scrape}\n");
            std::fs::write(&config, text).expect("write prometheus.yml");
            vec![
                format!("--config.file={}", config.display()),
                format!("--storage.tsdb.path={}", folder.join("data").display()),
                format!("--web.listen-address={address}"),
                "--web.enable-remote-write-receiver".to_owned(),
            ]
        });
        Self { program }
    }

    /// What to put into `[bus] metrics`.
    #[must_use]
    pub fn write_url(&self) -> String {
        format!("http://{}/api/v1/write", self.program.address())
    }

    /// The process behind it.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// An instant query: labels and value of each series of the result.
    #[must_use]
    pub fn query(&self, promql: &str) -> Vec<(Labels, f64)> {
        let result = self.result(promql);
        let series = result.iter().map(|series| {
            let value = series["value"][1].as_str().expect("a value");
            (labels(series), value.parse().expect("a number"))
        });
        series.collect()
    }

    /// When the samples of a range selector with one series (`name{…}[5m]`) were taken, in seconds
    /// since 1970, oldest first.
    #[must_use]
    pub fn times(&self, range_selector: &str) -> Vec<f64> {
        let result = self.result(range_selector);
        assert_eq!(
            result.len(),
            1,
            "{range_selector} selects {} series",
            result.len()
        );
        let values = result[0]["values"].as_array().expect("samples");
        values
            .iter()
            .map(|sample| sample[0].as_f64().expect("a time"))
            .collect()
    }

    fn result(&self, promql: &str) -> Vec<Value> {
        let path = format!("/api/v1/query?query={}", percent_encoded(promql));
        let answer = self.program.get(&path).expect("an answer to a query");
        let answer = answer.json().expect("JSON");
        assert_eq!(answer["status"], "success", "{promql}: {answer}");
        answer["data"]["result"].as_array().expect("a list").clone()
    }

    /// Waits until a query has a result and returns it.
    pub fn wait_for(&self, promql: &str, timeout: Duration) -> Vec<(Labels, f64)> {
        eventually(timeout, promql, || {
            Some(self.query(promql)).filter(|result| !result.is_empty())
        })
    }
}

fn labels(series: &Value) -> Labels {
    let labels = series["metric"].as_object().expect("labels");
    labels
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap_or("").to_owned()))
        .collect()
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
