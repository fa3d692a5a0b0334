//! Docker over its socket: the few calls that chores and tests need.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::http::{Request, Response, Server, send};

/// A Docker daemon.
#[derive(Debug, Clone)]
pub struct Docker {
    server: Server,
}

impl Docker {
    /// The daemon behind this socket; nothing is sent yet.
    #[must_use]
    pub fn at(socket: &Path) -> Self {
        Self {
            server: Server::Unix(socket.to_owned()),
        }
    }

    /// The daemon behind `DOCKER_HOST` (`unix://` only) or the usual socket.
    #[must_use]
    pub fn system() -> Self {
        Self::at(&system_socket())
    }

    /// Whether it answers.
    #[must_use]
    pub fn answers(&self) -> bool {
        let mut request = Request::new("GET", "/_ping");
        request.timeout = Duration::from_secs(5);
        send(&self.server, &request).is_ok_and(|response| response.status == 200)
    }

    /// One call; `body` is sent as JSON unless null. Any status comes back as an answer.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Result<Response> {
        let bytes = match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        let mut request = Request::new(method, path);
        request.headers = &[("Content-Type", "application/json")];
        request.body = &bytes;
        request.timeout = Duration::from_secs(60);
        send(&self.server, &request)
    }

    /// `GET /info`.
    pub fn info(&self) -> Result<Value> {
        self.call("GET", "/info", &Value::Null)?.success()?.json()
    }

    /// Imports a tar archive as `name:latest`, which starts `entry_point` unless told otherwise.
    pub fn import(&self, name: &str, archive: &[u8], entry_point: Option<&Path>) -> Result<()> {
        let mut path = format!("/images/create?fromSrc=-&repo={name}&tag=latest");
        if let Some(program) = entry_point {
            // `ENTRYPOINT ["…"]`, as it stands in a URL.
            let program = program.display();
            path.push_str(&format!("&changes=ENTRYPOINT%20%5B%22{program}%22%5D"));
        }
        let mut request = Request::new("POST", &path);
        request.headers = &[("Content-Type", "application/x-tar")];
        request.body = archive;
        request.timeout = Duration::from_secs(120);
        let response = send(&self.server, &request)?.success()?;
        // Docker answers 200 before it is done; a failure stands in the last line.
        if response.text().contains("\"error\"") {
            bail!("import {name}: {}", response.text().trim());
        }
        Ok(())
    }

    /// Removes an image; one that is not there is fine.
    pub fn remove_image(&self, name: &str) -> Result<()> {
        let response = self.call("DELETE", &format!("/images/{name}?force=1"), &Value::Null)?;
        match response.status {
            404 => Ok(()),
            _ => response.success().map(drop),
        }
    }

    /// Creates a container from a `POST /containers/create` body and returns its id.
    pub fn create(&self, name: &str, body: &Value) -> Result<String> {
        let answer = self
            .call("POST", &format!("/containers/create?name={name}"), body)?
            .success()?
            .json()?;
        let id = answer["Id"].as_str().context("no Id in the answer")?;
        Ok(id.to_owned())
    }

    /// Starts a created container.
    pub fn start(&self, container: &str) -> Result<()> {
        let path = format!("/containers/{container}/start");
        self.call("POST", &path, &Value::Null)?.success().map(drop)
    }

    /// Creates and starts a container that runs a shell script; returns its id.
    pub fn run_shell(&self, name: &str, image: &str, script: &str) -> Result<String> {
        let body = json!({"Image": image, "Cmd": ["/bin/sh", "-c", script], "Hostname": name});
        let id = self.create(name, &body)?;
        self.start(&id)?;
        Ok(id)
    }

    /// `GET /containers/{id}/json`.
    pub fn inspect(&self, container: &str) -> Result<Value> {
        let path = format!("/containers/{container}/json");
        self.call("GET", &path, &Value::Null)?.success()?.json()
    }

    /// What a container has printed on its standard output.
    pub fn output(&self, container: &str) -> Result<String> {
        let path = format!("/containers/{container}/logs?stdout=1");
        let framed = self.call("GET", &path, &Value::Null)?.success()?.body;
        // Each piece stands behind eight bytes: the stream, three zeros, the length (big-endian).
        let mut text = Vec::new();
        let mut rest = &framed[..];
        while let Some((head, after)) = rest.split_at_checked(8) {
            let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
            let (piece, next) = after.split_at(length.min(after.len()));
            text.extend_from_slice(piece);
            rest = next;
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Waits until a container has ended and returns its exit code.
    pub fn wait(&self, container: &str) -> Result<i64> {
        let path = format!("/containers/{container}/wait");
        let answer = self.call("POST", &path, &Value::Null)?.success()?.json()?;
        answer["StatusCode"].as_i64().context("no StatusCode")
    }

    /// Kills and removes a container; one that is not there is fine.
    pub fn remove(&self, container: &str) -> Result<()> {
        let path = format!("/containers/{container}?force=1&v=1");
        let response = self.call("DELETE", &path, &Value::Null)?;
        match response.status {
            404 => Ok(()),
            _ => response.success().map(drop),
        }
    }

    /// Names (without the leading slash) of all containers, running or not.
    pub fn names(&self) -> Result<Vec<String>> {
        let list = self
            .call("GET", "/containers/json?all=1", &Value::Null)?
            .success()?
            .json()?;
        let containers = list.as_array().context("not a list")?;
        Ok(containers
            .iter()
            .filter_map(|container| container["Names"][0].as_str())
            .map(|name| name.trim_start_matches('/').to_owned())
            .collect())
    }
}

/// The socket that `DOCKER_HOST` names, else the usual one.
#[must_use]
pub fn system_socket() -> PathBuf {
    std::env::var("DOCKER_HOST")
        .ok()
        .and_then(|host| host.strip_prefix("unix://").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("/var/run/docker.sock"))
}
