//! What waits for a label, from the load that a master counts (`hudson.model.LoadStatistics`): every ten
//! seconds its average of waiting builds becomes nine tenths of itself and a tenth of those that wait now.
//! So two averages in a row tell how many wait. No text that a person may have in another language is read.

use std::collections::BTreeMap;

/// What is left of the average with each tick (`hudson.model.LoadStatistics.DECAY`).
const DECAY: f64 = 0.9;
/// Within so many milliseconds it surely counts once.
const TICKS_MS: i64 = 20_000;
/// Averages that differ by less are the same one.
const SAME: f64 = 1e-9;
/// More than any queue has.
const MOST: f64 = 100_000.0;

/// What waits for one label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Waiting {
    /// So many builds.
    pub count: u32,
    /// They waited after this time, in milliseconds since 1970: a build that an agent has taken since then
    /// may be among them.
    pub since_ms: i64,
    average: f32,
    /// When this average was seen for the first time.
    average_ms: i64,
}

/// A number of builds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole and bounded, so that it is exact"
)]
fn whole(number: f64) -> u32 {
    number.round().clamp(0.0, MOST) as u32
}

/// What waits at one master, by label.
#[derive(Debug, Clone, Default)]
pub struct Demand {
    labels: BTreeMap<String, Waiting>,
    looked_ms: i64,
}

impl Demand {
    /// Takes the averages of a look that began at `now_ms`.
    pub fn look(&mut self, averages: &BTreeMap<String, f32>, now_ms: i64) {
        let before_ms = std::mem::replace(&mut self.looked_ms, now_ms);
        self.labels.retain(|label, _| averages.contains_key(label));
        for (label, &average) in averages {
            let Some(known) = self.labels.get_mut(label) else {
                // What came before the first look is not known; a rising average tells it soon.
                let known = Waiting { count: 0, since_ms: now_ms, average, average_ms: now_ms };
                self.labels.insert(label.clone(), known);
                continue;
            };
            let (new, old) = (f64::from(average), f64::from(known.average));
            if (new - old).abs() >= SAME {
                let count = whole((new - DECAY * old) / (1.0 - DECAY));
                *known = Waiting { count, since_ms: before_ms, average, average_ms: now_ms };
            } else if now_ms >= known.average_ms + TICKS_MS {
                // It was counted meanwhile, and is the average of what has waited for long.
                (known.count, known.since_ms) = (whole(new), now_ms - TICKS_MS);
            }
        }
    }

    /// What waits for a label.
    #[must_use]
    pub fn of(&self, label: &str) -> Option<Waiting> {
        self.labels.get(label).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(demand: &mut Demand, average: f32, now_ms: i64) -> u32 {
        demand.look(&BTreeMap::from([("linux".to_owned(), average)]), now_ms);
        demand.of("linux").unwrap().count
    }

    #[test]
    fn two_averages_tell_what_waits() {
        let mut demand = Demand::default();
        let mut average = 0.0;
        assert_eq!(look(&mut demand, average, 0), 0);
        for (tick, waiting) in [0_u8, 1, 1, 7, 200, 0, 0, 3, 0].into_iter().enumerate() {
            average = 0.9 * average + 0.1 * f32::from(waiting);
            let now = i64::try_from(tick).unwrap() * 10_000 + 10_000;
            assert_eq!(look(&mut demand, average, now), u32::from(waiting), "tick {tick}");
            // Between two ticks nothing changes.
            assert_eq!(look(&mut demand, average, now + 4_000), u32::from(waiting));
        }
    }

    #[test]
    fn what_has_waited_for_long_is_known_and_was_counted_lately() {
        let (mut demand, mut average) = (Demand::default(), 0.0);
        for tick in 0..400 {
            average = 0.9 * average + 0.1 * 3.0;
            let count = look(&mut demand, average, tick * 10_000);
            assert!(tick == 0 || count == 3, "tick {tick}: {count}");
        }
        assert!(demand.of("linux").unwrap().since_ms >= 399 * 10_000 - 20_000);
        // Whoever looks for the first time knows it soon.
        let mut later = Demand::default();
        assert_eq!(look(&mut later, average, 0), 0);
        assert_eq!(look(&mut later, average, 10_000), 0);
        assert_eq!(look(&mut later, average, 20_000), 3);
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        let mut demand = Demand::default();
        // Nine tenths of something: it may have waited a minute ago.
        assert_eq!(look(&mut demand, 0.9, 0), 0);
        assert_eq!(look(&mut demand, 0.81, 10_000), 0);
        assert_eq!(look(&mut demand, 0.729 + 0.2, 20_000), 2);
        assert_eq!(demand.of("linux").unwrap().since_ms, 10_000);
        assert_eq!(demand.of("other"), None);
        // A master that was away for some ticks says less than nothing.
        assert_eq!(look(&mut demand, 0.0, 90_000), 0);
        demand.look(&BTreeMap::new(), 95_000);
        assert_eq!(demand.of("linux"), None);
    }
}
