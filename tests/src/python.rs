//! Python clients from PyPI, each set of requirements in a virtual environment of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::run::{find_program, root, target_dir};

/// The Python of a virtual environment with what `tests/python/{requirements}` lists, kept between
/// runs; or why there is none.
pub fn environment(name: &str, requirements: &str) -> Result<PathBuf, String> {
    let requirements = scripts().join(requirements);
    let folder = target_dir().join(name);
    let python = folder.join("bin/python");
    // Done once its requirements are noted, so that other ones make it anew.
    let noted = folder.join("requirements.txt");
    let wanted = std::fs::read(&requirements).map_err(|error| error.to_string())?;
    if std::fs::read(&noted).is_ok_and(|noted| noted == wanted) {
        return Ok(python);
    }
    let run = |program: &Path, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    };
    let system = find_program("python3").ok_or("python3 is missing")?;
    run(
        &system,
        &["-m", "venv", "--clear", &folder.display().to_string()],
    )?;
    let list = requirements.display().to_string();
    run(&python, &["-m", "pip", "install", "--quiet", "-r", &list])?;
    std::fs::write(noted, wanted).map_err(|error| error.to_string())?;
    Ok(python)
}

/// Folders that a container must have for this Python to run in it: the environment, what it was
/// made from, the host's libraries, and the scripts.
#[must_use]
pub fn folders(python: &Path) -> Vec<String> {
    let question = "import sys; print(sys.prefix); print(sys.base_prefix)";
    let answer = Command::new(python).args(["-c", question]).output();
    let answer = answer.expect("ask Python where it is");
    let text = String::from_utf8_lossy(&answer.stdout);
    let mut folders: Vec<_> = text.lines().map(str::to_owned).collect();
    folders.extend(["/usr", "/lib", "/lib64"].map(str::to_owned));
    folders.push(scripts().display().to_string());
    folders.sort();
    folders.dedup();
    folders
}

/// What stands in for Jaeger's agent and collector (`tests/python/jaeger.py`) as a program in
/// `folder`; or why there is none.
pub fn jaeger_stand_in(folder: &Path) -> Result<PathBuf, String> {
    let requirements = "jaeger-stand-in-requirements.txt";
    let interpreter = environment("python-jaeger-stand-in", requirements)?;
    let (script, program) = (scripts().join("jaeger.py"), folder.join("jaeger"));
    let text = format!(
        "#!/bin/sh\nexec {} {} \"$@\"\n",
        interpreter.display(),
        script.display()
    );
    let made = std::fs::write(&program, text)
        .and_then(|()| std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)));
    made.map(|()| program).map_err(|error| error.to_string())
}

/// Where scripts and lists of requirements are.
#[must_use]
pub fn scripts() -> PathBuf {
    root().join("tests/python")
}
