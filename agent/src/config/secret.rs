//! Secrets that do not print.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;

/// Longest token, in bytes. A header must fit it, and a wrong path must not be slurped.
const MAX_TOKEN_LEN: u64 = 4096;

/// A secret. Has no `Display`; its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Secret(Box<str>);

/// Why a token file holds no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    /// The file is empty, or holds only white space.
    #[error("{} holds no token", .0.display())]
    Empty(PathBuf),
    /// The content is longer than 4096 bytes.
    #[error("{} holds more than {MAX_TOKEN_LEN} bytes", .0.display())]
    Long(PathBuf),
    /// An `Authorization` header could not carry the content.
    #[error("{} holds something else than visible ASCII characters", .0.display())]
    Characters(PathBuf),
}

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Reads a token file: one line of visible ASCII; white space around it is ignored.
    pub fn read_token(path: &Path) -> Result<Self, TokenError> {
        let read_error = |source| TokenError::Read {
            path: path.to_owned(),
            source,
        };
        let mut content = Vec::new();
        std::fs::File::open(path)
            .map_err(read_error)?
            .take(MAX_TOKEN_LEN + 1)
            .read_to_end(&mut content)
            .map_err(read_error)?;
        if content.len() as u64 > MAX_TOKEN_LEN {
            return Err(TokenError::Long(path.to_owned()));
        }
        let token = content.trim_ascii();
        if token.is_empty() {
            return Err(TokenError::Empty(path.to_owned()));
        }
        match std::str::from_utf8(token) {
            Ok(text) if token.iter().all(u8::is_ascii_graphic) => Ok(Self::new(text)),
            _ => Err(TokenError::Characters(path.to_owned())),
        }
    }

    /// The secret itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `candidate` is the secret, in a time that tells only its length.
    #[must_use]
    pub fn equals(&self, candidate: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(candidate).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Secret, TokenError};

    #[test]
    fn a_secret_equals_only_itself_and_does_not_print() {
        let secret = Secret::new("hunter2");
        assert!(secret.equals(b"hunter2"));
        for wrong in [&b""[..], b"hunter", b"hunter3", b"hunter22"] {
            assert!(!secret.equals(wrong));
        }
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    #[test]
    fn a_token_file_is_one_line_of_visible_ascii() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let read = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            Secret::read_token(&path)
        };
        assert_eq!(read(b" s3cret\n").unwrap().expose(), "s3cret");
        assert!(matches!(read(b" \n"), Err(TokenError::Empty(_))));
        assert!(matches!(read(b"two words"), Err(TokenError::Characters(_))));
        assert!(matches!(read(b"\xff"), Err(TokenError::Characters(_))));
        assert!(matches!(read(&[b'a'; 5000]), Err(TokenError::Long(_))));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(
            Secret::read_token(&path),
            Err(TokenError::Read { .. })
        ));
    }
}
