//! File patterns as Vector needs them: what its `file` source globs for is told to the transform as
//! a regular expression.
//!
//! Patterns are those of the `glob` crate, which the agent and Vector both use: matched component
//! by component, so that no wildcard but `**` reaches over a `/`.

use std::fmt::Write;
use std::path::{Component, Path};

/// The path that a pattern without wildcards names.
pub(super) fn plain_path(pattern: &str) -> Option<String> {
    (!pattern.contains(['*', '?', '['])).then(|| {
        let path: std::path::PathBuf = Path::new(pattern).components().collect();
        path.to_string_lossy().into_owned()
    })
}

/// A regular expression for the whole paths that a valid, absolute pattern finds.
pub(super) fn to_regex(pattern: &str) -> String {
    let mut regex = String::from(r"\A");
    for component in Path::new(pattern).components() {
        let Component::Normal(component) = component else {
            continue;
        };
        match component.to_string_lossy().as_ref() {
            "**" => regex.push_str("(?:/[^/]+)*"),
            component => {
                regex.push('/');
                push_component(&mut regex, component);
            }
        }
    }
    regex.push_str(r"\z");
    regex
}

fn push_component(regex: &mut String, component: &str) {
    let characters: Vec<char> = component.chars().collect();
    let mut rest = characters.as_slice();
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '[' => match class(after) {
                Some((negated, members, beyond)) => {
                    push_class(regex, negated, members);
                    rest = beyond;
                }
                // No valid pattern gets here; as a character it finds nothing more than that.
                None => push_literal(regex, '['),
            },
            &other => push_literal(regex, other),
        }
    }
}

/// Takes a class apart, from behind its `[`: whether it is negated, what is in it, and what follows
/// it. Its first member may be a `]`.
fn class(text: &[char]) -> Option<(bool, &[char], &[char])> {
    let (negated, text) = match text {
        ['!', text @ ..] => (true, text),
        text => (false, text),
    };
    let end = 1 + text.get(1..)?.iter().position(|&it| it == ']')?;
    Some((negated, text.get(..end)?, text.get(end + 1..)?))
}

fn push_class(regex: &mut String, negated: bool, members: &[char]) {
    // Names have no NUL: a class of it alone matches nothing, and an empty one is no regex.
    regex.push_str(if negated { r"[^/" } else { r"[\x00" });
    let mut rest = members;
    while let [first, after @ ..] = rest {
        match after {
            ['-', last, after @ ..] => {
                // A range that ends before it begins has nothing in it, and no regex takes it.
                if first <= last {
                    push_literal(regex, *first);
                    regex.push('-');
                    push_literal(regex, *last);
                }
                rest = after;
            }
            _ => {
                push_literal(regex, *first);
                rest = after;
            }
        }
    }
    regex.push(']');
}

/// Letters and digits as they are, the rest of ASCII by its number: nothing of it means anything in
/// a regex, a quoted literal, or Vector's variables.
fn push_literal(regex: &mut String, character: char) {
    if character.is_ascii_alphanumeric() || !character.is_ascii() {
        regex.push(character);
    } else {
        let _ = write!(regex, "\\x{:02x}", u32::from(character));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use glob::{MatchOptions, Pattern};
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Regex::new(&to_regex(pattern)).unwrap().is_match(path)
    }

    #[test]
    fn a_pattern_matches_what_it_finds_and_nothing_else() {
        for (pattern, found, not_found) in [
            ("/var/log/a.log", "/var/log/a.log", "/var/log/axlog"),
            ("/var//log/./a", "/var/log/a", "/var//log/./a"),
            ("/var/*/a?", "/var/log/a1", "/var/log/b/a1"),
            ("/var/**/a", "/var/x/y/a", "/var/x/y/b"),
            ("/var/**/a", "/var/a", "/vara"),
            ("/l/[!a-c]", "/l/d", "/l/b"),
            ("/l/[]$]'", "/l/$'", "/l/x'"),
            ("/l/{{é}}", "/l/{{é}}", "/l/{é}"),
        ] {
            assert!(matches(pattern, found), "{pattern} {found}");
            assert!(!matches(pattern, not_found), "{pattern} {not_found}");
        }
    }

    #[test]
    fn only_what_has_no_wildcard_is_a_plain_path() {
        assert_eq!(plain_path("/var//log/./a b").unwrap(), "/var/log/a b");
        for wild in ["/a/*", "/a/?", "/a/[b]"] {
            assert_eq!(plain_path(wild), None, "{wild}");
        }
    }

    proptest! {
        #[test]
        fn property_test_regex_and_glob_agree(
            components in proptest::collection::vec(
                prop_oneof![Just("**".to_owned()), "[ab.*?$'-]{1,5}", "[ab]?\\[!?[a-d$'^]{1,3}\\]"],
                1..4,
            ),
            names in proptest::collection::vec("[abc.$'^-]{1,4}", 1..5),
        ) {
            let pattern = format!("/{}", components.join("/"));
            let path = format!("/{}", names.join("/"));
            let lexical = [".", ".."];
            prop_assume!(!names.iter().chain(&components).any(|it| lexical.contains(&it.as_str())));
            // A folder that ends a pattern is no file that could be followed.
            prop_assume!(components.last().is_some_and(|last| last != "**"));
            let Ok(glob) = Pattern::new(&pattern) else { return Ok(()); };
            let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
            prop_assert_eq!(matches(&pattern, &path), glob.matches_with(&path, options), "{} {}", pattern, path);
        }
    }
}
