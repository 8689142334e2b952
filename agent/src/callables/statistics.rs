//! How many requests of each class were answered by which tier, and how many were not.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jenkins_remoting::relay::Relayed;

/// How many classes that nobody knows are told apart: their names come from the controller.
const MAX_UNKNOWN: usize = 1000;

/// Counts by class since the agent was started.
#[derive(Debug, Default)]
pub struct Statistics {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    native: BTreeMap<&'static str, u64>,
    relayed: BTreeMap<String, u64>,
    failed: BTreeMap<String, u64>,
    unknown: BTreeMap<String, u64>,
    jvms: u64,
}

impl Statistics {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn native(&self, class: &'static str) {
        *self.lock().native.entry(class).or_default() += 1;
    }

    /// Counts a class that has no handler; true the first time.
    pub(crate) fn unknown(&self, class: &str) -> bool {
        let unknown = &mut self.lock().unknown;
        let first = !unknown.contains_key(class);
        count(unknown, class, 1);
        first
    }

    /// Adds what a connection passed on to its JVMs.
    pub(crate) fn add(&self, relayed: Relayed) {
        let mut counts = self.lock();
        for (class, number) in relayed.by_class {
            count(&mut counts.relayed, &class, number);
        }
        for (class, number) in relayed.failed {
            count(&mut counts.failed, &class, number);
        }
        counts.jvms += u64::from(relayed.children);
    }

    /// Requests answered natively, by class.
    #[must_use]
    pub fn answered(&self) -> BTreeMap<&'static str, u64> {
        self.lock().native.clone()
    }

    /// Requests that were handed to a JVM on connections that have ended, by class.
    #[must_use]
    pub fn relayed(&self) -> BTreeMap<String, u64> {
        self.lock().relayed.clone()
    }

    /// Requests that failed because there was no JVM for them, or it ended before it answered, by class.
    #[must_use]
    pub fn failed(&self) -> BTreeMap<String, u64> {
        self.lock().failed.clone()
    }

    /// Requests refused because no handler knows their class and there is to be no JVM, by class.
    #[must_use]
    pub fn refused(&self) -> BTreeMap<String, u64> {
        self.lock().unknown.clone()
    }

    /// JVMs that were started by connections that have ended.
    #[must_use]
    pub fn jvms(&self) -> u64 {
        self.lock().jvms
    }
}

fn count(counts: &mut BTreeMap<String, u64>, class: &str, number: u64) {
    if let Some(known) = counts.get_mut(class) {
        *known += number;
    } else if counts.len() < MAX_UNKNOWN {
        counts.insert(class.to_owned(), number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_add_up_and_names_are_bounded() {
        let statistics = Statistics::default();
        let relayed = |number| Relayed {
            by_class: [("demo.A".to_owned(), number)].into(),
            failed: [("demo.B".to_owned(), 1)].into(),
            children: 2,
        };
        statistics.add(relayed(3));
        statistics.add(relayed(4));
        assert_eq!(statistics.relayed(), [("demo.A".to_owned(), 7)].into());
        assert_eq!((statistics.failed()["demo.B"], statistics.jvms()), (2, 4));
        assert!(statistics.unknown("demo.C"));
        assert!(!statistics.unknown("demo.C"));
        for number in 0..2 * MAX_UNKNOWN {
            statistics.unknown(&number.to_string());
        }
        assert_eq!(statistics.refused().len(), MAX_UNKNOWN);
        assert_eq!(statistics.refused()["demo.C"], 2);
    }
}
