//! What must not be shown: a program's words may quote its configuration.

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Secret;

/// The secrets that components are told. Cheap to clone; all clones know the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Secrets(Arc<Mutex<Vec<Secret>>>);

impl Secrets {
    /// Adds one to those that were known before: programs may still quote an old one.
    pub(super) fn add(&self, secret: &Secret) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known
            .iter()
            .any(|one| one.equals(secret.expose().as_bytes()))
        {
            known.push(secret.clone());
        }
    }

    /// The text without them.
    pub(super) fn mask(&self, text: String) -> String {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .iter()
            .fold(text, |text, secret| match text.contains(secret.expose()) {
                true => text.replace(secret.expose(), "…"),
                false => text,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_ever_a_secret_is_masked() {
        let secrets = Secrets::default();
        for secret in ["hunter2", "hunter3", "hunter2"] {
            secrets.add(&Secret::new(secret));
        }
        let text = "line 3: token = \"hunter2\", was hunter3".to_owned();
        assert_eq!(secrets.mask(text), "line 3: token = \"…\", was …");
    }
}
