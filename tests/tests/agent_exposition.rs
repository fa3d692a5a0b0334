//! The agent as an exporter: what an existing Prometheus would scrape in place of cAdvisor and node
//! exporter.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use guidon_tests::promtool::check_metrics;
use guidon_tests::{
    Agent, Container, Image, PrometheusServer, RemoteWriteSink, eventually, system_docker, unique,
};

const PAGES: &[&str] = &["/metrics/containers", "/metrics/node", "/metrics"];

#[test]
fn promtool_finds_nothing_to_complain_about() {
    let agent = Agent::alone();
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let guid = unique("promtool");
    let _app = Container::claim(&docker, &guid);
    assert_eq!(
        agent
            .put(&format!("/api/v1/apps/{guid}"), &image.app("sleep 600"))
            .0,
        201
    );
    let name = unique("foreign");
    let _foreign = Container::run(&docker, &image, &name, "sleep 600");
    let has = |what: &str| {
        let text = agent.get("/metrics/containers").text();
        text.contains(what).then_some(())
    };
    eventually(Duration::from_secs(5), "the app's series", || {
        has(&format!("guid=\"{guid}\""))
    });
    eventually(Duration::from_secs(5), "the stranger's", || {
        has(&format!("name=\"{name}\""))
    });

    for page in PAGES {
        let answer = agent.get(page);
        assert_eq!(answer.status, 200, "{page}: {}", answer.text());
        let kind = answer.header("content-type").unwrap_or_default();
        assert!(
            kind.starts_with("text/plain; version=0.0.4"),
            "{page}: {kind}"
        );
        let said = check_metrics(&answer.text());
        // node exporter's own names are partly in camelCase; they are kept, as docs/metrics.md says.
        let complaints: Vec<&str> = said
            .lines()
            .filter(|line| !(line.starts_with("node_") && line.ends_with("not 'camelCase'")))
            .collect();
        assert_eq!(complaints, Vec::<&str>::new(), "{page}");
    }
    // The stranger appears under its name, and without a guid.
    let text = agent.get("/metrics/containers").text();
    let stranger: Vec<&str> = text
        .lines()
        .filter(|line| line.contains(&format!("name=\"{name}\"")))
        .collect();
    assert!(!stranger.is_empty());
    assert!(
        stranger.iter().all(|line| !line.contains("guid=")),
        "{stranger:?}"
    );
}

#[test]
fn the_format_is_negotiated() {
    let agent = Agent::alone();
    for page in PAGES {
        // Prometheus 2.42 asks like this.
        let accept = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
                      version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        eventually(Duration::from_secs(5), page, || {
            (agent.get_with(page, &[("Accept", accept)]).status == 200).then_some(())
        });
        let answer = agent.get_with(page, &[("Accept", "image/png")]);
        assert_eq!(answer.status, 406, "{page}: {}", answer.text());
    }
}

#[test]
fn a_scraping_prometheus_gets_the_series_that_remote_write_sends() {
    let sink = RemoteWriteSink::start();
    let agent = Agent::sending_to(&sink.url());
    let docker = system_docker();
    let image = Image::busybox(&docker);
    let guid = unique("scraped");
    let _app = Container::claim(&docker, &guid);
    assert_eq!(
        agent
            .put(&format!("/api/v1/apps/{guid}"), &image.app("sleep 600"))
            .0,
        201
    );
    let job = |name: &str| {
        format!(
            "  - job_name: {name}\n    metrics_path: /metrics/{name}\n    honor_labels: true\n    \
             static_configs: [{{targets: [{:?}]}}]\n",
            agent.api()
        )
    };
    let prometheus = PrometheusServer::prometheus(&format!("{}{}", job("containers"), job("node")));
    let names = |labels: Vec<(guidon_tests::Labels, f64)>| -> BTreeSet<String> {
        labels
            .into_iter()
            .map(|(labels, _)| labels["__name__"].clone())
            .collect()
    };
    // The same families of the app and of the node, whichever way they take.
    for selector in [("guid", guid.as_str()), ("job", "node")] {
        let matcher = format!("{{{}=\"{}\"}}", selector.0, selector.1);
        let prefix = if selector.0 == "job" {
            "node_"
        } else {
            "container_"
        };
        eventually(Duration::from_secs(15), &matcher, || {
            let scraped: BTreeSet<String> = names(prometheus.query(&matcher))
                .into_iter()
                .filter(|name| name.starts_with(prefix))
                .collect();
            let host = agent.get_json("/api/v1/status")["guid"]
                .as_str()?
                .to_owned();
            let guid = if selector.0 == "job" {
                host.as_str()
            } else {
                selector.1
            };
            let sent: BTreeSet<String> = sink
                .series(&[("guid", guid)])
                .into_iter()
                .map(|(labels, _)| labels["__name__"].clone())
                .filter(|name| name.starts_with(prefix))
                .collect();
            (!sent.is_empty() && sent == scraped).then_some(())
        });
    }
    assert_eq!(
        prometheus
            .query("up")
            .iter()
            .filter(|(_, up)| *up == 1.0)
            .count(),
        2
    );
}
