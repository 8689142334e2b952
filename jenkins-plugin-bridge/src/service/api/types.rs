//! Bodies of requests and answers.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::leases::LockAnswer;
use crate::catalog::model::{Pipeline, StageTemplate};
use crate::cluster::start::PodStart;
use crate::masters::{Drain, Permission, Source, State};
use crate::plan::evaluate::Decided;
use crate::plan::{Outcome, RunFacts};
use crate::service::live::ReloadState;
use crate::service::sign::Envelope;

/// What was decided at run time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evaluation {
    /// Digest of the plan.
    pub digest: String,
    /// The nodes of the plan that were deferred, each with its decision now.
    pub decisions: Vec<Decided>,
}

/// What was decided at run time, and the same signed, for a shim that takes answers from a cache or
/// through something that it does not trust.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct EvaluationAnswer {
    /// What was decided.
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// The same, signed for this build. The payload is a `SignedEvaluation`.
    pub signed: Envelope,
}

/// What is signed of an evaluation. The keys of the JSON are sorted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SignedEvaluation {
    /// Id of the build.
    pub build: String,
    /// The decisions.
    pub decisions: Vec<Decided>,
    /// Digest of the plan.
    pub digest: String,
    /// When it ends, in seconds since 1970.
    pub expires_at: u64,
    /// `pilotfish/signed-evaluation/v1`.
    pub format: String,
    /// When it was signed, in seconds since 1970.
    pub issued_at: u64,
    /// SHA-256 of the body of the request that it answers, as `sha256:` and hexadecimal digits: the
    /// answer to one question is none to another.
    pub request: String,
}

/// Says who runs a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Name of the controller.
    pub controller: String,
    /// Address of the build there (`BUILD_URL`).
    #[schemars(length(max = 2000))]
    pub url: String,
    /// `PILOTFISH_BUILD_KEY`, for a build of the bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Who runs a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimAnswer {
    /// Name of the controller.
    pub controller: String,
    /// Address of the build there.
    pub url: String,
    /// When it was claimed, in seconds since 1970.
    pub claimed_at: i64,
}

/// The node of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeQuery {
    /// Name of the controller.
    pub controller: String,
    /// Name of the node there.
    #[schemars(length(min = 1, max = 255))]
    pub node: String,
    /// Why it is taken out, for people: one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub reason: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeAnswer {
    /// Name of the controller.
    pub controller: String,
    /// Name of the node there.
    pub node: String,
    /// What was done.
    pub change: NodeChange,
}

/// What was done to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NodeChange {
    /// It was changed.
    Changed,
    /// It was so already.
    Already,
    /// A person took it out, so that it stays out.
    TakenOutByAnother,
}

/// What happened in a build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// In the order in which it happened.
    #[schemars(length(min = 1, max = 1000))]
    pub events: Vec<Event>,
}

/// One thing that happened. `sequence` is its place in the build, from 0: the same one is taken
/// once. `at_ms` is when it happened, in milliseconds since 1970. `node` is an id of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// A stage or a group began.
    StageStarted {
        /// Place in the build.
        sequence: u32,
        /// When.
        at_ms: u64,
        /// Which.
        node: String,
    },
    /// A stage or a group ended.
    StageFinished {
        /// Place in the build.
        sequence: u32,
        /// When.
        at_ms: u64,
        /// Which.
        node: String,
        /// How.
        outcome: Outcome,
        /// Why, in a few words; at most 2000 characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Test cases.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tests: Option<TestCounts>,
        /// What it gave to later stages: outputs that the plan declares. No secrets.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        outputs: BTreeMap<String, String>,
    },
    /// The build ended.
    BuildFinished {
        /// Place in the build.
        sequence: u32,
        /// When.
        at_ms: u64,
        /// How.
        outcome: Outcome,
    },
}

impl Event {
    /// Its place in the build.
    #[must_use]
    pub fn sequence(&self) -> u32 {
        match self {
            Self::StageStarted { sequence, .. }
            | Self::StageFinished { sequence, .. }
            | Self::BuildFinished { sequence, .. } => *sequence,
        }
    }
}

/// Outputs of stages, by id of the stage and name of the output.
pub type StageOutputs = BTreeMap<String, BTreeMap<String, String>>;

/// The outputs that stages reported, the last report of each.
#[must_use]
pub fn outputs_of(events: &[Event]) -> StageOutputs {
    let mut all = StageOutputs::new();
    for event in events {
        if let Event::StageFinished { node, outputs, .. } = event {
            all.insert(node.clone(), outputs.clone());
        }
    }
    all.retain(|_, outputs| !outputs.is_empty());
    all
}

