//! From a description to the body of Docker's create request.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum,
    HostConfigLogConfig, Mount as DockerMount, MountTmpfsOptions, MountType, PortBinding,
    RestartPolicy, RestartPolicyNameEnum,
};
use tokio::io::AsyncReadExt;

use super::{Engine, LABEL_APP};
use crate::config::Guid;
use crate::directory::docker::{LABEL_GUID, LABEL_OWNER};
use crate::drive::DriveError;
use crate::drive::app::{App, HealthCheck, Mount, MountKind, Namespace, Restart, Size, Span};
use crate::drive::{environment, policy};

/// Where ports are published unless told otherwise.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A secret is a line or a certificate, not a disk image.
const MOST_SECRET_BYTES: u64 = 64 << 10;

pub(super) async fn of(
    engine: &Engine,
    guid: &Guid,
    app: &App,
    image_env: &[String],
) -> Result<ContainerCreateBody, DriveError> {
    let mut env = app.env.clone();
    for (name, path) in &app.secrets {
        let secret = secret(&engine.allow.secret_files, name, path).await?;
        env.insert(name.clone(), secret);
    }
    let environment = environment::of_networks(&engine.environments, &app.networks).await;
    environment.add_to(&mut env, guid, image_env);

    let mut labels: HashMap<String, String> = app.labels.clone().into_iter().collect();
    labels.insert(LABEL_GUID.to_owned(), guid.to_string());
    labels.insert(LABEL_OWNER.to_owned(), engine.owner.0.clone());
    labels.insert(LABEL_APP.to_owned(), app.fingerprint());

    let exposed = app.ports.iter().map(port_key);
    Ok(ContainerCreateBody {
        hostname: Some(guid.to_string()),
        image: Some(app.image.clone()),
        entrypoint: some(app.command.clone()),
        cmd: some(app.args.clone()),
        env: some(
            env.iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        ),
        labels: Some(labels),
        user: app.user.clone(),
        working_dir: app.workdir.clone(),
        exposed_ports: some(exposed.collect()),
        healthcheck: app.health.as_ref().map(health),
        stop_signal: app.stop.signal.clone(),
        stop_timeout: app.stop.grace.map(seconds_up),
        host_config: Some(host(app)),
        ..Default::default()
    })
}

