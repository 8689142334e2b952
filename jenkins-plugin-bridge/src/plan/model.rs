//! The plan: an explicit stage sequence with nothing left to look up.

mod stage;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::canonical::to_canonical_json;
use crate::catalog::model::{Level, PlanFacts};

pub use stage::{
    PlanContainer, PlanCredential, PlanInput, PlanOutput, PlanService, PlanStage, PlanStep,
    PlanStepPost,
};

/// A plan with its digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanDocument {
    /// `sha256:` and the SHA-256 of `plan` as JSON with sorted keys and no spaces.
    pub digest: String,
    /// The plan.
    pub plan: Plan,
}

/// The version of the format of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PlanFormat {
    /// The first version.
    #[serde(rename = "pilotfish/plan/v1")]
    V1,
}

/// What a build does, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of the format.
    pub format: PlanFormat,
    /// Name of the catalog.
    pub catalog: String,
    /// Name of the pipeline.
    pub pipeline: String,
    /// Version of the pipeline.
    pub version: String,
    /// The layers that hold, upper ones first.
    pub layers: Vec<LayerName>,
    /// The rule that gave the job its pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The job, if the plan is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobName>,
    /// Parameters with their values, defaults included.
    pub parameters: BTreeMap<String, Value>,
    /// What was known when the plan was made.
    pub facts: PlanFacts,
    /// Facts that deferred conditions need: `changed_files`, `results.build`.
    pub needs: Vec<String>,
    /// The most time the whole may take, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// The stages.
    pub stages: Vec<PlanNode>,
    /// Stages after the others.
    #[serde(default, skip_serializing_if = "PlanPost::is_empty")]
    pub post: PlanPost,
}

/// A layer that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LayerName {
    /// How near to the job it is.
    pub level: Level,
    /// Its name.
    pub name: String,
}

/// A job of a controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobName {
    /// Name of the controller.
    pub controller: String,
    /// Full name, folders first.
    pub name: String,
}

/// A place in the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum PlanNode {
    /// A stage.
    Stage(Box<PlanStage>),
    /// Branches that run at the same time.
    Parallel(PlanGroup),
    /// Stages that run one after the other.
    Sequence(PlanGroup),
}

/// A group of stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanGroup {
    /// Unique in the plan.
    pub id: String,
    /// Name under which conditions find its result.
    pub name: String,
    /// Title for people.
    pub title: String,
    /// Whether it runs.
    pub decision: Decision,
    /// The values of this combination, in a matrix of groups.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, Value>,
    /// A branch that fails stops the others.
    #[serde(default, skip_serializing_if = "is_false")]
    pub fail_fast: bool,
    /// How many branches run at the same time; all where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u16>,
    /// It holds the combinations of a matrix.
    #[serde(default, skip_serializing_if = "is_false")]
    pub matrix: bool,
    /// Also runs after an earlier stage failed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub after_failure: bool,
    /// A failure makes the build unstable only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_failure: bool,
    /// What is in it.
    pub nodes: Vec<PlanNode>,
}

/// Whether something runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The answer.
    pub state: DecisionState,
    /// Why, for people.
    pub reason: String,
    /// Conditions that are decided at run time; all must be true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<DeferredCondition>,
    /// The facts that they need.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
}

/// A condition that is decided at run time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeferredCondition {
    /// The condition in CEL.
    pub expression: String,
    /// Whose parameters `params` are in it.
    pub scope: ParameterScope,
}

/// Whose parameters a condition speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ParameterScope {
    /// Those of the pipeline.
    Pipeline,
    /// Those of the stage.
    Stage,
}

/// The answer whether something runs.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum DecisionState {
    /// It runs.
    Active,
    /// It does not.
    Skipped,
    /// It is decided at run time.
    Deferred,
}

/// Stages after those of a pipeline.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanPost {
    /// In any case, last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub always: Vec<PlanNode>,
    /// After success.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub success: Vec<PlanNode>,
    /// After a failure or a timeout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failure: Vec<PlanNode>,
    /// After somebody stopped it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aborted: Vec<PlanNode>,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl PlanPost {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All lists with their names.
    #[must_use]
    pub fn lists(&self) -> [(&'static str, &[PlanNode]); 4] {
        [
            ("always", &self.always),
            ("success", &self.success),
            ("failure", &self.failure),
            ("aborted", &self.aborted),
        ]
    }
}

impl PlanNode {
    /// Unique in the plan.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Stage(stage) => &stage.id,
            Self::Parallel(group) | Self::Sequence(group) => &group.id,
        }
    }

    /// Title for people.
    #[must_use]
    pub fn title(&self) -> &str {
        match self {
            Self::Stage(stage) => &stage.title,
            Self::Parallel(group) | Self::Sequence(group) => &group.title,
        }
    }

    /// Whether it runs.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        match self {
            Self::Stage(stage) => &stage.decision,
            Self::Parallel(group) | Self::Sequence(group) => &group.decision,
        }
    }

    /// The nodes inside.
    #[must_use]
    pub fn children(&self) -> &[Self] {
        match self {
            Self::Stage(_) => &[],
            Self::Parallel(group) | Self::Sequence(group) => &group.nodes,
        }
    }

    /// This node and all inside, depth first.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }
}

impl Plan {
    /// All nodes, depth first, those of `post` last.
    #[must_use]
    pub fn nodes(&self) -> Vec<&PlanNode> {
        let mut all = Vec::new();
        for node in &self.stages {
            node.walk(&mut |one| all.push(one));
        }
        for (_, nodes) in self.post.lists() {
            for node in nodes {
                node.walk(&mut |one| all.push(one));
            }
        }
        all
    }

    /// All stages, depth first.
    pub fn all_stages(&self) -> impl Iterator<Item = &PlanStage> {
        self.nodes().into_iter().filter_map(|node| match node {
            PlanNode::Stage(stage) => Some(&**stage),
            _ => None,
        })
    }

    /// The plan as JSON with sorted keys and no spaces: what the digest is made of.
    #[must_use]
    pub fn canonical(&self) -> String {
        // Every type here has text keys and finite numbers, so this never fails.
        to_canonical_json(self).unwrap_or_default()
    }

    /// The digest of the plan.
    #[must_use]
    pub fn digest(&self) -> String {
        digest_of(&self.canonical())
    }

    /// The plan with its digest.
    #[must_use]
    pub fn into_document(self) -> PlanDocument {
        PlanDocument { digest: self.digest(), plan: self }
    }
}

/// `sha256:` and the SHA-256 of a text.
#[must_use]
pub fn digest_of(text: &str) -> String {
    use std::fmt::Write as _;
    let mut digest = String::from("sha256:");
    for byte in Sha256::digest(text.as_bytes()) {
        let _ = write!(digest, "{byte:02x}");
    }
    digest
}

impl PlanDocument {
    /// The document as it is printed: sorted keys, two spaces, a newline at the end.
    #[must_use]
    pub fn to_text(&self) -> String {
        crate::catalog::schema::published(&serde_json::to_value(self).unwrap_or(Value::Null))
    }

    /// Whether the plan is the one that the digest was made of.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.plan.digest() == self.digest
    }
}
