//! The core: masters, builds and limits in, decisions out. The same input gives the same decisions.

mod place;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::{Build, BuildState, LostPolicy};

/// A master as the core sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MasterView {
    /// Its name.
    pub name: String,
    /// Why it gets no builds; nothing where it does.
    pub refusal: Option<String>,
    /// Since when it does not answer, in milliseconds since 1970; nothing where it does.
    pub lost_ms: Option<i64>,
    /// It answers and starts nothing (about to shut down, in maintenance): what waits there moves.
    pub is_leaving: bool,
    /// Its labels.
    pub labels: BTreeSet<String>,
    /// Builds of the bridge that it may have at once.
    pub capacity: u32,
    /// Its executors.
    pub executors: u32,
    /// Executors that are busy with anything.
    pub busy: u32,
    /// Items in its queue, whoever's.
    pub queue: u32,
    /// How long its answers take, in milliseconds.
    pub latency_ms: u64,
    /// Its zone.
    pub zone: Option<String>,
    /// The cluster of its builds.
    pub cluster: Option<String>,
    /// Ids of its credentials; nothing where they cannot be seen.
    pub credentials: Option<BTreeSet<String>>,
    /// Its plugins; nothing where they cannot be seen.
    pub plugins: Option<BTreeSet<String>>,
    /// Jobs that it could not start a moment ago, each with the reason.
    pub no_jobs: BTreeMap<String, String>,
}

/// Builds of the bridge at the same time, those that wait at their master included. Within them teams have
/// their turns: the third build of one comes after the second of each other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// For builds that ask for a label.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, u32>,
    /// For a team.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub teams: BTreeMap<String, u32>,
    /// For each team that is not named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub any_team: Option<u32>,
    /// For a cluster, over all masters that have it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub clusters: BTreeMap<String, u32>,
}

impl Limits {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Times and numbers that decisions depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// A master that did not answer for so long is lost, in milliseconds after it was known as ill. With
    /// the looks at masters (15 s) builds that were not started move within 30 s.
    pub lost_after_ms: i64,
    /// A build that waits in the queue of its master for so long moves where another one has room.
    pub stuck_after_ms: i64,
    /// Builds that are given to one master at a time: the others wait for the next time.
    pub at_once: u32,
    /// How often a build is given to masters.
    pub attempts: i64,
    /// Time between two tries to fence a build.
    pub fence_every_ms: i64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            lost_after_ms: 5_000,
            stuck_after_ms: 300_000,
            at_once: 20,
            attempts: 20,
            fence_every_ms: 30_000,
        }
    }
}

/// What is to be done with a build. Each names the build by its place in the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Give it to this master.
    Place {
        /// Which build.
        build: usize,
        /// Which master.
        master: String,
    },
    /// Take it back from its master: it was not started there.
    Move {
        /// Which build.
        build: usize,
        /// Why.
        reason: String,
    },
    /// Make sure that it runs no more, then run it again.
    Fence {
        /// Which build.
        build: usize,
    },
    /// It has ended.
    Finish {
        /// Which build.
        build: usize,
        /// How.
        result: String,
        /// Why.
        reason: String,
    },
    /// It stays where it is, and this is why.
    Stay {
        /// Which build.
        build: usize,
        /// Why.
        reason: String,
    },
}

impl Decision {
    /// Which build it is about.
    #[must_use]
    pub fn build(&self) -> usize {
        match self {
            Self::Place { build, .. }
            | Self::Move { build, .. }
            | Self::Fence { build }
            | Self::Finish { build, .. }
            | Self::Stay { build, .. } => *build,
        }
    }
}

