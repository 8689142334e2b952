//! A build of the bridge.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a build is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BuildState {
    /// It waits for a master.
    Waiting,
    /// A master is asked to start it, and has not answered yet.
    Triggering,
    /// It waits in the queue of its master.
    Queued,
    /// It has been claimed: it runs.
    Running,
    /// It ran, its master is lost, and nobody can say whether it still runs. It is not run again by itself.
    Unknown,
    /// It has ended.
    Finished,
}

impl BuildState {
    /// All, in the order in which a build has them.
    pub const ALL: [Self; 6] = [
        Self::Waiting,
        Self::Triggering,
        Self::Queued,
        Self::Running,
        Self::Unknown,
        Self::Finished,
    ];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Triggering => "triggering",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Unknown => "unknown",
            Self::Finished => "finished",
        }
    }

    /// Reads it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }

    /// Whether a master has it, or may have it.
    #[must_use]
    pub fn is_placed(self) -> bool {
        matches!(self, Self::Triggering | Self::Queued | Self::Running | Self::Unknown)
    }
}

/// The result of an unknown build whose pod is being deleted. How such a run ends says nothing of the build.
pub(crate) const FENCING: &str = "FENCING";

/// What happens to a build that was started when its master is lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LostPolicy {
    /// It waits until the master is back.
    #[default]
    Wait,
    /// It is run again on another master once its pod is deleted and seen gone.
    Rerun,
    /// It has failed.
    Fail,
}

impl LostPolicy {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Rerun => "rerun",
            Self::Fail => "fail",
        }
    }
}

/// What a build needs of a master.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Needs {
    /// Ids of credentials.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub credentials: BTreeSet<String>,
    /// Short names of plugins.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub plugins: BTreeSet<String>,
}

/// What was asked for, with what its job says. It does not change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildRequest {
    /// Values of parameters.
    pub parameters: BTreeMap<String, String>,
    /// Labels that the master must have, all of them.
    pub labels: BTreeSet<String>,
    /// Those with a higher one go first.
    pub priority: i32,
    /// Whose it is: teams share masters fairly. Empty for nobody's.
    pub team: String,
    /// The branch, for superseding.
    pub branch: Option<String>,
    /// A newer build of the same branch takes its place while it waits.
    pub superseded: bool,
    /// Builds of its job at the same time.
    pub concurrency: Option<u32>,
    /// Only one build at a time holds each of these.
    pub locks: BTreeSet<String>,
    /// What happens when its master is lost.
    pub on_lost: LostPolicy,
    /// A master of this zone is better than another one.
    pub zone: Option<String>,
    /// What it needs of its master.
    pub needs: Needs,
    /// A caller's own word for it, shown to people.
    pub cause: String,
}

/// A build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Id, hard to guess: `r-` and 22 characters.
    pub id: String,
    /// Full name of its job.
    pub job: String,
    /// Number, unique and rising for its job over all masters.
    pub number: i64,
    /// Where it is.
    pub state: BuildState,
    /// Raised with each change; whoever changes it says which one it has seen.
    pub version: i64,
    /// What was asked for.
    pub request: BuildRequest,
    /// The master that has it.
    pub master: Option<String>,
    /// How often it was given to a master.
    pub attempt: i64,
    /// Key of the attempt that counts.
    pub key: Option<String>,
    /// Its item in the queue of its master.
    pub queue_item: Option<i64>,
    /// Its address at its master, once it runs.
    pub url: Option<String>,
    /// Why it is where it is, for people.
    pub reason: String,
    /// How it ended. `FENCING` while nobody knows that it has ended and its pod is being deleted.
    pub result: Option<String>,
    /// When it was asked for, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it was changed last.
    pub changed_ms: i64,
    /// When it was claimed.
    pub started_ms: Option<i64>,
    /// When it ended.
    pub finished_ms: Option<i64>,
}

impl Build {
    /// Whether its pod is being deleted.
    #[must_use]
    pub fn is_being_fenced(&self) -> bool {
        self.state == BuildState::Unknown && self.result.as_deref() == Some(FENCING)
    }
}

/// One time that a build was given to a master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Attempt {
    /// The build.
    #[serde(skip)]
    pub build: String,
    /// Which one, from 1.
    pub attempt: i64,
    /// Its key.
    #[serde(skip)]
    pub key: String,
    /// The master.
    pub master: String,
    /// Its item there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_item: Option<i64>,
    /// Its address there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What became of it; empty while it counts.
    pub outcome: String,
    /// It may still wait or run there.
    pub is_stale: bool,
    /// When it was given, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it counted no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<i64>,
}
