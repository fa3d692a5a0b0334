//! What the kernel offers: version, BTF, capabilities, cgroup mode.

use std::fs;
use std::path::Path;

use rustix::fs::statfs;
use rustix::system::uname;
use rustix::thread::{CapabilitySet, capabilities};

use super::Finding;

/// Ring buffer, cgroup iterators and `CAP_BPF` came by then; the programs are tested from 6.1 on.
const OLDEST_KERNEL: (u32, u32) = (5, 11);
const TESTED_KERNEL: (u32, u32) = (6, 1);
const CGROUP2_MAGIC: u64 = 0x6367_7270;

/// What loading and attaching takes, and what is lost without.
const NEEDED: [(CapabilitySet, &str, &str); 4] = [
    (CapabilitySet::BPF, "BPF", "no kernel programs"),
    (CapabilitySet::PERFMON, "PERFMON", "no kernel programs"),
    (
        CapabilitySet::NET_ADMIN,
        "NET_ADMIN",
        "no bytes and packets from the kernel",
    ),
    (
        CapabilitySet::DAC_READ_SEARCH,
        "DAC_READ_SEARCH",
        "no container logs and no details of other users' processes",
    ),
];

pub(super) fn look() -> Vec<Finding> {
    vec![version(), btf(), capability(), cgroups()]
}

fn version() -> Finding {
    let name = uname();
    let release = name.release().to_string_lossy();
    judge_version(&release)
}

fn judge_version(release: &str) -> Finding {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    let mut number = || numbers.next().and_then(|text| text.parse().ok());
    let (Some(major), Some(minor)) = (number(), number()) else {
        let advice = "the version is not understood: whether kernel programs load shows at start";
        return Finding::warn("kernel", release, advice);
    };
    if (major, minor) < OLDEST_KERNEL {
        let advice = "older than 5.11: no kernel programs, the agent runs on cgroupfs alone";
        Finding::warn("kernel", release, advice)
    } else if (major, minor) < TESTED_KERNEL {
        let advice = "older than 6.1: single kernel programs may be switched off at start";
        Finding::warn("kernel", release, advice)
    } else {
        Finding::ok("kernel", release)
    }
}

fn btf() -> Finding {
    let path = "/sys/kernel/btf/vmlinux";
    match fs::File::open(path) {
        Ok(_) => Finding::ok("BTF", path),
        Err(error) => Finding::warn(
            "BTF",
            format!("cannot open {path}: {error}"),
            "no kernel programs, the agent runs on cgroupfs alone; needs a kernel with \
             CONFIG_DEBUG_INFO_BTF, and /sys where the agent runs in a container",
        ),
    }
}

fn capability() -> Finding {
    let effective = match capabilities(None) {
        Ok(sets) => sets.effective,
        Err(error) => {
            let found = format!("cannot be asked for: {error}");
            return Finding::warn("capabilities", found, "");
        }
    };
    // Before CAP_BPF there was only this; it still stands in for the others.
    let has_all = effective.contains(CapabilitySet::SYS_ADMIN);
    let missing: Vec<_> = NEEDED
        .iter()
        .filter(|(capability, name, _)| {
            let stands_in = has_all && matches!(*name, "BPF" | "PERFMON");
            !stands_in && !effective.contains(*capability)
        })
        .collect();
    if missing.is_empty() {
        let names = NEEDED.map(|(_, name, _)| name).join(", ");
        return Finding::ok("capabilities", names);
    }
    let names: Vec<_> = missing.iter().map(|(_, name, _)| *name).collect();
    let mut losses: Vec<_> = missing.iter().map(|(_, _, loss)| *loss).collect();
    losses.dedup();
    Finding::warn(
        "capabilities",
        format!("{} missing", names.join(", ")),
        format!(
            "as the user who asked; with these the agent has {}; run it as root or by its unit",
            losses.join(", ")
        ),
    )
}

fn cgroups() -> Finding {
    let root = Path::new("/sys/fs/cgroup");
    let is_v2 = |path: &Path| {
        let found = statfs(path).ok();
        found.is_some_and(|found| u64::try_from(found.f_type) == Ok(CGROUP2_MAGIC))
    };
    if is_v2(root) {
        return match fs::read_to_string(root.join("cgroup.controllers")) {
            Ok(controllers) => {
                let mut missing = ["cpu", "memory", "io", "pids"].to_vec();
                missing.retain(|wanted| !controllers.split_whitespace().any(|one| one == *wanted));
                if missing.is_empty() {
                    Finding::ok("cgroups", "v2")
                } else {
                    let names = missing.join(", ");
                    let advice = "their metrics are missing unless kernel programs give them";
                    Finding::warn("cgroups", format!("v2 without {names}"), advice)
                }
            }
            Err(error) => Finding::warn(
                "cgroups",
                format!("v2, but {error}"),
                "containers have no metrics; mount /sys/fs/cgroup of the host",
            ),
        };
    }
    if is_v2(&root.join("unified")) {
        return Finding::ok(
            "cgroups",
            "hybrid: v1 controllers, and v2 for the kernel programs",
        );
    }
    if root.is_dir() {
        return Finding::warn(
            "cgroups",
            "v1",
            "kernel programs cannot tell containers apart: no network, run-queue and exact CPU \
             counters per container; boot with systemd.unified_cgroup_hierarchy=1",
        );
    }
    Finding::warn(
        "cgroups",
        "/sys/fs/cgroup is not there",
        "containers have no metrics; mount cgroup2 there",
    )
}

#[cfg(test)]
mod tests {
    use super::{super::Level, judge_version};

    #[test]
    fn kernels_are_judged_by_their_first_two_numbers() {
        for (release, level) in [
            ("6.18.44-cloud", Level::Ok),
            ("6.1.0-22-amd64", Level::Ok),
            ("10.0", Level::Ok),
            ("5.15.0", Level::Warn),
            ("5.10.0", Level::Warn),
            ("4.19", Level::Warn),
            ("strange", Level::Warn),
        ] {
            let finding = judge_version(release);
            assert_eq!(finding.level, level, "{release}");
            assert_eq!(finding.advice.is_empty(), level == Level::Ok);
        }
        assert!(judge_version("5.10.0").advice.contains("cgroupfs alone"));
        assert!(judge_version("5.15.0").advice.contains("single"));
    }
}
