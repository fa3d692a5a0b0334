//! Docker's errors in the driver's words.

use bollard::errors::Error;

use crate::directory::docker::reason;
use crate::drive::DriveError;

/// What was asked of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Ask,
    Create,
    Connect,
    Start,
    Stop,
    Rename,
    Remove,
}

impl Act {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "show",
            // A network that cannot be connected is a container that cannot be made.
            Self::Create | Self::Connect => "create",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Rename => "rename",
            Self::Remove => "remove",
        }
    }
}

/// What Docker's words say about the description. The daemon has no codes for these.
const HINTS: [(&str, &str); 14] = [
    ("executable file not found", "command"),
    ("exec format error", "command"),
    ("no command specified", "command"),
    ("exec:", "command"),
    ("unable to find user", "user"),
    ("no matching entries in passwd", "user"),
    ("port is already allocated", "ports"),
    ("address already in use", "ports"),
    ("cannot assign requested address", "ports"),
    ("network ", "networks"),
    ("bind source path", "mounts"),
    ("log opt", "log.options"),
    ("logger:", "log.driver"),
    ("logging plugin", "log.driver"),
];

pub(super) fn refused(act: Act, error: &Error) -> DriveError {
    let reason = reason(error);
    if !matches!(error, Error::DockerResponseServerError { .. }) {
        return DriveError::Unavailable { reason };
    }
    let words = reason.to_ascii_lowercase();
    let hint = HINTS.iter().find(|(hint, _)| words.contains(hint));
    DriveError::Refused {
        action: act.as_str(),
        field: match act {
            Act::Connect => Some("networks"),
            Act::Create | Act::Start => hint.map(|(_, field)| *field),
            _ => None,
        },
        reason,
    }
}

pub(super) fn is_status(error: &Error, status: u16) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code, .. } if *status_code == status)
}

/// Whether nothing has the name, and it is the beginning of several ids: Docker takes that for a
/// question that it cannot answer (500 before 24.0, then 400) where nothing was found.
pub(super) fn is_beginning_of_ids(error: &Error) -> bool {
    let words = "multiple ids found with provided prefix";
    matches!(error, Error::DockerResponseServerError { message, .. }
        if message.to_ascii_lowercase().contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_at_fault_is_read_from_dockers_words() {
        for (message, field) in [
            (
                "OCI runtime create failed: exec: \"nope\": executable file not found in $PATH",
                Some("command"),
            ),
            (
                "driver failed programming external connectivity on endpoint a: Bind for \
                 0.0.0.0:80 failed: port is already allocated",
                Some("ports"),
            ),
            ("network shop not found", Some("networks")),
            (
                "unable to find user nobody2: no matching entries",
                Some("user"),
            ),
            (
                "logger: no log driver named 'x' is registered",
                Some("log.driver"),
            ),
            ("something else", None),
        ] {
            let error = Error::DockerResponseServerError {
                status_code: 500,
                message: message.to_owned(),
            };
            assert_eq!(refused(Act::Start, &error).field(), field, "{message}");
            assert_eq!(refused(Act::Stop, &error).field(), None, "{message}");
        }
    }

    #[test]
    fn a_guid_that_many_ids_begin_with_is_nobodys_name() {
        for (status_code, message, is_beginning) in [
            (500, "Multiple IDs found with provided prefix: 0", true),
            (400, "multiple IDs found with provided prefix: 0", true),
            (500, "something else", false),
        ] {
            let error = Error::DockerResponseServerError {
                status_code,
                message: message.to_owned(),
            };
            assert_eq!(is_beginning_of_ids(&error), is_beginning, "{message}");
        }
    }

    #[test]
    fn no_answer_is_docker_away_and_an_answer_is_not() {
        let away = refused(Act::Start, &Error::RequestTimeoutError);
        assert!(matches!(away, DriveError::Unavailable { .. }));
    }
}
