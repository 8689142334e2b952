//! How many requests a token may make: a bucket for each, which fills again with time. One shim in
//! a loop, or one build that reports without end, does not take the service from all others.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::auth::Caller;

/// The most tokens that are watched at once. Those whose bucket is full again are forgotten first.
const WATCHED: usize = 50_000;
/// How long a token may have been silent to make up for it at once.
const BURST: Duration = Duration::from_secs(5);

/// Requests a second, by kind of token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// For an access token that has no rate of its own.
    pub access: u32,
    /// For the token of a build.
    pub build: u32,
}

impl Default for Rates {
    /// A controller that starts five hundred builds a second is broken; so is a build that reports
    /// more than ten stages a second for long.
    fn default() -> Self {
        Self { access: 500, build: 10 }
    }
}

/// The buckets. Each is one instant: when it will be full again (the generic cell rate algorithm,
/// ITU-T I.371).
#[derive(Debug)]
pub struct RateLimits {
    rates: Rates,
    full_at: Mutex<HashMap<String, Instant>>,
}

impl RateLimits {
    /// Buckets of these rates, all of them full.
    #[must_use]
    pub fn new(rates: Rates) -> Self {
        Self { rates, full_at: Mutex::default() }
    }

    /// Takes one request from the bucket of a caller.
    ///
    /// # Errors
    /// How long to wait for the next one, where the bucket is empty.
    pub fn take(&self, caller: &Caller, now: Instant) -> Result<(), Duration> {
        let rate = match caller {
            Caller::Access(token) => token.requests_per_second.unwrap_or(self.rates.access),
            Caller::Build(_) => self.rates.build,
        };
        self.take_for(caller.subject(), rate, now)
    }

    /// The same for one that has no token of ours, with its rate: requests a second.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn take_for(&self, subject: String, rate: u32, now: Instant) -> Result<(), Duration> {
        let one = Duration::from_secs(1) / rate.max(1);
        let mut all = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = all.get(&subject).copied().unwrap_or(now).max(now);
        let empty_until = (full_at + one).checked_duration_since(now + BURST.max(one));
        if let Some(wait) = empty_until.filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        if all.len() >= WATCHED && !all.contains_key(&subject) {
            all.retain(|_, full_at| *full_at > now);
            if all.len() >= WATCHED {
                all.clear();
            }
        }
        all.insert(subject, full_at + one);
        Ok(())
    }
}

#[cfg(test)]
mod unit {
    use super::*;
    use crate::service::auth::{AccessTokens, BuildClaims};

    fn build(id: &str) -> Caller {
        Caller::Build(BuildClaims { build: id.into(), digest: String::new(), expires_at: 0 })
    }

    /// How many of a thousand requests at one time are taken.
    fn taken(limits: &RateLimits, caller: &Caller, now: Instant) -> usize {
        (0..1000).filter(|_| limits.take(caller, now).is_ok()).count()
    }

    #[test]
    fn a_bucket_empties_and_fills_again_and_is_each_callers_own() {
        let limits = RateLimits::new(Rates { access: 1000, build: 10 });
        let start = Instant::now();
        assert_eq!(taken(&limits, &build("a"), start), 50);
        let wait = limits.take(&build("a"), start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(taken(&limits, &build("b"), start), 50, "another build has its own");
        assert_eq!(taken(&limits, &build("a"), start + wait), 1);
        assert_eq!(taken(&limits, &build("a"), start + Duration::from_secs(3)), 29);
        assert_eq!(taken(&limits, &build("a"), start + Duration::from_secs(3600)), 50);
    }

    #[test]
    fn a_token_may_have_a_rate_of_its_own() {
        let limits = RateLimits::new(Rates { access: 1, build: 1 });
        let (_, mut token) = AccessTokens::make("a", [].into(), None).unwrap();
        assert_eq!(taken(&limits, &Caller::Access(token.clone()), Instant::now()), 5);
        token.sha256 = "other".to_owned();
        token.requests_per_second = Some(100);
        assert_eq!(taken(&limits, &Caller::Access(token), Instant::now()), 500);
    }

    #[test]
    fn what_is_watched_is_bounded() {
        let limits = RateLimits::new(Rates::default());
        let now = Instant::now();
        for number in 0..=WATCHED {
            limits.take(&build(&number.to_string()), now).unwrap();
        }
        assert!(limits.full_at.lock().unwrap().len() <= WATCHED);
    }
}
