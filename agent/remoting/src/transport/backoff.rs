//! Waiting times between attempts.

use std::time::{Duration, Instant};

/// The longest wait between two attempts.
const LONGEST: Duration = Duration::from_secs(10);

/// Delays of 1, 3, 7, 10, 10, … seconds, as `hudson.remoting.Engine` waits, until a budget is used up.
///
/// Each phase (readiness probe, upgrade, every reconnect) starts with a fresh value. The budget is real elapsed
/// time since creation; without one the attempts never end.
#[derive(Debug, Clone)]
pub struct Backoff {
    started: Instant,
    budget: Option<Duration>,
    delay: Duration,
}

impl Backoff {
    /// A fresh sequence. `budget` is the value of `-noReconnectAfter`.
    #[must_use]
    pub fn new(budget: Option<Duration>) -> Self {
        Self { started: Instant::now(), budget, delay: Duration::ZERO }
    }

    /// How long to wait before the next attempt, or `None` when the budget is used up ("Bailing out").
    pub fn next_delay(&mut self) -> Option<Duration> {
        self.next_delay_after(self.started.elapsed())
    }

    /// The budget given, for the message that ends the attempts.
    #[must_use]
    pub fn budget(&self) -> Option<Duration> {
        self.budget
    }

    fn next_delay_after(&mut self, elapsed: Duration) -> Option<Duration> {
        if self.budget.is_some_and(|budget| elapsed > budget) {
            return None;
        }
        self.delay = (2 * self.delay + Duration::from_secs(1)).min(LONGEST);
        Some(self.delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_is_that_of_the_java_agent() {
        let mut backoff = Backoff::new(None);
        let seconds: Vec<_> =
            (0..6).filter_map(|_| backoff.next_delay()).map(|delay| delay.as_secs()).collect();
        assert_eq!(seconds, [1, 3, 7, 10, 10, 10]);
    }

    #[test]
    fn budget_ends_the_attempts() {
        let mut backoff = Backoff::new(Some(Duration::from_secs(3)));
        assert_eq!(backoff.next_delay_after(Duration::from_secs(3)), Some(Duration::from_secs(1)));
        assert_eq!(backoff.next_delay_after(Duration::from_millis(3001)), None);
    }
}
