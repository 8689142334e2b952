//! How many requests went to the child, by class: the list by which the next native ones are chosen.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::channel::lock;

/// How many classes are told apart: their names come from the controller.
const MAX_CLASSES: usize = 1000;

/// What was relayed on a channel so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relayed {
    /// Requests handed to a child, by class. A request whose class cannot be read counts as the empty
    /// name.
    pub by_class: BTreeMap<String, u64>,
    /// Requests that the child should have answered and this side answered with an exception, because
    /// it could not be started, ended, or did not keep up.
    pub failed: BTreeMap<String, u64>,
    /// Children that came up.
    pub children: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Statistics(Mutex<Relayed>);

impl Statistics {
    pub(crate) fn relayed(&self, class: &str) {
        count(&mut lock(&self.0).by_class, class);
    }

    pub(crate) fn failed(&self, class: &str) {
        count(&mut lock(&self.0).failed, class);
    }

    pub(crate) fn started(&self) {
        lock(&self.0).children += 1;
    }

    pub(crate) fn get(&self) -> Relayed {
        lock(&self.0).clone()
    }
}

fn count(counts: &mut BTreeMap<String, u64>, class: &str) {
    if let Some(count) = counts.get_mut(class) {
        *count += 1;
    } else if counts.len() < MAX_CLASSES {
        counts.insert(class.to_owned(), 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        let statistics = Statistics::default();
        for number in 0..2 * MAX_CLASSES {
            statistics.relayed(&format!("demo.Class{number}"));
            statistics.relayed("demo.Class0");
        }
        let relayed = statistics.get();
        assert_eq!(relayed.by_class.len(), MAX_CLASSES);
        assert_eq!(relayed.by_class.get("demo.Class0"), Some(&(2 * MAX_CLASSES as u64 + 1)));
    }
}
