//! Who may ask: API keys, and how often.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use hyper::HeaderMap;
use hyper::StatusCode;
use hyper::header::AUTHORIZATION;
use sha2::{Digest, Sha256};

use super::super::problem::Problem;
use crate::clock::UnixMs;
use crate::config::{ApiKey, Fraud};
use crate::fraud::Decision;

/// The keys in force: others may come while requests are answered.
pub struct Access(ArcSwap<Keys>);

/// Keys as they are asked for.
pub struct Keys {
    keys: Vec<(ApiKey, Arc<Limiter>)>,
    required: bool,
    deadline_ms: u64,
    on_timeout: Decision,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller<'a> {
    /// Whose key it is; none without keys.
    pub merchant: Option<&'a str>,
    pub deadline_ms: u64,
    pub on_timeout: Decision,
}

impl Access {
    pub fn new(config: &Fraud, loopback: bool) -> Access {
        Access(ArcSwap::from_pointee(Keys {
            keys: limited(&config.keys, &[]),
            required: config.require_keys.unwrap_or(!loopback),
            deadline_ms: config.deadline_ms,
            on_timeout: config.on_timeout,
        }))
    }

    /// Puts other keys in force; one that stays goes on with its rate where that is the same.
    pub fn replace(&self, keys: &[ApiKey]) {
        self.0.rcu(|old| Keys { keys: limited(keys, &old.keys), ..**old });
    }

    pub fn keys(&self) -> Arc<Keys> {
        self.0.load_full()
    }
}

fn limited(keys: &[ApiKey], old: &[(ApiKey, Arc<Limiter>)]) -> Vec<(ApiKey, Arc<Limiter>)> {
    let rate = |key: &ApiKey| (key.sha256, key.rate_per_second, key.burst);
    let limiter = |key: &ApiKey| match old.iter().find(|(other, _)| rate(other) == rate(key)) {
        Some((_, limiter)) => limiter.clone(),
        None => Arc::new(Limiter::new(key.rate_per_second, key.burst)),
    };
    keys.iter().map(|key| (key.clone(), limiter(key))).collect()
}

impl Keys {
    /// Checks the key and its rate.
    pub fn admit(&self, headers: &HeaderMap, now: UnixMs) -> Result<Caller<'_>, Problem> {
        let nobody = Caller { merchant: None, deadline_ms: self.deadline_ms, on_timeout: self.on_timeout };
        let Some(header) = headers.get(AUTHORIZATION) else {
            let detail = "bring an API key as Authorization: Bearer <key>";
            let missing = Problem::new(StatusCode::UNAUTHORIZED, "key_missing", detail);
            return if self.required { Err(missing) } else { Ok(nobody) };
        };
        // RFC 9110 (11.1): a scheme is told in any case.
        let given = header.to_str().ok().and_then(|header| header.split_once(' '));
        let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map_or("", |(_, key)| key.trim());
        let digest: [u8; 32] = Sha256::digest(given).into();
        let mut found = None;
        // All of them, each to its last byte: the time says nothing about which, or how much of it, was right.
        for candidate in &self.keys {
            let differs = candidate.0.sha256.iter().zip(&digest).fold(0, |sum, (a, b)| sum | (a ^ b));
            if differs == 0 {
                found = Some(candidate);
            }
        }
        let Some((key, limiter)) = found else {
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "key_unknown", "the API key is not known"));
        };
        limiter.admit(now).map_err(Problem::too_many)?;
        Ok(Caller {
            merchant: Some(&key.merchant),
            deadline_ms: key.deadline_ms.unwrap_or(self.deadline_ms),
            on_timeout: key.on_timeout.unwrap_or(self.on_timeout),
        })
    }
}

/// A bucket that leaks evenly, as one number: when it will be empty.
struct Limiter {
    each_ns: i64,
    burst_ns: i64,
    empty_at_ns: AtomicI64,
}

impl Limiter {
    fn new(rate_per_second: u32, burst: u32) -> Limiter {
        let each_ns = 1_000_000_000 / i64::from(rate_per_second.max(1));
        Limiter { each_ns, burst_ns: each_ns * i64::from(burst.max(1)), empty_at_ns: AtomicI64::new(0) }
    }

    /// Lets one through, or says after how many seconds it may come again.
    fn admit(&self, now: UnixMs) -> Result<(), u32> {
        let now_ns = now.0.saturating_mul(1_000_000);
        let next = |empty_at_ns: i64| {
            let then_ns = empty_at_ns.max(now_ns) + self.each_ns;
            (then_ns - now_ns <= self.burst_ns).then_some(then_ns)
        };
        let taken = self.empty_at_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        taken.map(|_| ()).map_err(|empty_at_ns| {
            let wait_ns = empty_at_ns + self.each_ns - self.burst_ns - now_ns;
            u32::try_from(wait_ns.max(1).div_euclid(1_000_000_000) + 1).unwrap_or(u32::MAX)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let limiter = Limiter::new(10, 5);
        let now = UnixMs(1_795_000_000_000);
        (0..5).for_each(|_| assert_eq!(limiter.admit(now), Ok(())));
        assert_eq!(limiter.admit(now), Err(1));
        assert_eq!(limiter.admit(now.plus(99)), Err(1));
        assert_eq!(limiter.admit(now.plus(100)), Ok(()));
        assert_eq!(limiter.admit(now.plus(100)), Err(1));
        let slow = Limiter::new(1, 1);
        assert_eq!((slow.admit(now), slow.admit(now.plus(999)), slow.admit(now.plus(1_000))), (Ok(()), Err(1), Ok(())));
    }
}