/// Decides about all builds that have not ended. `last` says where the last build of each job ran: caches
/// may be warm there.
#[must_use]
pub fn decide(
    masters: &[MasterView],
    builds: &[Build],
    limits: &Limits,
    rules: &Rules,
    last: &BTreeMap<String, String>,
    now_ms: i64,
) -> Vec<Decision> {
    let by_name: BTreeMap<&str, &MasterView> =
        masters.iter().map(|master| (master.name.as_str(), master)).collect();
    let mut decisions = Vec::new();
    let superseded = superseded(builds);
    let mut waiting = Vec::new();
    for (index, build) in builds.iter().enumerate() {
        if let Some(by) = superseded.get(&index) {
            let reason = format!("superseded by build {by} of the same branch");
            decisions.push(Decision::Finish { build: index, result: "ABORTED".into(), reason });
            continue;
        }
        match build.state {
            BuildState::Waiting if build.attempt >= rules.attempts => {
                let reason = format!(
                    "it was given to masters {} times and was not started; the last time: {}",
                    build.attempt, build.reason
                );
                decisions.push(Decision::Finish { build: index, result: "FAILURE".into(), reason });
            }
            BuildState::Waiting => waiting.push(index),
            BuildState::Finished => {}
            _ => {
                let name = build.master.as_deref().unwrap_or_default();
                decisions.extend(placed(
                    index,
                    build,
                    by_name.get(name).copied(),
                    masters,
                    rules,
                    now_ms,
                ));
            }
        }
    }
    place::place(masters, builds, waiting, limits, rules, last, &mut decisions);
    decisions
}

/// Builds that wait and whose place a newer one of the same branch takes.
fn superseded(builds: &[Build]) -> BTreeMap<usize, i64> {
    let mut newest: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for build in builds {
        if let Some(branch) = &build.request.branch {
            let number = newest.entry((&build.job, branch)).or_default();
            *number = (*number).max(build.number);
        }
    }
    builds
        .iter()
        .enumerate()
        .filter(|(_, build)| build.state == BuildState::Waiting && build.request.superseded)
        .filter_map(|(index, build)| {
            let branch = build.request.branch.as_deref()?;
            let newest = *newest.get(&(build.job.as_str(), branch))?;
            (newest > build.number).then_some((index, newest))
        })
        .collect()
}

/// A build that a master has.
fn placed(
    index: usize,
    build: &Build,
    master: Option<&MasterView>,
    masters: &[MasterView],
    rules: &Rules,
    now_ms: i64,
) -> Option<Decision> {
    let name = build.master.as_deref().unwrap_or("its master");
    let lost = match master {
        None => Some(format!("{name} is not among the masters any more")),
        Some(master) => master
            .lost_ms
            .filter(|since| now_ms - since >= rules.lost_after_ms)
            .map(|_| format!("{name} does not answer")),
    };
    let stay = |reason: String| {
        (build.reason != reason).then_some(Decision::Stay { build: index, reason })
    };
    match (build.state, lost) {
        (BuildState::Triggering | BuildState::Queued, Some(reason)) => {
            Some(Decision::Move { build: index, reason })
        }
        (BuildState::Queued, None) => {
            let master = master?;
            if master.is_leaving {
                let reason = format!("{name} starts nothing: {}", master.refusal.as_deref()?);
                return Some(Decision::Move { build: index, reason });
            }
            let waits = now_ms - build.changed_ms;
            let elsewhere = masters.iter().any(|other| {
                other.name != master.name
                    && other.refusal.is_none()
                    && build.request.labels.is_subset(&other.labels)
                    && other.busy < other.executors
            });
            (waits >= rules.stuck_after_ms && elsewhere).then(|| Decision::Move {
                build: index,
                reason: format!("{name} did not start it for {} s", waits / 1000),
            })
        }
        (BuildState::Running, Some(why)) => match build.request.on_lost {
            LostPolicy::Wait => stay(format!("{why}; it is waited for")),
            LostPolicy::Fail => {
                let reason = format!("{why}, and the build was running there");
                Some(Decision::Finish { build: index, result: "FAILURE".into(), reason })
            }
            LostPolicy::Rerun => Some(Decision::Fence { build: index }),
        },
        // Whoever began may have been killed.
        (BuildState::Unknown, _) if build.is_being_fenced() => {
            Some(Decision::Fence { build: index })
        }
        // Tried again now and then: what could not be seen may be seen later.
        (BuildState::Unknown, _)
            if build.request.on_lost == LostPolicy::Rerun
                && now_ms - build.changed_ms >= rules.fence_every_ms =>
        {
            Some(Decision::Fence { build: index })
        }
        _ => None,
    }
}
