//! How many requests of each class were answered by which tier, how many were not, and what went over the
//! channels: of all connections since the agent was started, the present one included.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jenkins_remoting::channel::{Channel, Traffic};
use jenkins_remoting::relay::Relayed;

/// How many classes that nobody knows are told apart: their names come from the controller.
const MAX_UNKNOWN: usize = 1000;

/// Counts by class since the agent was started.
#[derive(Default)]
pub struct Statistics {
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    native: BTreeMap<&'static str, u64>,
    unknown: BTreeMap<String, u64>,
    /// Of the connections that have ended.
    ended: Totals,
    /// The present connection, which has counts of its own.
    present: Option<Channel>,
}

#[derive(Debug, Clone, Default)]
struct Totals {
    relayed: BTreeMap<String, u64>,
    failed: BTreeMap<String, u64>,
    jvms: u64,
    traffic: Traffic,
}

impl std::fmt::Debug for Statistics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Statistics").finish_non_exhaustive()
    }
}

impl Totals {
    fn add(&mut self, relayed: Relayed, traffic: Traffic) {
        for (class, number) in relayed.by_class {
            count(&mut self.relayed, &class, number);
        }
        for (class, number) in relayed.failed {
            count(&mut self.failed, &class, number);
        }
        self.jvms += u64::from(relayed.children);
        self.traffic.commands_in += traffic.commands_in;
        self.traffic.commands_out += traffic.commands_out;
        self.traffic.bytes_in += traffic.bytes_in;
        self.traffic.bytes_out += traffic.bytes_out;
    }
}

impl Statistics {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn totals(&self) -> Totals {
        let counts = self.lock();
        let mut totals = counts.ended.clone();
        if let Some(channel) = &counts.present {
            totals.add(channel.relayed(), channel.traffic());
        }
        totals
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

    /// A connection begins.
    pub(crate) fn connected(&self, channel: &Channel) {
        self.lock().present = Some(channel.clone());
    }

    /// The present connection has ended: its counts are kept, and the channel is not.
    pub(crate) fn disconnected(&self) {
        let mut counts = self.lock();
        if let Some(channel) = counts.present.take() {
            counts.ended.add(channel.relayed(), channel.traffic());
        }
    }

    /// The channel of the present connection.
    #[must_use]
    pub fn present(&self) -> Option<Channel> {
        self.lock().present.clone()
    }

    /// Requests answered natively, by class.
    #[must_use]
    pub fn answered(&self) -> BTreeMap<&'static str, u64> {
        self.lock().native.clone()
    }

    /// Requests that were handed to a JVM, by class.
    #[must_use]
    pub fn relayed(&self) -> BTreeMap<String, u64> {
        self.totals().relayed
    }

    /// Requests that failed because there was no JVM for them, or it ended before it answered, by class.
    #[must_use]
    pub fn failed(&self) -> BTreeMap<String, u64> {
        self.totals().failed
    }

    /// Requests refused because no handler knows their class and there is to be no JVM, by class.
    #[must_use]
    pub fn refused(&self) -> BTreeMap<String, u64> {
        self.lock().unknown.clone()
    }

    /// JVMs that were started.
    #[must_use]
    pub fn jvms(&self) -> u64 {
        self.totals().jvms
    }

    /// What went over the channels.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.totals().traffic
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
        let traffic = Traffic { commands_in: 1, commands_out: 2, bytes_in: 30, bytes_out: 40 };
        for number in [3, 4] {
            statistics.lock().ended.add(relayed(number), traffic);
        }
        assert_eq!(statistics.relayed(), [("demo.A".to_owned(), 7)].into());
        assert_eq!((statistics.failed()["demo.B"], statistics.jvms()), (2, 4));
        let both = Traffic { commands_in: 2, commands_out: 4, bytes_in: 60, bytes_out: 80 };
        assert_eq!(statistics.traffic(), both);
        assert!(statistics.unknown("demo.C"));
        assert!(!statistics.unknown("demo.C"));
        for number in 0..2 * MAX_UNKNOWN {
            statistics.unknown(&number.to_string());
        }
        assert_eq!(statistics.refused().len(), MAX_UNKNOWN);
        assert_eq!(statistics.refused()["demo.C"], 2);
    }
}
