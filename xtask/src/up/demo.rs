//! The demo app: a busybox shell loop that uses a little of everything the table shows.

use anyhow::{Context, Result};
use serde_json::json;
use xtask::docker::Docker;
use xtask::http::{Request, Server, send};
use xtask::image::import_busybox;

const IMAGE: &str = "guidon-demo";

/// Sends a file to itself over loopback: burns some CPU, writes to disk, allocates, talks.
/// `trap`: process 1 would ignore SIGTERM otherwise and stopping it would take ten seconds.
const SCRIPT: &str = r#"
trap 'exit 0' TERM
touch /tmp/data
nc -ll -p 8080 -e cat /tmp/data &
while :; do
    step=0
    while [ $step -lt 20000 ]; do step=$((step + 1)); done
    dd if=/dev/zero of=/tmp/data bs=64k count=64 conv=fsync 2>/dev/null
    block=$(head -c 4000000 /dev/zero | tr '\0' x)
    nc 127.0.0.1 8080 </dev/null >/dev/null
    sleep 0.2
done
"#;

/// The deployed app. Dropping it removes the app and its image.
#[derive(Debug)]
pub(super) struct Demo {
    guid: String,
    server: Server,
    docker: Docker,
}

impl Demo {
    /// Makes the image and puts the app through the Manager API at `api`, under a fresh guid.
    pub(super) fn deploy(api: &str, docker: &Docker) -> Result<Self> {
        let random = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?;
        // From here on dropping it cleans up, also what only half came to be.
        let demo = Self {
            guid: format!("demo-{}", random.get(..8).context("no random uuid")?),
            server: Server::Tcp(api.to_owned()),
            docker: docker.clone(),
        };
        import_busybox(docker, IMAGE)?;
        let app = json!({
            "driver": "docker",
            "image": IMAGE,
            "command": ["/bin/sh", "-c", SCRIPT],
        });
        let body = app.to_string();
        let path = format!("/api/v1/apps/{}", demo.guid);
        let mut request = Request::new("PUT", &path);
        request.headers = &[("Content-Type", "application/json")];
        request.body = body.as_bytes();
        send(&demo.server, &request)?
            .success()
            .context("deploy the demo app")?;
        Ok(demo)
    }

    /// Whether the agent has seen it over a whole interval, so that its row is complete.
    pub(super) fn is_measured(&self) -> Result<bool> {
        let status = send(&self.server, &Request::new("GET", "/api/v1/status"))?
            .success()?
            .json()?;
        let rows = status["guids"]
            .as_array()
            .context("no guids in the status")?;
        let row = rows.iter().find(|row| row["guid"] == self.guid.as_str());
        Ok(row.is_some_and(|row| row["cpu_cores"].is_number()))
    }

    pub(super) fn guid(&self) -> &str {
        &self.guid
    }

    fn remove(&self) -> Result<()> {
        let path = format!("/api/v1/apps/{}", self.guid);
        let asked = send(&self.server, &Request::new("DELETE", &path));
        if !asked.is_ok_and(|answer| answer.status < 300) {
            // The agent is gone or never knew the app: nothing may stay behind even so.
            self.docker.remove(&self.guid)?;
        }
        self.docker.remove_image(IMAGE)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("could not remove the demo app {}: {error:#}", self.guid);
        }
    }
}
