//! Which files are tailed, and whose lines they hold.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::lines::Format;
use super::records::Resource;
use crate::config::Guid;
use crate::directory::Container;

/// Patterns of a target, and files of a pattern, at most.
const MOST_PATTERNS: usize = 100;
const MOST_FILES: usize = 1000;

/// A file of a target, and how far it is read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct FollowedFile {
    /// Its real path.
    pub path: String,
    /// Bytes of it that the bus has, or the spool.
    pub read_bytes: u64,
    /// Bytes of it that wait.
    pub lag_bytes: u64,
}

/// What became of an app's target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetState {
    pub following: Vec<FollowedFile>,
    pub problems: Vec<String>,
}

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

/// Whose a container's lines are.
pub(super) fn resource_of(container: &Container) -> Resource {
    let guid = container.guid.as_ref().map_or("", Guid::as_str);
    Resource::new([
        ("guid", guid),
        ("service.instance.id", guid),
        ("container.name", &container.name),
        ("container.id", &container.id),
        ("container.image.name", &container.image),
        ("image", &container.image),
    ])
}

impl Source {
    /// A container's json-file log; absent for other log drivers.
    #[must_use]
    pub fn of_container(container: &Arc<Container>, from_start: bool) -> Option<Self> {
        let path = container.log.path.clone()?;
        if container.log.driver != "json-file" {
            return None;
        }
        Some(Self {
            path,
            format: Format::JsonFile,
            guid: container.guid.clone(),
            resource: resource_of(container),
            from_start: from_start || container.guid.is_some(),
            is_final: container.pid == 0,
        })
    }

    /// The files that a target names now, by their real paths, and why others are not followed:
    /// whoever can write to a folder could put a link there to what is not theirs.
    #[must_use]
    pub fn of_target(target: &FileTarget, allowed: &[PathBuf]) -> (Vec<Self>, Vec<String>) {
        let (mut sources, mut problems) = (Vec::new(), Vec::new());
        let allowed: Vec<PathBuf> = allowed
            .iter()
            .filter_map(|path| path.canonicalize().ok())
            .collect();
        for pattern in &target.files {
            let found = match glob::glob(pattern) {
                Ok(found) => found.flatten().take(MOST_FILES),
                Err(_) => continue,
            };
            for named in found {
                let Ok(path) = named.canonicalize() else {
                    continue;
                };
                let is_file = std::fs::metadata(&path).is_ok_and(|it| it.is_file());
                if !allowed.iter().any(|root| path.starts_with(root)) {
                    let outside = "leads to where receive.log_files does not allow";
                    problems.push(format!("{} {outside}", named.display()));
                    continue;
                }
                if !is_file {
                    if !path.is_dir() {
                        problems.push(format!("{} is no regular file", named.display()));
                    }
                    continue;
                }
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
        (sources, problems)
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
    #[error("files: {0:?} has a component `..`")]
    Parent(String),
    #[error("files: at most {MOST_PATTERNS} are allowed")]
    TooMany,
    #[error("files: receive.log_files does not allow {pattern:?}; it allows {allowed}")]
    Forbidden { pattern: String, allowed: String },
}

impl FileTarget {
    /// Whether the target can be followed at all, and may be: below one of the allowed paths.
    pub fn validate(&self, allowed: &[PathBuf]) -> Result<(), InvalidTarget> {
        if self.files.is_empty() {
            return Err(InvalidTarget::Empty);
        }
        if self.files.len() > MOST_PATTERNS {
            return Err(InvalidTarget::TooMany);
        }
        for pattern in &self.files {
            if !Path::new(pattern).is_absolute() {
                return Err(InvalidTarget::Relative(pattern.clone()));
            }
            if let Err(error) = glob::Pattern::new(pattern) {
                let (pattern, error) = (pattern.clone(), error.msg.to_owned());
                return Err(InvalidTarget::Pattern { pattern, error });
            }
            let path = Path::new(pattern);
            if path.components().any(|part| part == Component::ParentDir) {
                return Err(InvalidTarget::Parent(pattern.clone()));
            }
            // The part before the first wildcard decides.
            let fixed: PathBuf = path
                .components()
                .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']))
                .collect();
            if !allowed.iter().any(|root| fixed.starts_with(root)) {
                let words: Vec<_> = allowed.iter().map(|it| it.display().to_string()).collect();
                return Err(InvalidTarget::Forbidden {
                    pattern: pattern.clone(),
                    allowed: match words.is_empty() {
                        true => "nothing".to_owned(),
                        false => words.join(", "),
                    },
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn target(files: &[&str]) -> FileTarget {
        FileTarget {
            guid: "app-1".parse().unwrap(),
            files: files.iter().map(|&it| it.to_owned()).collect(),
        }
    }

    #[test]
    fn only_what_the_configuration_allows_is_taken() {
        let allowed = [PathBuf::from("/var/log"), PathBuf::from("/srv/one.log")];
        for good in ["/var/log/a", "/var/log/*/b.log", "/srv/one.log"] {
            assert_eq!(target(&[good]).validate(&allowed), Ok(()), "{good}");
        }
        for bad in ["/var/logs/a", "/var/*/a", "/etc/shadow", "/srv/one.log.1"] {
            let refused = target(&[bad]).validate(&allowed).unwrap_err();
            assert!(matches!(refused, InvalidTarget::Forbidden { .. }), "{bad}");
            assert!(refused.to_string().contains("/var/log, /srv/one.log"));
        }
        for bad in [&[][..], &["a.log"], &["/var/log/../x"], &["/var/log/[a"]] {
            assert!(target(bad).validate(&allowed).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_link_out_of_the_allowed_folder_and_what_is_no_file_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        std::fs::create_dir_all(&inside).unwrap();
        std::fs::write(&outside, "secret").unwrap();
        std::fs::write(inside.join("a.log"), "mine").unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("b.log")).unwrap();
        std::os::unix::fs::symlink(inside.join("a.log"), inside.join("c.log")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", inside.join("d.log")).unwrap();
        std::fs::create_dir(inside.join("e.log")).unwrap();
        let pattern = inside.join("*.log").display().to_string();
        let allowed = [inside.clone()];
        let (sources, problems) = Source::of_target(&target(&[&pattern]), &allowed);
        let paths: Vec<_> = sources.iter().map(|source| source.path.clone()).collect();
        assert_eq!(paths, [inside.join("a.log"), inside.join("a.log")]);
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}
