//! Builds the kernel programs and hands the object to the crate.
//!
//! Needed: a rustc with its own library sources beside it (Debian's `rustc-web` and
//! `rust-web-src`, or a rustup toolchain with `rust-src`) and `bpf-linker`. Where that is missing,
//! or `GUIDON_NO_BPF=1` is set, an empty object is embedded and loading it is a clear error: so
//! check, clippy and unit tests work everywhere. With the toolchain there, a failing build of the
//! programs fails this build.

use std::{
    env,
    error::Error,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const TARGET: &str = "bpfel-unknown-none";
const OBJECT: &str = "guidon";

/// What cargo sets for build scripts, and a user for the outer build, and must not reach the inner
/// one.
const FOREIGN_PREFIXES: [&str; 5] = ["CARGO_", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "DEP_"];
const FOREIGN: [&str; 9] = [
    "RUSTFLAGS",
    "TARGET",
    "HOST",
    "PROFILE",
    "DEBUG",
    "OPT_LEVEL",
    "NUM_JOBS",
    "OUT_DIR",
    "MAKEFLAGS",
];
/// Of those, what is about where crates come from, and so is wanted.
const KEPT_PREFIXES: [&str; 5] = [
    "CARGO_HOME",
    "CARGO_NET_",
    "CARGO_HTTP_",
    "CARGO_REGISTR",
    "CARGO_SOURCE_",
];

struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    linker: PathBuf,
}

fn main() -> Result<()> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("..");
    let embedded = PathBuf::from(variable("OUT_DIR")?).join("guidon-ebpf");
    for path in [
        "ebpf/src",
        "ebpf/Cargo.toml",
        "ebpf/Cargo.lock",
        "ebpf/.cargo",
        "common",
    ] {
        println!("cargo:rerun-if-changed={}", root.join(path).display());
    }
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=GUIDON_NO_BPF");
    println!("cargo:rerun-if-env-changed=PATH");

    let object = if env::var_os("GUIDON_NO_BPF").is_some_and(|value| value == "1") {
        Vec::new()
    } else {
        match toolchain() {
            Ok(toolchain) => build(&root.join("ebpf"), &toolchain)?,
            Err(missing) => {
                watch_for_toolchain();
                println!(
                    "cargo:warning=building without kernel programs: {missing} \
                     (`cargo xtask setup` installs what is needed)"
                );
                Vec::new()
            }
        }
    };
    fs::write(embedded, object)?;
    Ok(())
}

fn variable(name: &str) -> Result<OsString> {
    env::var_os(name).ok_or_else(|| format!("{name} is not set").into())
}

/// The tools, or what is missing of them.
fn toolchain() -> std::result::Result<Toolchain, String> {
    let linker = find("bpf-linker").ok_or("bpf-linker is not on PATH nor in ~/.cargo/bin")?;
    let (cargo, rustc) = compilers()
        .into_iter()
        .find(|(cargo, rustc)| cargo.exists() && has_library_sources(rustc))
        .ok_or(
            "no rustc with its library sources (rust-web-src, or rust-src of rustup's nightly)",
        )?;
    Ok(Toolchain {
        cargo,
        rustc,
        linker,
    })
}

/// Pairs of cargo and rustc to try, Debian's first: its LLVM fits the linker's.
fn compilers() -> Vec<(PathBuf, PathBuf)> {
    let mut pairs = vec![(
        PathBuf::from("/usr/bin/cargo"),
        PathBuf::from("/usr/bin/rustc"),
    )];
    let which = |tool: &str| {
        let output = clean(&mut Command::new("rustup"))
            .args(["which", "--toolchain", "nightly", tool])
            .output()
            .ok()?;
        let path = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| PathBuf::from(path.trim()))
    };
    if let (Some(cargo), Some(rustc)) = (which("cargo"), which("rustc")) {
        pairs.push((cargo, rustc));
    }
    if let (Some(cargo), Some(rustc)) = (env::var_os("CARGO"), env::var_os("RUSTC")) {
        pairs.push((cargo.into(), rustc.into()));
    }
    pairs
}

fn has_library_sources(rustc: &Path) -> bool {
    clean(&mut Command::new(rustc))
        .args(["--print", "sysroot"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .is_some_and(|sysroot| {
            Path::new(sysroot.trim())
                .join("lib/rustlib/src/rust/library/core/Cargo.toml")
                .exists()
        })
}

fn find(tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .chain(cargo_bin())
        .map(|folder| folder.join(tool))
        .find(|candidate| candidate.is_file())
}

fn cargo_bin() -> Option<PathBuf> {
    match env::var_os("CARGO_HOME") {
        Some(home) => Some(PathBuf::from(home).join("bin")),
        None => Some(PathBuf::from(env::var_os("HOME")?).join(".cargo/bin")),
    }
}

/// Runs the inner cargo in its own target folder: cargo holds a lock on the outer one.
fn build(ebpf: &Path, toolchain: &Toolchain) -> Result<Vec<u8>> {
    let target_dir = target_dir()?.join("ebpf");
    let linker_dir = toolchain
        .linker
        .parent()
        .ok_or("bpf-linker has no folder")?;
    let path = env::var_os("PATH").unwrap_or_default();
    let paths = [linker_dir.to_path_buf()]
        .into_iter()
        .chain(env::split_paths(&path));
    let mut command = Command::new(&toolchain.cargo);
    let status = clean(&mut command)
        .args(["build", "--release", "--locked"])
        .current_dir(ebpf)
        .env("PATH", env::join_paths(paths)?)
        .env("RUSTC", &toolchain.rustc)
        // build-std is unstable; this lets a stable compiler do it.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", &target_dir)
        .status()?;
    if !status.success() {
        return Err(format!(
            "the kernel programs in {} do not build with {} ({status}); GUIDON_NO_BPF=1 builds \
             without them",
            ebpf.display(),
            toolchain.rustc.display()
        )
        .into());
    }
    Ok(fs::read(
        target_dir.join(TARGET).join("release").join(OBJECT),
    )?)
}

/// The outer build's target folder: the folder above `OUT_DIR` that cargo tagged.
fn target_dir() -> Result<PathBuf> {
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    out_dir
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").exists())
        .map(Path::to_path_buf)
        .ok_or_else(|| format!("no target folder above {}", out_dir.display()).into())
}

fn clean(command: &mut Command) -> &mut Command {
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let foreign = FOREIGN.contains(&text)
            || FOREIGN_PREFIXES
                .iter()
                .any(|prefix| text.starts_with(prefix));
        let kept = KEPT_PREFIXES.iter().any(|prefix| text.starts_with(prefix));
        if foreign && !kept {
            command.env_remove(&name);
        }
    }
    command
}

/// Without the toolchain: look again when something was installed where it would be.
fn watch_for_toolchain() {
    let folders = [Some(PathBuf::from("/usr/bin")), cargo_bin()];
    for folder in folders
        .into_iter()
        .flatten()
        .filter(|folder| folder.exists())
    {
        println!("cargo:rerun-if-changed={}", folder.display());
    }
}
