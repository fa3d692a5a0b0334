//! Test programs on another kernel: a virtual machine without KVM, a few seconds to boot.
//!
//! The initramfs is busybox, the programs and the shared libraries they need: nothing is rebuilt for
//! the machine, so what is tested there is what is tested here.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::child::Running;
use crate::run::{find_program, output, run, step, target_dir};

/// Debian's metapackage of the newest cloud kernel: 6.1 on Debian 12.
const KERNEL_METAPACKAGE: &str = "linux-image-cloud-amd64";

/// Printed by a machine as its last line; without it the run broke off. A script that ends prints
/// it; one that hands process 1 over to another program must see to it.
pub const END_MARK: &str = "guidon-vm-end";

/// The kernel of Debian's cloud images, downloaded (not installed) once into the target folder.
pub fn debian_kernel() -> Result<PathBuf> {
    let package = output(Command::new("apt-cache").args(["depends", KERNEL_METAPACKAGE]))?
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: ").map(str::to_owned))
        .with_context(|| format!("apt knows no {KERNEL_METAPACKAGE}: run `apt-get update`"))?;
    let folder = target_dir().join("kernels").join(&package);
    let image = folder.join("vmlinuz");
    if image.is_file() {
        return Ok(image);
    }
    step(&format!("downloading {package} for the virtual machine"));
    let unpacked = folder.join("unpacked");
    std::fs::create_dir_all(&unpacked)?;
    // The download happens in the folder it is started in; as root apt would rather be `_apt`.
    run(Command::new("apt-get")
        .args(["-qq", "-o", "APT::Sandbox::User=root", "download", &package])
        .current_dir(&folder))?;
    let archive = only_file(&folder, |name| name.ends_with(".deb"))?;
    run(Command::new("dpkg-deb")
        .arg("--extract")
        .arg(&archive)
        .arg(&unpacked))?;
    let packed = only_file(&unpacked.join("boot"), |name| name.starts_with("vmlinuz"))?;
    std::fs::rename(&packed, &image)?;
    std::fs::remove_dir_all(&unpacked)?;
    std::fs::remove_file(&archive)?;
    Ok(image)
}

/// What a machine is made of.
#[derive(Debug, Clone, Copy)]
pub struct Machine<'a> {
    /// Path of the kernel image.
    pub kernel: &'a Path,
    /// Programs; found under `/bin` by their file name, with the libraries they need.
    pub programs: &'a [PathBuf],
    /// Other files: where they are here, and their absolute path there.
    pub files: &'a [(PathBuf, PathBuf)],
    /// What process 1 does once cgroup2 and the other file systems are mounted; see [`END_MARK`].
    pub script: &'a str,
    /// When to give up.
    pub timeout: Duration,
}

/// Boots a machine with pure cgroup v2, runs its script there as root and returns all that it
/// printed.
pub fn run_in_vm(machine: &Machine<'_>) -> Result<String> {
    let folder = target_dir().join("vm");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let root = folder.join("root");
    write_root(&root, machine)?;
    let initramfs = folder.join("initramfs.gz");
    pack(&root, &initramfs)?;
    let log = folder.join("console.log");
    let arguments = [
        // /dev/kvm may exist and hang where we are a virtual machine ourselves.
        "-machine",
        "q35",
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max",
        "-smp",
        "2",
        "-m",
        "1024",
        "-nographic",
        "-no-reboot",
        "-net",
        "none",
        "-append",
        "console=ttyS0 quiet panic=-1 mitigations=off",
        "-kernel",
        &machine.kernel.display().to_string(),
        "-initrd",
        &initramfs.display().to_string(),
    ];
    let qemu = find_program("qemu-system-x86_64")
        .context("qemu-system-x86_64 is missing: `cargo xtask setup`")?;
    let started = Instant::now();
    let mut process = Running::start(&qemu, &arguments, &log)?;
    let ended = process.wait(machine.timeout)?;
    let console = console_text(&std::fs::read(&log)?);
    if ended.is_none() {
        process.kill()?;
        bail!(
            "the virtual machine did not end within {:?}; it said:\n{console}",
            machine.timeout
        );
    }
    if !console.contains(END_MARK) {
        bail!("the virtual machine broke off; it said:\n{console}");
    }
    step(&format!(
        "virtual machine done after {:.1} s",
        started.elapsed().as_secs_f64()
    ));
    Ok(console)
}

