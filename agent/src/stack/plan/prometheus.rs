//! Prometheus: scrapes what is registered at the agent, under its guid, and writes it to the agent.

use std::path::Path;
use std::time::Duration;

use super::{Around, container, reached_at, reload, run};
use crate::config::{Managed, Prometheus};
use crate::stack::component::{Component, ManagedFile, Reload, Run, Text, Version};

/// For a last flush to the agent and the end of its storage.
const STOP_GRACE: Duration = Duration::from_secs(15);
/// A registered exporter is scraped this soon.
const LONGEST_REFRESH: Duration = Duration::from_secs(15);

pub(super) fn component(wanted: &Prometheus, around: &Around, folder: &Path) -> Option<Component> {
    let is_external = wanted.component.managed == Managed::External;
    let config_file = match &wanted.component.config_file {
        Some(path) if is_external => path.clone(),
        _ => folder.join("prometheus.yml"),
    };
    let beside = config_file.parent().unwrap_or(folder);
    // An external one runs as another user, who can be given a group's rights.
    let mode = if is_external { 0o640 } else { 0o600 };
    let file = |name: &str, text: &str| ManagedFile {
        path: beside.join(name),
        mode,
        text: Text::Whole(text.to_owned()),
    };
    let relay = file("guidon-relay-token", around.relay_token.expose());
    let token = around.api_token.as_ref();
    let token = token.map(|token| file("guidon-api-token", token.expose()));
    let certificate = around.api_certificate.as_ref();
    let certificate = certificate.map(|pem| file("guidon-api.pem", pem));
    let text = render(
        wanted,
        around,
        &relay.path,
        token.as_ref().map(|file| file.path.as_path()),
        certificate.as_ref().map(|file| file.path.as_path()),
    )?;
    let mut files = vec![ManagedFile {
        path: config_file.clone(),
        mode,
        text: Text::Whole(text),
    }];
    files.push(relay);
    files.extend(token);
    files.extend(certificate);

    // Whoever reaches it may end it then.
    let has_lifecycle = is_external || wanted.listen.ip().is_loopback();
    let mut args = vec![
        format!("--config.file={}", config_file.display()),
        format!("--storage.tsdb.path={}", folder.join("data").display()),
        format!(
            "--storage.tsdb.retention.time={}s",
            wanted.retention.as_secs()
        ),
        format!("--storage.tsdb.retention.size={}B", wanted.max_bytes),
        // Within the time that it gets to end.
        "--storage.remote.flush-deadline=5s".to_owned(),
        format!("--web.listen-address={}", wanted.listen),
    ];
    if has_lifecycle {
        args.push("--web.enable-lifecycle".to_owned());
    }
    let run = run(&wanted.component, "prometheus", args, |image, args| {
        container(image, args, &[folder])
    })?;
    let url = |path: &str| format!("http://{}{path}", reached_at(wanted.listen));
    let usual = match has_lifecycle {
        true => Reload::Post(url("/-/reload")),
        false => Reload::Hangup,
    };
    Some(Component {
        files,
        listens: match run {
            Run::External => Vec::new(),
            _ => vec![wanted.listen],
        },
        run,
        ready_url: Some(url("/-/ready")),
        reload: reload(&wanted.component, usual),
        version: Version::Json(url("/api/v1/status/buildinfo"), "/data/version"),
        check: None,
        stop_grace: STOP_GRACE,
    })
}

