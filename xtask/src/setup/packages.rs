//! Debian packages: what is needed, for what, and how to see that it is there.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use xtask::run::{find_program, line, output, run, step};

use super::For;

/// How to see that something is there, from wherever it came.
#[derive(Debug, Clone, Copy)]
enum Probe {
    Program(&'static str),
    File(&'static str),
}

impl Probe {
    fn holds(self) -> bool {
        match self {
            Self::Program(name) => find_program(name).is_some(),
            Self::File(path) => Path::new(path).exists(),
        }
    }
}

/// A package, and the chore that first needs it.
#[derive(Debug)]
struct Need {
    first: For,
    probe: Probe,
    package: &'static str,
    why: &'static str,
}

const fn need(first: For, probe: Probe, package: &'static str, why: &'static str) -> Need {
    Need {
        first,
        probe,
        package,
        why,
    }
}

/// Everything, in the order it is installed.
const NEEDS: &[Need] = &[
    need(
        For::Build,
        Probe::Program("cc"),
        "build-essential",
        "links the agent, builds its TLS library",
    ),
    need(
        For::Build,
        Probe::File("/usr/bin/rustc"),
        "rustc-web",
        "compiles the kernel programs",
    ),
    need(
        For::Build,
        Probe::File("/usr/bin/cargo"),
        "cargo-web",
        "compiles the kernel programs",
    ),
    need(
        For::Build,
        Probe::File("/usr/share/doc/rust-web-src"),
        "rust-web-src",
        "core for the BPF target is built from source",
    ),
    need(
        For::Build,
        Probe::File("/usr/lib/llvm-22/lib/libLLVM.so"),
        "llvm-22-dev",
        "bpf-linker is built on LLVM",
    ),
    need(
        For::Build,
        Probe::File("/usr/lib/llvm-22/lib/libPolly.a"),
        "libpolly-22-dev",
        "LLVM links against it",
    ),
    need(
        For::Build,
        Probe::File("/usr/include/zstd.h"),
        "libzstd-dev",
        "LLVM links against it",
    ),
    need(
        For::Build,
        Probe::File("/usr/include/zlib.h"),
        "zlib1g-dev",
        "LLVM links against it",
    ),
    need(
        For::Up,
        Probe::Program("dockerd"),
        "docker.io",
        "runs the apps",
    ),
    need(
        For::Up,
        Probe::Program("iptables"),
        "iptables",
        "Docker's bridge network",
    ),
    need(
        For::Up,
        Probe::Program("busybox"),
        "busybox-static",
        "the demo image is made of it, no registry needed",
    ),
    need(
        For::Test,
        Probe::Program("victoria-metrics"),
        "victoria-metrics",
        "a real receiver of remote write",
    ),
    need(
        For::Test,
        Probe::Program("prometheus"),
        "prometheus",
        "a real receiver, a managed component, and promtool checks the exposition",
    ),
    need(
        For::Test,
        Probe::Program("prometheus-node-exporter"),
        "prometheus-node-exporter",
        "node metrics are compared with it, and it is a managed component",
    ),
    need(
        For::Test,
        Probe::Program("docker-registry"),
        "docker-registry",
        "a real registry to fetch images from",
    ),
    need(
        For::Test,
        Probe::Program("qemu-system-x86_64"),
        "qemu-system-x86",
        "kernel programs on another kernel",
    ),
    need(
        For::Test,
        Probe::Program("systemd-analyze"),
        "systemd",
        "checks the service unit",
    ),
    need(
        For::Test,
        Probe::Program("capsh"),
        "libcap2-bin",
        "starts the agent with the unit's capabilities",
    ),
    need(
        For::Test,
        Probe::File("/usr/sbin/rsyslogd"),
        "rsyslog",
        "following logs is compared with it",
    ),
];

/// What is missing of a chore's needs.
fn missing(what: For) -> Vec<&'static Need> {
    NEEDS
        .iter()
        .filter(|need| need.first <= what && !need.probe.holds())
        .collect()
}

pub(super) fn install(what: For) -> Result<()> {
    let missing = missing(what);
    if missing.is_empty() {
        return Ok(());
    }
    step("missing on this machine:");
    for need in &missing {
        eprintln!("      {:<26} {}", need.package, need.why);
    }
    let prefix = root_prefix();
    let apt = find_program("apt-get");
    let (Some(prefix), Some(_)) = (prefix, apt) else {
        let names: Vec<_> = missing.iter().map(|need| need.package).collect();
        bail!(
            "cannot install packages here (no {}); install by hand what these Debian packages \
             hold, then run this again: apt-get install --no-install-recommends {}",
            if find_program("apt-get").is_none() {
                "apt-get"
            } else {
                "root rights and no sudo"
            },
            names.join(" ")
        );
    };
    step("updating the package lists");
    run(apt_get(prefix).args(["-q", "update"]))?;
    let (known, unknown): (Vec<_>, Vec<_>) = missing
        .into_iter()
        .partition(|need| has_candidate(need.package));
    for need in &unknown {
        // The BPF toolchain has another source (see `toolchain`); the rest has none.
        if need.first != For::Build || matches!(need.probe, Probe::Program(_)) {
            bail!(
                "no package source on this machine has {}; add one or install it by hand",
                need.package
            );
        }
        step(&format!(
            "no package source has {}; rustup is tried instead",
            need.package
        ));
    }
    if known.is_empty() {
        return Ok(());
    }
    // Test servers are started by the tests on their own ports: their packages' services stay off.
    let services_off = match what {
        For::Test => ServicesOff::new(prefix)?,
        For::Build | For::Up => None,
    };
    step(&format!("installing {} packages", known.len()));
    let mut command = apt_get(prefix);
    command.args(["-q", "-y", "install", "--no-install-recommends"]);
    command.args(known.iter().map(|need| need.package));
    run(&mut command).with_context(|| format!("by hand: {}", line(&command)))?;
    drop(services_off);
    let left: Vec<_> = known
        .iter()
        .filter(|need| !need.probe.holds())
        .map(|need| need.package)
        .collect();
    if !left.is_empty() {
        bail!(
            "installed, but what they are for is still not there: {}",
            left.join(" ")
        );
    }
    Ok(())
}

/// How to become root: nothing when we are, `sudo` when there is one, else `None`.
fn root_prefix() -> Option<&'static [&'static str]> {
    if rustix::process::geteuid().is_root() {
        Some(&[])
    } else if find_program("sudo").is_some() {
        Some(&["sudo"])
    } else {
        None
    }
}

