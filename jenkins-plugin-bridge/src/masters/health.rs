//! Whether a master can be given builds, judged from looks at it. Nothing here has a clock or a network,
//! so that a sequence of looks always gives the same judgement.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a master counts as ill and as well again. It takes more than one look each way, so that one that
/// is on the edge does not go in and out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthRules {
    /// Bad looks one after the other until it is ill.
    pub bad: u32,
    /// Good looks one after the other until it is well again.
    pub good: u32,
    /// An answer slower than this is a bad look, in milliseconds.
    pub slow_ms: u64,
    /// An answer of a master that is ill has to be faster than this, in milliseconds.
    pub fast_ms: u64,
}

impl Default for HealthRules {
    /// With a look every five seconds that may take four, a dead master is known within 15 s.
    fn default() -> Self {
        Self { bad: 2, good: 3, slow_ms: 3_000, fast_ms: 1_500 }
    }
}

/// What a master said of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Seen {
    /// Version of Jenkins.
    pub version: String,
    /// It starts no builds any more.
    pub quieting_down: bool,
    /// Executors of nodes that are online.
    pub executors: u32,
    /// Executors that run something.
    pub busy: u32,
    /// Nodes that are online.
    pub agents_online: u32,
    /// Nodes that are not.
    pub agents_offline: u32,
    /// Items in the queue.
    pub queue: u32,
    /// Labels of nodes that are online.
    pub labels: BTreeSet<String>,
}

/// One look at a master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// How long the answer took, in milliseconds.
    pub latency_ms: u64,
    /// What it said, or why there was no answer. Nothing where only its pulse was taken.
    pub outcome: Result<Option<Seen>, String>,
}

/// How a master is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It was not looked at yet.
    #[default]
    Unknown,
    /// It answers.
    Healthy,
    /// It does not answer, or too slowly.
    Unhealthy,
}

/// What is known about a master.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct State {
    /// How it is.
    pub health: Health,
    /// Why, where it is not healthy; the last trouble, where it is on the edge.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What it said last.
    pub seen: Seen,
    /// When it answered last, in milliseconds since 1970; 0 for never.
    pub answered_ms: u64,
    /// When its health changed last, in milliseconds since 1970.
    pub changed_ms: u64,
    /// How long its last answers took, in milliseconds: an average that forgets.
    pub latency_ms: u64,
    /// Bad looks in a row.
    #[serde(default)]
    pub bad: u32,
    /// Good looks in a row.
    #[serde(default)]
    pub good: u32,
}

impl State {
    /// Takes a look into account. True when the health has changed by it.
    pub fn observe(&mut self, look: &Observation, rules: &HealthRules) -> bool {
        let trouble = match &look.outcome {
            Err(reason) => Some(reason.clone()),
            Ok(_) => {
                let most = match self.health {
                    Health::Unhealthy => rules.fast_ms,
                    Health::Unknown | Health::Healthy => rules.slow_ms,
                };
                (look.latency_ms > most)
                    .then(|| format!("an answer took {} ms, more than {most} ms", look.latency_ms))
            }
        };
        if let Ok(seen) = &look.outcome {
            self.answered_ms = look.at_ms;
            self.latency_ms = match self.latency_ms {
                0 => look.latency_ms,
                before => (before * 3 + look.latency_ms) / 4,
            };
            if let Some(seen) = seen {
                self.seen = seen.clone();
            }
        }
        let before = self.health;
        match trouble {
            Some(reason) => {
                self.good = 0;
                self.bad = self.bad.saturating_add(1);
                self.reason = reason;
                // One that never answered is not waited for.
                if self.bad >= rules.bad || self.health == Health::Unknown {
                    self.health = Health::Unhealthy;
                }
            }
            None => {
                self.bad = 0;
                self.good = self.good.saturating_add(1);
                if self.health == Health::Unknown || self.good >= rules.good {
                    self.health = Health::Healthy;
                    self.reason.clear();
                }
            }
        }
        if before == self.health {
            return false;
        }
        self.changed_ms = look.at_ms;
        true
    }

    /// Executors that are free.
    #[must_use]
    pub fn idle(&self) -> u32 {
        self.seen.executors.saturating_sub(self.seen.busy)
    }
}
