//! What the machine offers: Docker, disk, clock.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Access, access, statvfs};
use serde_json::Value;

use super::Finding;
use crate::cli::table;
use crate::config::{Config, Durability, show_bytes};

const DOCKER_TIMEOUT: Duration = Duration::from_secs(5);
const MOST_ANSWER_BYTES: u64 = 1 << 20;
/// Who keeps the clock, and where it says that it does.
const CLOCK_KEEPERS: [(&str, &str); 4] = [
    ("/run/systemd/timesync/synchronized", "systemd-timesyncd"),
    ("/run/chrony/chronyd.pid", "chrony"),
    ("/run/chrony/chronyd.sock", "chrony"),
    ("/run/ntpd.pid", "ntpd"),
];

pub(super) fn look(config: &Config) -> Vec<Finding> {
    vec![docker(&config.docker.socket), disk(config), clock()]
}

fn docker(socket: &Path) -> Finding {
    match docker_version(socket) {
        Ok(version) => Finding::ok("Docker", format!("{version} at {}", socket.display())),
        Err(error) => Finding::warn(
            "Docker",
            format!("{}: {error}", socket.display()),
            "the agent collects, but apps cannot be made and containers have no names; start \
             Docker, or name its socket in docker.socket",
        ),
    }
}

fn docker_version(socket: &Path) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(DOCKER_TIMEOUT))?;
    stream.set_write_timeout(Some(DOCKER_TIMEOUT))?;
    stream.write_all(b"GET /version HTTP/1.0\r\nHost: docker\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MOST_ANSWER_BYTES).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let version = serde_json::from_str::<Value>(body)
        .ok()
        .and_then(|answer| Some(answer["Version"].as_str()?.to_owned()));
    version.ok_or_else(|| std::io::Error::other("what answers there is not Docker"))
}

fn disk(config: &Config) -> Finding {
    let data_dir = &config.data_dir;
    // What is not there yet will be made below what is.
    let Some(folder) = data_dir.ancestors().find(|folder| folder.exists()) else {
        return Finding::fail("disk", format!("{} is nowhere", data_dir.display()), "");
    };
    if !folder.is_dir() || access(folder, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return Finding::fail(
            "disk",
            format!("cannot write to {}", folder.display()),
            "the agent keeps its state there: run it as a user who may write, or change data_dir",
        );
    }
    let space = match statvfs(folder) {
        Ok(space) => space.f_bavail.saturating_mul(space.f_frsize),
        Err(error) => {
            return Finding::warn("disk", format!("{}: {error}", folder.display()), "");
        }
    };
    let bus = &config.bus;
    // A signal without a destination has the local bus, which is a spool too.
    let spools = [&bus.metrics, &bus.logs, &bus.traces].map(|urls| urls.len().max(1));
    let spools = (spools.iter().sum::<usize>() + bus.otlp_metrics.len()) as u64;
    let wanted = match config.spool.durability {
        Durability::Spool => config.spool.max_bytes.saturating_mul(spools),
        Durability::Memory => 0,
    };
    let free = table::bytes(space as f64);
    let found = format!("{free} free in {}", data_dir.display());
    if space < wanted {
        Finding::warn(
            "disk",
            found,
            format!(
                "{spools} spools may grow to {}: when the disk is full, data waits in memory or is \
                 refused; lower spool.max_bytes or make room",
                show_bytes(wanted)
            ),
        )
    } else {
        Finding::ok("disk", found)
    }
}

fn clock() -> Finding {
    let keeper = CLOCK_KEEPERS
        .iter()
        .find(|(path, _)| Path::new(path).exists());
    match keeper {
        Some((_, keeper)) => Finding::ok("clock", format!("kept by {keeper}")),
        None => Finding::warn(
            "clock",
            "nobody seems to keep it",
            "receivers drop samples from the past and the future; run systemd-timesyncd or chrony \
             (a virtual machine may be kept by its host)",
        ),
    }
}
