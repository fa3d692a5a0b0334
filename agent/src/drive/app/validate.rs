//! What no type can check: forms, ranges, contradictions.

use std::collections::HashSet;
use std::path::{Component, Path};
use std::time::Duration;

use super::{App, Driver, MountKind};
use crate::drive::DriveError;

/// Docker's own floor.
const LEAST_MEMORY: u64 = 6 << 20;
/// An app that takes longer to stop would hold up its own replacement.
const LONGEST_GRACE: Duration = Duration::from_secs(600);
/// Docker's floor for the times of a health check.
const LEAST_HEALTH_TIME: Duration = Duration::from_millis(1);
/// What is kept, compared and handed to the kernel's exec stays of a size that fits it.
const MOST_BYTES: usize = 256 << 10;
/// Labels that say whose container it is.
const OWN_LABELS: &str = "io.guidon.";

type Checked = Result<(), DriveError>;

pub(super) fn validate(app: &App) -> Checked {
    if app.driver != Driver::Docker {
        return Err(DriveError::NoDriver(app.driver));
    }
    image(&app.image)?;
    environment(app)?;
    texts(app)?;
    ports(app)?;
    mounts(app)?;
    networks(app)?;
    limits(app)?;
    times(app)?;
    absolute(app.devices.iter().map(|path| path.as_path()), "devices")?;
    absolute(app.secrets.values().map(|path| path.as_path()), "secrets")
}

fn ensure(holds: bool, field: impl Into<String>, message: impl Into<String>) -> Checked {
    if holds {
        Ok(())
    } else {
        Err(DriveError::invalid(field, message))
    }
}

fn image(image: &str) -> Checked {
    ensure(!image.is_empty(), "image", "is required")?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@+".contains(&byte);
    let well_formed = image.len() <= 512 && image.bytes().all(fits);
    ensure(
        well_formed && image.as_bytes()[0].is_ascii_alphanumeric(),
        "image",
        format!("{image:?} is not an image reference"),
    )
}

fn environment(app: &App) -> Checked {
    for (field, name) in names(app) {
        let well_formed = !name.is_empty() && !name.contains(['=', '\0']);
        ensure(
            well_formed,
            field,
            format!("{name:?} cannot be the name of a variable"),
        )?;
    }
    match app.secrets.keys().find(|name| app.env.contains_key(*name)) {
        Some(twice) => Err(DriveError::invalid(
            "secrets",
            format!("{twice} is set under env too"),
        )),
        None => Ok(()),
    }
}

fn names(app: &App) -> impl Iterator<Item = (&'static str, &String)> {
    let env = app.env.keys().map(|name| ("env", name));
    env.chain(app.secrets.keys().map(|name| ("secrets", name)))
}

fn texts(app: &App) -> Checked {
    let env = app.env.iter().chain(&app.labels).chain(&app.log.options);
    let pairs = env.flat_map(|(name, value)| [name, value]);
    let words = app.command.iter().chain(&app.args).chain(pairs);
    let mut bytes = 0;
    for word in words {
        ensure(
            !word.contains('\0'),
            "body",
            "a string holds a NUL character",
        )?;
        bytes += word.len();
    }
    ensure(
        bytes <= MOST_BYTES,
        "body",
        format!("command, args, env and labels hold {bytes} bytes; {MOST_BYTES} are the most"),
    )?;
    ensure(
        app.command.first().is_none_or(|first| !first.is_empty()),
        "command[0]",
        "names no program",
    )?;
    let own = app.labels.keys().find(|name| name.starts_with(OWN_LABELS));
    if let Some(own) = own {
        let message = format!("{own:?} begins with {OWN_LABELS}, which is the agent's own");
        return Err(DriveError::invalid("labels", message));
    }
    for (field, text) in [("user", &app.user), ("workdir", &app.workdir)] {
        let present = text.as_ref().is_none_or(|text| !text.trim().is_empty());
        ensure(present, field, "is empty")?;
    }
    let rooted = app
        .workdir
        .as_ref()
        .is_none_or(|path| path.starts_with('/'));
    ensure(rooted, "workdir", "is not an absolute path")
}

fn ports(app: &App) -> Checked {
    let mut taken = HashSet::new();
    for (index, port) in app.ports.iter().enumerate() {
        let field = |name: &str| format!("ports[{index}].{name}");
        ensure(port.container != 0, field("container"), "is 0")?;
        ensure(
            port.host != Some(0),
            field("host"),
            "is 0; leave it out for a free port",
        )?;
        if let Some(host) = port.host {
            ensure(
                taken.insert((port.address, host, port.protocol.as_str())),
                field("host"),
                format!("{host} is published twice"),
            )?;
        }
    }
    Ok(())
}

