//! The directory all spools live in: its lock, and the note in each spool that says whose it is.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::destination::{DestinationId, Route};
use super::spool::SpoolError;
use super::spool::lock::DirLock;

const ABOUT: &str = "about.json";

/// The directory and its lock, taken when first needed.
#[derive(Debug)]
pub(crate) struct SpoolRoot {
    dir: PathBuf,
    lock: Mutex<Option<DirLock>>,
}

/// The note in a spool's directory.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct About {
    pub(crate) route: String,
    pub(crate) destination: String,
}

impl SpoolRoot {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.join("spool"),
            lock: Mutex::new(None),
        }
    }

    pub(crate) fn dir(&self, id: &DestinationId) -> PathBuf {
        self.dir.join(id.dir_name())
    }

    /// Takes the lock, if it is not held yet.
    pub(crate) fn hold(&self) -> Result<(), SpoolError> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if lock.is_none() {
            *lock = Some(DirLock::acquire(&self.dir)?);
        }
        Ok(())
    }

    /// Writes the note. For people only, so a failure does not matter.
    pub(crate) fn describe(&self, id: &DestinationId, dir: &Path) {
        let about = About {
            route: id.route().as_str().to_owned(),
            destination: id.label(),
        };
        if read_about(dir).as_ref() == Some(&about) {
            return;
        }
        if let Ok(text) = serde_json::to_vec(&about)
            && let Err(error) = std::fs::write(dir.join(ABOUT), text)
        {
            tracing::debug!(dir = %dir.display(), %error, "cannot write the note about a spool");
        }
    }
}

/// The note in a spool's directory, if it is there and readable.
pub(crate) fn read_about(dir: &Path) -> Option<About> {
    serde_json::from_slice(&std::fs::read(dir.join(ABOUT)).ok()?).ok()
}

/// Whether a name can be that of a spool's directory.
pub(crate) fn is_spool_dir(name: &str) -> bool {
    [
        Route::Metrics,
        Route::OtlpMetrics,
        Route::Logs,
        Route::Traces,
    ]
    .into_iter()
    .any(|route| {
        name.strip_prefix(route.as_str())
            .is_some_and(|rest| rest.starts_with('-'))
    })
}
