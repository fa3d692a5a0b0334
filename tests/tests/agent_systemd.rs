//! The service unit: its syntax, its rights, and a real start under a real systemd.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "tests"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use guidon_tests::agent::program;
use guidon_tests::{eventually, free_port};
use xtask::child::Running;
use xtask::http::{Request, Server, send};
use xtask::qemu::{END_MARK, Machine, debian_kernel, run_in_vm};
use xtask::run::{find_program, output};

/// Of ten; what is left is what the agent is for: root, everybody's processes, the network.
const EXPOSURE_AT_MOST: &str = "30";

fn unit() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd/guidon.service");
    fs::read_to_string(path).unwrap()
}

/// The unit with the program under test in place of the installed one.
fn unit_in(folder: &Path) -> PathBuf {
    let path = folder.join("guidon.service");
    fs::write(
        &path,
        unit().replace("/usr/bin/guidon", program().to_str().unwrap()),
    )
    .unwrap();
    path
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let verify = Command::new("systemd-analyze")
        .arg("verify")
        .arg(unit_in(folder.path()))
        .output();
    let verify = verify.unwrap();
    let said = String::from_utf8_lossy(&verify.stderr);
    assert!(verify.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_unit_is_as_little_exposed_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let threshold = format!("--threshold={EXPOSURE_AT_MOST}");
    let mut analyze = Command::new("systemd-analyze");
    analyze
        .args(["security", "--offline=true", &threshold])
        .arg(unit_in(folder.path()));
    output(&mut analyze).unwrap();
}

/// The unit's capabilities as `setpriv` spells them, without `CAP_`.
fn capabilities() -> Vec<String> {
    let unit = unit();
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    let names = line.unwrap().split_whitespace();
    names
        .map(|name| name.trim_start_matches("CAP_").to_lowercase())
        .collect()
}

/// Starts the agent as root with nothing but the given capabilities and returns its status page.
fn status_with(capabilities: &[String]) -> serde_json::Value {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let config = folder.path().join("guidon.toml");
    let text = format!(
        "data_dir = {:?}\n[api]\nlisten = {address:?}\n[collect]\ninterval = \"1s\"\n\
         [receive]\nremote_write = false\notlp_http = false\notlp_grpc = false\njaeger = false\napps = false\nlogs = false\n",
        folder.path().join("data")
    );
    fs::write(&config, text).unwrap();
    let bounding = capabilities
        .iter()
        .map(|name| format!(",+{name}"))
        .collect::<String>();
    let bounding = format!("--bounding-set=-all{bounding}");
    let arguments = [
        &bounding,
        "--inh-caps=-all",
        "--no-new-privs",
        "--",
        program().to_str().unwrap(),
        "run",
        "--config",
        config.to_str().unwrap(),
    ];
    let log = folder.path().join("log");
    let setpriv = find_program("setpriv").unwrap();
    let mut agent = Running::start(&setpriv, &arguments, &log).unwrap();
    let server = Server::Tcp(address);
    eventually(Duration::from_secs(20), "the agent's second round", || {
        if let Some(status) = agent.ended().unwrap() {
            panic!(
                "the agent ended: {status}\n{}",
                fs::read_to_string(&log).unwrap()
            );
        }
        let answer = send(&server, &Request::new("GET", "/api/v1/status")).ok()?;
        let status = answer.success().ok()?.json().ok()?;
        (status["collect"]["rounds"].as_u64()? >= 2).then_some(status)
    })
}

/// Names of the kernel programs that are not attached, with the reason.
fn not_attached(status: &serde_json::Value) -> Vec<String> {
    let programs = status["kernel"]["programs"].as_array().unwrap();
    let off = programs
        .iter()
        .filter(|program| program["attached"] != true);
    off.map(|program| format!("{}: {}", program["name"], program["reason"]))
        .collect()
}

#[test]
fn with_the_units_capabilities_every_kernel_program_runs() {
    let all: Vec<String> = ["all"].map(str::to_owned).to_vec();
    let usual = status_with(&all);
    let status = status_with(&capabilities());
    assert_eq!(status["kernel"]["loaded"], true, "{status}");
    assert_eq!(
        not_attached(&status),
        not_attached(&usual),
        "no fewer than with all rights"
    );
    assert_eq!(status["docker"]["connected"], usual["docker"]["connected"]);
}

#[test]
fn each_capability_for_kernel_programs_is_needed() {
    let all = capabilities();
    for name in ["bpf", "perfmon", "net_admin"] {
        assert!(
            all.iter().any(|capability| capability == name),
            "{name} is not in the unit"
        );
        let fewer: Vec<String> = all.iter().filter(|other| *other != name).cloned().collect();
        let status = status_with(&fewer);
        let lost = status["kernel"]["loaded"] != true || !not_attached(&status).is_empty();
        assert!(lost, "nothing is lost without {name}: {status}");
    }
}

/// Run by the machine's systemd after the agent's unit; prints what the test looks at.
const CHECK: &str = r#"#!/bin/sh
for second in $(seq 60); do
    systemctl is-failed --quiet guidon.service && break
    rounds=$(wget -q -O - http://127.0.0.1:7070/api/v1/status 2>/dev/null | grep -o '"rounds":[0-9]*')
    [ "${rounds#*:}" -ge 2 ] 2>/dev/null && break
    sleep 1
done
echo "agent: $(systemctl is-active guidon.service)"
pid=$(systemctl show --property=MainPID --value guidon.service)
grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/$pid/status
echo "status: $(wget -q -O - http://127.0.0.1:7070/api/v1/status)"
systemctl reload guidon.service && echo "reload: done"
sleep 1
echo "after reload: $(systemctl is-active guidon.service)"
systemctl stop guidon.service
echo "stopped: $(systemctl show --property=Result,ExecMainStatus guidon.service | tr '\n' ' ')"
echo "log:"
cat /run/guidon.log
"#;

#[test]
fn a_real_systemd_starts_reloads_and_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let service = file("guidon.service", &unit());
    // No journal in this machine: the log goes where the check can print it.
    let drop_in = file(
        "log.conf",
        "[Service]\nStandardOutput=append:/run/guidon.log\nStandardError=append:/run/guidon.log\n",
    );
    let config = file(
        "guidon.toml",
        "guid = \"vm\"\n[collect]\ninterval = \"1s\"\n",
    );
    let check = file(
        "check.sh",
        &format!("{CHECK}echo {END_MARK}\nsync\n/bin/busybox poweroff -f\n"),
    );
    let check_unit = file(
        "check.service",
        "[Unit]\nWants=guidon.service\nAfter=guidon.service\n\n[Service]\nType=oneshot\n\
         ExecStart=/bin/sh /check.sh\nStandardOutput=file:/dev/ttyS0\nStandardError=file:/dev/ttyS0\n",
    );
    let passwd = file("passwd", "root:x:0:0:root:/:/bin/sh\n");
    let os_release = file("os-release", "ID=debian\n");
    let mut files = vec![
        (service, "/etc/systemd/system/guidon.service".into()),
        (
            drop_in,
            "/etc/systemd/system/guidon.service.d/log.conf".into(),
        ),
        (config, "/etc/guidon/guidon.toml".into()),
        (check, "/check.sh".into()),
        (check_unit, "/etc/systemd/system/check.service".into()),
        (passwd, "/etc/passwd".into()),
        (os_release, "/etc/os-release".into()),
        (program().to_owned(), PathBuf::from("/usr/bin/guidon")),
    ];
    for target in ["basic", "sysinit", "shutdown", "network-online"] {
        let path = PathBuf::from(format!("/lib/systemd/system/{target}.target"));
        files.push((path.clone(), path));
    }
    // Named for their libraries; systemd itself is found where the unit files expect it.
    let systemd = PathBuf::from("/lib/systemd/systemd");
    let programs = [systemd, "/bin/systemctl".into(), program().to_owned()];
    // A real root file system: systemd cannot give a service a view of its own of the initramfs.
    let script = "umount /sys/fs/bpf /sys/fs/cgroup /run /tmp /sys /proc
mkdir /real
mount -t tmpfs -o size=80% tmpfs /real
for entry in bin etc lib lib64 usr var check.sh; do cp -a /$entry /real/ 2>/dev/null; done
mkdir -p /real/proc /real/sys /real/dev /real/run /real/tmp /real/root /real/home
mount -t proc proc /proc
mount -o move /dev /real/dev
exec switch_root /real /bin/systemd --unit=check.service --log-target=kmsg --show-status=false";
    let console = run_in_vm(&Machine {
        kernel: &debian_kernel().unwrap(),
        programs: &programs,
        files: &files,
        script,
        timeout: Duration::from_secs(180),
    })
    .unwrap();
    println!("{console}");
    for line in [
        "agent: active",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "reload: done",
        "after reload: active",
        "stopped: Result=success ExecMainStatus=0",
    ] {
        assert!(console.contains(line), "{line} is missing");
    }
    let status = console
        .lines()
        .find_map(|line| line.strip_prefix("status: "))
        .unwrap();
    let status: serde_json::Value = serde_json::from_str(status).unwrap();
    assert_eq!(status["kernel"]["loaded"], true);
    assert_eq!(status["guid"], "vm");
    assert_eq!(not_attached(&status), Vec::<String>::new());
}
