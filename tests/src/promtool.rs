//! Prometheus' own opinion of an exposition.

use std::io::Write;
use std::process::{Command, Stdio};

/// All that `promtool check metrics` has to complain about; empty is good.
#[must_use]
pub fn check_metrics(exposition: &str) -> String {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start promtool: `cargo xtask setup test` installs it");
    let mut stdin = promtool.stdin.take().expect("a pipe");
    let text = exposition.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = promtool.wait_with_output().expect("run promtool");
    writer.join().expect("the writer").expect("feed promtool");
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    if !output.status.success() && said.is_empty() {
        return output.status.to_string();
    }
    said
}

#[cfg(test)]
mod tests {
    use super::check_metrics;

    #[test]
    fn promtool_tells_good_from_bad() {
        let good = "# HELP a_seconds_total A.\n# TYPE a_seconds_total counter\na_seconds_total 1\n";
        assert_eq!(check_metrics(good), "");
        assert!(check_metrics("a_total 1\na_total 1\n").contains("a_total"));
    }
}
