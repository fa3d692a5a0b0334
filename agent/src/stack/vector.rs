//! Vector's configuration: what guidon keeps in it, and how it gets there.
//!
//! The file may be somebody's: guidon owns the components whose names begin with `guidon_` and, in
//! those, the keys it sets; everything else stays as it is, to the byte.
//!
//! | component | does |
//! |---|---|
//! | source `guidon_containers` | `docker_logs`, one for all containers |
//! | source `guidon_files` | `file`, one for the files of all log targets |
//! | transforms `guidon_container_records`, `guidon_file_records` | each event becomes an OTLP record under its guid |
//! | sinks `guidon_logs`, `guidon_logs_2` … | `http`, one for each place that logs go to |
//!
//! A component for each app would stall Vector with thousands of them, and each new app would be a
//! reload. So a new app changes nothing here: the transform takes the guid from the labels that the
//! agent gives its containers. A log target is one line among the patterns of `guidon_files` and one
//! in its transform; both components are always there.
//!
//! # Versions
//! For Vector 0.28 to 0.58, by the option files and sources of these versions at
//! vectordotdev/vector. Where they differ:
//! - The `otlp` codec of the `opentelemetry` sink came with 0.51. The `http` sink writes OTLP's JSON
//!   form in all of them: `payload_prefix` and `payload_suffix`, from 0.28, wrap the array of a batch
//!   into one request. Acknowledgements and disk buffers are the same in all.
//! - Up to 0.56 `$NAME` and `${NAME}` anywhere in the file are replaced from the environment, and
//!   `$$` is `$`; from 0.57 they are plain text. No way to write a `$` means the same in both but
//!   TOML's own `\u0024`, which is what guidon writes. `SECRET[…]` is replaced in all of them and is
//!   written by the same means.
//! - `vector validate --no-environment` compiles VRL from 0.57 only. `--skip-healthchecks` builds the
//!   components in all of them, in a folder of its own below `data_dir` beside a running Vector, and
//!   asks nobody over the network for what guidon writes.
//! - From 0.55 `api` has no `graphql` and `playground`; `GET /health` is the same in all.
//!
//! Both sources are told to lay their events out as the transforms expect (`log_namespace`), whatever
//! the file says for others.
//!
//! `docker_logs` has no acknowledgements: what containers write while Vector does not run is not
//! read later. The agent's own tailer loses nothing there.

mod document;
mod pattern;
mod program;

use std::path::PathBuf;

use toml_edit::{Array, InlineTable, Value};

pub use document::{EditError, edit};

use crate::receive::logs::FileTarget;

/// A disk buffer must hold two of Vector's files of 128 MiB; twice that outlasts a restart of the
/// agent, whose spool is the buffer for anything longer.
const BUFFER_BYTES: i64 = 2 * 268_435_488;
/// Events in a request, and their bytes before encoding: well below what the agent's receiver takes.
const BATCH_EVENTS: i64 = 1000;
const BATCH_BYTES: i64 = 2 << 20;
/// What the names of a managed Vector's container begin with: it does not read what it prints.
const OWN_NAME: &str = "guidon-vector-";
/// The longest line, as for the agent's own tailer.
const LINE_BYTES: i64 = 1 << 20;

/// What Vector's file has to say.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorConfig {
    /// Where Vector keeps positions and buffers, unless the file says so already.
    pub state: PathBuf,
    /// Docker's socket as Vector sees it.
    pub docker: PathBuf,
    /// Whose containers are this agent's apps; see [`crate::directory::docker::Owner`].
    pub owner: String,
    /// Where logs go: OTLP over HTTP.
    pub logs: Vec<LogSink>,
    /// Files that are followed for apps.
    pub targets: Vec<FileTarget>,
    /// Where Vector's health can be asked for, unless the file says so already.
    pub api: std::net::SocketAddr,
}

/// A place that logs go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSink {
    /// E.g. `http://127.0.0.1:4318/v1/logs`.
    pub url: String,
    /// Headers of each request.
    pub headers: Vec<(String, String)>,
}