/// What the machine printed, without its firmware's play with the terminal.
fn console_text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace('\r', "");
    let kernel = text
        .split_once("Booting from ROM...\n")
        .map(|(_, kernel)| kernel);
    let mut clean = String::new();
    for (number, part) in kernel.unwrap_or(&text).split('\x1b').enumerate() {
        // A control sequence ends with its first letter.
        let skipped = if number == 0 {
            0
        } else {
            part.find(char::is_alphabetic).map_or(0, |at| at + 1)
        };
        clean.push_str(&part[skipped..]);
    }
    clean
}

fn write_root(root: &Path, machine: &Machine<'_>) -> Result<()> {
    for name in ["bin", "proc", "sys", "dev", "tmp", "etc", "var", "run"] {
        std::fs::create_dir_all(root.join(name))?;
    }
    let busybox = find_program("busybox").context("busybox is missing: `cargo xtask setup`")?;
    std::fs::copy(&busybox, root.join("bin/busybox"))?;
    let mut libraries = BTreeSet::new();
    for program in machine.programs {
        let name = program.file_name().context("a program without a name")?;
        let target = root.join("bin").join(name);
        std::fs::copy(program, &target).with_context(|| format!("copy {}", program.display()))?;
        // Debug information would only have to be unpacked into the machine's memory.
        run(Command::new("strip").arg(&target))?;
        libraries.extend(shared_libraries(program)?);
    }
    for library in libraries {
        copy_into(root, &library, &library)?;
    }
    for (source, path) in machine.files {
        copy_into(root, source, path)?;
    }
    let init = root.join("init");
    std::fs::write(&init, init_script(machine.script))?;
    run(Command::new("chmod").arg("755").arg(&init))
}

fn copy_into(root: &Path, source: &Path, path: &Path) -> Result<()> {
    let target = root.join(path.strip_prefix("/").unwrap_or(path));
    std::fs::create_dir_all(target.parent().unwrap_or(root))?;
    std::fs::copy(source, &target).with_context(|| format!("copy {}", source.display()))?;
    Ok(())
}

fn init_script(script: &str) -> String {
    format!(
        "#!/bin/busybox sh
export PATH=/bin RUST_BACKTRACE=1
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
for controller in cpu memory io pids; do
    echo +$controller > /sys/fs/cgroup/cgroup.subtree_control
done
ip link set lo up
{script}
echo {END_MARK}
sync
poweroff -f
"
    )
}

/// Absolute paths of the shared libraries (and the loader) that a program needs.
pub(crate) fn shared_libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let listing = output(Command::new("ldd").arg(program))?;
    Ok(listing
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect())
}

fn pack(root: &Path, initramfs: &Path) -> Result<()> {
    let names = output(Command::new("find").arg(".").current_dir(root))?;
    let mut cpio = Command::new("busybox")
        .args(["cpio", "-o", "-H", "newc"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("start busybox cpio")?;
    let mut gzip = Command::new("gzip")
        .arg("-1")
        .stdin(cpio.stdout.take().context("no pipe")?)
        .stdout(std::fs::File::create(initramfs)?)
        .spawn()
        .context("start gzip")?;
    cpio.stdin
        .take()
        .context("no pipe")?
        .write_all(names.as_bytes())?;
    for (name, status) in [("cpio", cpio.wait()?), ("gzip", gzip.wait()?)] {
        anyhow::ensure!(status.success(), "{name} failed: {status}");
    }
    Ok(())
}

fn only_file(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<PathBuf> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        if wanted(&entry.file_name().to_string_lossy()) {
            return Ok(entry.path());
        }
    }
    bail!("nothing fitting in {}", folder.display())
}

#[cfg(test)]
mod tests {
    use super::console_text;

    #[test]
    fn the_firmwares_control_sequences_do_not_reach_the_terminal() {
        let console =
            b"\x1bc\x1b[?7l\x1b[2JSeaBIOS\r\nBooting from ROM...\n\x1b[0m\x1b[2J6.1\r\ndone\n";
        assert_eq!(console_text(console), "6.1\ndone\n");
    }
}
