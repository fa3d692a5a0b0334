//! How much one caller may ask.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

use super::access::is_open;
use super::error::ApiError;
use super::server::Peer;

/// Requests a second that one address may go on asking: several times what a Manager with a
/// thousand apps on a node needs.
const A_SECOND: NonZeroU32 = NonZeroU32::new(200).unwrap();
/// At once, after a rest.
const AT_ONCE: NonZeroU32 = NonZeroU32::new(1_000).unwrap();
/// Requests between two clearances of addresses that have their whole allowance again.
const CLEAR_EVERY: u64 = 4_096;

/// The allowance of each address. An IPv6 host has a whole /64, so that is one address here.
#[derive(Debug)]
pub(super) struct Rate {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
    asked: AtomicU64,
}

impl Default for Rate {
    fn default() -> Self {
        Self::new(Quota::per_second(A_SECOND).allow_burst(AT_ONCE))
    }
}

impl Rate {
    fn new(quota: Quota) -> Self {
        Self {
            limiter: DefaultKeyedRateLimiter::keyed(quota),
            clock: DefaultClock::default(),
            asked: AtomicU64::new(0),
        }
    }

    /// Takes one request from the caller's allowance; if it is used up, says after how many seconds
    /// to ask again.
    fn take(&self, address: IpAddr) -> Result<(), u64> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % CLEAR_EVERY == CLEAR_EVERY - 1 {
            self.limiter.retain_recent();
        }
        self.limiter
            .check_key(&network_of(address))
            .map_err(|until| until.wait_time_from(self.clock.now()).as_secs() + 1)
    }
}

fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// Lets a request pass, or says when to ask again. Health is answered always.
pub(super) async fn limit(State(rate): State<Arc<Rate>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>();
    if let Some(peer) = peer.filter(|_| !is_open(&request))
        && let Err(seconds) = rate.take(peer.address.ip())
    {
        let error = ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            format!("more than {A_SECOND} requests a second from one address; ask again later"),
        );
        let mut response = error.into_response();
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        return response;
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_an_allowance_of_its_own_and_all_of_a_network_one() {
        let two = NonZeroU32::new(2).unwrap_or(NonZeroU32::MIN);
        let rate = Rate::new(Quota::per_hour(NonZeroU32::MIN).allow_burst(two));
        let take = |text: &str| text.parse().map(|address| rate.take(address).is_ok());
        for (address, is_granted) in [
            ("10.0.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("10.0.0.1", false),
            ("10.0.0.2", true),
            ("2001:db8::1", true),
            ("2001:db8::ffff:2", true),
            ("2001:db8::3", false),
            ("2001:db8:0:1::3", true),
        ] {
            assert_eq!(take(address), Ok(is_granted), "{address}");
        }
    }
}
