//! Just enough reading of Rust source for the house rules: code without its comments and literals.

/// The source with comments and the insides of string and character literals blanked out. Lines
/// and columns stay where they are (counted in bytes).
#[must_use]
pub(crate) fn code_only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'r' if !follows_word(bytes, at) => raw_string_end(bytes, at).unwrap_or(at),
            b'\'' => char_end(bytes, at).unwrap_or(at),
            _ => at,
        };
        if end == at {
            at += 1;
            continue;
        }
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// The line number (from 1) of a byte position.
#[must_use]
pub(crate) fn line_of(source: &str, position: usize) -> usize {
    source.as_bytes()[..position]
        .iter()
        .filter(|&&byte| byte == b'\n')
        .count()
        + 1
}

/// Whether a byte may be part of an identifier.
#[must_use]
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Byte positions of `word` standing alone.
pub(crate) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |&at| {
            let bytes = code.as_bytes();
            let after = bytes.get(at + word.len()).copied();
            !follows_word(bytes, at) && !after.is_some_and(is_word)
        })
}

/// The source without its `#[cfg(test)] mod … { … }` blocks: lines are dropped.
#[must_use]
pub(crate) fn without_tests(source: &str) -> String {
    let mut kept = String::new();
    let mut lines = source.lines().peekable();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            // Attributes may stand between; rustfmt puts the closing brace in column one.
            let mut block = Vec::new();
            while let Some(next) = lines.next_if(|next| next.starts_with('#')) {
                block.push(next);
            }
            if let Some(head) = lines.next_if(|next| next.starts_with("mod ")) {
                if !head.ends_with(';') && !head.ends_with("{}") {
                    lines.by_ref().find(|line| *line == "}");
                }
                continue;
            }
            for attribute in block {
                kept.push_str(attribute);
                kept.push('\n');
            }
        }
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

fn follows_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && is_word(bytes[at - 1])
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..]
        .iter()
        .position(|&byte| byte == b'\n')
        .map_or(bytes.len(), |length| at + length)
}

fn block_comment_end(bytes: &[u8], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut here = at;
    while here + 1 < bytes.len() {
        match (bytes[here], bytes[here + 1]) {
            (b'/', b'*') => {
                depth += 1;
                here += 2;
            }
            (b'*', b'/') => {
                depth -= 1;
                here += 2;
                if depth == 0 {
                    return here;
                }
            }
            _ => here += 1,
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut here = at + 1;
    while here < bytes.len() {
        match bytes[here] {
            b'\\' => here += 2,
            b'"' => return here + 1,
            _ => here += 1,
        }
    }
    bytes.len()
}

fn raw_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..]
        .iter()
        .take_while(|&&byte| byte == b'#')
        .count();
    let open = at + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let close: Vec<u8> = std::iter::once(b'"')
        .chain(std::iter::repeat_n(b'#', hashes))
        .collect();
    let length = bytes[open + 1..]
        .windows(close.len())
        .position(|window| window == close)?;
    Some(open + 1 + length + close.len())
}

/// The end of a character literal; `None` for a lifetime.
fn char_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at + 1) == Some(&b'\\') {
        let length = bytes[at + 3..].iter().position(|&byte| byte == b'\'')?;
        return Some(at + 3 + length + 1);
    }
    // A character has up to four bytes.
    (at + 2..=at + 5)
        .find(|&end| bytes.get(end) == Some(&b'\''))
        .and_then(|end| {
            let inside = std::str::from_utf8(&bytes[at + 1..end]).ok()?;
            (inside.chars().count() == 1).then_some(end + 1)
        })
}

#[cfg(test)]
mod tests {
    use super::{code_only, without_tests, words};

    #[test]
    fn comments_and_literals_are_blanked_and_nothing_moves() {
        let source = "a /* b /* c */ */ d // e\nf(\"g \\\" h\", 'i', '\\'', r#\"j \" k\"#, 'l: 'l)";
        let code = code_only(source);
        assert_eq!(code.len(), source.len());
        for gone in ["b", "c", "e", "g", "h", "i", "j", "k"] {
            assert_eq!(words(&code, gone).count(), 0, "{gone} in {code}");
        }
        for kept in ["a", "d", "f", "l"] {
            assert_ne!(words(&code, kept).count(), 0, "{kept} in {code}");
        }
    }

    #[test]
    fn test_blocks_do_not_count_and_what_follows_does() {
        let source =
            "a\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n    b\n}\nc\n#[cfg(test)]\nmod more;\nd\n";
        assert_eq!(without_tests(source), "a\nc\nd\n");
    }
}
