//! When a request is tried again, and after how long.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// How often and how fast a request is tried again.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// How often a request is made in all, the first time included.
    pub tries: u32,
    /// Wait before the second try; doubled for each further one.
    pub base: Duration,
    /// The longest wait between two tries.
    pub longest: Duration,
}

impl Default for RetryPolicy {
    /// Five tries within half a minute: as long as a proxy takes to notice that its controller is
    /// there again, but not as long as a restart.
    fn default() -> Self {
        Self { tries: 5, base: Duration::from_millis(500), longest: Duration::from_secs(30) }
    }
}

impl RetryPolicy {
    /// The wait after a failed try (the first is 1); none when there is no further try, or when
    /// the server asks for more patience than there is.
    #[must_use]
    pub fn wait(&self, tried: u32, retry_after: Option<Duration>) -> Option<Duration> {
        if tried >= self.tries {
            return None;
        }
        let doubled = self.base.saturating_mul(1_u32 << (tried - 1).min(16)).min(self.longest);
        match retry_after {
            Some(asked) if asked > self.longest => None,
            Some(asked) => Some(asked.max(doubled)),
            // Half of it is left to chance: many readers that failed together do not come back
            // together.
            None => Some(doubled / 2 + doubled.mul_f64(chance() / 2.0)),
        }
    }
}

/// A number from 0 to 1. It spreads requests and need not be hard to guess.
fn chance() -> f64 {
    use std::hash::{BuildHasher as _, RandomState};
    let bits = RandomState::new().hash_one(0_u8) >> 40;
    f64::from(u32::try_from(bits).unwrap_or(0)) / f64::from(1_u32 << 24)
}

/// Reads `Retry-After`: seconds, or a date.
#[must_use]
pub fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = header.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = header.trim().strip_suffix("GMT").map(|start| format!("{start}+0000"))?;
    let date = OffsetDateTime::parse(&date, &Rfc2822).ok()?;
    let wait = date - OffsetDateTime::from(now);
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let policy =
            RetryPolicy { tries: 4, base: Duration::from_secs(1), longest: Duration::from_secs(3) };
        for (tried, least, most) in [(1, 500, 1000), (2, 1000, 2000), (3, 1500, 3000)] {
            let wait = policy.wait(tried, None).unwrap().as_millis();
            assert!((least..=most).contains(&wait), "{tried}: {wait}");
        }
        assert_eq!(policy.wait(4, None), None);
    }

    #[test]
    fn the_server_may_ask_for_patience_within_reason() {
        let policy = RetryPolicy::default();
        let seconds = Duration::from_secs;
        assert_eq!(policy.wait(1, Some(seconds(7))), Some(seconds(7)));
        assert_eq!(policy.wait(1, Some(seconds(0))), Some(policy.base));
        assert_eq!(policy.wait(1, Some(seconds(3600))), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let read = |text| retry_after(text, now);
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("Sun, 09 Sep 2001 01:47:10 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(read("Sun, 09 Sep 2001 01:40:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("soon"), None);
    }
}
