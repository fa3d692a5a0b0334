//! A client for the daemon's unix socket, and what its errors mean.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};

/// Longest wait for the answer to a question that the daemon answers from memory. Generous: a
/// daemon that starts hundreds of containers answers late.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest wait for the head of any answer. Pulling and stopping bound themselves.
const CLIENT_TIMEOUT_SECONDS: u64 = 600;

/// Why the daemon cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No socket, nobody listening on it, or nobody who speaks Docker.
    #[error("docker at {socket:?} cannot be reached: {reason}")]
    Unreachable {
        /// The socket's path.
        socket: PathBuf,
        /// The last cause, e.g. `Connection refused`.
        reason: String,
    },
    /// Somebody listens but does not answer.
    #[error("docker at {socket:?} does not answer within {ASK_TIMEOUT:?}")]
    Silent {
        /// The socket's path.
        socket: PathBuf,
    },
}

/// A client that speaks the newest API version both sides know. It opens a connection per request,
/// so it survives a restart of the daemon (of the same version).
pub async fn connect(socket: &Path) -> Result<Docker, ConnectError> {
    let unreachable = |error: Error| ConnectError::Unreachable {
        socket: socket.to_owned(),
        reason: reason(&error),
    };
    let path = socket.to_string_lossy();
    let docker = Docker::connect_with_unix(&path, CLIENT_TIMEOUT_SECONDS, API_DEFAULT_VERSION)
        .map_err(unreachable)?;
    match tokio::time::timeout(ASK_TIMEOUT, docker.negotiate_version()).await {
        Ok(docker) => docker.map_err(unreachable),
        Err(_) => Err(ConnectError::Silent {
            socket: socket.to_owned(),
        }),
    }
}

/// The error in the daemon's words, or the last cause where the daemon did not answer: the causes
/// above it only say that a request failed.
#[must_use]
pub fn reason(error: &Error) -> String {
    if let Error::DockerResponseServerError { message, .. } = error {
        return message.trim().to_owned();
    }
    let mut last: &dyn std::error::Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// The daemon answered, if only to say no; everything else means it is away or out of its mind.
pub(super) fn answered(error: &Error) -> bool {
    matches!(
        error,
        Error::DockerResponseServerError { .. } | Error::JsonDataError { .. }
    )
}

pub(super) fn is_not_found(error: &Error) -> bool {
    matches!(
        error,
        Error::DockerResponseServerError {
            status_code: 404,
            ..
        }
    )
}