/// Its configuration; absent: the agent takes no remote write.
///
/// External labels count for series without a guid of their own: Prometheus adds them only where a
/// series has none of that name. The guids of targets stand beside what is scraped: a label `guid`
/// of an exporter's own becomes `exported_guid`.
fn render(
    wanted: &Prometheus,
    around: &Around,
    relay_token: &Path,
    api_token: Option<&Path>,
    api_certificate: Option<&Path>,
) -> Option<String> {
    let write = around.remote_write?;
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let path = |path: &Path| quoted(&path.to_string_lossy());
    let interval = wanted.scrape_interval;
    let mut door = String::new();
    if let Some(token) = api_token {
        door.push_str(&format!(
            // Without the type a service discovery of 2.42 sends none.
            "        authorization:\n          type: Bearer\n          credentials_file: {}\n",
            path(token)
        ));
    }
    if let Some(certificate) = api_certificate {
        door.push_str(&format!(
            "        tls_config:\n          ca_file: {}\n",
            path(certificate)
        ));
    }
    Some(format!(
        "# Written by guidon. What is changed here is put back.\n\
         global:\n\
         \x20 scrape_interval: {interval}ms\n\
         \x20 external_labels:\n\
         \x20   guid: {guid}\n\
         scrape_configs:\n\
         \x20 - job_name: guidon\n\
         \x20   http_sd_configs:\n\
         \x20     - url: {targets}\n\
         \x20       refresh_interval: {refresh}ms\n\
         {door}\
         remote_write:\n\
         \x20 - url: {write}\n\
         \x20   authorization:\n\
         \x20     type: Bearer\n\
         \x20     credentials_file: {relay}\n",
        interval = interval.as_millis(),
        guid = quoted(around.host.as_str()),
        targets = quoted(&format!("{}/api/v1/targets", around.api)),
        refresh = interval.min(LONGEST_REFRESH).as_millis(),
        write = quoted(&format!("http://{write}/api/v1/write")),
        relay = path(relay_token),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config::{self, Secret};
    use crate::stack::component::Run;
    use crate::stack::plan::tests::around;

    fn wanted(text: &str) -> Prometheus {
        let text = format!("receive.remote_write = \"127.0.0.1:1\"\n[stack.prometheus]\n{text}");
        config::Config::parse(&text, &Vec::new())
            .unwrap()
            .stack
            .prometheus
    }

    fn plan(text: &str, around: &Around) -> Component {
        component(&wanted(text), around, Path::new("/d/prometheus")).unwrap()
    }

    fn args(component: &Component) -> &[String] {
        match &component.run {
            Run::Process(program) => &program.args,
            other => panic!("{other:?}"),
        }
    }

    fn text(component: &Component) -> &str {
        match &component.files[0].text {
            Text::Whole(text) => text,
            Text::Edited(_) => panic!("a file of its own is edited"),
        }
    }

    #[test]
    fn a_door_with_locks_is_opened_with_files_beside_the_configuration() {
        let plain = plan("managed = \"binary\"", &around());
        assert!(!text(&plain).contains("tls_config"), "{}", text(&plain));
        let locked = Around {
            api_token: Some(Secret::new("t0ken")),
            api_certificate: Some("PEM".to_owned()),
            ..around()
        };
        let locked = plan("managed = \"binary\"", &locked);
        let names = locked
            .files
            .iter()
            .map(|file| file.path.file_name().unwrap().to_str().unwrap());
        let names: Vec<&str> = names.collect();
        let beside = ["guidon-relay-token", "guidon-api-token", "guidon-api.pem"];
        assert_eq!(names, [&["prometheus.yml"][..], &beside].concat());
        for name in beside {
            let named = format!("credentials_file: \"/d/prometheus/{name}\"");
            let named_as_authority = format!("ca_file: \"/d/prometheus/{name}\"");
            let text = text(&locked);
            assert!(
                text.contains(&named) || text.contains(&named_as_authority),
                "{text}"
            );
        }
        assert!(!text(&locked).contains("t0ken"));
    }

    #[test]
    fn beyond_loopback_nobody_can_end_it_over_http() {
        let lifecycle = "--web.enable-lifecycle".to_owned();
        let local = plan(
            "managed = \"binary\"\nargs = [\"--log.level=warn\"]",
            &around(),
        );
        assert!(args(&local).contains(&lifecycle));
        assert_eq!(args(&local).last().unwrap(), "--log.level=warn");
        assert_eq!(
            local.reload,
            Reload::Post("http://127.0.0.1:9090/-/reload".to_owned())
        );
        let open = plan("managed = \"binary\"\nlisten = \"0.0.0.0:9090\"", &around());
        assert!(!args(&open).contains(&lifecycle));
        assert_eq!(open.reload, Reload::Hangup);
        assert_eq!(
            open.ready_url.as_deref(),
            Some("http://127.0.0.1:9090/-/ready")
        );
    }

    #[test]
    fn an_external_one_is_told_as_configured_and_reads_by_its_group() {
        let external = "managed = \"external\"\nconfig_file = \"/etc/p/p.yml\"\n";
        let usual = plan(external, &around());
        assert_eq!(usual.files[1].path, Path::new("/etc/p/guidon-relay-token"));
        assert!(usual.files.iter().all(|file| file.mode == 0o640));
        assert!(usual.listens.is_empty());
        let told = plan(
            &format!("{external}reload_command = [\"a\", \"b\"]"),
            &around(),
        );
        assert_eq!(
            told.reload,
            Reload::Command(vec!["a".to_owned(), "b".to_owned()])
        );
    }
}
