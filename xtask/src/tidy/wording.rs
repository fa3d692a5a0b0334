//! One rule for log lines and error texts: lower case, no final stop, values in fields and not in
//! the text, an error's field is called `error`.

use super::Files;
use super::scan::{code_only, line_of, without_tests, words};

const LOG_MACROS: &[&str] = &["trace", "debug", "info", "warn", "error"];

/// Names of fields that should be called `error`.
const OTHER_ERROR_FIELDS: &[&str] = &["e", "err"];

pub(super) fn problems(files: &Files) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, source) in files {
        if !path.starts_with("agent/src/") || path.ends_with("/tests.rs") {
            continue;
        }
        let source = without_tests(source);
        let code = code_only(&source);
        for macro_name in LOG_MACROS {
            for at in words(&code, macro_name) {
                if let Some(call) = macro_call(&source, &code, at + macro_name.len()) {
                    let line = line_of(&source, at);
                    problems.extend(log_problem(call).map(|what| format!("{path}:{line}: {what}")));
                }
            }
        }
        for (at, attribute) in source.match_indices("#[error(") {
            let text = first_literal(&source[at + attribute.len()..]);
            let problem = text.and_then(|text| sentence_problem(text, "error text"));
            let line = line_of(&source, at);
            problems.extend(problem.map(|what| format!("{path}:{line}: {what}")));
        }
    }
    problems
}

/// The arguments of a macro call that follows `at`, or `None` if it is no macro call.
fn macro_call<'a>(source: &'a str, code: &str, at: usize) -> Option<&'a str> {
    let open = at + code[at..].strip_prefix("!(").map(|_| 2)?;
    let mut depth = 1;
    for (length, byte) in code[open..].bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&source[open..open + length]);
        }
    }
    None
}

fn log_problem(call: &str) -> Option<String> {
    // Fields stand before the message, as `name = value`, `%name`, `?name` or `name`.
    for field in code_only(call).split(',') {
        let name = field.split('=').next().unwrap_or(field);
        let name = name.trim().trim_start_matches(['%', '?']);
        if OTHER_ERROR_FIELDS.contains(&name) {
            return Some("an error's field is called `error`".to_owned());
        }
    }
    let message = last_literal(call)?;
    if message.contains('{') && message.contains('}') {
        return Some(format!(
            "values belong into fields, not into the text: {message:?}"
        ));
    }
    sentence_problem(message, "log text")
}

fn sentence_problem(text: &str, what: &str) -> Option<String> {
    let mut letters = text.chars();
    let (first, second) = (letters.next(), letters.next());
    // Names such as BTF or eBPF keep their case.
    let capital = first.is_some_and(char::is_uppercase)
        && second.is_none_or(|letter| letter.is_lowercase() || letter == ' ');
    if capital && !starts_with_a_name(text) {
        return Some(format!("{what} starts with a capital: {text:?}"));
    }
    if text.ends_with('.') && !text.ends_with("..") {
        return Some(format!("{what} ends with a stop: {text:?}"));
    }
    None
}

fn starts_with_a_name(text: &str) -> bool {
    ["Docker", "Prometheus", "Vector", "Jaeger", "Kubernetes"]
        .iter()
        .any(|name| text.starts_with(name))
}

fn first_literal(text: &str) -> Option<&str> {
    let text = text.trim_start().strip_prefix('"')?;
    text.split('"').next()
}

/// The last plain string literal of a macro's arguments: the message, if it is the last argument.
fn last_literal(call: &str) -> Option<&str> {
    let call = call
        .trim_end()
        .trim_end_matches(',')
        .trim_end()
        .strip_suffix('"')?;
    call.rsplit('"').next()
}

#[cfg(test)]
mod tests {
    use super::problems;

    fn check(source: &str, expected: usize) {
        let files = [("agent/src/x.rs".to_owned(), source.to_owned())].into();
        assert_eq!(
            problems(&files).len(),
            expected,
            "{source}: {:?}",
            problems(&files)
        );
    }

    #[test]
    fn good_texts_pass() {
        check("tracing::info!(path, \"spool opened\");", 0);
        check("warn!(%error, retry = ?delay, \"BTF is missing\");", 0);
        check("#[error(\"spool {destination}: {error}\")]", 0);
        check("return error(\"Not a log.\");", 0);
        check("info!(%size, %name, \"e\");", 0);
    }

    #[test]
    fn each_break_of_the_rule_is_found() {
        check("info!(\"Spool opened\");", 1);
        check("info!(\"spool opened.\");", 1);
        check("info!(\"spool {path} opened\");", 1);
        check("warn!(%err, \"spool opened\");", 1);
        check("warn!(err = %x, \"spool opened\");", 1);
        check("#[error(\"Cannot open.\")]", 1);
    }
}
