//! What an app may ask for: starting containers is root on the node, so what reaches beyond the
//! app's own container is refused unless `[docker.allow]` grants it.

use std::path::{Path, PathBuf};

use super::DriveError;
use super::app::{App, MountKind};
use crate::config::Allow;

/// Refuses with the rule that would have to grant it.
pub(super) fn check(allow: &Allow, app: &App) -> Result<(), DriveError> {
    let forbid = |rule, field: String, message: String| {
        Err(DriveError::Forbidden {
            rule,
            field,
            message,
        })
    };
    if !allow.images.is_empty() && !allow.images.iter().any(|rule| names(rule, &app.image)) {
        let message = format!("{} is none of the images apps may run", app.image);
        return forbid("images", "image".to_owned(), message);
    }
    if app.privileged && !allow.privileged {
        let message = "asks for all rights of the host".to_owned();
        return forbid("privileged", "privileged".to_owned(), message);
    }
    for (index, mount) in app.mounts.iter().enumerate() {
        let bind = mount.kind == MountKind::Bind;
        if bind && !covers(&allow.host_mounts, Path::new(&mount.source)) {
            let message = format!("asks for {} of the host", mount.source);
            return forbid("host_mounts", format!("mounts[{index}].source"), message);
        }
    }
    let network = app.networks.iter().any(|network| network == "host");
    let network = network.then_some(("networks", "network"));
    let others = app.host_namespaces.iter();
    let others = others.map(|namespace| ("host_namespaces", namespace.as_str()));
    for (field, namespace) in network.into_iter().chain(others) {
        if !allow.host_namespaces.iter().any(|name| name == namespace) {
            let message = format!("asks for the host's {namespace} namespace");
            return forbid("host_namespaces", field.to_owned(), message);
        }
    }
    for capability in &app.cap_add {
        let granted = |name: &String| plain(name) == plain(capability);
        if !allow.capabilities.iter().any(granted) {
            let message = format!("asks for {capability}");
            return forbid("capabilities", "cap_add".to_owned(), message);
        }
    }
    for device in &app.devices {
        if !covers(&allow.devices, device) {
            let message = format!("asks for {} of the host", device.display());
            return forbid("devices", "devices".to_owned(), message);
        }
    }
    for (name, file) in &app.secrets {
        if !covers(&allow.secret_files, file) {
            let message = format!("asks for the content of {} as {name}", file.display());
            return forbid("secret_files", "secrets".to_owned(), message);
        }
    }
    Ok(())
}

/// Whether `path` lies at or below a granted one: as written, and also where its links lead.
pub(super) fn covers(granted: &[PathBuf], path: &Path) -> bool {
    let written = granted.iter().any(|root| path.starts_with(root));
    // What does not exist leads nowhere; Docker refuses to mount it.
    let Ok(real) = path.canonicalize() else {
        return written;
    };
    let leads_into = |root: &PathBuf| {
        real.starts_with(root) || root.canonicalize().is_ok_and(|root| real.starts_with(root))
    };
    written && granted.iter().any(leads_into)
}

/// Whether a rule, a name or a beginning and `*`, names the image.
fn names(rule: &str, image: &str) -> bool {
    match rule.strip_suffix('*') {
        Some(beginning) => image.starts_with(beginning),
        None => rule == image,
    }
}

/// `CAP_NET_ADMIN` and `net_admin` are the same.
fn plain(capability: &str) -> String {
    let upper = capability.to_ascii_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn refused(allow: &Allow, json: &str) -> Option<(&'static str, String)> {
        let mut app = App::from_json(json.as_bytes()).unwrap();
        if app.image == "any" {
            app.image = "busybox".to_owned();
        }
        match check(allow, &app) {
            Err(DriveError::Forbidden { rule, field, .. }) => Some((rule, field)),
            Ok(()) => None,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn what_reaches_beyond_the_container_is_refused_by_default() {
        for (ask, rule, field) in [
            (r#""privileged": true"#, "privileged", "privileged"),
            (
                r#""mounts": ["v1:/a", "/etc:/b:ro"]"#,
                "host_mounts",
                "mounts[1].source",
            ),
            (r#""networks": ["host"]"#, "host_namespaces", "networks"),
            (
                r#""host_namespaces": ["pid"]"#,
                "host_namespaces",
                "host_namespaces",
            ),
            (r#""cap_add": ["SYS_ADMIN"]"#, "capabilities", "cap_add"),
            (r#""cap_add": ["ALL"]"#, "capabilities", "cap_add"),
            (r#""devices": ["/dev/kvm"]"#, "devices", "devices"),
            (
                r#""secrets": {"A": "/etc/shadow"}"#,
                "secret_files",
                "secrets",
            ),
        ] {
            let json = format!(r#"{{"image": "any", {ask}}}"#);
            let expected = Some((rule, field.to_owned()));
            assert_eq!(refused(&Allow::default(), &json), expected, "{ask}");
        }
        let modest = r#"{"image": "any", "mounts": ["v1:/a"], "cap_drop": ["ALL"],
            "networks": ["none"]}"#;
        assert_eq!(refused(&Allow::default(), modest), None);
    }

    #[test]
    fn a_grant_grants_that_and_nothing_beside_it() {
        let allow = Allow {
            privileged: false,
            host_mounts: vec!["/srv/data".into()],
            host_namespaces: vec!["pid".to_owned()],
            capabilities: vec!["CAP_NET_ADMIN".to_owned()],
            devices: vec!["/dev/net".into()],
            secret_files: vec![],
            images: vec!["busybox".to_owned(), "local/*".to_owned()],
        };
        for (ask, granted) in [
            (r#""mounts": ["/srv/data:/b"]"#, true),
            (r#""mounts": ["/srv/data/x/y:/b"]"#, true),
            (r#""mounts": ["/srv/database:/b"]"#, false),
            (r#""mounts": ["/srv:/b"]"#, false),
            (r#""host_namespaces": ["pid"]"#, true),
            (r#""host_namespaces": ["ipc"]"#, false),
            (r#""networks": ["host"]"#, false),
            (r#""cap_add": ["net_admin"]"#, true),
            (r#""cap_add": ["NET_RAW"]"#, false),
            (r#""devices": ["/dev/net/tun"]"#, true),
            (r#""image": "local/x:1""#, true),
            (r#""image": "busybox:1""#, false),
        ] {
            let image = if ask.contains("image") {
                ""
            } else {
                r#""image": "any", "#
            };
            let json = format!("{{{image}{ask}}}");
            assert_eq!(refused(&allow, &json).is_none(), granted, "{ask}");
        }
    }

    #[test]
    fn a_link_does_not_lead_out_of_a_grant() {
        let folder = tempfile::tempdir().unwrap();
        let granted = folder.path().join("granted");
        std::fs::create_dir(&granted).unwrap();
        std::os::unix::fs::symlink("/etc", granted.join("out")).unwrap();
        std::fs::create_dir(granted.join("in")).unwrap();
        let grants = [granted.clone()];
        assert!(covers(&grants, &granted.join("in")));
        assert!(!covers(&grants, &granted.join("out")));
        assert!(!covers(&grants, &granted.join("out/passwd")));
        // A grant that is itself reached by a link still grants.
        let linked = folder.path().join("linked");
        std::os::unix::fs::symlink(&granted, &linked).unwrap();
        assert!(covers(std::slice::from_ref(&linked), &linked.join("in")));
    }
}