/// A component: its section, its name, and its keys.
struct Component {
    section: &'static str,
    name: String,
    keys: Vec<(&'static str, Value)>,
}

impl VectorConfig {
    fn components(&self) -> Vec<Component> {
        let component = |section, name: &str, keys| Component {
            section,
            name: name.to_owned(),
            keys,
        };
        let remap = |name, input, program: &str| {
            let keys = vec![
                ("type", text("remap")),
                ("inputs", Value::Array([input].into_iter().collect())),
                ("source", document::program(program)),
            ];
            component("transforms", name, keys)
        };
        let docker = format!("unix://{}", self.docker.display());
        let mut components = vec![
            component(
                "sources",
                "guidon_containers",
                vec![
                    ("type", text("docker_logs")),
                    ("docker_host", text(&docker)),
                    ("log_namespace", false.into()),
                    // In the host's network it does not know itself.
                    (
                        "exclude_containers",
                        Value::Array([OWN_NAME].into_iter().collect()),
                    ),
                ],
            ),
            component(
                "sources",
                "guidon_files",
                vec![
                    ("type", text("file")),
                    ("include", self.include()),
                    ("log_namespace", false.into()),
                    ("read_from", text("beginning")),
                    ("max_line_bytes", LINE_BYTES.into()),
                    // Files of different apps may begin with the same line.
                    (
                        "fingerprint",
                        table([("strategy", text("device_and_inode"))]),
                    ),
                ],
            ),
            remap(
                "guidon_container_records",
                "guidon_containers",
                &program::of_containers(&self.owner),
            ),
            remap(
                "guidon_file_records",
                "guidon_files",
                &program::of_files(&self.targets),
            ),
        ];
        for (index, sink) in self.logs.iter().enumerate() {
            let name = match index {
                0 => "guidon_logs".to_owned(),
                _ => format!("guidon_logs_{}", index + 1),
            };
            components.push(component("sinks", &name, sink.keys()));
        }
        components
    }

    /// Vector takes no empty list, so there is always a file that is never there.
    fn include(&self) -> Value {
        let nothing = self.state.join("no-log-target").display().to_string();
        let files = self.targets.iter().flat_map(|target| &target.files);
        let mut include = Array::new();
        for file in std::iter::once(&nothing).chain(files) {
            let mut file = text(file);
            file.decor_mut().set_prefix("\n  ");
            include.push_formatted(file);
        }
        include.set_trailing("\n");
        include.set_trailing_comma(true);
        Value::Array(include)
    }
}

impl LogSink {
    fn keys(&self) -> Vec<(&'static str, Value)> {
        let inputs = ["guidon_container_records", "guidon_file_records"];
        let batch = [
            ("max_events", BATCH_EVENTS.into()),
            ("max_bytes", BATCH_BYTES.into()),
            ("timeout_secs", 1.into()),
        ];
        let mut keys = vec![
            ("type", text("http")),
            ("inputs", Value::Array(inputs.into_iter().collect())),
            ("uri", text(&self.url)),
            ("method", text("post")),
            ("compression", text("gzip")),
            ("payload_prefix", text("{\"resourceLogs\":")),
            ("payload_suffix", text("}")),
            ("encoding", table([("codec", text("json"))])),
            ("batch", table(batch)),
            ("acknowledgements", table([("enabled", true.into())])),
            // It would ask for the path that only takes POST.
            ("healthcheck", table([("enabled", false.into())])),
            (
                "buffer",
                table([("type", text("disk")), ("max_size", BUFFER_BYTES.into())]),
            ),
        ];
        if !self.headers.is_empty() {
            let headers = self.headers.iter();
            let headers = headers.map(|(name, value)| (name.as_str(), text(value)));
            keys.push(("request", table([("headers", table(headers))])));
        }
        keys
    }
}

fn text(text: &str) -> Value {
    document::string(text)
}

fn table<'k>(pairs: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
    Value::InlineTable(pairs.into_iter().collect::<InlineTable>())
}

#[cfg(test)]
mod tests;
