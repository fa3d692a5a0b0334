//! What an answer means: the retry table, as pure functions.
//!
//! | | remote write | OTLP/HTTP |
//! |---|---|---|
//! | 2xx | delivered | delivered; a partial success is final |
//! | 429, 502, 503, 504 | again | again |
//! | other 5xx | again | again for a while, then final |
//! | 1xx, 3xx | again | again |
//! | 401, 403, 404, 405, 415 | final for the whole batch | the same |
//! | other 4xx | final: the batch is taken apart until the culprits stand alone | the same |
//!
//! OTLP calls 500 and the like final. Here they are retried as the design says for every 5xx,
//! because a receiver that is broken for a minute answers just that; but only for a bounded time, so
//! that a request which breaks the receiver cannot hold up the others for ever. Redirects are not
//! followed and are no verdict on the data: it is kept, and the log says what the receiver wants.

use std::time::{Duration, SystemTime};

use crate::forward::ledger::Reason;

/// What to do after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Delivered,
    /// Try the same again later.
    Again,
    /// Like `Again`, but `Refused` with taking apart when it goes on too long.
    AgainForAWhile(Reason),
    /// Prepare the request anew: it will be in another version of the protocol.
    Renegotiate,
    /// Not to be tried again as it is.
    Refused {
        reason: Reason,
        /// A part of the batch may be the cause.
        apart: bool,
    },
}

/// The verdict on a remote-write status.
pub(crate) fn remote_write(status: u16) -> Verdict {
    match status {
        200..=299 => Verdict::Delivered,
        429 | 500..=599 | 100..=199 | 300..=399 => Verdict::Again,
        _ => refused(status),
    }
}

/// The verdict on an OTLP/HTTP status.
pub(crate) fn otlp_http(status: u16) -> Verdict {
    match status {
        200..=299 => Verdict::Delivered,
        429 | 502..=504 | 100..=199 | 300..=399 => Verdict::Again,
        500..=599 => Verdict::AgainForAWhile(Reason::refused(status)),
        _ => refused(status),
    }
}

fn refused(status: u16) -> Verdict {
    Verdict::Refused {
        reason: Reason::refused(status),
        // These speak about us or the URL, not about the data.
        apart: !matches!(status, 401 | 403 | 404 | 405 | 407 | 410 | 415),
    }
}

/// The verdict on a gRPC status. `told_when` is whether the answer says when to come back, which
/// makes "resource exhausted" a request to wait.
pub(crate) fn grpc(code: u32, told_when: bool) -> Verdict {
    let refused = |apart| Verdict::Refused {
        reason: Reason::RefusedGrpc,
        apart,
    };
    match code {
        0 => Verdict::Delivered,
        // Cancelled, deadline exceeded, aborted, out of range, unavailable, data loss.
        1 | 4 | 10 | 11 | 14 | 15 => Verdict::Again,
        8 if told_when => Verdict::Again,
        // Unknown, internal: what a broken receiver says, like 500 in HTTP.
        2 | 13 => Verdict::AgainForAWhile(Reason::RefusedGrpc),
        // Permission denied, unauthenticated, unimplemented, not found.
        5 | 7 | 12 | 16 => refused(false),
        // Without a time to come back, resource exhausted means "too large".
        _ => refused(true),
    }
}

/// The pause a `Retry-After` header asks for: seconds, or a date.
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{Verdict, grpc, otlp_http, remote_write, retry_after};
    use crate::forward::ledger::Reason;

    const fn refused(reason: Reason, apart: bool) -> Verdict {
        Verdict::Refused { reason, apart }
    }

    #[test]
    fn the_retry_table_of_http() {
        use Verdict::{Again, AgainForAWhile, Delivered};
        let final_4xx = refused(Reason::Refused4xx, true);
        let rows = [
            (100, Again, Again),
            (200, Delivered, Delivered),
            (202, Delivered, Delivered),
            (204, Delivered, Delivered),
            (301, Again, Again),
            (307, Again, Again),
            (
                400,
                refused(Reason::Refused400, true),
                refused(Reason::Refused400, true),
            ),
            (
                401,
                refused(Reason::Refused401, false),
                refused(Reason::Refused401, false),
            ),
            (
                403,
                refused(Reason::Refused403, false),
                refused(Reason::Refused403, false),
            ),
            (
                404,
                refused(Reason::Refused404, false),
                refused(Reason::Refused404, false),
            ),
            (
                405,
                refused(Reason::Refused4xx, false),
                refused(Reason::Refused4xx, false),
            ),
            (408, final_4xx, final_4xx),
            (409, final_4xx, final_4xx),
            (
                413,
                refused(Reason::Refused413, true),
                refused(Reason::Refused413, true),
            ),
            (
                415,
                refused(Reason::Refused415, false),
                refused(Reason::Refused415, false),
            ),
            (
                422,
                refused(Reason::Refused422, true),
                refused(Reason::Refused422, true),
            ),
            (429, Again, Again),
            (500, Again, AgainForAWhile(Reason::Refused5xx)),
            (501, Again, AgainForAWhile(Reason::Refused5xx)),
            (502, Again, Again),
            (503, Again, Again),
            (504, Again, Again),
            (505, Again, AgainForAWhile(Reason::Refused5xx)),
            (599, Again, AgainForAWhile(Reason::Refused5xx)),
        ];
        for (status, metrics, otlp) in rows {
            assert_eq!(remote_write(status), metrics, "remote write {status}");
            assert_eq!(otlp_http(status), otlp, "otlp {status}");
        }
    }

    #[test]
    fn the_retry_table_of_grpc() {
        use Verdict::{Again, AgainForAWhile, Delivered};
        let poison = refused(Reason::RefusedGrpc, true);
        let whole = refused(Reason::RefusedGrpc, false);
        let while_ = AgainForAWhile(Reason::RefusedGrpc);
        let rows = [
            (0, Delivered),
            (1, Again),
            (2, while_),
            (3, poison),
            (4, Again),
            (5, whole),
            (6, poison),
            (7, whole),
            (8, poison),
            (9, poison),
            (10, Again),
            (11, Again),
            (12, whole),
            (13, while_),
            (14, Again),
            (15, Again),
            (16, whole),
            (99, poison),
        ];
        for (code, verdict) in rows {
            assert_eq!(grpc(code, false), verdict, "grpc {code}");
        }
        assert_eq!(grpc(8, true), Again);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, pause) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(
                retry_after(value, now),
                pause.map(Duration::from_secs),
                "{value:?}"
            );
        }
    }
}
