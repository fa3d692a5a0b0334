//! `docs/ARCHITECTURE.md` says of each invariant which test holds it; a test that was renamed or
//! removed must not leave the claim behind.

use super::Files;

const PAGE: &str = "docs/ARCHITECTURE.md";

pub(super) fn problems(files: &Files) -> Vec<String> {
    let Some(page) = files.get(PAGE) else {
        return vec![format!("{PAGE} is missing")];
    };
    let Some((_, list)) = page.split_once("\n## Invariants\n") else {
        return vec![format!("{PAGE} has no list of invariants")];
    };
    let mut problems = Vec::new();
    for (number, item) in items(list).into_iter().enumerate() {
        let number = number + 1;
        let Some((_, holders)) = item.split_once("Held by:") else {
            problems.push(format!(
                "{PAGE}: invariant {number} does not say what holds it"
            ));
            continue;
        };
        // Names of tests stand in backticks; commands and attributes there have other characters.
        for name in holders
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| is_name(name))
        {
            let definition = format!("fn {name}(");
            let lives = |(path, text): (&String, &String)| {
                path.ends_with(".rs") && text.contains(&definition)
            };
            if !files.iter().any(lives) {
                problems.push(format!(
                    "{PAGE}: invariant {number}: there is no test {name}"
                ));
            }
        }
    }
    problems
}

/// The entries of a numbered list, continuation lines joined.
fn items(list: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for line in list.lines() {
        let begins = line
            .split_once(". ")
            .is_some_and(|(number, _)| number.parse::<u32>().is_ok());
        match items.last_mut() {
            Some(item) if !begins => {
                item.push(' ');
                item.push_str(line.trim());
            }
            _ if begins => items.push(line.to_owned()),
            _ => {}
        }
    }
    items
}

fn is_name(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::{PAGE, problems};
    use crate::tidy::Files;

    fn page(item: &str) -> Files {
        let text = format!("# A\n\n## Invariants\n\n1. {item}\n");
        [
            (PAGE.to_owned(), text),
            ("a.rs".to_owned(), "fn it_holds() {}".to_owned()),
        ]
        .into()
    }

    #[test]
    fn an_invariant_that_names_no_living_test_is_a_problem() {
        assert!(
            problems(&page(
                "**X.** Held by:\n   `it_holds`, `deny(unsafe_code)`."
            ))
            .is_empty()
        );
        assert_eq!(problems(&page("**X.** Held by: `it_held`.")).len(), 1);
        assert_eq!(problems(&page("**X.**")).len(), 1);
    }
}
