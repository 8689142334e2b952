//! A stage of a plan: containers, environment, steps, reports, credentials.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Decision, is_false};
use crate::catalog::model::{
    Approval, Cache, CredentialType, Effects, Environment, OutputPattern, Reports, Resources,
    Retry, Shell,
};

/// A stage with everything that it needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanStage {
    /// Unique in the plan: `unit-tests` or `unit-tests[php=8.3]`.
    pub id: String,
    /// Name under which conditions find its result.
    pub name: String,
    /// Title for people.
    pub title: String,
    /// The template and its version: `unit-test-php@1.4.0`.
    pub template: String,
    /// Whether it runs.
    pub decision: Decision,
    /// The values of this combination of a matrix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub matrix: BTreeMap<String, Value>,
    /// Parameters of the template with their values, defaults included.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Value>,
    /// Whether it changes something outside the workspace.
    #[serde(default, skip_serializing_if = "is_workspace")]
    pub effects: Effects,
    /// Containers of the steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<Arc<PlanContainer>>,
    /// Containers beside the steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<PlanService>,
    /// Environment variables of the stage, parameters included.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: Environment,
    /// Variables that hold the path of a file with this text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// Variables that take outputs of earlier stages. One whose stage gives none keeps the value
    /// that it has in `environment`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, PlanInput>,
    /// What it gives to later stages, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, PlanOutput>,
    /// What it does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Arc<PlanStep>>,
    /// What a local run does in place of the steps of a stage with effects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rehearsal: Vec<Arc<PlanStep>>,
    /// What it leaves behind.
    #[serde(default, skip_serializing_if = "Reports::is_empty")]
    pub reports: Reports,
    /// Credentials that its steps get.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<PlanCredential>,
    /// Tries after a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The most time one try may take, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// The resource that only one build has at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// A build that comes here stops the older ones of its job that have not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub milestone: bool,
    /// A person's consent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// A failure makes the build unstable only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_failure: bool,
    /// Also runs after an earlier stage failed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub after_failure: bool,
    /// Steps after the others.
    #[serde(default, skip_serializing_if = "PlanStepPost::is_empty")]
    pub post: PlanStepPost,
}

/// An output of a stage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanOutput {
    /// What its value looks like, as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<OutputPattern>,
    /// The stage may succeed without it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
}

/// Where the value of a variable comes from when the stage runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanInput {
    /// Name of the stage.
    pub stage: String,
    /// Name of its output.
    pub output: String,
    /// What the value looks like, as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<OutputPattern>,
    /// It may start with `-`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dashes: bool,
    /// There is no other value: without this one the stage fails.
    #[serde(default, skip_serializing_if = "is_false")]
    pub required: bool,
}

/// A container of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanContainer {
    /// Name.
    pub name: String,
    /// Image.
    pub image: String,
    /// What a node must have free for it.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub requests: Resources,
    /// What it may take at most.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub limits: Resources,
    /// Environment variables of the container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: Environment,
    /// Directories kept between builds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caches: Vec<Cache>,
    /// Programs its steps need.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
}

/// A container beside the steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanService {
    /// Name.
    pub name: String,
    /// Image.
    pub image: String,
    /// What a node must have free for it.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub requests: Resources,
    /// What it may take at most.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub limits: Resources,
    /// Environment variables of the service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: Environment,
    /// Port that accepts connections once it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanStep {
    /// What it does.
    pub name: String,
    /// Shell.
    pub shell: Shell,
    /// Container; none for a stage without containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Environment variables of this step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: Environment,
    /// Script text.
    pub script: String,
    /// The most time it may take, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
}

/// A credential of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanCredential {
    /// Id under which the controller keeps it.
    pub id: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: CredentialType,
    /// Variable that holds the secret, or the path of the file.
    pub variable: String,
    /// Variable that holds the user name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_variable: Option<String>,
    /// The stage also works without it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
}

/// Steps after those of a stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanStepPost {
    /// In any case, last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub always: Vec<Arc<PlanStep>>,
    /// After success.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub success: Vec<Arc<PlanStep>>,
    /// After a failure or a timeout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failure: Vec<Arc<PlanStep>>,
    /// After somebody stopped it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aborted: Vec<Arc<PlanStep>>,
}

fn is_workspace(effects: &Effects) -> bool {
    *effects == Effects::Workspace
}

impl PlanStepPost {
    /// All lists with their names.
    #[must_use]
    pub fn lists(&self) -> [(&'static str, &[Arc<PlanStep>]); 4] {
        [
            ("always", &self.always),
            ("success", &self.success),
            ("failure", &self.failure),
            ("aborted", &self.aborted),
        ]
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