fn mounts(app: &App) -> Checked {
    let mut taken = HashSet::new();
    for (index, mount) in app.mounts.iter().enumerate() {
        let field = |name: &str| format!("mounts[{index}].{name}");
        let target = Path::new(&mount.target);
        let rooted = target.is_absolute() && target != Path::new("/");
        ensure(
            rooted && is_plain(target),
            field("target"),
            "is not an absolute path below / without ..",
        )?;
        ensure(
            taken.insert(target),
            field("target"),
            format!("{} is mounted twice", mount.target),
        )?;
        let source = Path::new(&mount.source);
        match mount.kind {
            MountKind::Tmpfs => {
                ensure(mount.source.is_empty(), field("source"), "a tmpfs has none")?;
            }
            MountKind::Bind => ensure(
                source.is_absolute() && is_plain(source),
                field("source"),
                "is not an absolute path of the host without ..",
            )?,
            MountKind::Volume => {
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
                let named = mount.source.len() >= 2 && mount.source.bytes().all(fits);
                let begins = |source: &str| source.as_bytes()[0].is_ascii_alphanumeric();
                ensure(
                    named && begins(&mount.source),
                    field("source"),
                    "is not the name of a volume: letters, digits, '_', '.' and '-', at least two",
                )?;
            }
        }
        let sized = mount.size.is_none() || mount.kind == MountKind::Tmpfs;
        ensure(sized, field("size"), "only a tmpfs has one")?;
    }
    Ok(())
}

fn networks(app: &App) -> Checked {
    for (index, network) in app.networks.iter().enumerate() {
        let field = || format!("networks[{index}]");
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let named = !network.is_empty() && network.bytes().all(fits);
        ensure(
            named,
            field(),
            format!("{network:?} is not the name of a network"),
        )?;
        let alone = !matches!(network.as_str(), "host" | "none") || app.networks.len() == 1;
        ensure(
            alone,
            field(),
            format!("{network} stands alone or not at all"),
        )?;
        let first = !app.networks[..index].contains(network);
        ensure(first, field(), format!("{network} is named twice"))?;
    }
    let shares = app.networks.iter().any(|network| network == "host");
    ensure(
        !shares || app.ports.is_empty(),
        "ports",
        "an app on the host's network publishes nothing: its ports are the node's",
    )
}

fn limits(app: &App) -> Checked {
    let limits = &app.limits;
    let usable = |cpus: f64| cpus.is_finite() && (0.01..=4096.0).contains(&cpus);
    ensure(
        limits.cpus.is_none_or(usable),
        "limits.cpus",
        "is not between 0.01 and 4096",
    )?;
    let enough = |size: u64| (LEAST_MEMORY..=1 << 50).contains(&size);
    ensure(
        limits.memory.is_none_or(|size| enough(size.0)),
        "limits.memory",
        "is below the 6MiB that Docker asks for, or beyond any machine",
    )?;
    ensure(
        limits.swap.is_none() || limits.memory.is_some(),
        "limits.swap",
        "needs limits.memory",
    )?;
    ensure(
        limits.swap.is_none_or(|size| size.0 <= 1 << 50),
        "limits.swap",
        "is beyond any machine",
    )?;
    ensure(limits.pids != Some(0), "limits.pids", "is 0")
}

fn times(app: &App) -> Checked {
    ensure(
        app.stop.grace.is_none_or(|grace| grace.0 <= LONGEST_GRACE),
        "stop.grace",
        "is longer than 10 minutes",
    )?;
    let Some(health) = &app.health else {
        return Ok(());
    };
    ensure(!health.test.is_empty(), "health.test", "is required")?;
    for (field, time) in [
        ("health.interval", health.interval),
        ("health.timeout", health.timeout),
        ("health.start_period", health.start_period),
    ] {
        let fits = time.is_none_or(|time| (LEAST_HEALTH_TIME..=LONGEST_GRACE).contains(&time.0));
        ensure(fits, field, "is not between 1ms and 10 minutes")?;
    }
    Ok(())
}

fn absolute<'a>(paths: impl Iterator<Item = &'a Path>, field: &str) -> Checked {
    for path in paths {
        let fits = path.is_absolute() && is_plain(path);
        let message = format!("{} is not an absolute path without ..", path.display());
        ensure(fits, field, message)?;
    }
    Ok(())
}

/// Without `..`, which would lead out of what the allow-list grants.
fn is_plain(path: &Path) -> bool {
    path.components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}
