//! The image is there, or is fetched.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bollard::auth::DockerCredentials;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptions;
use futures_util::StreamExt;
use serde::Deserialize;

use super::refusal::{Act, is_status};
use super::{ASK_TIMEOUT, Engine};
use crate::directory::docker::reason;
use crate::drive::DriveError;
use crate::drive::app::Pull;

/// A registry that sends nothing for so long is given up.
const PULL_SILENCE: Duration = Duration::from_secs(120);

/// Where references without a registry lead.
const DEFAULT_REGISTRY: &str = "docker.io";
/// What Docker's own credential file calls it.
const DEFAULT_REGISTRY_KEY: &str = "https://index.docker.io/v1/";

impl Engine {
    /// Makes sure that the image is there by the pull policy, and returns the environment
    /// that it sets. `progress` hears what a pull is doing.
    pub(crate) async fn ensure_image(
        &self,
        image: &str,
        policy: Pull,
        progress: impl Fn(String),
    ) -> Result<Vec<String>, DriveError> {
        if policy == Pull::Always {
            self.pull(image, &progress).await?;
        }
        if let Some(env) = self.image_environment(image).await? {
            return Ok(env);
        }
        let absent = |reason: &str| DriveError::Image {
            image: image.to_owned(),
            reason: reason.to_owned(),
        };
        if policy != Pull::Missing {
            return Err(absent(
                "it is not on this node, and pull says not to fetch it",
            ));
        }
        self.pull(image, &progress).await?;
        let env = self.image_environment(image).await?;
        env.ok_or_else(|| absent("it was fetched, and gone again"))
    }

    /// What the image sets; absent: there is no such image.
    async fn image_environment(&self, image: &str) -> Result<Option<Vec<String>>, DriveError> {
        let docker = self.client().await?;
        match tokio::time::timeout(ASK_TIMEOUT, docker.inspect_image(image)).await {
            Ok(Err(error)) if is_status(&error, 404) => Ok(None),
            Ok(Err(error)) if is_status(&error, 400) => {
                Err(DriveError::invalid("image", reason(&error)))
            }
            Ok(outcome) => {
                let answer = self.outcome(Act::Ask, outcome).await?;
                Ok(Some(
                    answer
                        .config
                        .and_then(|config| config.env)
                        .unwrap_or_default(),
                ))
            }
            Err(_) => Err(self.silent(ASK_TIMEOUT).await),
        }
    }

    async fn pull(&self, image: &str, progress: &impl Fn(String)) -> Result<(), DriveError> {
        let failed = |reason: String| DriveError::Image {
            image: image.to_owned(),
            reason,
        };
        let credentials = match &self.credentials_file {
            Some(path) => credentials(path, registry_of(image)).map_err(failed)?,
            None => None,
        };
        let options = CreateImageOptions {
            from_image: Some(tagged(image)),
            ..Default::default()
        };
        let docker = self.client().await?;
        let mut steps = Box::pin(docker.create_image(Some(options), None, credentials));
        progress(format!("fetching {image}"));
        loop {
            match tokio::time::timeout(PULL_SILENCE, steps.next()).await {
                Ok(Some(Ok(step))) => {
                    if let Some(line) = line_of(&step) {
                        progress(format!("fetching {image}: {line}"));
                    }
                }
                Ok(Some(Err(
                    error @ (bollard::errors::Error::DockerResponseServerError { .. }
                    | bollard::errors::Error::DockerStreamError { .. }),
                ))) => return Err(failed(stream_reason(&error))),
                Ok(Some(Err(error))) => return self.outcome(Act::Ask, Err(error)).await,
                Ok(None) => return Ok(()),
                Err(_) => return Err(failed(format!("no progress for {PULL_SILENCE:?}"))),
            }
        }
    }
}

fn stream_reason(error: &bollard::errors::Error) -> String {
    match error {
        bollard::errors::Error::DockerStreamError { error } => error.clone(),
        other => reason(other),
    }
}

