//! How many requests of each class were answered, and how many were not.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    unknown: BTreeMap<String, u64>,
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
        let mut counts = self.lock();
        if let Some(count) = counts.unknown.get_mut(class) {
            *count += 1;
            return false;
        }
        if counts.unknown.len() < MAX_UNKNOWN {
            counts.unknown.insert(class.to_owned(), 1);
        }
        true
    }

    /// Requests answered natively, by class.
    #[must_use]
    pub fn answered(&self) -> BTreeMap<&'static str, u64> {
        self.lock().native.clone()
    }

    /// Requests refused because no handler knows their class, by class.
    #[must_use]
    pub fn refused(&self) -> BTreeMap<String, u64> {
        self.lock().unknown.clone()
    }
}
