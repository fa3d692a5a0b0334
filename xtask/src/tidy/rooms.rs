//! The room order: a room of the agent may use what stands above it in the list, never what stands
//! below.

use super::Files;
use super::scan::{code_only, is_word, line_of, words};

/// The rooms from the ground up, as docs/ARCHITECTURE.md lists them; above them all the command line.
const ROOMS: &[&str] = &[
    "config",
    "signal",
    "directory",
    "kernel",
    "forward",
    "collect",
    "receive",
    "drive",
    "stack",
    "cluster",
    "api",
    "node",
    "cli",
];

pub(super) fn problems(files: &Files) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, source) in files {
        let Some(inside) = path.strip_prefix("agent/src/") else {
            continue;
        };
        let modules: Vec<&str> = inside.trim_end_matches(".rs").split('/').collect();
        if matches!(modules[..], ["lib" | "main"]) {
            continue;
        }
        let Some(rank) = rank(modules[0]) else {
            problems.push(format!("{path}: {} is no room of the list", modules[0]));
            continue;
        };
        let code = code_only(source);
        for (at, used) in used_from_root(&code, modules.len()) {
            if self::rank(&used).is_some_and(|used| used > rank) {
                let line = line_of(&code, at);
                problems.push(format!(
                    "{path}:{line}: {} must not know {used}",
                    ROOMS[rank]
                ));
            }
        }
    }
    problems
}

fn rank(room: &str) -> Option<usize> {
    ROOMS.iter().position(|&name| name == room)
}

/// Position and name of everything taken directly from the crate's root, by `crate::` or by as many
/// `super::` as the file is deep.
fn used_from_root(code: &str, depth: usize) -> Vec<(usize, String)> {
    let root = vec!["super"; depth].join("::");
    words(code, "crate")
        .map(|at| (at, at + "crate".len()))
        .chain(words(code, &root).map(|at| (at, at + root.len())))
        .flat_map(|(at, end)| {
            first_names(&code[end..])
                .into_iter()
                .map(move |name| (at, name))
        })
        .collect()
}

/// The first names of a path's continuation: one for `::a::b`, several for `::{a::b, c}`.
fn first_names(rest: &str) -> Vec<String> {
    let Some(rest) = rest.trim_start().strip_prefix("::") else {
        return Vec::new();
    };
    let rest = rest.trim_start();
    let Some(group) = rest.strip_prefix('{') else {
        return vec![name(rest)];
    };
    let mut names = vec![name(group)];
    let mut depth = 1;
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 1 => names.push(name(&group[at + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn name(text: &str) -> String {
    text.trim_start()
        .bytes()
        .take_while(|&byte| is_word(byte))
        .map(char::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::problems;

    fn check(path: &str, source: &str, expected: usize) {
        let files = [(path.to_owned(), source.to_owned())].into();
        assert_eq!(problems(&files).len(), expected, "{path}: {source}");
    }

    #[test]
    fn a_room_may_use_what_stands_before_it() {
        check("agent/src/forward.rs", "use crate::signal::Frame;", 0);
        check("agent/src/node.rs", "use crate::{api, config::Config};", 0);
        check(
            "agent/src/forward/lane.rs",
            "use super::super::signal::Frame; use super::node;",
            0,
        );
    }

    #[test]
    fn a_room_must_not_use_what_stands_after_it() {
        check("agent/src/signal.rs", "use crate::forward::Inlet;", 1);
        check("agent/src/signal/a.rs", "fn f() { crate::node::run() }", 1);
        check(
            "agent/src/signal/a.rs",
            "use crate::{\n  config::{api, node},\n  collect,\n};",
            1,
        );
        check("agent/src/signal.rs", "use super::forward::Inlet;", 1);
        check(
            "agent/src/signal/a.rs",
            "use super::super::forward::Inlet;",
            1,
        );
    }

    #[test]
    fn comments_are_no_use_and_an_unknown_room_is_a_problem() {
        check("agent/src/signal.rs", "//! feeds crate::forward\n", 0);
        check("agent/src/helpers.rs", "", 1);
        check("agent/src/main.rs", "use crate::node;", 0);
    }
}