fn line_of(step: &CreateImageInfo) -> Option<String> {
    let status = step.status.as_deref()?;
    let part = step.id.as_deref().unwrap_or_default();
    let detail = step.progress_detail.as_ref();
    let sizes = detail.and_then(|detail| detail.current.zip(detail.total));
    Some(match sizes {
        Some((current, total)) => format!("{part} {status} {current} of {total} bytes"),
        None => format!("{part} {status}"),
    })
}

/// Without a tag or digest Docker would fetch every tag there is.
fn tagged(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains([':', '@']) {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

/// The registry of a reference: its first part, if that looks like a host.
fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => DEFAULT_REGISTRY,
    }
}

/// The credentials for a registry in a file of the form of Docker's `config.json`.
fn credentials(path: &Path, registry: &str) -> Result<Option<DockerCredentials>, String> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        auths: HashMap<String, Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        auth: Option<String>,
        identitytoken: Option<String>,
    }
    let wrong = |why: &str| format!("credentials file {} {why}", path.display());
    let content =
        std::fs::read(path).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    // The parser's words may quote the file, which is a secret.
    let file: File = serde_json::from_slice(&content).map_err(|_| wrong("is not of that form"))?;
    let plain = |key: &str| {
        let host = key
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        host.trim_end_matches('/').to_owned()
    };
    let is_it = |key: &String| {
        plain(key) == registry || (registry == DEFAULT_REGISTRY && key == DEFAULT_REGISTRY_KEY)
    };
    let Some((key, entry)) = file.auths.iter().find(|(key, _)| is_it(key)) else {
        return Ok(None);
    };
    let mut credentials = DockerCredentials {
        identitytoken: entry.identitytoken.clone(),
        serveraddress: Some(key.clone()),
        ..Default::default()
    };
    if let Some(auth) = &entry.auth {
        let pair = BASE64_STANDARD.decode(auth).ok();
        let pair = pair.and_then(|pair| String::from_utf8(pair).ok());
        let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
        let (user, password) =
            pair.ok_or_else(|| wrong("has an auth that is not user:password"))?;
        credentials.username = Some(user.to_owned());
        credentials.password = Some(password.to_owned());
    }
    Ok(Some(credentials))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_reference_without_tag_means_latest() {
        for (image, expected) in [
            ("busybox", "busybox:latest"),
            ("localhost:5000/busybox", "localhost:5000/busybox:latest"),
            ("a/b:1", "a/b:1"),
            ("a/b@sha256:00", "a/b@sha256:00"),
        ] {
            assert_eq!(tagged(image), expected);
        }
    }

    #[test]
    fn the_registry_is_the_first_part_if_that_is_a_host() {
        for (image, expected) in [
            ("busybox", "docker.io"),
            ("library/busybox", "docker.io"),
            ("registry.local/busybox", "registry.local"),
            ("localhost:5000/a/b:1", "localhost:5000"),
            ("localhost/a", "localhost"),
        ] {
            assert_eq!(registry_of(image), expected);
        }
    }

    #[test]
    fn credentials_come_from_dockers_own_file_and_do_not_show_in_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let auth = BASE64_STANDARD.encode("user:pass:word");
        let json = format!(
            r#"{{"auths": {{"https://index.docker.io/v1/": {{"identitytoken": "t"}},
                "registry.local:5000": {{"auth": "{auth}"}}, "bad.local": {{"auth": "s3cret"}}}}}}"#
        );
        std::fs::write(&path, json).unwrap();
        let found = credentials(&path, "registry.local:5000").unwrap().unwrap();
        assert_eq!(found.username.as_deref(), Some("user"));
        assert_eq!(found.password.as_deref(), Some("pass:word"));
        let found = credentials(&path, "docker.io").unwrap().unwrap();
        assert_eq!(found.identitytoken.as_deref(), Some("t"));
        assert!(credentials(&path, "other.local").unwrap().is_none());
        assert!(
            !credentials(&path, "bad.local")
                .unwrap_err()
                .contains("s3cret")
        );
        std::fs::write(&path, "s3cret").unwrap();
        assert!(!credentials(&path, "x").unwrap_err().contains("s3cret"));
    }
}