/// Test cases of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestCounts {
    /// Passed.
    pub passed: u32,
    /// Failed.
    pub failed: u32,
    /// Skipped.
    pub skipped: u32,
}

/// What became of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventsAnswer {
    /// How many came in.
    pub received: usize,
    /// How many of them are new.
    pub added: usize,
}

/// A build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Build {
    /// Id.
    pub id: String,
    /// Name of the controller.
    pub controller: String,
    /// Full name of the job.
    pub job: String,
    /// Number.
    pub number: i64,
    /// Digest of its plan.
    pub digest: String,
    /// When it asked for its plan, in seconds since 1970.
    pub created_at: i64,
    /// Who runs it, once it was claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimAnswer>,
    /// How its pod started, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodStart>,
    /// The locks that its stages hold or wait for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<LockAnswer>,
    /// How it ended, once it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Outputs of stages, by id and name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: StageOutputs,
    /// What happened.
    pub events: Vec<Event>,
    /// What it was told at run time, with the facts that it gave.
    pub evaluations: Vec<KeptEvaluation>,
}

/// An evaluation that was kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KeptEvaluation {
    /// The facts.
    pub facts: RunFacts,
    /// The answer.
    pub answer: Evaluation,
}

/// The catalog in use.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CatalogAnswer {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// What it is for.
    pub description: String,
    /// Digest of its files.
    pub digest: String,
    /// When it was read.
    pub loaded_at: String,
    /// What became of the last reading.
    pub reload: ReloadState,
    /// Pipelines: versions by name.
    pub pipelines: BTreeMap<String, String>,
    /// Stages: versions by name, the newest first.
    pub stages: BTreeMap<String, Vec<String>>,
    /// Names of the rules, in order.
    pub rules: Vec<String>,
}

/// A pipeline template.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PipelineAnswer {
    /// The file it is from.
    pub file: String,
    /// The template.
    pub pipeline: Pipeline,
}

/// A stage template.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StageAnswer {
    /// All versions, the newest first.
    pub versions: Vec<StageTemplate>,
}

/// Whether the service can do its work.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Health {
    /// `ok`, or `degraded` where an older catalog is in use because the newer one is broken.
    pub status: &'static str,
    /// Whether the catalog in use is the one in the directory.
    pub catalog_is_current: bool,
}

/// A master that is to be taken out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrainQuery {
    /// Why, for people: one line.
    #[schemars(length(min = 1, max = 500))]
    pub reason: String,
}

/// A master.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MasterAnswer {
    /// Name.
    pub name: String,
    /// Address.
    pub url: String,
    /// Where it is declared.
    pub source: Source,
    /// Labels that builds may ask for.
    pub labels: BTreeSet<String>,
    /// Builds of the bridge that it may have at once.
    pub capacity: u32,
    /// What the bridge may do there.
    pub permission: Permission,
    /// Its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The cluster that its builds run on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Why it gets no new builds; nothing where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// Who has taken it out, and why; nothing where nobody has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<Drain>,
    /// How it is.
    pub state: State,
    /// REST calls that this replica made there so far.
    pub calls: u64,
    /// Those within the last minute.
    pub calls_last_minute: u64,
}

/// An agent that waits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StandbyQuery {
    /// Its id.
    #[schemars(length(max = 64))]
    pub id: String,
    /// It has what it was given, which is given to nobody again.
    #[serde(default)]
    pub taken: bool,
    /// It was asked for what may be the first thing of a build, and does not do that before its node takes no other.
    #[serde(default)]
    pub used: bool,
}

/// What an agent is to do.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum StandbyAnswer {
    /// Ask again.
    Wait {},
    /// Connect, once it has said that it has this.
    Claimed {
        /// Root URL of the controller.
        url: String,
        /// Name of the node.
        node: String,
        /// Secret of the node.
        #[serde(serialize_with = "exposed")]
        #[schemars(with = "String")]
        secret: Zeroizing<String>,
        /// It is for one build: before that does anything, the agent says that it is used.
        one_use: bool,
    },
    /// No build has its node: what it was asked for is of none.
    Idle {},
    /// Its node takes no more builds.
    Out {},
    /// It is known that the agent has what it was given.
    Taken {},
    /// End.
    Leave {
        /// Why.
        reason: String,
    },
}

fn exposed<S: serde::Serializer>(
    secret: &Zeroizing<String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret)
}

impl From<crate::agents::Assignment> for StandbyAnswer {
    fn from(given: crate::agents::Assignment) -> Self {
        let crate::agents::Assignment { url, node, secret, one_use } = given;
        Self::Claimed { url, node, secret, one_use }
    }
}
