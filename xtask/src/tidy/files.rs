//! Rules that look at one file at a time.

use anyhow::{Context, Result, bail};
use xtask::run::{cargo, output, root};

use super::Files;
use super::scan::{code_only, line_of, without_tests, words};

/// Longest source file, tests not counted.
const MAX_LINES: usize = 500;

pub(super) fn too_long(files: &Files) -> Vec<String> {
    files
        .iter()
        .filter(|(path, _)| !is_test_file(path))
        .filter_map(|(path, source)| {
            let lines = without_tests(source).lines().count();
            (lines > MAX_LINES).then(|| format!("{path}: {lines} lines, at most {MAX_LINES}"))
        })
        .collect()
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// `unsafe` stays in the room that talks to the kernel and on the kernel's side of the boundary.
pub(super) fn misplaced_unsafe(files: &Files) -> Vec<String> {
    const HOMES: &[&str] = &[
        "agent/src/kernel.rs",
        "agent/src/kernel/",
        "ebpf/",
        "common/",
    ];
    files
        .iter()
        .filter(|(path, _)| !HOMES.iter().any(|home| path.starts_with(home)))
        .flat_map(|(path, source)| {
            let code = code_only(source);
            words(&code, "unsafe")
                .map(|at| {
                    format!(
                        "{path}:{}: unsafe outside kernel, ebpf and common",
                        line_of(&code, at)
                    )
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

pub(super) fn unfinished(files: &Files) -> Vec<String> {
    // Written in two parts so that this file does not find itself.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    find(files, &marks, "unfinished")
}

/// Paths of one developer's machine have no business in the tree.
pub(super) fn machine_paths(files: &Files) -> Vec<String> {
    let marks = [
        concat!("/wo", "rk/"),
        concat!("/ho", "me/"),
        concat!("/ro", "ot/."),
    ];
    find(files, &marks, "a path of one machine")
}

fn find(files: &Files, marks: &[&str], what: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, text) in files {
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| contains_apart(line, mark)) {
                problems.push(format!("{path}:{}: {what}: {}", number + 1, line.trim()));
            }
        }
    }
    problems
}

/// Whether `line` contains `mark`, not as a part of a longer word or path.
fn contains_apart(line: &str, mark: &str) -> bool {
    line.match_indices(mark).any(|(at, _)| {
        let before = line[..at].bytes().next_back();
        let after = line[at + mark.len()..].bytes().next();
        let word = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        !word(before) && (mark.starts_with('/') || !word(after))
    })
}

/// Every dependency has a licence that `deny.toml` allows; needs nothing but cargo.
pub(super) fn licences() -> Result<()> {
    let list = allow_list(&std::fs::read_to_string(root().join("deny.toml"))?);
    let text = output(cargo().args(["metadata", "--format-version=1", "--locked"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&text)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let mut problems = Vec::new();
    for package in packages {
        let licence = package["license"].as_str().unwrap_or("none");
        if !allowed(licence, &list) {
            let name = package["name"].as_str().unwrap_or_default();
            problems.push(format!("{name}: licence {licence}"));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    bail!("{}", problems.join("\n"))
}

/// Whether an SPDX expression can be met with the list: every `AND` part needs one of its `OR`
/// parts. Brackets bind as in all expressions seen: around `OR`.
fn allowed(expression: &str, list: &[String]) -> bool {
    expression.split(" AND ").all(|part| {
        let part = part.trim_matches(['(', ')', ' ']);
        part.split(" OR ")
            .flat_map(|licence| licence.split('/'))
            .map(|licence| licence.trim_matches(['(', ')', ' ']))
            .any(|licence| list.iter().any(|allowed| allowed == licence))
    })
}

/// The entries of `allow = [ … ]`, one a line as the file is written.
fn allow_list(deny: &str) -> Vec<String> {
    deny.lines()
        .skip_while(|line| *line != "allow = [")
        .skip(1)
        .take_while(|line| *line != "]")
        .map(|line| line.trim_matches([' ', '"', ',']).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{allow_list, allowed, machine_paths, misplaced_unsafe, too_long, unfinished};
    use crate::tidy::Files;

    fn one(path: &str, text: &str) -> Files {
        [(path.to_owned(), text.to_owned())].into()
    }

    #[test]
    fn a_file_of_501_lines_is_too_long_unless_the_rest_are_tests() {
        assert_eq!(too_long(&one("a.rs", &"x\n".repeat(501))).len(), 1);
        let tested = format!(
            "{}#[cfg(test)]\nmod tests {{\n{}}}\n",
            "x\n".repeat(500),
            "    y\n".repeat(9)
        );
        assert!(too_long(&one("a.rs", &tested)).is_empty());
    }

    #[test]
    fn the_keyword_is_found_in_code_only_and_outside_its_homes_only() {
        let code = "#![deny(unsafe_code)] // unsafe\nunsafe { f() }";
        assert_eq!(misplaced_unsafe(&one("agent/src/api.rs", code)).len(), 1);
        assert!(misplaced_unsafe(&one("agent/src/kernel/map.rs", code)).is_empty());
    }

    #[test]
    fn unfinished_work_and_machine_paths_are_found() {
        let mark = ["// TO", "DO: later"].concat();
        assert_eq!(unfinished(&one("a.rs", &mark)).len(), 1);
        assert!(unfinished(&one("a.rs", "mkstemp(\"XXXXXX\")")).is_empty());
        let path = ["see /ho", "me/someone/x"].concat();
        assert_eq!(machine_paths(&one("a.md", &path)).len(), 1);
    }

    #[test]
    fn licence_expressions_are_met_part_by_part() {
        let list = allow_list("[licenses]\nallow = [\n    \"MIT\",\n    \"Unicode-3.0\",\n]\n");
        assert_eq!(list.len(), 2);
        for good in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "(MIT OR GPL-2.0) AND Unicode-3.0",
        ] {
            assert!(allowed(good, &list), "{good}");
        }
        for bad in ["GPL-2.0", "MIT AND GPL-2.0", "none"] {
            assert!(!allowed(bad, &list), "{bad}");
        }
    }
}
