//! Which files are tailed, and whose lines they hold.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lines::Format;
use super::records::Resource;
use crate::config::Guid;
use crate::directory::Container;

/// Extra files of an app, asked for over the API.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileTarget {
    /// Whose lines these are.
    pub guid: Guid,
    /// Absolute paths; `*` and `?` match within a path component.
    pub files: Vec<String>,
}

/// A file to tail.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    pub path: PathBuf,
    pub format: Format,
    /// Absent: nobody's, so the ledger books them under the host.
    pub guid: Option<Guid>,
    pub resource: Resource,
    /// Read a file that no position is known of from its start.
    pub from_start: bool,
    /// The writer is gone: what has no newline is final.
    pub is_final: bool,
}

impl Source {
    /// A container's json-file log; absent for other log drivers.
    #[must_use]
    pub fn of_container(container: &Arc<Container>, from_start: bool) -> Option<Self> {
        let path = container.log.path.clone()?;
        if container.log.driver != "json-file" {
            return None;
        }
        let guid = container.guid.as_ref().map_or("", Guid::as_str);
        Some(Self {
            path,
            format: Format::JsonFile,
            guid: container.guid.clone(),
            resource: Resource::new([
                ("guid", guid),
                ("service.instance.id", guid),
                ("container.name", &container.name),
                ("container.id", &container.id),
                ("container.image.name", &container.image),
                ("image", &container.image),
            ]),
            from_start: from_start || container.guid.is_some(),
            is_final: container.pid == 0,
        })
    }

    /// The files that a target names now.
    #[must_use]
    pub fn of_target(target: &FileTarget) -> Vec<Self> {
        let mut sources = Vec::new();
        for pattern in &target.files {
            let paths: Vec<PathBuf> = if pattern.contains(['*', '?', '[']) {
                glob::glob(pattern)
                    .map(|found| found.flatten().collect())
                    .unwrap_or_default()
            } else {
                vec![PathBuf::from(pattern)]
            };
            for path in paths.into_iter().filter(|path| !path.is_dir()) {
                let guid = target.guid.as_str();
                let name = path.to_string_lossy();
                let resource = Resource::new([
                    ("guid", guid),
                    ("service.instance.id", guid),
                    ("log.file.path", &*name),
                ]);
                sources.push(Self {
                    format: Format::Plain,
                    guid: Some(target.guid.clone()),
                    resource,
                    from_start: true,
                    is_final: false,
                    path,
                });
            }
        }
        sources
    }
}

/// Why a target is not taken; names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    #[error("files: at least one path is needed")]
    Empty,
    #[error("files: {0:?} is not an absolute path")]
    Relative(String),
    #[error("files: {pattern:?} is no pattern: {error}")]
    Pattern { pattern: String, error: String },
}

impl FileTarget {
    /// Whether the target can be followed at all.
    pub fn validate(&self) -> Result<(), InvalidTarget> {
        if self.files.is_empty() {
            return Err(InvalidTarget::Empty);
        }
        for pattern in &self.files {
            if !Path::new(pattern).is_absolute() {
                return Err(InvalidTarget::Relative(pattern.clone()));
            }
            if let Err(error) = glob::Pattern::new(pattern) {
                let (pattern, error) = (pattern.clone(), error.msg.to_owned());
                return Err(InvalidTarget::Pattern { pattern, error });
            }
        }
        Ok(())
    }
}
