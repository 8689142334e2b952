//! How many requests there were within the last minute.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Parts of the minute: what is told is of 55 to 60 seconds.
const PARTS: usize = 12;
/// The length of one.
const PART: Duration = Duration::from_secs(60 / PARTS as u64);

/// A count that forgets.
#[derive(Debug)]
pub(super) struct LastMinute {
    since: Instant,
    /// The number of each part since the beginning, and its count.
    parts: Mutex<[(u64, u64); PARTS]>,
}

impl LastMinute {
    pub fn new() -> Self {
        Self { since: Instant::now(), parts: Mutex::new([(0, 0); PARTS]) }
    }

    fn part(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.since).as_secs() / PART.as_secs()
    }

    /// Counts one.
    pub fn add(&self, now: Instant) {
        let part = self.part(now);
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let at = usize::try_from(part % PARTS as u64).unwrap_or(0);
        if parts[at].0 != part {
            parts[at] = (part, 0);
        }
        parts[at].1 += 1;
    }

    /// How many there were.
    pub fn count(&self, now: Instant) -> u64 {
        let part = self.part(now);
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts
            .iter()
            .filter(|(of, _)| part - part.min(*of) < PARTS as u64)
            .map(|(_, count)| count)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_a_minute_is_forgotten() {
        let counted = LastMinute::new();
        let at = |seconds: u64| counted.since + Duration::from_secs(seconds);
        assert_eq!(counted.count(at(0)), 0);
        for second in 0..120 {
            counted.add(at(second));
        }
        assert_eq!(counted.count(at(119)), 60);
        assert_eq!(counted.count(at(150)), 25);
        assert_eq!(counted.count(at(1000)), 0);
        counted.add(at(1000));
        assert_eq!(counted.count(at(1001)), 1);
    }
}