fn as_root(prefix: &[&str], program: &str) -> Command {
    match prefix {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    }
}

fn apt_get(prefix: &[&str]) -> Command {
    let mut command = as_root(prefix, "env");
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    command
}

fn has_candidate(package: &str) -> bool {
    output(Command::new("apt-cache").args(["policy", package]))
        .is_ok_and(|text| text.contains("Candidate: ") && !text.contains("Candidate: (none)"))
}

/// While it lives, packages do not start their services when they are installed.
struct ServicesOff {
    prefix: &'static [&'static str],
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl ServicesOff {
    /// `None` where the machine has a policy of its own already: it stays as it is.
    fn new(prefix: &'static [&'static str]) -> Result<Option<Self>> {
        if Path::new(POLICY).exists() {
            return Ok(None);
        }
        let script = format!("printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}");
        run(as_root(prefix, "sh").args(["-c", &script]))?;
        Ok(Some(Self { prefix }))
    }
}

impl Drop for ServicesOff {
    fn drop(&mut self) {
        if let Err(error) = run(as_root(self.prefix, "rm").arg(POLICY)) {
            eprintln!("could not remove {POLICY}: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::NEEDS;

    #[test]
    fn each_package_is_named_once_and_says_why() {
        let names: BTreeSet<_> = NEEDS.iter().map(|need| need.package).collect();
        assert_eq!(names.len(), NEEDS.len());
        assert!(NEEDS.iter().all(|need| !need.why.is_empty()));
    }
}
