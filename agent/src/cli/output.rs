//! Writing to the user.

use std::error::Error;
use std::io::{self, IsTerminal, StdoutLock, Write};

use serde::Serialize;

use super::CommandError;

/// Standard output.
#[derive(Debug)]
pub(super) struct Output {
    stdout: StdoutLock<'static>,
}

impl Output {
    pub(super) fn stdout() -> Self {
        Self {
            stdout: io::stdout().lock(),
        }
    }

    /// Whether a person looks at it.
    pub(super) fn is_terminal(&self) -> bool {
        self.stdout.is_terminal()
    }

    /// Writes a line.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.stdout, "{text}")
    }

    /// Writes text as it is.
    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        self.stdout.write_all(text.as_bytes())
    }

    /// Writes a value as JSON, indented.
    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<(), CommandError> {
        let text = serde_json::to_string_pretty(value)?;
        Ok(self.line(&text)?)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }
}

/// Whether the reader of our output has gone.
pub(super) fn is_broken_pipe(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Says on stderr what stopped the command, with all its causes.
pub(super) fn complain(error: &dyn Error) {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Many errors repeat their cause in their own text.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    note(&text);
}

/// Says something on stderr, beside the output.
pub(super) fn note(text: &str) {
    warn(&format!("guidon: {text}"));
}

/// Writes a line to stderr as it is.
pub(super) fn warn(text: &str) {
    // Nowhere to complain about a stderr that is gone.
    writeln!(io::stderr(), "{text}").ok();
}

/// Text from elsewhere with what could move the cursor or change colours made visible.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|letter| {
            let escaped = letter.is_control().then(|| letter.escape_default());
            let kept = escaped.is_none().then_some(letter);
            escaped.into_iter().flatten().chain(kept)
        })
        .collect()
}