fn host(app: &App) -> HostConfig {
    let limits = &app.limits;
    let shares = |namespace: Namespace| app.host_namespaces.contains(&namespace);
    let mode = |namespace: Namespace| shares(namespace).then(|| "host".to_owned());
    let memory = limits.memory.map(bytes);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most 4096 processors, checked with the description"
    )]
    let nano_cpus = limits.cpus.map(|cpus| (cpus * 1e9).round() as i64);
    HostConfig {
        network_mode: app.networks.first().cloned(),
        port_bindings: (!app.ports.is_empty()).then(|| port_bindings(app)),
        mounts: some(app.mounts.iter().map(mount).collect()),
        nano_cpus,
        memory,
        memory_swap: limits
            .swap
            .zip(memory)
            .map(|(swap, memory)| memory + bytes(swap)),
        pids_limit: limits.pids.map(i64::from),
        restart_policy: Some(restart(app.restart)),
        log_config: (app.log != Default::default()).then(|| HostConfigLogConfig {
            typ: app.log.driver.clone(),
            config: Some(app.log.options.clone().into_iter().collect()),
        }),
        init: app.init.then_some(true),
        readonly_rootfs: app.read_only.then_some(true),
        privileged: app.privileged.then_some(true),
        pid_mode: mode(Namespace::Pid),
        ipc_mode: mode(Namespace::Ipc),
        userns_mode: mode(Namespace::User),
        cgroupns_mode: shares(Namespace::Cgroup).then_some(HostConfigCgroupnsModeEnum::HOST),
        cap_add: some(app.cap_add.clone()),
        cap_drop: some(app.cap_drop.clone()),
        devices: some(app.devices.iter().map(|path| device(path)).collect()),
        ..Default::default()
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn port_key(port: &crate::drive::app::Port) -> String {
    format!("{}/{}", port.container, port.protocol.as_str())
}

fn port_bindings(app: &App) -> HashMap<String, Option<Vec<PortBinding>>> {
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in &app.ports {
        let binding = PortBinding {
            host_ip: Some(port.address.unwrap_or(LOOPBACK).to_string()),
            host_port: port.host.map(|host| host.to_string()),
        };
        let of_port = bindings.entry(port_key(port)).or_default();
        of_port.get_or_insert_default().push(binding);
    }
    bindings
}

fn mount(mount: &Mount) -> DockerMount {
    DockerMount {
        typ: Some(match mount.kind {
            MountKind::Volume => MountType::VOLUME,
            MountKind::Bind => MountType::BIND,
            MountKind::Tmpfs => MountType::TMPFS,
        }),
        source: (!mount.source.is_empty()).then(|| mount.source.clone()),
        target: Some(mount.target.clone()),
        read_only: Some(mount.read_only),
        tmpfs_options: mount.size.map(|size| MountTmpfsOptions {
            size_bytes: Some(bytes(size)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn restart(restart: Restart) -> RestartPolicy {
    let (name, most) = match restart {
        Restart::No => (RestartPolicyNameEnum::NO, None),
        Restart::Always => (RestartPolicyNameEnum::ALWAYS, None),
        Restart::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, None),
        Restart::OnFailure(most) => (RestartPolicyNameEnum::ON_FAILURE, most),
    };
    RestartPolicy {
        name: Some(name),
        maximum_retry_count: most.map(i64::from),
    }
}

fn health(check: &HealthCheck) -> HealthConfig {
    HealthConfig {
        test: Some(check.test.clone()),
        interval: check.interval.map(nanoseconds),
        timeout: check.timeout.map(nanoseconds),
        retries: check.retries.map(i64::from),
        start_period: check.start_period.map(nanoseconds),
        ..Default::default()
    }
}

fn device(path: &Path) -> DeviceMapping {
    let path = path.to_string_lossy().into_owned();
    DeviceMapping {
        path_on_host: Some(path.clone()),
        path_in_container: Some(path),
        cgroup_permissions: Some("rwm".to_owned()),
    }
}

fn bytes(size: Size) -> i64 {
    i64::try_from(size.0).unwrap_or(i64::MAX)
}

fn nanoseconds(span: Span) -> i64 {
    i64::try_from(span.0.as_nanos()).unwrap_or(i64::MAX)
}

/// Docker counts whole seconds, and 0 is no grace at all.
fn seconds_up(span: Span) -> i64 {
    let up = span.0 + Duration::from_nanos(999_999_999);
    i64::try_from(up.as_secs()).unwrap_or(i64::MAX)
}

async fn secret(
    granted: &[std::path::PathBuf],
    name: &str,
    path: &Path,
) -> Result<String, DriveError> {
    let wrong = |why: String| {
        let message = format!("{} for {name} {why}", path.display());
        DriveError::invalid("secrets", message)
    };
    // Asked again at the moment of reading: a link may have been bent since.
    if !policy::covers(granted, path) {
        return Err(wrong("is not granted".to_owned()));
    }
    let cannot = |error: std::io::Error| wrong(format!("cannot be read: {error}"));
    let file = tokio::fs::File::open(path).await.map_err(cannot)?;
    let mut content = Vec::new();
    let mut limited = file.take(MOST_SECRET_BYTES + 1);
    limited.read_to_end(&mut content).await.map_err(cannot)?;
    if content.len() as u64 > MOST_SECRET_BYTES {
        return Err(wrong(format!("holds more than {MOST_SECRET_BYTES} bytes")));
    }
    let text = String::from_utf8(content);
    let text = text.map_err(|_| wrong("is not text".to_owned()))?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.contains('\0') {
        return Err(wrong("holds a NUL character".to_owned()));
    }
    Ok(text.to_owned())
}
