//! The API against its own description: schemathesis makes requests from `/openapi.json`, good ones
//! and bad ones, and holds every answer to it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use guidon_tests::{Agent, free_port, python, system_docker};

const TOKEN: &str = "a-token-for-schemathesis";

/// Cases for each call. More find nothing that these do not, as a longer run by hand showed.
const CASES: &str = "15";

#[test]
fn every_answer_is_as_described_whatever_is_asked() {
    let _docker = system_docker();
    let python = python::environment("schemathesis", "schemathesis.txt").expect("schemathesis");
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let agent = Agent::start_on(&address, "", &format!("token_file = {token:?}"));

    let tested = Command::new(python.with_file_name("schemathesis"))
        .args(["run", &format!("http://{address}/openapi.json")])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .args(["--max-examples", CASES, "--seed", "7"])
        .args(["--request-timeout", "60", "--continue-on-failure"])
        // A schema cannot say what fields must hold together (a path below an allowed folder, an
        // image that is there, a cursor that was given out); and 503 is what `/readyz` is for.
        .args(["--exclude-checks", "positive_data_acceptance"])
        .args(["--exclude-path", "/readyz"])
        // Protobuf pages of the bus are held to their format by other tests.
        .args(["--warnings", "off", "--no-color"])
        .current_dir(folder.path())
        .output()
        .expect("run schemathesis");
    let said = String::from_utf8_lossy(&tested.stdout);
    assert!(tested.status.success(), "{said}");
    assert!(!agent.log().contains(TOKEN), "a token never prints");
    assert_eq!(agent.get("/healthz").status, 200);
}
